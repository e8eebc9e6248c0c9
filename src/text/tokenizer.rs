//! Text -> token ids, by the class that the checkpoint's settings name: CLIP's own (`clip_bpe.rs`), or the one that runs a
//! `tokenizer.json` as it is written.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::{PostProcessor, Tokenizer, TruncationDirection};

use super::class::Class;
use super::clip_bpe;
use super::settings::{Settings, Tokens};
use super::token_spec::Written;
use crate::checkpoint::Files;
use crate::{Error, Result};

/// The file that holds a whole tokenizer.
const WHOLE: &str = "tokenizer.json";

/// The tokenizer of a CLIP checkpoint.
#[derive(Debug)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    path: PathBuf,
    padding: Option<u32>,
}

impl ClipTokenizer {
    /// Reads `tokenizer.json`, or `vocab.json` and `merges.txt`, and the settings beside them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing or damaged, or the setting that is not supported.
    pub fn open(files: &Files) -> Result<Self> {
        let settings = Settings::open(files)?;
        let split_special = settings.split_special();
        let (mut tokenizer, tokens, path) = match settings.class {
            Class::Clip => clip_bpe::open(files, settings)?,
            Class::AsWritten => as_written(files, settings)?,
        };
        tokenizer.set_encode_special_tokens(split_special);
        let padding = tokens.role("pad_token").and_then(|token| tokenizer.token_to_id(token));
        Ok(Self { tokenizer, path, padding })
    }

    /// Returns the file that the vocabulary came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the token that makes prompts of one batch equally long, if there is one.
    pub fn padding(&self) -> Option<u32> {
        self.padding
    }

    /// Returns the token ids of `text`, start and end included, however many.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the vocabulary cannot spell the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode_fast(text, true).map_err(|e| self.failed(text, &e))?;
        Ok(ids.get_ids().to_vec())
    }

    /// Returns as many token ids of `text` as `limit` allows, start and end kept.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_upto(&self, text: &str, limit: usize) -> Result<Vec<u32>> {
        let ends = self.tokenizer.get_post_processor().map_or(0, |ends| ends.added_tokens(false));
        let mut words = self.tokenizer.encode_fast(text, false).map_err(|e| self.failed(text, &e))?;
        words.truncate(limit.saturating_sub(ends), 0, TruncationDirection::Right);
        let ids = self.tokenizer.post_process(words, None, true).map_err(|e| self.failed(text, &e))?;
        Ok(ids.get_ids().to_vec())
    }

    fn failed(&self, text: &str, e: &tokenizers::Error) -> Error {
        Error::checkpoint(&self.path, format!("cannot tokenize {text:?}: {e}"))
    }
}

/// Reads a `tokenizer.json` with all that it says. How it cuts and pads is left out: the pipeline has its own way.
fn as_written(files: &Files, settings: Settings) -> Result<(Tokenizer, Tokens, PathBuf)> {
    let path = files.path(WHOLE);
    if !files.contains(WHOLE) {
        return Err(Error::checkpoint(files.root(), "has no tokenizer.json, which its tokenizer_class asks for"));
    }
    let mut json: Map<String, Value> = files.read_json(WHOLE)?;
    if json.get("model").and_then(|model| model.get("dropout")?.as_f64()).is_some_and(|dropout| dropout > 0.0) {
        return Err(Error::checkpoint(path, "has a dropout, which makes token ids random"));
    }
    json.remove("truncation");
    let written = ["added_tokens", "padding"].into_iter().filter_map(|key| json.remove_entry(key));
    let written = Written::deserialize(Value::Object(written.collect()));
    let unreadable = |e| Error::checkpoint(&path, format!("is not a tokenizer that zsic can read: {e}"));
    let tokens = settings.tokens(written.map_err(unreadable)?)?;
    let mut tokenizer = Tokenizer::deserialize(Value::Object(json)).map_err(unreadable)?;
    tokenizer.add_tokens(&tokens.added);
    Ok((tokenizer, tokens, path))
}
