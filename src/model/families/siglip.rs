//! SigLIP and SigLIP 2 at a fixed resolution, as transformers names them (`SiglipModel`): `config.json`, with the defaults
//! of SiglipConfig (5.23) for what it omits, and the two towers that this describes.

use serde::Deserialize;
use serde_json::Value;

use super::super::spec::{BlockSpec, HeadSpec, HiddenAct, ImageStem, Mask, Pool, PromptPool, TokenStem, TowerSpec};
use super::{check_channels, check_kind, section};
use crate::checkpoint::Weights;
use crate::score::{Activation, Readout};

/// The family's name in `config.json`.
pub const MODEL_TYPE: &str = "siglip";

/// Tokens of a prompt in the pipeline of transformers, however many positions there are.
const LENGTH: usize = 64;

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
    /// Values in an embedding; `hidden_size` where it is not given.
    pub projection_size: Option<usize>,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 32000,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 64,
            hidden_act: HiddenAct::GeluPytorchTanh,
            layer_norm_eps: 1e-6,
            projection_size: None,
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
    pub vision_use_head: bool,
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
            patch_size: 16,
            hidden_act: HiddenAct::GeluPytorchTanh,
            layer_norm_eps: 1e-6,
            vision_use_head: true,
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
}

impl Settings {
    /// Reads the JSON of `config.json`.
    ///
    /// # Errors
    /// One line: the value that no SigLIP has.
    pub fn from_json(mut json: Value) -> Result<Self, String> {
        check_kind(&json, "SiglipModel")?;
        let mut take = |name| json.get_mut(name).map(Value::take).filter(|section| !section.is_null());
        let text = section("text_config", take("text_config"))?;
        let settings = Self { text, vision: section("vision_config", take("vision_config"))? };
        check_channels(settings.vision.num_channels)?;
        if !settings.vision.vision_use_head {
            return Err("vision_config.vision_use_head is false: such a model has no embeddings of images".to_owned());
        }
        settings.image().check("vision_config")?;
        settings.text().check("text_config")?;
        let [image, text] = [settings.image().dim, settings.text().dim];
        if image != text {
            return Err(format!("embeddings of images have {image} values and those of texts {text}"));
        }
        Ok(settings)
    }

    /// Describes `vision_model`: no class row, and a pool that attends to all rows.
    pub fn image(&self) -> TowerSpec<ImageStem> {
        let vision = &self.vision;
        TowerSpec {
            root: "vision_model",
            stem: ImageStem { side: vision.image_size, patch: vision.patch_size, bias: true, class: false },
            pre_norm: None,
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
            pool: Pool::Attention,
            head: None,
            dim: vision.hidden_size,
        }
    }

    /// Describes `text_model`: every row attends to all, padding included, and the last is pooled.
    pub fn text(&self) -> TowerSpec<TokenStem> {
        let text = &self.text;
        TowerSpec {
            root: "text_model",
            stem: TokenStem {
                vocabulary: text.vocab_size,
                positions: text.max_position_embeddings,
                length: text.max_position_embeddings.min(LENGTH),
                pool: PromptPool::Last,
                cuts: true,
            },
            pre_norm: None,
            blocks: BlockSpec {
                width: text.hidden_size,
                mlp_width: text.intermediate_size,
                heads: text.num_attention_heads,
                layers: text.num_hidden_layers,
                act: text.hidden_act,
                eps: text.layer_norm_eps,
                mask: Mask::None,
            },
            post_norm: "final_layer_norm",
            pool: Pool::Row,
            head: Some(HeadSpec { name: "text_model.head", bias: true }),
            dim: text.projection_size.unwrap_or(text.hidden_size),
        }
    }
}

/// Reads `logit_scale` and `logit_bias`: a logit is `exp(logit_scale) * cosine + logit_bias`.
///
/// # Errors
/// [`crate::Error::Checkpoint`] if one is missing or misshapen.
pub fn readout(weights: &Weights) -> crate::Result<Readout> {
    let value = |name| weights.root().values(name, &[1]).map(|values| f64::from(values[0]));
    Ok(Readout { scale: value("logit_scale")?.exp(), bias: value("logit_bias")?, activation: Activation::Sigmoid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_omitted_has_the_reference_defaults() {
        let small = json!({"model_type": "siglip", "text_config": {"vocab_size": 256000}, "vision_config": null});
        let settings = Settings::from_json(small).unwrap();
        assert_eq!(settings.text, TextConfig { vocab_size: 256000, ..TextConfig::default() });
        assert_eq!((settings.vision.image_size, settings.image().dim, settings.text().dim), (224, 768, 768));
    }

    #[test]
    fn a_head_of_another_width_must_fit_the_images() {
        let config = |size| json!({"text_config": {"projection_size": size}, "vision_config": {"hidden_size": 1536}});
        assert_eq!(Settings::from_json(config(1536)).unwrap().text().dim, 1536);
        assert!(Settings::from_json(config(768)).unwrap_err().contains("1536 values and those of texts 768"));
    }
}
