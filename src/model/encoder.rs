//! Images and prompts -> unit embeddings: the two encoders of a checkpoint, which are loaded separately.

use image::RgbImage;

use super::attention_rows::Prompt;
use super::backend::Loaded;
use super::plan::Plan;
use super::spec::{Filling, ImageStem, TokenStem, TowerSpec};
use crate::device::Threads;
use crate::preprocess::{Normalizer, Preprocessor};
use crate::score::Readout;
use crate::text::Tokenizer;
use crate::{Checkpoint, Embeddings, Error, Pixels, Result};

/// Images -> unit embeddings.
#[derive(Debug)]
pub struct ImageEncoder {
    tower: Loaded<ImageStem>,
    spec: TowerSpec<ImageStem>,
    preprocessor: Preprocessor,
    normalizer: Normalizer,
    readout: Readout,
    threads: Threads,
}

impl ImageEncoder {
    /// Loads the image tower.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the weight that is missing or misshapen; [`Error::PixelSize`] if the
    /// preprocessor's output cannot fit the tower.
    pub fn load(checkpoint: &Checkpoint, plan: &Plan) -> Result<Self> {
        let spec = checkpoint.family().image();
        let tower = plan.threads.run(|| Loaded::load(&spec, checkpoint.weights(), plan))?;
        let preprocessor = checkpoint.preprocessor().clone();
        if let Some(got) = preprocessor.output_size() {
            check_size(got, &spec.stem)?;
        }
        let normalizer = preprocessor.normalizer();
        let readout = checkpoint.family().readout(checkpoint.weights())?;
        Ok(Self { tower, spec, preprocessor, normalizer, readout, threads: plan.threads.clone() })
    }

    /// Returns the number of values in an embedding.
    pub fn dim(&self) -> usize {
        self.spec.dim
    }

    /// Returns how this checkpoint turns cosines into scores.
    pub fn readout(&self) -> Readout {
        self.readout
    }

    /// Returns the threads that it runs on.
    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Makes the pixels that the tower takes.
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
        pixels.iter().try_for_each(|p| check_size((p.width(), p.height()), &self.spec.stem))?;
        let mut embeddings = Embeddings::new(self.dim());
        if pixels.is_empty() {
            return Ok(embeddings);
        }
        let projected = self.threads.run(|| self.tower.images(pixels, &self.normalizer))?; // [B, D]
        projected.chunks_exact(self.dim()).for_each(|row| embeddings.push(row));
        Ok(embeddings)
    }

    /// Returns the model's logit of a cosine.
    pub fn logit(&self, cosine: f64) -> f32 {
        self.readout.logit(cosine)
    }
}

/// Checks that a tower takes images of this size.
fn check_size((width, height): (usize, usize), stem: &ImageStem) -> Result<()> {
    let ImageStem { side, patch, resize, .. } = *stem;
    let fits = if resize.is_some() { width.min(height) >= patch } else { (width, height) == (side, side) };
    let want = || if resize.is_some() { format!("{patch}x{patch} or more") } else { format!("{side}x{side}") };
    if fits { Ok(()) } else { Err(Error::PixelSize { got: format!("{width}x{height}"), want: want() }) }
}

/// Prompts -> unit embeddings.
#[derive(Debug)]
pub struct TextEncoder {
    tower: Loaded<TokenStem>,
    spec: TowerSpec<TokenStem>,
    tokenizer: Tokenizer,
    padding: PromptPadding,
    truncate: bool,
    threads: Threads,
}

impl TextEncoder {
    /// Loads the tokenizer and the text tower.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file, or the weight that is missing or misshapen.
    pub fn load(checkpoint: &Checkpoint, plan: &Plan) -> Result<Self> {
        let spec = checkpoint.family().text();
        // One thread builds the tokenizer while the others read weights.
        let tokenizer = || plan.threads.run(|| checkpoint.tokenizer());
        let (tokenizer, tower) = std::thread::scope(|scope| {
            let started = std::thread::Builder::new().spawn_scoped(scope, tokenizer);
            let tower = plan.threads.run(|| Loaded::load(&spec, checkpoint.weights(), plan));
            let joined = started.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            (joined.unwrap_or_else(|_| tokenizer()), tower) // without another thread, on this one
        });
        let (tokenizer, tower) = (tokenizer?, tower?);
        let padding = PromptPadding::of(&spec.stem, &tokenizer)?;
        Ok(Self { tokenizer, tower, padding, truncate: spec.stem.cuts, spec, threads: plan.threads.clone() })
    }

    /// Cuts prompts that are too long, keeping their end token, instead of refusing them. Prompts that the reference
    /// cuts by default are always cut.
    pub fn with_truncation(mut self, truncate: bool) -> Self {
        self.truncate = truncate || self.spec.stem.cuts;
        self
    }

    /// Returns the number of values in an embedding.
    pub fn dim(&self) -> usize {
        self.spec.dim
    }

    /// Returns true if a prompt's embedding depends on the prompts that are encoded with it. transformers makes them equally
    /// long, and pools some checkpoints at the padding: where `eos_token_id` is 2 and the padding's id above the end's.
    pub fn depends_on_others(&self) -> bool {
        matches!(self.padding, PromptPadding::OfShorter(_))
    }

    /// Returns a prompt's token ids, start and end included.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] unless truncation is on; [`Error::Checkpoint`] if the tokenizer gives an id that the
    /// model does not have.
    pub fn tokenize(&self, prompt: &str) -> Result<Vec<u32>> {
        let limit = self.spec.stem.length;
        let mut ids = self.tokenizer.encode(prompt)?;
        if ids.len() > limit && self.truncate {
            ids = self.tokenizer.encode_upto(prompt, limit)?;
        }
        if ids.len() > limit {
            return Err(Error::PromptTooLong { prompt: prompt.to_owned(), tokens: ids.len(), limit });
        }
        if ids.is_empty() && !matches!(self.padding, PromptPadding::ToTheEnd(_)) {
            return Err(Error::checkpoint(self.tokenizer.path(), format!("gives no token for {prompt:?}")));
        }
        self.check(&ids)?;
        Ok(ids)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        let vocabulary = self.spec.stem.vocabulary;
        match ids.iter().find(|&&id| id as usize >= vocabulary) {
            None => Ok(()),
            Some(id) => {
                let reason = format!("gives token {id}, but the model has {vocabulary} tokens");
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
    /// [`Self::depends_on_others`]. `progress` gets the number of prompts that are done.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the device fails, [`Error::Checkpoint`] if the model has no embedding for the padding.
    pub fn embed_tokens(&self, tokens: &[Vec<u32>], mut progress: impl FnMut(usize)) -> Result<Embeddings> {
        let mut rows = vec![Vec::new(); tokens.len()];
        let mut done = 0;
        let prompts = self.prompts(tokens);
        if let Some(padded) = prompts.iter().find(|prompt| prompt.padded) {
            self.check(&padded.ids[padded.end..])?;
        }
        for batch in self.tower.batches(&prompts) {
            let together: Vec<&Prompt> = batch.iter().map(|&i| &prompts[i]).collect();
            let projected = self.threads.run(|| self.tower.prompts(&together))?; // [B, D]
            batch.iter().zip(projected.chunks_exact(self.dim())).for_each(|(&i, row)| rows[i] = row.to_vec());
            done += batch.len();
            progress(done);
        }
        let mut embeddings = Embeddings::new(self.dim());
        rows.iter().for_each(|row| embeddings.push(row));
        Ok(embeddings)
    }

    fn prompts(&self, tokens: &[Vec<u32>]) -> Vec<Prompt> {
        let TokenStem { pool, length, .. } = self.spec.stem;
        let longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
        let prompt = |ids: &Vec<u32>| match self.padding {
            PromptPadding::None => Prompt::new(pool, ids, None),
            PromptPadding::OfShorter(padding) => Prompt::new(pool, ids, Some(padding).filter(|_| ids.len() < longest)),
            PromptPadding::Masked(padding) => Prompt::masked(ids, padding, length),
            PromptPadding::ToTheEnd(padding) => {
                let padding = std::iter::repeat_n(padding, length.saturating_sub(ids.len()));
                Prompt::new(pool, &ids.iter().copied().chain(padding).collect::<Vec<_>>(), None)
            }
        };
        tokens.iter().map(prompt).collect()
    }
}

/// The padding after prompts.
#[derive(Debug, Clone, Copy)]
enum PromptPadding {
    /// No padding: no row depends on later tokens.
    None,
    /// Pads shorter prompts; the padding token is pooled.
    OfShorter(u32),
    /// A token at every remaining position. Every row attends to it.
    ToTheEnd(u32),
    /// The same, but no row attends to it. The last is pooled.
    Masked(u32),
}

impl PromptPadding {
    fn of(stem: &TokenStem, tokenizer: &Tokenizer) -> Result<Self> {
        let missing = || Error::checkpoint(tokenizer.path(), "has no token for padding, which this model needs");
        match stem.filling {
            Filling::None => {}
            Filling::PaddingUnlessMasked if tokenizer.masks_padding() => {
                return Ok(Self::Masked(tokenizer.padding().ok_or_else(missing)?));
            }
            Filling::Padding | Filling::PaddingUnlessMasked => {
                return Ok(Self::ToTheEnd(tokenizer.padding().ok_or_else(missing)?));
            }
            Filling::Token(token) => return Ok(Self::ToTheEnd(token)),
        }
        let ends = tokenizer.encode("")?; // the tokens of every prompt
        let is_pooled = |padding: &u32| Prompt::new(stem.pool, &ends, Some(*padding)).padded;
        Ok(tokenizer.padding().filter(is_pooled).map_or(Self::None, Self::OfShorter))
    }
}
