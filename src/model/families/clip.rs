//! CLIP as transformers names it (`CLIPModel`), with the defaults of CLIPConfig (5.23).

use super::super::spec::{
    BlockSpec, Filling, HeadSpec, HiddenAct, ImageStem, Mask, Order, Pool, PromptPool, TokenStem, TowerSpec,
};
use super::config::Section;
use super::{Description, Logits, Model};
use crate::checkpoint::recipe::{Recipe, WRAPPERS};
use crate::preprocess::ProcessorClass;
use crate::score::Activation;
use crate::text::{TokenizerClass, TokenizerPlan};

/// The family.
pub const CLIP: Description = Description {
    model_type: "clip",
    architecture: "CLIPModel",
    also: &[],
    model,
    processor: ProcessorClass::Clip,
    tokenizer: TokenizerPlan::of(TokenizerClass::Clip),
    recipe: Recipe { views: &[], names: &[WRAPPERS] },
};

/// `vision_model` and `visual_projection`.
pub const IMAGE: TowerSpec<ImageStem> = TowerSpec {
    root: "vision_model",
    stem: ImageStem { side: 224, patch: 32, bias: false, class: true, resize: None },
    pre_norm: Some("pre_layrnorm"), // the checkpoints' own spelling
    blocks: BlockSpec {
        width: 768,
        mlp_width: 3072,
        heads: 12,
        layers: 12,
        act: HiddenAct::QuickGelu,
        eps: 1e-5,
        mask: Mask::None,
        order: Order::PreNorm,
    },
    post_norm: Some("post_layernorm"),
    pool: Pool::Row,
    head: &[HeadSpec::plain("visual_projection")],
    dim: 512,
};

/// `text_model` and `text_projection`.
pub const TEXT: TowerSpec<TokenStem> = TowerSpec {
    root: "text_model",
    stem: TokenStem {
        vocabulary: 49408,
        positions: 77,
        uncounted: None,
        types: false,
        length: usize::MAX,
        pool: PromptPool::FirstOf(49407),
        filling: Filling::None,
        cuts: false,
    },
    pre_norm: None,
    blocks: BlockSpec {
        width: 512,
        mlp_width: 2048,
        heads: 8,
        layers: 12,
        act: HiddenAct::QuickGelu,
        eps: 1e-5,
        mask: Mask::Causal,
        order: Order::PreNorm,
    },
    post_norm: Some("final_layer_norm"),
    pool: Pool::Row,
    head: &[HeadSpec::plain("text_projection")],
    dim: 512,
};

/// Only a scale.
pub const LOGITS: Logits = Logits { bias: false, activation: Activation::Softmax };

/// Overrides the defaults with `config.json`. The legacy dicts were completed with defaults before they overrode the
/// newer sections, so if one is present, nothing of the newer section remains.
pub(super) fn model(config: &Section) -> Result<Model, String> {
    let vision = config.section(&["vision_config_dict", "vision_config"])?;
    let texts = config.section(&["text_config_dict", "text_config"])?;
    let dim = config.size("projection_dim", IMAGE.dim)?;
    let id = "a token's id";
    let pool = texts.read("eos_token_id", TEXT.stem.pool, id, |id| Some(pool(id.as_u64()?.try_into().ok()?)))?;
    let text = texts.text_tower(TEXT)?;
    let image = TowerSpec { dim, ..vision.image_tower(IMAGE)? };
    let text = TowerSpec { dim, stem: TokenStem { pool, ..text.stem }, ..text };
    Ok(Model { image, text, logits: LOGITS })
}

/// Returns which row is pooled. Old checkpoints state 2, since the end token's id was once written wrongly
/// (transformers#24773).
fn pool(end: u32) -> PromptPool {
    if end == 2 { PromptPool::LargestId } else { PromptPool::FirstOf(end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(config: Value) -> Model {
        model(&Section::whole(&config)).unwrap()
    }

    #[test]
    fn what_is_omitted_has_the_reference_defaults() {
        let written = json!({ // CLIPConfig().to_dict() of transformers 5.23
            "text_config": {
                "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
                "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5, "eos_token_id": 49407,
            },
            "vision_config": {
                "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                "num_channels": 3, "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5,
            },
            "projection_dim": 512,
        });
        assert_eq!(read(json!({})), read(written));
        let Model { image, text, .. } = read(json!({"text_config": {"eos_token_id": 2, "junk": []}}));
        assert_eq!((image, text.stem.length), (IMAGE, 77));
        assert_eq!(text.stem.pool, PromptPool::LargestId);
    }

    #[test]
    fn a_legacy_dict_replaces_the_whole_section() {
        let Model { image, text, .. } = read(json!({
            "text_config": {"eos_token_id": 2, "hidden_act": "gelu"},
            "text_config_dict": {"hidden_size": 64},
            "vision_config": {"patch_size": 16},
            "vision_config_dict": null,
        }));
        assert_eq!((text.blocks, text.stem.pool), (BlockSpec { width: 64, ..TEXT.blocks }, TEXT.stem.pool));
        assert_eq!(image.stem.patch, 16);
    }
}
