//! SigLIP 2 in native shapes (NaFlex), as transformers names it (`Siglip2Model`), with the defaults of Siglip2Config
//! (5.23). The number of patches follows from an image's shape, and the table of positions is resized to it.

use super::super::spec::{ImageStem, PositionResize, TowerSpec};
use super::config::Section;
use super::{Description, Model, siglip};
use crate::checkpoint::recipe::{IN_PROJ, Recipe, View, WRAPPERS};
use crate::preprocess::ProcessorClass;
use crate::text::{TokenizerClass, TokenizerPlan};

/// The family.
pub const NAFLEX: Description = Description {
    model_type: "siglip2",
    architecture: "Siglip2Model",
    also: &[],
    model,
    processor: ProcessorClass::Siglip2,
    tokenizer: TokenizerPlan { class: Some(TokenizerClass::Siglip2), ..TokenizerPlan::of(TokenizerClass::Siglip2) },
    recipe: Recipe { views: &[IN_PROJ, &[("patch_embedding.weight", View::Patches)]], names: &[WRAPPERS] },
};

/// Overrides the defaults with `config.json`.
fn model(config: &Section) -> Result<Model, String> {
    let vision = config.section(&["vision_config"])?;
    let count = vision.size("num_patches", 256)?;
    let patch = vision.size("patch_size", siglip::IMAGE.stem.patch)?;
    let side = count.isqrt();
    if side * side != count {
        return Err(vision.refuse("num_patches", count, "a square number"));
    }
    let model = siglip::model(config)?;
    let resize = Some(PositionResize::BilinearAntialiased);
    let stem = ImageStem { side: side * patch, patch, resize, ..model.image.stem };
    Ok(Model { image: TowerSpec { stem, ..model.image }, ..model })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_square() {
        let read = |count: usize| model(&Section::whole(&json!({"vision_config": {"num_patches": count}})));
        assert_eq!(read(256).unwrap().image.stem.table(), (16, 16));
        assert!(read(255).unwrap_err().contains("num_patches is 255; expected a square number"));
    }
}
