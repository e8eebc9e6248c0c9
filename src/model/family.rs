//! The family of a checkpoint, from its `config.json`. A family is one file in `families/`, which says what a
//! `config.json` means as data; nothing is loaded or computed there.

use serde_json::Value;

use super::families::{Description, FAMILIES, Logits, Model};
use super::spec::{ImageStem, TokenStem, TowerSpec};
use crate::checkpoint::recipe::Recipe;
use crate::checkpoint::{Files, Weights};
use crate::preprocess::ProcessorClass;
use crate::score::{Activation, Readout};
use crate::text::{Tokenizer, TokenizerClass};

/// A checkpoint's family, with what its `config.json` says.
#[derive(Debug, Clone)]
pub struct Family {
    description: &'static Description,
    model: Model,
}

/// What a checkpoint is, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFacts {
    /// The `model_type` of its `config.json`.
    pub kind: &'static str,
    /// The image's side in pixels.
    pub image_size: usize,
    /// A patch's side in pixels.
    pub patch_size: usize,
    /// The most tokens of a prompt.
    pub max_tokens: usize,
    /// Values in an embedding.
    pub embedding: usize,
    /// How logits become scores.
    pub activation: Activation,
}

impl Family {
    /// Reads the JSON of `config.json`.
    ///
    /// # Errors
    /// One line: the family that zsic does not run, or the value that no model of the family has.
    pub fn from_config(config: Value) -> Result<Self, String> {
        let known = FAMILIES.map(|family| format!("`{}`", family.model_type)).join(" and ");
        let name = match config.get("model_type") {
            None => return Err(format!("has no model_type; zsic reads {known}")),
            Some(name) => name.as_str().map_or_else(|| name.to_string(), str::to_owned),
        };
        let description = FAMILIES.into_iter().find(|family| family.model_type == name);
        let description =
            description.ok_or_else(|| format!("model_type `{name}` is not supported; zsic reads {known}"))?;
        Ok(Self { description, model: description.model(&config)? })
    }

    /// Returns what the checkpoint is, in numbers.
    pub fn facts(&self) -> ModelFacts {
        let Model { image, text, logits } = self.model;
        ModelFacts {
            kind: self.description.model_type,
            image_size: image.stem.side,
            patch_size: image.stem.patch,
            max_tokens: text.stem.length,
            embedding: image.dim,
            activation: logits.activation,
        }
    }

    /// Describes the image tower.
    pub fn image(&self) -> TowerSpec<ImageStem> {
        self.model.image
    }

    /// Describes the text tower.
    pub fn text(&self) -> TowerSpec<TokenStem> {
        self.model.text
    }

    /// Returns what its weights are called.
    pub fn recipe(&self) -> &'static Recipe {
        &self.description.recipe
    }

    /// Returns the image processor of checkpoints that name none.
    pub fn processor(&self) -> ProcessorClass {
        self.description.processor
    }

    /// Returns the tokenizer of checkpoints that name none.
    pub fn tokenizer_class(&self) -> TokenizerClass {
        self.description.tokenizer
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the tokenizer's file.
    pub fn tokenizer(&self, files: &Files) -> crate::Result<Tokenizer> {
        Tokenizer::open(files, self.tokenizer_class())
    }

    /// Reads how cosines become scores: a logit is `exp(logit_scale) * cosine`, plus `logit_bias` where there is one. No
    /// tower is loaded.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] if a weight is missing or misshapen.
    pub fn readout(&self, weights: &Weights) -> crate::Result<Readout> {
        let value = |name| weights.root().number(name).map(f64::from);
        let Logits { bias, activation } = self.model.logits;
        let bias = if bias { value("logit_bias")? } else { 0.0 };
        Ok(Readout { scale: value("logit_scale")?.exp(), bias, activation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn other_families_are_refused_by_name() {
        let error = |json| Family::from_config(json).unwrap_err();
        assert!(error(json!({"model_type": "align"})).contains("`align`"));
        assert!(error(json!({})).contains("model_type") && error(json!([])).contains("model_type"));
    }

    #[test]
    fn facts_are_those_of_the_towers() {
        let facts = Family::from_config(json!({"model_type": "clip", "projection_dim": 64})).unwrap().facts();
        let expected = ModelFacts {
            kind: "clip",
            image_size: 224,
            patch_size: 32,
            max_tokens: 77,
            embedding: 64,
            activation: Activation::Softmax,
        };
        assert_eq!(facts, expected);
    }
}
