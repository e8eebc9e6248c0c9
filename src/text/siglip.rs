//! SigLIP's tokenizer (transformers, tokenization_siglip.py): SentencePiece over lower-case text without punctuation,
//! after a space.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::clean::{spaced, without_punctuation};
use super::sentencepiece::{self, SPACE, SentencePiece};
use super::settings::TokenizerSettings;
use super::token_spec::WrittenTokens;
use crate::checkpoint::{Files, file_names};
use crate::{Error, Result};

/// The tokenizer.
#[derive(Debug)]
pub(super) struct Siglip {
    model: SentencePiece,
    /// Tokens that are matched before text is split, longest first, and whether each is special.
    added: Vec<(String, u32, bool)>,
    lower: bool,
    /// Whether no token is matched before text is split.
    split_special: bool,
    unknown: String,
    /// The number of pieces in the unknown token's own text.
    unknown_length: usize,
    end: u32,
    space: Option<u32>,
    pub padding: Option<u32>,
}

/// The parts of a `tokenizer.json` that are used.
#[derive(Deserialize)]
struct SiglipFile {
    model: sentencepiece::WrittenPieces,
    normalizer: Option<Value>,
}

impl Siglip {
    /// Reads `spiece.model`, or `tokenizer.json` if that is missing. Returns it with that file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing or damaged.
    pub fn open(files: &Files, settings: TokenizerSettings) -> Result<(Self, PathBuf)> {
        let (model, path) = model(files)?;
        let (lower, split_special) = (settings.do_lower_case(), settings.split_special());
        let tokens = settings.tokens(WrittenTokens::default())?;
        if let Some(token) = tokens.added.iter().find(|token| token.single_word) {
            let reason = format!("the token `{}` is for single words, which is not supported", token.content);
            return Err(Error::checkpoint(files.path(file_names::TOKENIZER_SETTINGS), reason));
        }
        let behind = tokens.numbers.values().filter(|id| **id as usize >= model.len()).count();
        let mut next = (model.len() + behind) as u32;
        let written = tokens.added.iter().filter(|token| !token.content.is_empty());
        let numbered = written.map(|token| {
            let known = tokens.numbers.get(&token.content).copied().or_else(|| model.id(&token.content));
            let id = known.unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            (token.content.clone(), id, token.special)
        });
        let mut added: Vec<_> = numbered.collect();
        let id = |role: &str| {
            let token = tokens.role(role)?;
            added.iter().find(|(content, ..)| content == token).map(|(_, id, _)| *id).or_else(|| model.id(token))
        };
        let missing = || Error::checkpoint(&path, "has no end-of-text piece");
        let (end, padding) = (id("eos_token").ok_or_else(missing)?, id("pad_token"));
        added.sort_by_key(|(content, ..)| std::cmp::Reverse(content.len()));
        let unknown = tokens.role("unk_token").unwrap_or_default().to_owned();
        let (unknown_length, space) = (model.encode(&unknown).len(), model.id(SPACE));
        Ok((Self { model, added, lower, split_special, unknown, unknown_length, end, space, padding }, path))
    }

    /// Returns the id of unknown text, unless it is spelled in bytes.
    pub fn unknown(&self) -> Option<u32> {
        self.model.unknown()
    }

    /// Returns the ids of a text, cut to `limit` with its end kept.
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
        let (mut ids, mut start, mut second_is_special) = (Vec::new(), 0, false);
        let find = |token: &str, from: usize| Some(text[from..].find(token)? + from);
        let mut places: Vec<Option<usize>> = self.added.iter().map(|(token, ..)| find(token, 0)).collect();
        while let (false, Some((at, first))) = (self.split_special, first(&places)) {
            let (content, id, special) = &self.added[first];
            self.split(&text[start..at], &mut ids);
            second_is_special |= ids.len() == 1 && *special;
            ids.push(*id);
            start = at + content.len();
            for (place, (token, ..)) in places.iter_mut().zip(&self.added) {
                if place.is_some_and(|at| at < start) {
                    *place = find(token, start);
                }
            }
        }
        self.split(&text[start..], &mut ids);
        if second_is_special && ids.first().copied() == self.space {
            ids.remove(0);
        }
        ids
    }

    /// Splits text without added tokens. The unknown token's text is put before it and taken off again, so that a space
    /// at its beginning is kept.
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

/// Returns the first place and its owner. Among equal places, the first in the list counts.
fn first(places: &[Option<usize>]) -> Option<(usize, usize)> {
    places.iter().enumerate().filter_map(|(index, place)| Some(((*place)?, index))).min()
}

fn model(files: &Files) -> Result<(SentencePiece, PathBuf)> {
    let (model, path) = if files.contains(file_names::SENTENCEPIECE) {
        (SentencePiece::read(&files.read(file_names::SENTENCEPIECE)?), files.path(file_names::SENTENCEPIECE))
    } else if files.contains(file_names::TOKENIZER) {
        let file: SiglipFile = sentencepiece::read(files, |file: &mut SiglipFile| &mut file.model)?;
        let charsmap = file.normalizer.as_ref().and_then(sentencepiece::charsmap).unwrap_or_default();
        (SentencePiece::written(file.model, &charsmap), files.path(file_names::TOKENIZER))
    } else {
        let reason = "has no tokenizer: neither spiece.model nor tokenizer.json";
        return Err(Error::checkpoint(files.root(), reason));
    };
    Ok((model.map_err(|e| Error::checkpoint(&path, e))?, path))
}
