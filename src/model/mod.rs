//! The loaded model: an image encoder and a text encoder, each loaded apart. The only place, with
//! [`crate::classifier`], where tokens, pixels and weights meet.

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod amx_tests;
pub mod clip;
pub mod config;
pub mod encoder;
pub mod engine;
pub mod rows;
pub mod tensors;
pub mod tower;

use image::RgbImage;

use crate::preprocess::{Normalizer, Preprocessor};
use crate::score::Readout;
use crate::text::ClipTokenizer;
use crate::{Activation, Checkpoint, Compute, Embeddings, Error, Pixels, Result};
use clip::{TextTower, VisionTower};

/// Images -> unit embeddings.
#[derive(Debug)]
pub struct ImageEncoder {
    tower: VisionTower,
    preprocessor: Preprocessor,
    normalizer: Normalizer,
    readout: Readout,
}

impl Readout {
    /// Reads a checkpoint's. Little is read: no tower is loaded.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the weight is missing or misshapen.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        let logit_scale = checkpoint.weights().root().values("logit_scale", &[])?[0];
        Ok(Self { scale: f64::from(logit_scale).exp(), activation: Activation::Softmax })
    }
}

impl ImageEncoder {
    /// Loads the image tower.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the weight that is missing or misshapen; [`Error::PixelSize`] if the
    /// preprocessor's output cannot fit the tower.
    pub fn load(checkpoint: &Checkpoint, compute: &Compute) -> Result<Self> {
        let compute = compute.for_embeddings(checkpoint.config().projection_dim);
        let tower = VisionTower::load(checkpoint, &compute)?;
        let preprocessor = checkpoint.preprocessor().clone();
        if let Some(got) = preprocessor.output_size()
            && got != (tower.image_size(), tower.image_size())
        {
            return Err(pixel_size(got, tower.image_size()));
        }
        let normalizer = preprocessor.normalizer();
        Ok(Self { tower, preprocessor, normalizer, readout: Readout::load(checkpoint)? })
    }

    /// Values in an embedding.
    pub fn dim(&self) -> usize {
        self.tower.dim()
    }

    /// How this checkpoint turns cosines into scores.
    pub fn readout(&self) -> Readout {
        self.readout
    }

    /// RGB -> the pixels that the tower takes.
    ///
    /// # Errors
    /// For an image without pixels, or too long to be resized; see [`Preprocessor::run`].
    pub fn preprocess(&self, image: &RgbImage) -> Result<Pixels> {
        self.preprocessor.run(image)
    }

    /// Encodes pixels as unit vectors [B, D]. The bits of a row do not depend on the other rows.
    ///
    /// # Errors
    /// [`Error::PixelSize`] for pixels of another size than the tower's, [`Error::Tensor`] when the device fails.
    pub fn embed(&self, pixels: &[Pixels]) -> Result<Embeddings> {
        let side = self.tower.image_size();
        if let Some(other) = pixels.iter().find(|p| (p.width(), p.height()) != (side, side)) {
            return Err(pixel_size((other.width(), other.height()), side));
        }
        let mut embeddings = Embeddings::new(self.dim());
        if pixels.is_empty() {
            return Ok(embeddings);
        }
        let projected = self.tower.forward(pixels, &self.normalizer)?; // [B, D]
        projected.chunks_exact(self.dim()).for_each(|row| embeddings.push(row));
        Ok(embeddings)
    }

    /// The model's logit of a cosine: `exp(logit_scale) * cosine`.
    pub fn logit(&self, cosine: f64) -> f32 {
        self.readout.logit(cosine)
    }
}

fn pixel_size((width, height): (usize, usize), side: usize) -> Error {
    Error::PixelSize { got: format!("{width}x{height}"), want: format!("{side}x{side}") }
}

/// Prompts -> unit embeddings.
#[derive(Debug)]
pub struct TextEncoder {
    tower: TextTower,
    tokenizer: ClipTokenizer,
    /// The padding that stands for a prompt that is shorter than others, where the checkpoint is read so.
    padding: Option<u32>,
    truncate: bool,
}

impl TextEncoder {
    /// Loads the tokenizer and the text tower.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file, or the weight that is missing or misshapen.
    pub fn load(checkpoint: &Checkpoint, compute: &Compute) -> Result<Self> {
        let compute = compute.for_embeddings(checkpoint.config().projection_dim);
        // The tokenizer is built by one thread, while the others can read weights.
        let (tokenizer, tower) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| checkpoint.tokenizer());
            let tower = TextTower::load(checkpoint, &compute);
            (tokenizer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), tower)
        });
        let (tokenizer, tower) = (tokenizer?, tower?);
        let ends = tokenizer.encode("")?; // the tokens that every prompt has
        let padding = tokenizer.padding().filter(|&padding| tower.ends_at(&ends, padding));
        Ok(Self { tokenizer, tower, padding, truncate: false })
    }

    /// Cuts over-long prompts, keeping their end token, instead of refusing them.
    pub fn with_truncation(mut self, truncate: bool) -> Self {
        self.truncate = truncate;
        self
    }

    /// Values in an embedding.
    pub fn dim(&self) -> usize {
        self.tower.dim()
    }

    /// Returns true if a prompt's embedding depends on the prompts that are encoded with it. transformers makes them equally
    /// long, and pools some checkpoints at the padding: where `eos_token_id` is 2 and the padding's id above the end's.
    pub fn depends_on_others(&self) -> bool {
        self.padding.is_some()
    }

    /// A prompt's token ids, start and end included.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] unless truncation is on; [`Error::Checkpoint`] if the tokenizer gives an id that the
    /// model does not have.
    pub fn tokenize(&self, prompt: &str) -> Result<Vec<u32>> {
        let mut ids = self.tokenizer.encode(prompt)?;
        let limit = self.tower.positions();
        if ids.len() > limit && self.truncate {
            ids = self.tokenizer.encode_upto(prompt, limit)?;
        }
        if ids.len() > limit {
            return Err(Error::PromptTooLong { prompt: prompt.to_owned(), tokens: ids.len(), limit });
        }
        if ids.is_empty() {
            return Err(Error::checkpoint(self.tokenizer.path(), format!("gives no token for {prompt:?}")));
        }
        self.check(&ids)?;
        Ok(ids)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().find(|&&id| id as usize >= self.tower.vocabulary()) {
            None => Ok(()),
            Some(id) => {
                let reason = format!("gives token {id}, but the model has {} tokens", self.tower.vocabulary());
                Err(Error::checkpoint(self.tokenizer.path(), reason))
            }
        }
    }

    /// Encodes texts as they are, without a template, as unit vectors [N, D].
    ///
    /// # Errors
    /// As [`Self::tokenize`], or [`Error::Tensor`] when the device fails.
    pub fn embed(&self, texts: &[String]) -> Result<Embeddings> {
        let tokens = texts.iter().map(|text| self.tokenize(text)).collect::<Result<Vec<_>>>()?;
        self.embed_tokens(&tokens, |_| {})
    }

    /// Encodes token ids as unit vectors [N, D]; the bits of a row do not depend on the other rows, unless
    /// [`Self::depends_on_others`]. `progress` hears how many are done.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the device fails, [`Error::Checkpoint`] if the model has no embedding for the padding.
    pub fn embed_tokens(&self, tokens: &[Vec<u32>], mut progress: impl FnMut(usize)) -> Result<Embeddings> {
        let mut rows = vec![Vec::new(); tokens.len()];
        let mut done = 0;
        let prompts = self.tower.prompts(tokens, self.padding);
        if let Some(padded) = prompts.iter().find(|prompt| prompt.padded) {
            self.check(&padded.ids[padded.end..])?;
        }
        for batch in self.tower.batches(&prompts) {
            let together: Vec<_> = batch.iter().map(|&i| &prompts[i]).collect();
            let projected = self.tower.forward(&together)?; // [B, D]
            batch.iter().zip(projected.chunks_exact(self.dim())).for_each(|(&i, row)| rows[i] = row.to_vec());
            done += batch.len();
            progress(done);
        }
        let mut embeddings = Embeddings::new(self.dim());
        rows.iter().for_each(|row| embeddings.push(row));
        Ok(embeddings)
    }
}
