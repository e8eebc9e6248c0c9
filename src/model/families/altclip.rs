//! AltCLIP, as transformers names it (`AltCLIPModel`), with the defaults of AltCLIPConfig (5.23): CLIP's image tower, and
//! XLM-RoBERTa for texts, with a norm and two projections.

use super::super::spec::{BlockSpec, HeadSpec, TokenStem, TowerSpec};
use super::config::Section;
use super::{Description, Model, bert, clip};
use crate::checkpoint::recipe::{Recipe, WRAPPERS};
use crate::preprocess::ProcessorClass;
use crate::text::{TokenizerClass, TokenizerPlan};

/// The family.
pub const ALTCLIP: Description = Description {
    model_type: "altclip",
    architecture: "AltCLIPModel",
    also: &[],
    model,
    processor: ProcessorClass::Clip,
    tokenizer: TokenizerPlan::of(TokenizerClass::XlmRoberta),
    recipe: Recipe { views: &[], names: &[WRAPPERS, &[("^text_model.roberta.", "text_model.")], bert::NAMES] },
};

/// `text_model` and `text_projection`.
const TEXT: TowerSpec<TokenStem> = TowerSpec {
    stem: TokenStem { vocabulary: 250_002, ..bert::ROBERTA.stem },
    blocks: BlockSpec { width: 1024, mlp_width: 4096, heads: 16, layers: 24, ..bert::ROBERTA.blocks },
    post_norm: Some("pre_LN"), // which is before the projections
    head: &[HeadSpec { name: "text_model.transformation", bias: true, act: None }, HeadSpec::plain("text_projection")],
    ..bert::ROBERTA
};

/// Overrides the defaults with `config.json`.
fn model(config: &Section) -> Result<Model, String> {
    let vision = config.section(&["vision_config_dict", "vision_config"])?;
    let texts = config.section(&["text_config_dict", "text_config"])?;
    let dim = config.size("projection_dim", 768)?;
    let image = TowerSpec { dim, ..vision.image_tower(clip::IMAGE)? };
    Ok(Model { image, text: TowerSpec { dim, ..texts.text_tower(TEXT)? }, logits: clip::LOGITS })
}
