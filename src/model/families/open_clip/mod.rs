//! Checkpoints in open_clip's layout, with the defaults of its CLIPVisionCfg and CLIPTextCfg (3.3): its own towers, image
//! towers of timm and text towers of transformers. The sizes of the latter two are not in the file; they are taken from the
//! weights.

mod names;
mod timm;
mod transformers;

use serde_json::Value;

use super::super::spec::{
    BlockSpec, Filling, HeadSpec, HiddenAct, ImageStem, Mask, Order, Pool, PromptPool, TokenStem, TowerSpec,
};
use super::config::Section;
use super::{Logits, Model, clip};
use crate::checkpoint::Weights;
use crate::preprocess::Preprocessor;
use crate::score::Activation;
use crate::text::{Clean, TokenizerClass, TokenizerPlan};

pub use names::RECIPE;

/// Parts of the names of repositories whose weights have the quick GELU although the file does not say so (the table of
/// pretrained weights in open_clip).
const QUICK_GELU: [&str; 4] = ["openai", "metaclip", "dfn", "laion400m"];

/// Values of a head of the text towers of transformers.
const HEAD: usize = 64;

/// Keys that change what a block or a tower computes. None of the known checkpoints that run has them.
const REFUSED: [&str; 10] = [
    "ls_init_value",
    "attentional_pool",
    "qk_norm",
    "scaled_cosine_attn",
    "scale_heads",
    "scale_attn_inner",
    "scale_attn",
    "scale_fc",
    "embed_cls",
    "hf_pooler_kwargs",
];

/// Overrides the defaults with `open_clip_config.json`. `name` is the repository's, or that of its folder.
///
/// # Errors
/// One line: what zsic does not run, or the value that no model has.
pub fn model(config: &Value, name: &str) -> Result<Model, String> {
    let config = Section::whole(config);
    let wrapped = config.section(&["model_cfg"])?;
    let config = if wrapped.has_keys() { wrapped } else { config };
    if config.has("multimodal_cfg") {
        return Err("is of a CoCa model (multimodal_cfg), which zsic does not run".to_owned());
    }
    let (vision, text) = (config.section(&["vision_cfg"])?, config.section(&["text_cfg"])?);
    for section in [&vision, &text] {
        if let Some(key) = REFUSED.into_iter().find(|key| section.has(key)) {
            return Err(section.refuse(key, "set", "null: zsic does not run it"));
        }
    }
    let quick = config.flag("quick_gelu", QUICK_GELU.iter().any(|part| name.to_lowercase().contains(part)))?;
    let dim = config.size("embed_dim", 512)?;
    let bias = config.has("init_logit_bias");
    let activation = if bias { Activation::Sigmoid } else { Activation::Softmax };
    let act = if quick { HiddenAct::QuickGelu } else { HiddenAct::Gelu };
    let image = match vision.text("timm_model_name")? {
        Some(name) => timm::tower(&vision, name)?,
        None => image(&vision, act)?,
    };
    let text = match text.text("hf_model_name")? {
        Some(name) => transformers::tower(&text, name)?,
        None => own_text(&text, act)?,
    };
    Ok(Model {
        image: TowerSpec { dim, ..image },
        text: TowerSpec { dim, ..text },
        logits: Logits { bias, activation },
    })
}

/// Reads an image tower of open_clip's own.
fn image(vision: &Section, act: HiddenAct) -> Result<TowerSpec<ImageStem>, String> {
    if vision.is_list("layers") {
        return Err("has a ResNet for images, which zsic does not run; it runs vision transformers (ViT)".to_owned());
    }
    let (side, patch) = (vision.size("image_size", 224)?, vision.size("patch_size", 16)?);
    let norm_first = !vision.flag("final_ln_after_pool", false)?;
    let pool = match vision.text("pool_type")?.unwrap_or("tok") {
        "tok" => Pool::Row,
        "avg" => Pool::Mean { skip: 1, norm_first },
        other => return Err(vision.refuse("pool_type", format!("\"{other}\""), "\"tok\" or \"avg\"")),
    };
    let default = BlockSpec { act, eps: 1e-5, ..clip::IMAGE.blocks };
    let blocks = own_blocks(vision, default, None)?;
    let pre_norm = if vision.flag("no_ln_pre", false)? { None } else { clip::IMAGE.pre_norm };
    Ok(TowerSpec { stem: ImageStem { side, patch, ..clip::IMAGE.stem }, blocks, pre_norm, pool, ..clip::IMAGE })
}

/// Reads a text tower of open_clip's own.
fn own_text(text: &Section, act: HiddenAct) -> Result<TowerSpec<TokenStem>, String> {
    let length = text.size("context_length", 77)?;
    let bidirectional = text.flag("no_causal_mask", false)?;
    let padding = match text.text("hf_tokenizer_name")? {
        Some(_) => Filling::Padding,
        None => Filling::Token(0),
    };
    let pool = match text.text("pool_type")?.unwrap_or("argmax") {
        "argmax" => PromptPool::LargestId,
        "first" => PromptPool::First,
        "last" => PromptPool::Last,
        "eos" => PromptPool::FirstOf(text.size("eos_id", 2)? as u32),
        other => return Err(text.refuse("pool_type", format!("\"{other}\""), "argmax, first, last or eos")),
    };
    // Without a mask, rows attend to the padding too.
    let filling = if bidirectional || pool == PromptPool::Last { padding } else { Filling::None };
    let mask = if bidirectional { Mask::None } else { Mask::Causal };
    let heads = text.size("heads", 8)?;
    let blocks = own_blocks(text, BlockSpec { act, mask, ..clip::TEXT.blocks }, Some(heads))?;
    let stem = TokenStem {
        vocabulary: text.size("vocab_size", 49408)?,
        positions: length,
        length,
        pool,
        filling,
        cuts: true,
        ..clip::TEXT.stem
    };
    let head: &[HeadSpec] = match (text.text("proj_type")?, text.flag("proj_bias", false)?) {
        (Some("none"), _) => &[],
        (_, true) => &[HeadSpec { name: "text_projection", bias: true, act: None }],
        (_, false) => clip::TEXT.head,
    };
    Ok(TowerSpec { stem, blocks, head, ..clip::TEXT })
}

/// Reads the blocks of a tower of open_clip's own. Without `heads`, the width of a head is given.
fn own_blocks(tower: &Section, default: BlockSpec, heads: Option<usize>) -> Result<BlockSpec, String> {
    let width = tower.size("width", default.width)?;
    let heads = match heads {
        Some(heads) => heads,
        None => (width / tower.size("head_width", 64)?).max(1),
    };
    if width % heads != 0 {
        return Err(tower.refuse("width", width, format!("a multiple of its {heads} heads")));
    }
    let ratio = |value: &Value| value.as_f64().filter(|ratio| (0.01..=100.0).contains(ratio));
    let ratio = tower.read("mlp_ratio", 4.0, "a number from 0.01 to 100", ratio)?;
    let eps = |value: &Value| value.get("eps").map_or(Some(default.eps), Value::as_f64);
    let tanh = |value: &Value| Some(value.get("approximate").and_then(Value::as_str) == Some("tanh"));
    let tanh = tower.read("act_kwargs", false, "an object", tanh)?;
    Ok(BlockSpec {
        width,
        heads,
        mlp_width: (width as f64 * ratio) as usize,
        layers: tower.size("layers", 12)?,
        act: if tanh { HiddenAct::GeluPytorchTanh } else { default.act },
        eps: tower.read("norm_kwargs", default.eps, "an object with eps", eps)?,
        ..default
    })
}

/// Reads how pixels are made for images of `side` pixels a side.
///
/// # Errors
/// One line: the value that cannot be followed.
pub fn preprocessor(config: &Value, side: usize) -> Result<Preprocessor, String> {
    Preprocessor::open_clip(config.get("preprocess_cfg"), side)
}

/// Reads which tokenizer there is: CLIP's in open_clip's own version, or one of transformers whose files are in the
/// same directory.
///
/// # Errors
/// One line: the value that cannot be followed.
pub fn tokenizer(config: &Value) -> Result<TokenizerPlan, String> {
    let wrapped = config.get("model_cfg").unwrap_or(config);
    let whole = Section::whole(wrapped);
    let text = whole.section(&["text_cfg"])?;
    if let Some(mode) = text.text("tokenizer_mode")? {
        return Err(text.refuse("tokenizer_mode", format!("\"{mode}\""), "null: zsic does not know it"));
    }
    let named = text.text("hf_tokenizer_name")?.is_some();
    let (class, default) = match named {
        true => (None, "whitespace"),
        false => (Some(TokenizerClass::OpenClip), "lower"),
    };
    let options = text.section(&["tokenizer_kwargs"])?;
    let clean = options.text("clean")?.unwrap_or(default);
    let known = "lower, whitespace or canonicalize";
    let clean = Clean::named(clean).ok_or_else(|| options.refuse("clean", format!("\"{clean}\""), known))?;
    let blank_separator = options.flag("strip_sep_token", false)?;
    Ok(TokenizerPlan { class, default: TokenizerClass::AsWritten, clean: Some(clean), blank_separator })
}

/// Takes the sizes of towers of timm and transformers from the weights.
///
/// # Errors
/// One line: the size that no model has.
pub fn measured(mut model: Model, weights: &Weights) -> Result<Model, String> {
    let TowerSpec { root, blocks, stem, .. } = &mut model.text;
    let shape = |root: &str, name: &str| weights.root().pp(root).pp("embeddings").shape(name).map(<[usize]>::to_vec);
    if blocks.order == Order::PostNorm {
        measure(blocks, root, weights);
        blocks.heads = (blocks.width / HEAD).max(1);
        let rows = |name: &str| shape(root, name).and_then(|shape| shape.first().copied());
        stem.vocabulary = rows("token_embedding.weight").unwrap_or(stem.vocabulary);
        stem.positions = rows("position_embedding.weight").unwrap_or(stem.positions);
    }
    let image = &mut model.image;
    if image.stem.bias {
        // A tower of timm.
        measure(&mut image.blocks, image.root, weights);
        let side = shape(image.root, "patch_embedding.weight").and_then(|kernel| kernel.last().copied());
        image.stem.patch = side.unwrap_or(image.stem.patch).max(1);
    }
    check(&model)?;
    Ok(model)
}

fn measure(blocks: &mut BlockSpec, root: &str, weights: &Weights) {
    let layers = weights.root().pp(root).pp("encoder").pp("layers");
    let shape = |layer: usize| layers.pp(layer).shape("mlp.fc1.weight").map(<[usize]>::to_vec);
    if let Some([mlp_width, width]) = shape(0).as_deref() {
        (blocks.mlp_width, blocks.width) = (*mlp_width, *width);
        blocks.layers = (0..).take_while(|&layer| shape(layer).is_some()).count();
    }
}

/// Checks that sizes fit each other.
fn check(model: &Model) -> Result<(), String> {
    let Model { image, text, .. } = model;
    let ImageStem { side, patch, .. } = image.stem;
    if patch > side {
        return Err(format!("has patches of {patch} pixels for images of {side}"));
    }
    for BlockSpec { width, heads, .. } in [image.blocks, text.blocks] {
        if width == 0 || width % heads != 0 {
            return Err(format!("has rows of {width} values, which {heads} heads cannot share"));
        }
    }
    let counted = text.stem.uncounted.map_or(0, |id| id as usize + 1);
    if text.stem.length + counted > text.stem.positions {
        let positions = text.stem.positions;
        return Err(format!("has prompts of {} tokens for {positions} positions", text.stem.length));
    }
    Ok(())
}
