//! Labels x templates -> prompts -> token ids.

mod clip_bpe;
mod special_tokens;
mod template;

pub use clip_bpe::ClipTokenizer;
pub use template::{OPENAI_7, OPENAI_80, Template};

/// A label and the prompts that stand for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The label as the user wrote it.
    pub name: String,
    /// What the model reads.
    pub prompts: Vec<String>,
}

impl Label {
    /// A label in each of the templates.
    pub fn new(name: impl Into<String>, templates: &[Template]) -> Self {
        let name = name.into();
        Self { prompts: templates.iter().map(|t| t.fill(&name)).collect(), name }
    }
}
