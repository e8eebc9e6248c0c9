//! Labels x templates -> prompts -> token ids.

mod clip_bpe;
mod settings;
mod template;
mod token_spec;
mod tokenizer;

pub use template::{OPENAI_7, OPENAI_80, Template};
pub use tokenizer::ClipTokenizer;

/// What texts become under each checkpoint's settings. It is raised when any text gets other tokens, or another of its
/// tokens stands for it: embeddings of texts that were kept before are not found then.
pub const TOKENS_VERSION: u32 = 2;

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
