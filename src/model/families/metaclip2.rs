//! MetaCLIP 2, as transformers names it (`MetaClip2Model`): CLIP whose end token may have any id, 2 included.

use super::super::spec::{PromptPool, TokenStem, TowerSpec};
use super::config::Section;
use super::{Description, Model, clip};
use crate::checkpoint::recipe::{Recipe, WRAPPERS};
use crate::preprocess::ProcessorClass;
use crate::text::{TokenizerClass, TokenizerPlan};

/// The family.
pub const METACLIP2: Description = Description {
    model_type: "metaclip_2",
    architecture: "MetaClip2Model",
    also: &["MetaCLIP2Model"],
    model,
    processor: ProcessorClass::Clip,
    tokenizer: TokenizerPlan::of(TokenizerClass::XlmRoberta),
    recipe: Recipe { views: &[], names: &[WRAPPERS] },
};

/// Overrides the defaults, which are CLIP's, with `config.json`.
fn model(config: &Section) -> Result<Model, String> {
    let texts = config.section(&["text_config"])?;
    let model = clip::model(config)?;
    let end = |id: &serde_json::Value| Some(PromptPool::FirstOf(id.as_u64()?.try_into().ok()?));
    let pool = texts.read("eos_token_id", clip::TEXT.stem.pool, "a token's id", end)?;
    Ok(Model { text: TowerSpec { stem: TokenStem { pool, ..model.text.stem }, ..model.text }, ..model })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_end_of_two_is_an_end() {
        let pool = |id| model(&Section::whole(&json!({"text_config": {"eos_token_id": id}}))).map(|m| m.text.stem.pool);
        assert_eq!((pool(2), pool(49407)), (Ok(PromptPool::FirstOf(2)), Ok(clip::TEXT.stem.pool)));
    }
}
