//! Text towers of transformers, by their names.

use super::super::super::spec::{HeadSpec, HiddenAct, Pool, TokenStem, TowerSpec};
use super::super::config::Section;
use super::super::{bert, clip};

/// The head called `mlp`.
const MLP: &[HeadSpec] = &[
    HeadSpec { name: "text_projection.0", bias: false, act: Some(HiddenAct::Gelu) },
    HeadSpec::plain("text_projection.2"),
];

/// Reads the tower called `name`: BERT, RoBERTa or XLM-RoBERTa.
pub(super) fn tower(text: &Section, name: &str) -> Result<TowerSpec<TokenStem>, String> {
    let lower = name.to_lowercase();
    let tower = if lower.contains("roberta") {
        bert::ROBERTA
    } else if lower.contains("bert") {
        bert::BERT
    } else {
        return Err(format!("has the text tower {name}, which zsic does not run; it runs BERT and RoBERTa"));
    };
    let pool = match text.text("hf_pooler_type")?.unwrap_or("mean_pooler") {
        "mean_pooler" => Pool::Mean { skip: 0, norm_first: true },
        "cls_last_hidden_state_pooler" => Pool::Row,
        other => {
            let known = "mean_pooler or cls_last_hidden_state_pooler";
            return Err(text.refuse("hf_pooler_type", format!("\"{other}\""), known));
        }
    };
    let head: &[HeadSpec] = match text.text("hf_proj_type")? {
        None | Some("mlp") => MLP,
        Some("linear") => clip::TEXT.head,
        Some(other) => return Err(text.refuse("hf_proj_type", format!("\"{other}\""), "mlp or linear")),
    };
    let length = text.size("context_length", 77)?;
    Ok(TowerSpec { stem: TokenStem { length, cuts: true, ..tower.stem }, pool, head, ..tower })
}
