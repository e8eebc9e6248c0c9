//! CLIP as transformers names it (`CLIPModel`): its `config.json`, with the defaults of CLIPConfig (5.23) for what it
//! omits, and the two towers that this describes.

use serde::Deserialize;
use serde_json::Value;

use super::super::spec::{BlockSpec, HeadSpec, HiddenAct, ImageStem, Mask, Pool, PromptPool, TokenStem, TowerSpec};
use super::{check_channels, check_kind, section};
use crate::checkpoint::Weights;
use crate::score::{Activation, Readout};

/// The family's name in `config.json`.
pub const MODEL_TYPE: &str = "clip";

/// The text tower.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of config.json
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: HiddenAct,
    pub layer_norm_eps: f64,
    pub eos_token_id: u32,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

/// The image tower.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of config.json
pub struct VisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: HiddenAct,
    pub layer_norm_eps: f64,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

/// A whole checkpoint's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The text tower.
    pub text: TextConfig,
    /// The image tower.
    pub vision: VisionConfig,
    /// Values in an embedding.
    pub projection_dim: usize,
}

/// The file as it is written.
#[derive(Deserialize)]
struct File {
    text_config: Option<Value>,
    vision_config: Option<Value>,
    text_config_dict: Option<Value>,
    vision_config_dict: Option<Value>,
    #[serde(default = "default_projection")]
    projection_dim: usize,
}

fn default_projection() -> usize {
    512
}

impl Settings {
    /// Reads the JSON of `config.json`.
    ///
    /// # Errors
    /// One line: the value that no CLIP has.
    pub fn from_json(json: Value) -> Result<Self, String> {
        check_kind(&json, "CLIPModel")?;
        let file: File = serde_json::from_value(json).map_err(|e| e.to_string())?;
        // The legacy dicts were completed with defaults before they overrode the newer sections, so where one is
        // present nothing of the newer section remains.
        let text = section("text_config", file.text_config_dict.or(file.text_config))?;
        let vision = section("vision_config", file.vision_config_dict.or(file.vision_config))?;
        let settings = Self { text, vision, projection_dim: file.projection_dim };
        check_channels(settings.vision.num_channels)?;
        settings.image().check("vision_config")?;
        settings.text().check("text_config")?;
        Ok(settings)
    }

    /// Describes `vision_model` and `visual_projection`.
    pub fn image(&self) -> TowerSpec<ImageStem> {
        let vision = &self.vision;
        TowerSpec {
            root: "vision_model",
            stem: ImageStem { side: vision.image_size, patch: vision.patch_size, bias: false, class: true },
            pre_norm: Some("pre_layrnorm"), // the checkpoints' own spelling
            blocks: BlockSpec {
                width: vision.hidden_size,
                mlp_width: vision.intermediate_size,
                heads: vision.num_attention_heads,
                layers: vision.num_hidden_layers,
                act: vision.hidden_act,
                eps: vision.layer_norm_eps,
                mask: Mask::None,
            },
            post_norm: "post_layernorm",
            pool: Pool::Row,
            head: Some(HeadSpec { name: "visual_projection", bias: false }),
            dim: self.projection_dim,
        }
    }

    /// Describes `text_model` and `text_projection`.
    pub fn text(&self) -> TowerSpec<TokenStem> {
        let text = &self.text;
        // Checkpoints from before the end token's id was written down correctly say 2 (transformers#24773).
        let pool = match text.eos_token_id {
            2 => PromptPool::LargestId,
            id => PromptPool::FirstOf(id),
        };
        TowerSpec {
            root: "text_model",
            stem: TokenStem {
                vocabulary: text.vocab_size,
                positions: text.max_position_embeddings,
                length: text.max_position_embeddings,
                pool,
                cuts: false,
            },
            pre_norm: None,
            blocks: BlockSpec {
                width: text.hidden_size,
                mlp_width: text.intermediate_size,
                heads: text.num_attention_heads,
                layers: text.num_hidden_layers,
                act: text.hidden_act,
                eps: text.layer_norm_eps,
                mask: Mask::Causal,
            },
            post_norm: "final_layer_norm",
            pool: Pool::Row,
            head: Some(HeadSpec { name: "text_projection", bias: false }),
            dim: self.projection_dim,
        }
    }
}

/// Reads `logit_scale`: a logit is `exp(logit_scale) * cosine`.
///
/// # Errors
/// [`crate::Error::Checkpoint`] if it is missing or misshapen.
pub fn readout(weights: &Weights) -> crate::Result<Readout> {
    let logit_scale = weights.root().values("logit_scale", &[])?[0];
    Ok(Readout { scale: f64::from(logit_scale).exp(), bias: 0.0, activation: Activation::Softmax })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_omitted_has_the_reference_defaults() {
        let config = Settings::from_json(json!({"model_type": "clip"})).unwrap();
        assert_eq!((config.text.eos_token_id, config.vision.patch_size, config.projection_dim), (49407, 32, 512));
        let config = Settings::from_json(json!({"model_type": "clip", "text_config": {"eos_token_id": 2, "junk": []}}));
        assert_eq!(config.unwrap().text, TextConfig { eos_token_id: 2, ..TextConfig::default() });
    }

    #[test]
    fn a_legacy_dict_replaces_the_whole_section() {
        let config = Settings::from_json(json!({
            "model_type": "clip",
            "text_config": {"eos_token_id": 2, "hidden_act": "gelu"},
            "text_config_dict": {"hidden_size": 64},
            "vision_config": {"patch_size": 16},
            "vision_config_dict": null,
        }))
        .unwrap();
        assert_eq!(config.text, TextConfig { hidden_size: 64, ..TextConfig::default() });
        assert_eq!(config.vision.patch_size, 16);
    }

    #[test]
    fn unknown_values_are_errors() {
        let error = |json| Settings::from_json(json).unwrap_err();
        let swish = error(json!({"model_type": "clip", "text_config": {"hidden_act": "swish"}}));
        assert!(swish.contains("swish") && swish.contains("text_config"), "{swish}");
        assert!(error(json!({"model_type": "clip", "vision_config": {"num_attention_heads": 7}})).contains("7"));
        assert!(error(json!({"model_type": "clip", "vision_config": {"patch_size": 0}})).contains("patch_size"));
        assert!(error(json!({"model_type": "clip", "vision_config": {"patch_size": 225}})).contains("image_size"));
        assert!(error(json!({"model_type": "clip", "text_config": {"num_hidden_layers": 0}})).contains("layers"));
        assert!(error(json!({"model_type": "clip", "projection_dim": -1})).contains("-1"));
        assert!(error(json!([])).contains("map") || error(json!([])).contains("struct"));
    }
}
