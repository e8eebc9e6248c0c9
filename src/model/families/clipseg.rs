//! CLIPSeg, as transformers names it (`CLIPSegModel`): CLIP for images of any size. Its decoder is not read.

use super::super::spec::{ImageStem, PositionResize, TowerSpec};
use super::config::Section;
use super::{Description, Model, clip};
use crate::checkpoint::recipe::{Recipe, WRAPPERS};
use crate::preprocess::ProcessorClass;
use crate::text::{TokenizerClass, TokenizerPlan};

/// The family.
pub const CLIPSEG: Description = Description {
    model_type: "clipseg",
    architecture: "CLIPSegModel",
    also: &["CLIPSegForImageSegmentation"],
    model,
    processor: ProcessorClass::Vit,
    tokenizer: TokenizerPlan::of(TokenizerClass::Clip),
    recipe: Recipe { views: &[], names: &[WRAPPERS] },
};

/// Overrides the defaults, which are CLIP's, with `config.json`.
fn model(config: &Section) -> Result<Model, String> {
    let model = clip::model(config)?;
    let stem = ImageStem { resize: Some(PositionResize::Bicubic), ..model.image.stem };
    Ok(Model { image: TowerSpec { stem, ..model.image }, ..model })
}
