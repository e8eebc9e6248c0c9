//! Labels x templates -> prompts -> token ids.

mod background;
mod bert;
mod bpe;
mod charsmap;
mod class;
mod clean;
mod clip_bpe;
mod gemma;
mod label_sets;
mod pieces;
mod sentencepiece;
mod settings;
mod siglip;
mod template;
mod token_spec;
mod tokenizer;
mod unigram;

use serde::{Deserialize, Serialize};

pub use background::background;
pub use class::{TokenizerClass, TokenizerPlan, accept};
pub use clean::{Clean, canonicalize};
pub use label_sets::LabelSet;
pub use template::{OPENAI_7, OPENAI_80, Template};
pub use tokenizer::Tokenizer;

/// The version of the tokenization. Raise it when any text gets other tokens or another pooled token: kept embeddings
/// of texts are then computed again.
pub const TOKENS_VERSION: u32 = 3;

/// Returns the lines of `text` with their numbers. A line ends with LF, CR LF or CR.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
    lines.enumerate().map(|(index, line)| (index + 1, line))
}

/// A label and the prompts that stand for it. Compiled classifiers hold it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The label as the user wrote it.
    pub name: String,
    /// What the model reads.
    pub prompts: Vec<String>,
}

impl Label {
    /// Puts a label into each of the templates.
    pub fn new(name: impl Into<String>, templates: &[Template]) -> Self {
        let name = name.into();
        Self { prompts: templates.iter().map(|t| t.fill(&name)).collect(), name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_lf_cr_or_both() {
        let numbered = |text| lines(text).filter(|(_, line)| !line.is_empty()).collect::<Vec<_>>();
        let expected = [(1, "fox"), (3, "bear"), (4, "owl")];
        for text in ["fox\n\nbear\nowl\n", "fox\r\rbear\rowl", "fox\r\n\r\nbear\r\nowl\r\n", "fox\r\n\nbear\rowl\r"] {
            assert_eq!(numbered(text), expected, "{text:?}");
        }
    }
}
