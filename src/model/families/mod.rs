//! One file per family: the meaning of its `config.json`, as data. Nothing is loaded or computed here.

pub mod altclip;
pub mod bert;
pub mod chinese_clip;
pub mod clip;
pub mod clipseg;
mod config;
pub mod metaclip2;
pub mod naflex;
pub mod open_clip;
pub mod siglip;

use serde_json::Value;

use super::spec::{ImageStem, TokenStem, TowerSpec};
use crate::checkpoint::recipe::Recipe;
use crate::preprocess::ProcessorClass;
use crate::score::Activation;
use crate::text::TokenizerPlan;

/// The families that run.
pub const FAMILIES: [&Description; 7] = [
    &clip::CLIP,
    &siglip::SIGLIP,
    &naflex::NAFLEX,
    &metaclip2::METACLIP2,
    &chinese_clip::CHINESE_CLIP,
    &altclip::ALTCLIP,
    &clipseg::CLIPSEG,
];

/// What the checkpoints of a family have in common.
#[derive(Debug)]
pub struct Description {
    /// The family's name in `config.json`.
    pub model_type: &'static str,
    /// The class of transformers that has both towers.
    architecture: &'static str,
    /// Other classes whose checkpoints hold both.
    also: &'static [&'static str],
    model: fn(&config::Section) -> Result<Model, String>,
    /// The image processor of checkpoints that name none.
    pub processor: ProcessorClass,
    /// Which tokenizer its checkpoints have.
    pub tokenizer: TokenizerPlan,
    /// What the weights are called.
    pub recipe: Recipe,
}

/// What a checkpoint computes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct Model {
    pub image: TowerSpec<ImageStem>,
    pub text: TowerSpec<TokenStem>,
    pub logits: Logits,
}

/// How cosines become logits and scores. Every checkpoint has a `logit_scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logits {
    /// Whether there is a `logit_bias`.
    pub bias: bool,
    /// How logits become scores.
    pub activation: Activation,
}

impl Description {
    /// Reads the JSON of `config.json`.
    ///
    /// # Errors
    /// One line: the value that no model of the family has, and what it should be.
    pub fn model(&self, config: &Value) -> Result<Model, String> {
        check_kind(config, self.architecture, self.also)?;
        (self.model)(&config::Section::whole(config))
    }
}

/// Refuses a configuration that shares a family's `model_type` but describes another architecture.
fn check_kind(config: &Value, architecture: &str, also: &[&str]) -> Result<(), String> {
    let says = |key| match config.get(key) {
        None | Some(Value::Null) => false,
        Some(value) => value.as_object().is_none_or(|map| !map.is_empty()),
    };
    if says("open_clip_model_name") {
        let reason = "is of an open_clip model (open_clip_model_name)";
        return Err(format!("{reason}; use a checkpoint in the layout of transformers"));
    }
    if says("auto_map") {
        return Err(format!("needs code of its own (auto_map), which zsic does not run; use a plain {architecture}"));
    }
    let architectures = match config.get("architectures") {
        None | Some(Value::Null) => return Ok(()),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Array(names)) => names,
        Some(_) => return Err("architectures is neither a name nor a list of names".to_owned()),
    };
    let has_both = |name: &Value| name == architecture || also.iter().any(|also| name == also);
    if architectures.is_empty() || architectures.iter().any(has_both) {
        return Ok(());
    }
    let names: Vec<&str> = architectures.iter().map(|name| name.as_str().unwrap_or("?")).collect();
    let names = names.join(", ");
    Err(format!("has the architecture {names}; zsic runs {architecture}, a text and an image tower in one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_plain_model_is_refused_by_its_own_words() {
        let with = |name: &str, value: Value| {
            check_kind(&json!({"model_type": "clip", name: value}), "CLIPModel", &[]).err().unwrap_or_default()
        };
        assert!(with("auto_map", json!({"AutoModel": "code.Model"})).contains("auto_map"));
        assert!(with("open_clip_model_name", json!("hf-hub:Marqo/marqo-fashionCLIP")).contains("open_clip_model_name"));
        for part in ["CLIPTextModelWithProjection", "CLIPVisionModel", "CLIPForImageClassification", "EvaCLIPModel"] {
            let error = with("architectures", json!([part]));
            assert!(error.contains(part) && error.contains("zsic runs CLIPModel"), "{error}");
        }
        for name in ["auto_map", "open_clip_model_name", "architectures"] {
            assert_eq!(with(name, Value::Null), "");
        }
        assert_eq!((with("auto_map", json!({})), with("architectures", json!([]))), (String::new(), String::new()));
        assert_eq!(
            (with("architectures", json!(["CLIPModel"])), with("architectures", json!("CLIPModel"))),
            Default::default()
        );
        assert!(with("architectures", json!("CLIPTextModel")).contains("has the architecture CLIPTextModel;"));
        assert_eq!(with("architectures", json!(5)), "architectures is neither a name nor a list of names");
    }
}
