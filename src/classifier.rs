//! Scores images against one encoded set of labels: embeddings -> scores; with an image encoder, pixels -> scores.

use image::RgbImage;
use rayon::prelude::*;
use ring::digest::{Context, SHA256};

use crate::decision::{Decision, Groups};
use crate::kernels::similarity::Panels;
use crate::score::Readout;
use crate::{Activation, Embeddings, Error, ImageEncoder, ImageError, Isa, Label, Pixels, Result, Scores, TextEncoder};

/// Prompts encoded together, which bounds the memory of a long list of labels.
const PROMPTS_AT_A_TIME: usize = 4096;
/// Images scored together by one thread, which bounds the memory of their cosines.
const IMAGES_AT_A_TIME: usize = 32;

/// An encoded label, without its name.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedLabel {
    /// The SHA-256 of its prompts' token ids. Labels that the tokenizer does not distinguish have the same.
    pub tokens: [u8; 32],
    /// The unit mean of its prompts' unit embeddings: `[D]`.
    pub embedding: Vec<f32>,
}

impl EncodedLabel {
    /// Encodes each label. Calls `progress` with the numbers of finished and of all prompts.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`], or the encoder's error.
    pub fn encode(text: &TextEncoder, labels: &[Label], mut progress: impl FnMut(usize, usize)) -> Result<Vec<Self>> {
        let total = labels.iter().map(|l| l.prompts.len()).sum();
        let widest = labels.iter().map(|l| l.prompts.len()).max().unwrap_or(1).max(1);
        let at_a_time = if text.depends_on_others() { labels.len() } else { PROMPTS_AT_A_TIME / widest };
        let mut encoded = Vec::with_capacity(labels.len());
        let mut before = 0;
        for labels in labels.chunks(at_a_time.max(1)) {
            let prompts = labels.iter().flat_map(|l| &l.prompts);
            let prompts: Vec<Vec<u32>> = prompts.map(|prompt| text.tokenize(prompt)).collect::<Result<_>>()?;
            let rows = text.embed_tokens(&prompts, |done| progress(before + done, total))?; // [P, D]
            before += prompts.len();
            let mut next = 0;
            for label in labels {
                let own = next..next + label.prompts.len();
                next = own.end;
                let mut embeddings = Embeddings::new(text.dim());
                own.clone().for_each(|row| embeddings.push(rows.row(row)));
                encoded.push(Self { tokens: digest(&prompts[own]), embedding: embeddings.mean().values().to_vec() });
            }
        }
        Ok(encoded)
    }
}

/// Returns the SHA-256 of lists of token ids.
fn digest(prompts: &[Vec<u32>]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for ids in prompts {
        context.update(&(ids.len() as u64).to_le_bytes());
        ids.iter().for_each(|id| context.update(&id.to_le_bytes()));
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// Labels and their embeddings [L, D]: encoded once, used for every image.
#[derive(Debug, Clone)]
pub struct Labels {
    names: Vec<String>,
    embeddings: Embeddings,
    /// What is added to each label's logit: `[L]`, or nothing.
    bias: Vec<f32>,
    alike: Vec<(usize, usize)>,
}

impl Labels {
    /// Encodes labels; see [`EncodedLabel::encode`].
    ///
    /// # Errors
    /// [`Error::PromptTooLong`], [`Error::NotFinite`], or the encoder's error.
    pub fn encode(text: &TextEncoder, labels: &[Label], progress: impl FnMut(usize, usize)) -> Result<Self> {
        let names = labels.iter().map(|l| l.name.clone()).collect();
        Self::from_encoded(names, &EncodedLabel::encode(text, labels, progress)?)
    }

    /// Creates labels from encoded ones, under their names.
    ///
    /// # Errors
    /// [`Error::NotFinite`] naming the label whose embedding is not finite.
    ///
    /// # Panics
    /// If the numbers of names and labels differ, or the dimensions do.
    pub fn from_encoded(names: Vec<String>, encoded: &[EncodedLabel]) -> Result<Self> {
        assert_eq!(names.len(), encoded.len(), "every encoded label has a name");
        let mut embeddings = Embeddings::new(encoded.first().map_or(0, |label| label.embedding.len()));
        encoded.iter().for_each(|label| embeddings.push_unit(&label.embedding)); // [L, D]
        if let Some(label) = embeddings.rows().position(|row| row.iter().any(|x| !x.is_finite())) {
            return Err(Error::NotFinite { what: format!("the label `{}`", names[label]) });
        }
        Ok(Self { names, embeddings, bias: Vec::new(), alike: alike(encoded) })
    }

    /// Creates labels from rows [L, D] that were made before, and what is added to their logits.
    ///
    /// # Panics
    /// If the numbers of names, rows and biases differ.
    pub fn from_rows(names: Vec<String>, rows: Embeddings, bias: Vec<f32>) -> Self {
        assert_eq!((rows.len(), bias.len()), (names.len(), names.len()), "every label has a row and a bias");
        Self { names, embeddings: rows, bias, alike: Vec::new() }
    }

    /// Returns the same labels with other rows [L, D] in place of their embeddings. Images are scored by their products with
    /// these, which need not have unit length.
    ///
    /// # Panics
    /// If the number or the dimension differs.
    pub fn with_rows(self, rows: Embeddings) -> Self {
        assert_eq!((rows.len(), rows.dim()), (self.names.len(), self.embeddings.dim()), "a row for each label");
        Self { embeddings: rows, ..self }
    }

    /// Returns the labels as the user wrote them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns unit embeddings [L, D], in the labels' order.
    pub fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    /// Returns pairs of labels that the tokenizer does not distinguish, such as `Owl` and `owl`.
    pub fn alike(&self) -> &[(usize, usize)] {
        &self.alike
    }
}

/// Returns pairs (first, later) of equal token lists.
fn alike(labels: &[EncodedLabel]) -> Vec<(usize, usize)> {
    let mut first = std::collections::HashMap::new();
    let mut pairs = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        match first.get(&label.tokens) {
            Some(&earlier) => pairs.push((earlier, index)),
            None => drop(first.insert(label.tokens, index)),
        }
    }
    pairs
}

/// Scores embeddings of images against one set of labels.
#[derive(Debug)]
pub struct Scorer {
    labels: Labels,
    /// The labels' rows, and behind them those of the background.
    panels: Panels,
    readout: Readout,
    decision: Option<Decision>,
}

impl Scorer {
    /// Creates a scorer with the activation that the checkpoint of `readout` was trained for.
    pub fn new(readout: Readout, labels: Labels) -> Self {
        let panels = Panels::new(labels.embeddings.values(), labels.embeddings.dim());
        Self { labels, panels, readout, decision: None }
    }

    /// Returns the same scorer with rules that lead to an answer. `background` are the rows [B, D] that compete with the
    /// labels.
    ///
    /// # Panics
    /// If `decision` is about other numbers of labels or of background rows, or the dimensions differ.
    pub fn with_decision(mut self, decision: Decision, background: &Embeddings) -> Self {
        assert_eq!(decision.background.len(), background.len(), "every background row has an offset");
        let of = decision.ranks.first().map_or(self.labels.names.len(), |groups| groups.of.len());
        assert_eq!(of, self.labels.names.len(), "every label has a group");
        if !background.is_empty() {
            let mut rows = self.labels.embeddings.clone();
            rows.extend(background);
            self.panels = Panels::new(rows.values(), rows.dim()); // [L + B, D]
        }
        self.decision = Some(decision);
        self
    }

    /// Returns how logits become scores.
    pub fn activation(&self) -> Activation {
        self.readout.activation
    }

    /// Returns the names of what is scored: the labels, or their groups.
    pub fn answers(&self) -> &[String] {
        self.ranks().first().map_or(&self.labels.names, |groups| &groups.names)
    }

    /// Returns the names of all possible answers: of what is scored, then of later ranks.
    pub fn all_answers(&self) -> Vec<String> {
        let later = self.ranks().iter().skip(1).flat_map(|groups| &groups.names);
        self.answers().iter().chain(later).cloned().collect()
    }

    fn ranks(&self) -> &[Groups] {
        self.decision.as_ref().map_or(&[], |decision| &decision.ranks)
    }

    /// Returns the same scorer with another activation.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.readout.activation = activation;
        self
    }

    /// Returns the labels, in the order of each result's scores.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Scores each image of unit embeddings [B, D], on all threads of rayon's current pool. The result of an image without finite numbers is
    /// `Err`.
    ///
    /// # Panics
    /// If the images' embeddings have another dimension than the labels'.
    pub fn score(&self, images: &[&[f32]]) -> Vec<std::result::Result<Scores, ImageError>> {
        self.score_then(images, |scores| scores)
    }

    /// Does the same as [`Self::score`], and passes each result to `then` on the same thread: with many labels, the
    /// caller may need only the best few.
    ///
    /// # Panics
    /// As [`Self::score`].
    pub fn score_then<R: Send>(
        &self,
        images: &[&[f32]],
        then: impl Fn(std::result::Result<Scores, ImageError>) -> R + Sync,
    ) -> Vec<R> {
        assert!(images.iter().all(|image| image.len() == self.panels.dim()), "embeddings of one model");
        let at_once = images.len().div_ceil(rayon::current_num_threads()).clamp(1, IMAGES_AT_A_TIME);
        let some = |cosines: &mut Vec<f64>, images: &[&[f32]]| -> Vec<R> {
            self.panels.cosines(Isa::best(), &images.concat(), cosines); // [B, L]
            cosines.chunks_exact(self.panels.labels().max(1)).map(|cosines| then(self.scores(cosines))).collect()
        };
        images.par_chunks(at_once).map_init(Vec::new, some).flatten_iter().collect()
    }

    /// Returns the model's logits of one image's unit embedding `[D]` for the labels, and behind them for the background's rows.
    ///
    /// # Panics
    /// If it has another dimension than the labels' embeddings.
    pub fn all_logits(&self, image: &[f32]) -> Vec<f32> {
        let mut cosines = Vec::new();
        self.panels.cosines(Isa::best(), image, &mut cosines);
        self.logits(&cosines)
    }

    /// Returns logits [L + B] of cosines.
    fn logits(&self, cosines: &[f64]) -> Vec<f32> {
        let mut logits: Vec<f32> = cosines.iter().map(|&cosine| self.readout.logit(cosine)).collect();
        logits.iter_mut().zip(&self.labels.bias).for_each(|(logit, bias)| *logit += bias);
        logits
    }

    /// Returns the scores of one image by its cosines [L + B].
    fn scores(&self, cosines: &[f64]) -> std::result::Result<Scores, ImageError> {
        let logits = self.logits(cosines);
        if logits.iter().any(|x| !x.is_finite()) {
            return Err(ImageError::not_finite());
        }
        Ok(match &self.decision {
            Some(decision) => decision.judge(&logits, self.readout.activation),
            None => Scores::new(logits, self.readout.activation),
        })
    }
}

/// Scores images against one set of labels: an image encoder and a [`Scorer`].
#[derive(Debug)]
pub struct Classifier {
    images: ImageEncoder,
    scorer: Scorer,
}

impl Classifier {
    /// Creates a classifier with the activation that the checkpoint was trained for.
    ///
    /// # Errors
    /// [`Error::OtherModel`] if the labels were encoded by a model of another dimension.
    pub fn new(images: ImageEncoder, labels: Labels) -> Result<Self> {
        if !labels.embeddings.is_empty() && images.dim() != labels.embeddings.dim() {
            return Err(Error::OtherModel { images: images.dim(), labels: labels.embeddings.dim() });
        }
        let scorer = Scorer::new(images.readout(), labels);
        Ok(Self { images, scorer })
    }

    /// Returns the same classifier with another activation.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.scorer = self.scorer.with_activation(activation);
        self
    }

    /// Returns the labels, in the order of each result's scores.
    pub fn labels(&self) -> &Labels {
        self.scorer.labels()
    }

    /// Converts RGB to the pixels that the model takes.
    ///
    /// # Errors
    /// For an image without pixels, or one too long to be resized; see [`crate::Preprocessor::run`].
    pub fn preprocess(&self, image: &RgbImage) -> Result<Pixels> {
        self.images.preprocess(image)
    }

    /// Scores each image. The result of an image without finite numbers is `Err`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn classify(&self, pixels: &[Pixels]) -> Result<Vec<std::result::Result<Scores, ImageError>>> {
        let images = self.images.embed(pixels)?; // [B, D]
        let rows: Vec<&[f32]> = images.rows().collect();
        Ok(self.images.threads().run(|| self.scorer.score(&rows)))
    }
}
