//! SigLIP's tokenizer (transformers, tokenization_siglip.py): SentencePiece over text in small letters, without
//! punctuation, behind a space.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::clean::{spaced, without_punctuation};
use super::sentencepiece::{self, SPACE, SentencePiece};
use super::settings::Settings;
use super::token_spec::Written;
use crate::checkpoint::{Files, layout};
use crate::{Error, Result};

/// The tokenizer.
#[derive(Debug)]
pub(super) struct Siglip {
    model: SentencePiece,
    /// Tokens that are matched before text is split, longest first, and whether each is special.
    added: Vec<(String, u32, bool)>,
    lower: bool,
    unknown: String,
    /// How many pieces the unknown token's own text has.
    unknown_length: usize,
    end: u32,
    space: Option<u32>,
    pub padding: Option<u32>,
}

/// What is used of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerFile {
    model: sentencepiece::Written,
    normalizer: Option<Value>,
}

impl Siglip {
    /// Reads `spiece.model`, or `tokenizer.json` where there is none. Returns it with that file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing or damaged.
    pub fn open(files: &Files, settings: Settings) -> Result<(Self, PathBuf)> {
        let (model, path) = model(files)?;
        let lower = settings.do_lower_case();
        let tokens = settings.tokens(Written::default())?;
        let id = |role: &str| {
            let token = tokens.role(role).unwrap_or_default();
            let missing = || Error::checkpoint(&path, format!("has no piece `{token}`, its {role}"));
            model.id(token).ok_or_else(missing)
        };
        let (end, padding) = (id("eos_token")?, tokens.role("pad_token").and_then(|token| model.id(token)));
        let mut next = model.len() as u32;
        let written = tokens.added.iter().filter(|token| !token.content.is_empty());
        let numbered = written.map(|token| {
            let id = model.id(&token.content).unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            (token.content.clone(), id, token.special)
        });
        let mut added: Vec<_> = numbered.collect();
        added.sort_by_key(|(content, ..)| std::cmp::Reverse(content.len()));
        let unknown = tokens.role("unk_token").unwrap_or_default().to_owned();
        let (unknown_length, space) = (model.encode(&unknown).len(), model.id(SPACE));
        Ok((Self { model, added, lower, unknown, unknown_length, end, space, padding }, path))
    }

    /// Returns the id of what is unknown, unless it is spelled in bytes.
    pub fn unknown(&self) -> Option<u32> {
        self.model.unknown()
    }

    /// Returns as many ids of a text as `limit` allows, its end kept.
    pub fn encode_upto(&self, text: &str, limit: usize) -> Vec<u32> {
        let mut ids = self.encode(text);
        ids.truncate(limit.saturating_sub(1));
        if ids.last() != Some(&self.end) {
            ids.push(self.end);
        }
        ids
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let text = SPACE.to_owned() + &text.replace(SPACE, " ");
        let (mut ids, mut rest, mut second_is_special) = (Vec::new(), text.as_str(), false);
        loop {
            let found = self.added.iter().filter_map(|token| Some((rest.find(&token.0)?, token)));
            let Some((at, (content, id, special))) = found.min_by_key(|(at, _)| *at) else { break };
            self.split(&rest[..at], &mut ids);
            second_is_special |= ids.len() == 1 && *special;
            ids.push(*id);
            rest = &rest[at + content.len()..];
        }
        self.split(rest, &mut ids);
        if second_is_special && ids.first().copied() == self.space {
            ids.remove(0);
        }
        ids
    }

    /// Splits text in which no added token is. The unknown token's text is put before it and taken off again, so that a
    /// space at its beginning is kept.
    fn split(&self, text: &str, ids: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let split = self.model.encode(&(self.unknown.clone() + &self.canonical(text)));
        let own = if split.len() >= self.unknown_length { &split[self.unknown_length..] } else { &split };
        ids.extend(own);
    }

    fn canonical(&self, text: &str) -> String {
        let text = if self.lower { text.to_lowercase() } else { text.to_owned() };
        spaced(&without_punctuation(&text))
    }
}

fn model(files: &Files) -> Result<(SentencePiece, PathBuf)> {
    let (model, path) = if files.contains(layout::SENTENCEPIECE) {
        (SentencePiece::read(&files.read(layout::SENTENCEPIECE)?), files.path(layout::SENTENCEPIECE))
    } else if files.contains(layout::TOKENIZER) {
        let file: TokenizerFile = files.read_json(layout::TOKENIZER)?;
        let charsmap = file.normalizer.as_ref().and_then(charsmap).unwrap_or_default();
        (SentencePiece::written(file.model, &charsmap), files.path(layout::TOKENIZER))
    } else {
        let reason = "has no tokenizer: neither spiece.model nor tokenizer.json";
        return Err(Error::checkpoint(files.root(), reason));
    };
    Ok((model.map_err(|e| Error::checkpoint(&path, e))?, path))
}

/// Finds the map of characters in a normalizer.
fn charsmap(normalizer: &Value) -> Option<Vec<u8>> {
    let parts = normalizer.get("normalizers").and_then(Value::as_array);
    let mut parts = parts.map_or_else(|| vec![normalizer], |parts| parts.iter().collect()).into_iter();
    let base64 = parts.find_map(|part| part.get("precompiled_charsmap"))?.as_str()?;
    STANDARD.decode(base64).ok()
}
