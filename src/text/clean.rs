//! Text without capitals, punctuation and runs of white space.

/// Cleans text as SigLIP's training did (big_vision, `canonicalize_text`): an underscore is a space, punctuation goes, letters
/// are small.
pub fn canonicalize(text: &str) -> String {
    spaced(&without_punctuation(&text.replace('_', " ")).to_lowercase())
}

/// Returns text without the punctuation of ASCII.
pub(super) fn without_punctuation(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_punctuation()).collect()
}

/// Returns the words of a text with one space between them.
pub(super) fn spaced(text: &str) -> String {
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns whether Python takes `c` for white space, which has four control characters more.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// How open_clip cleans a text before it is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clean {
    /// As [`canonicalize`].
    Canonicalize,
    /// Single spaces, small letters.
    Lower,
    /// Single spaces.
    Whitespace,
}

impl Clean {
    /// Reads its name in `tokenizer_kwargs`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "canonicalize" => Self::Canonicalize,
            "lower" => Self::Lower,
            "whitespace" => Self::Whitespace,
            _ => return None,
        })
    }

    /// Returns the cleaned text.
    pub fn run(self, text: &str) -> String {
        match self {
            Self::Canonicalize => canonicalize(text),
            Self::Lower => spaced(text).to_lowercase(),
            Self::Whitespace => spaced(text),
        }
    }
}
