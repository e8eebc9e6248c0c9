//! Reads one token of the tokenizer's settings: its text, or an object with text and flags.

use std::collections::HashMap;

use serde::Deserialize;
use tokenizers::AddedToken;

/// A token: its text alone, or with flags.
#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
pub(super) enum TokenSpec {
    Text(String),
    Flags(Flags),
}

/// A token with flags.
#[derive(Deserialize, Debug, Clone, PartialEq)]
pub(super) struct Flags {
    pub content: String,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
    /// By default, tokens are normalized unless they are special.
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

impl Flags {
    /// Returns a token without flags.
    pub fn plain(content: String, special: bool) -> Self {
        Self { content, lstrip: false, rstrip: false, single_word: false, normalized: Some(!special), special }
    }
}

impl TokenSpec {
    /// Returns the token's text.
    pub fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Flags(Flags { content, .. }) => content,
        }
    }

    /// Returns the token, special if it has a role or its flag says so.
    pub fn token(&self, has_role: bool) -> AddedToken {
        match self {
            Self::Text(content) => AddedToken::from(content, true),
            Self::Flags(flags) => {
                let token = AddedToken::from(&flags.content, has_role || flags.special);
                let normalized = flags.normalized.unwrap_or(token.normalized);
                let token = token.lstrip(flags.lstrip).rstrip(flags.rstrip).single_word(flags.single_word);
                token.normalized(normalized)
            }
        }
    }
}

/// What a `tokenizer.json` says besides its vocabulary and its pipeline.
#[derive(Deserialize, Default)]
pub(super) struct WrittenTokens {
    #[serde(default)]
    pub added_tokens: Vec<Numbered>,
    pub padding: Option<Padding>,
}

/// A token and its id.
#[derive(Deserialize)]
pub(super) struct Numbered {
    pub id: u32,
    #[serde(flatten)]
    pub token: Flags,
}

/// How a batch is padded.
#[derive(Deserialize)]
pub(super) struct Padding {
    pub direction: String,
    pub pad_token: String,
}

/// Returns each token once, in the order of first appearance, with the last flags given.
pub(super) fn last_flags(tokens: impl Iterator<Item = AddedToken>) -> Vec<AddedToken> {
    let mut once: Vec<AddedToken> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for token in tokens {
        match places.get(&token.content) {
            Some(&place) => {
                let special = once[place].special || token.special;
                once[place] = token.special(special);
            }
            None => {
                places.insert(token.content.clone(), once.len());
                once.push(token);
            }
        }
    }
    once
}
