//! Text as models were trained on it: what open_clip and big_vision do before they split a text.

mod badness;
mod encodings;
mod fix;
mod html;
mod mojibake;

use std::borrow::Cow;

/// How open_clip cleans a text before it is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clean {
    /// In lower case, without punctuation.
    Canonicalize,
    /// In lower case.
    Lower,
    /// With one space between words.
    Whitespace,
}

impl Clean {
    /// Reads its name in `tokenizer_kwargs`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "canonicalize" => Some(Self::Canonicalize),
            "lower" => Some(Self::Lower),
            "whitespace" => Some(Self::Whitespace),
            _ => None,
        }
    }

    /// Returns a text as the tokenizer splits it.
    pub fn run(self, text: &str) -> String {
        let text = repaired(text);
        match self {
            Self::Canonicalize => canonicalize(&text),
            Self::Lower => spaced(&text).to_lowercase(),
            Self::Whitespace => spaced(&text),
        }
    }
}

/// Returns a text without its mistakes and its HTML (open_clip, `basic_clean`, which also strips white space).
fn repaired(text: &str) -> Cow<'_, str> {
    // Each step leaves these bytes as they are.
    if text.bytes().all(|b| matches!(b, b'\t' | b'\n' | b' '..=b'~') && b != b'&') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(html::unescape(&html::unescape(&fix::fix(text))).into_owned())
}

/// Cleans text as SigLIP's training did (big_vision, `canonicalize_text`): an underscore becomes a space, punctuation
/// is removed, and letters become lower case.
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

/// Returns whether Python counts `c` as white space, which includes four more control characters.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_as_open_clip_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/clean/strings.json");
        let cases: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.len() >= 390);
        for case in &cases {
            let text = case["text"].as_str().unwrap();
            for name in ["whitespace", "lower", "canonicalize"] {
                assert_eq!(Clean::named(name).unwrap().run(text), case[name], "{name} {text:?}");
            }
        }
        assert_eq!(Clean::named("raw"), None);
    }
}
