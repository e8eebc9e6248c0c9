//! SigLIP and SigLIP 2 at a fixed resolution, as transformers names them (`SiglipModel`), with the defaults of SiglipConfig
//! (5.23).

use super::super::spec::{
    BlockSpec, Filling, HeadSpec, HiddenAct, ImageStem, Mask, Order, Pool, PromptPool, TokenStem, TowerSpec,
};
use super::config::Section;
use super::{Description, Logits, Model};
use crate::checkpoint::recipe::{IN_PROJ, Recipe, WRAPPERS};
use crate::preprocess::ProcessorClass;
use crate::score::Activation;
use crate::text::{TokenizerClass, TokenizerPlan};

/// The family.
pub const SIGLIP: Description = Description {
    model_type: "siglip",
    architecture: "SiglipModel",
    also: &[],
    model,
    processor: ProcessorClass::Siglip,
    tokenizer: TokenizerPlan::of(TokenizerClass::Siglip),
    recipe: Recipe { views: &[IN_PROJ], names: &[WRAPPERS] },
};

/// `vision_model`: no class row, and a pool that attends to all rows.
pub const IMAGE: TowerSpec<ImageStem> = TowerSpec {
    root: "vision_model",
    stem: ImageStem { side: 224, patch: 16, bias: true, class: false, resize: None },
    pre_norm: None,
    blocks: BLOCKS,
    post_norm: Some("post_layernorm"),
    pool: Pool::Attention,
    head: &[],
    dim: 768,
};

/// `text_model`: every row attends to all, and to padding unless it is masked; the last is pooled.
pub const TEXT: TowerSpec<TokenStem> = TowerSpec {
    root: "text_model",
    stem: TokenStem {
        vocabulary: 32000,
        positions: 64,
        uncounted: None,
        types: false,
        length: 64, // in the pipeline of transformers, however many positions there are
        pool: PromptPool::Last,
        filling: Filling::PaddingUnlessMasked,
        cuts: true,
    },
    pre_norm: None,
    blocks: BLOCKS,
    post_norm: Some("final_layer_norm"),
    pool: Pool::Row,
    head: &[HeadSpec { name: "text_model.head", bias: true, act: None }],
    dim: 768,
};

const BLOCKS: BlockSpec = BlockSpec {
    width: 768,
    mlp_width: 3072,
    heads: 12,
    layers: 12,
    act: HiddenAct::GeluPytorchTanh,
    eps: 1e-6,
    mask: Mask::None,
    order: Order::PreNorm,
};

/// Overrides the defaults with `config.json`.
pub(super) fn model(config: &Section) -> Result<Model, String> {
    let (vision, texts) = (config.section(&["vision_config"])?, config.section(&["text_config"])?);
    vision.read("vision_use_head", (), "true: without the head there are no image embeddings", |head| {
        (*head == true).then_some(())
    })?;
    let (image, text) = (vision.image_tower(IMAGE)?, texts.text_tower(TEXT)?);
    let width = image.blocks.width;
    let dim = texts.size_or_null("projection_size", text.blocks.width)?;
    if dim != width {
        return Err(texts.refuse("projection_size", dim, format!("{width}, the hidden_size of vision_config")));
    }
    let logits = Logits { bias: true, activation: Activation::Sigmoid };
    Ok(Model { image: TowerSpec { dim, ..image }, text: TowerSpec { dim, ..text }, logits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_omitted_has_the_reference_defaults() {
        let read = |config: Value| model(&Section::whole(&config)).unwrap();
        let written = json!({ // SiglipConfig().to_dict() of transformers 5.23
            "text_config": {
                "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 12, "max_position_embeddings": 64, "hidden_act": "gelu_pytorch_tanh",
                "layer_norm_eps": 1e-6, "projection_size": 768,
            },
            "vision_config": {
                "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                "num_channels": 3, "image_size": 224, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh",
                "layer_norm_eps": 1e-6, "vision_use_head": true,
            },
        });
        assert_eq!(read(json!({})), read(written));
        let text = read(json!({"text_config": {"vocab_size": 256000}, "vision_config": null})).text;
        assert_eq!(text.stem, TokenStem { vocabulary: 256000, ..TEXT.stem });
    }

    #[test]
    fn a_head_of_another_width_must_fit_the_images() {
        let dim = |size| {
            let config = json!({"text_config": {"projection_size": size}, "vision_config": {"hidden_size": 1536}});
            model(&Section::whole(&config)).map(|model| model.text.dim)
        };
        assert_eq!(dim(json!(1536)), Ok(1536));
        assert!(dim(json!(768)).is_err() && dim(json!(null)).is_err());
    }
}
