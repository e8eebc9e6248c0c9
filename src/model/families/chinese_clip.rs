//! Chinese-CLIP, as transformers names it (`ChineseCLIPModel`), with the defaults of ChineseCLIPConfig (5.23): CLIP's image
//! tower, and BERT for texts.

use super::super::spec::TowerSpec;
use super::config::Section;
use super::{Description, Model, bert, clip};
use crate::checkpoint::recipe::{Recipe, WRAPPERS};
use crate::preprocess::ProcessorClass;
use crate::text::{TokenizerClass, TokenizerPlan};

/// The family.
pub const CHINESE_CLIP: Description = Description {
    model_type: "chinese_clip",
    architecture: "ChineseCLIPModel",
    also: &[],
    model,
    processor: ProcessorClass::Clip,
    tokenizer: TokenizerPlan::of(TokenizerClass::Bert),
    recipe: Recipe { views: &[], names: &[WRAPPERS, bert::NAMES] },
};

/// Overrides the defaults with `config.json`.
fn model(config: &Section) -> Result<Model, String> {
    let vision = config.section(&["vision_config_dict", "vision_config"])?;
    let texts = config.section(&["text_config_dict", "text_config"])?;
    let dim = config.size("projection_dim", 512)?;
    let image = TowerSpec { dim, ..vision.image_tower(clip::IMAGE)? };
    let text = TowerSpec { dim, head: clip::TEXT.head, ..texts.text_tower(bert::BERT)? };
    Ok(Model { image, text, logits: clip::LOGITS })
}
