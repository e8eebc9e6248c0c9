//! Which kind of checkpoint it is: the only `match` on that. A family is one file in `families/`, which says what a
//! `config.json` means as data; nothing is loaded or computed there.

use serde_json::Value;

use super::families::{clip, siglip};
use super::spec::{ImageStem, TokenStem, TowerSpec};

use crate::checkpoint::{Files, Weights};
use crate::preprocess::ProcessorClass;
use crate::score::{Activation, Readout};
use crate::text::{Tokenizer, TokenizerClass};

/// A checkpoint's family, with the settings of its `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    /// `model_type: clip`
    Clip(clip::Settings),
    /// `model_type: siglip`: SigLIP, and SigLIP 2 at a fixed resolution
    Siglip(siglip::Settings),
}

/// The families, for messages.
const KNOWN: &str = "`clip` and `siglip`";

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
    pub fn from_config(json: Value) -> Result<Self, String> {
        match json.get("model_type").and_then(Value::as_str) {
            Some(clip::MODEL_TYPE) => clip::Settings::from_json(json).map(Self::Clip),
            Some(siglip::MODEL_TYPE) => siglip::Settings::from_json(json).map(Self::Siglip),
            Some(other) => Err(format!("model_type `{other}` is not supported; zsic reads {KNOWN}")),
            None => Err(format!("has no model_type; zsic reads {KNOWN}")),
        }
    }

    /// Returns what the checkpoint is, in numbers.
    pub fn facts(&self) -> ModelFacts {
        let (image, text) = (self.image(), self.text());
        ModelFacts {
            kind: match self {
                Self::Clip(_) => clip::MODEL_TYPE,
                Self::Siglip(_) => siglip::MODEL_TYPE,
            },
            image_size: image.stem.side,
            patch_size: image.stem.patch,
            max_tokens: text.stem.length,
            embedding: image.dim,
            activation: match self {
                Self::Clip(_) => Activation::Softmax,
                Self::Siglip(_) => Activation::Sigmoid,
            },
        }
    }

    /// Describes the image tower.
    pub fn image(&self) -> TowerSpec<ImageStem> {
        match self {
            Self::Clip(settings) => settings.image(),
            Self::Siglip(settings) => settings.image(),
        }
    }

    /// Describes the text tower.
    pub fn text(&self) -> TowerSpec<TokenStem> {
        match self {
            Self::Clip(settings) => settings.text(),
            Self::Siglip(settings) => settings.text(),
        }
    }

    /// Returns the image processor of checkpoints that name none.
    pub fn processor(&self) -> ProcessorClass {
        match self {
            Self::Clip(_) => ProcessorClass::Clip,
            Self::Siglip(_) => ProcessorClass::Siglip,
        }
    }

    /// Returns the tokenizer of checkpoints that name none.
    pub fn tokenizer_class(&self) -> TokenizerClass {
        match self {
            Self::Clip(_) => TokenizerClass::Clip,
            Self::Siglip(_) => TokenizerClass::Siglip,
        }
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the tokenizer's file.
    pub fn tokenizer(&self, files: &Files) -> crate::Result<Tokenizer> {
        Tokenizer::open(files, self.tokenizer_class())
    }

    /// Reads how cosines become scores. No tower is loaded.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] if the weight is missing or misshapen.
    pub fn readout(&self, weights: &Weights) -> crate::Result<Readout> {
        match self {
            Self::Clip(_) => clip::readout(weights),
            Self::Siglip(_) => siglip::readout(weights),
        }
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
