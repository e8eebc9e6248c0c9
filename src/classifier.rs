//! An image encoder and one encoded set of labels: images -> scores.

use image::RgbImage;

use crate::embeddings::dot;
use crate::{Activation, Embeddings, Error, ImageEncoder, ImageError, Label, Pixels, Result, Scores, TextEncoder};

/// Prompts encoded at a time, which bounds the memory of a long list of labels.
const PROMPTS_AT_A_TIME: usize = 4096;

/// Labels and their embeddings [L, D]: encoded once, used for every image.
#[derive(Debug, Clone)]
pub struct Labels {
    names: Vec<String>,
    embeddings: Embeddings,
    alike: Vec<(usize, usize)>,
}

impl Labels {
    /// Encodes each label as the unit mean of its prompts' unit embeddings. `progress` hears how many of how many
    /// prompts are done.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`], or what the encoder says.
    pub fn encode(text: &TextEncoder, labels: &[Label], mut progress: impl FnMut(usize, usize)) -> Result<Self> {
        let total = labels.iter().map(|l| l.prompts.len()).sum();
        let widest = labels.iter().map(|l| l.prompts.len()).max().unwrap_or(1).max(1);
        let mut embeddings = Embeddings::new(text.dim());
        let mut tokens = Vec::with_capacity(labels.len());
        let mut before = 0;
        for labels in labels.chunks((PROMPTS_AT_A_TIME / widest).max(1)) {
            let mut prompts = Vec::new(); // the token ids of every prompt of these labels
            for label in labels {
                let start = prompts.len();
                for prompt in &label.prompts {
                    prompts.push(text.tokenize(prompt)?);
                }
                tokens.push(prompts[start..].to_vec());
            }
            let rows = text.embed_tokens(&prompts, |done| progress(before + done, total))?; // [P, D]
            before += prompts.len();
            let mut next = rows.rows();
            for label in labels {
                let mut own = Embeddings::new(text.dim());
                next.by_ref().take(label.prompts.len()).for_each(|row| own.push(row));
                embeddings.extend(&own.mean()); // [L, D]
            }
        }
        let names: Vec<String> = labels.iter().map(|l| l.name.clone()).collect();
        if let Some(label) = embeddings.rows().position(|row| row.iter().any(|x| !x.is_finite())) {
            return Err(Error::NotFinite { what: format!("the label `{}`", names[label]) });
        }
        Ok(Self { names, embeddings, alike: alike(&tokens) })
    }

    /// The labels as the user wrote them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Unit embeddings [L, D], in the labels' order.
    pub fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    /// Pairs of labels that the tokenizer cannot tell apart, such as `Owl` and `owl`.
    pub fn alike(&self) -> &[(usize, usize)] {
        &self.alike
    }
}

/// Pairs (first, later) of equal token lists.
fn alike(tokens: &[Vec<Vec<u32>>]) -> Vec<(usize, usize)> {
    let mut first = std::collections::HashMap::new();
    let mut pairs = Vec::new();
    for (index, ids) in tokens.iter().enumerate() {
        match first.get(ids) {
            Some(&earlier) => pairs.push((earlier, index)),
            None => drop(first.insert(ids, index)),
        }
    }
    pairs
}

/// Scores images against one set of labels.
#[derive(Debug)]
pub struct Classifier {
    images: ImageEncoder,
    labels: Labels,
    activation: Activation,
}

impl Classifier {
    /// A classifier whose scores are what the checkpoint was trained for.
    ///
    /// # Errors
    /// [`Error::Device`] if the labels were encoded by a model of another dimension.
    pub fn new(images: ImageEncoder, labels: Labels) -> Result<Self> {
        if images.dim() != labels.embeddings.dim() {
            let (image, text) = (images.dim(), labels.embeddings.dim());
            let reason = format!("image embeddings have {image} values and the labels' {text}: two different models");
            return Err(Error::Device(reason));
        }
        let activation = images.activation();
        Ok(Self { images, labels, activation })
    }

    /// The same classifier with another way from logits to scores.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The labels, in the order of each result's scores.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// RGB -> the pixels that the model takes.
    ///
    /// # Errors
    /// For an image without pixels, or too long to be resized; see [`crate::Preprocessor::run`].
    pub fn preprocess(&self, image: &RgbImage) -> Result<Pixels> {
        self.images.preprocess(image)
    }

    /// Scores each image. A result is `Err` where the model gave no finite numbers for that image.
    ///
    /// # Errors
    /// When the device fails.
    pub fn classify(&self, pixels: &[Pixels]) -> Result<Vec<std::result::Result<Scores, ImageError>>> {
        let images = self.images.embed(pixels)?; // [B, D]
        Ok(images.rows().map(|image| self.score(image)).collect())
    }

    /// The scores of one image embedding [D].
    fn score(&self, image: &[f32]) -> std::result::Result<Scores, ImageError> {
        let logits: Vec<f32> = self.labels.embeddings.rows().map(|text| self.images.logit(dot(image, text))).collect(); // [L]
        if logits.iter().any(|x| !x.is_finite()) {
            return Err(ImageError::not_finite());
        }
        Ok(Scores::new(logits, self.activation))
    }
}
