//! Text -> token ids, by the class that the checkpoint's settings name: CLIP's own (`clip_bpe.rs`), SigLIP's
//! (`siglip.rs`), Gemma's (`gemma.rs`), BERT's (`bert.rs`), those of XLM-RoBERTa and T5 (`unigram.rs`), or the one that
//! runs a `tokenizer.json` as written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::{
    Decoder, Model, Normalizer, PostProcessor, PreTokenizer, Tokenizer as Written, TokenizerImpl, TruncationDirection,
};

use super::bert;
use super::class::{TokenizerClass, TokenizerPlan};
use super::clean::Clean;
use super::clip_bpe;
use super::gemma;
use super::settings::{TokenizerSettings, Tokens};
use super::siglip::Siglip;
use super::token_spec::WrittenTokens;
use super::unigram;
use crate::checkpoint::Files;
use crate::checkpoint::file_names::TOKENIZER as WHOLE;
use crate::{Error, Result};

/// The tokenizer of a checkpoint.
#[derive(Debug)]
pub struct Tokenizer {
    kind: TokenizerKind,
    path: PathBuf,
    padding: Option<u32>,
    masks_padding: bool,
    clean: Option<Clean>,
    /// The token that token 0 replaces.
    blank: Option<u32>,
}

/// What splits text.
#[derive(Debug)]
enum TokenizerKind {
    Pipeline(Box<dyn Pipeline>),
    Siglip(Box<Siglip>),
}

/// A pipeline of the `tokenizers` crate.
trait Pipeline: std::fmt::Debug + Send + Sync {
    /// Returns the token ids of a text, cut to `limit` with start and end kept.
    fn encode_upto(&self, text: &str, limit: usize) -> tokenizers::Result<Vec<u32>>;
}

impl Tokenizer {
    /// Reads the tokenizer's files and the settings beside them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing or damaged, or the setting that is not supported.
    pub fn open(files: &Files, plan: &TokenizerPlan) -> Result<Self> {
        let settings = TokenizerSettings::open(files, plan)?;
        let (split_special, masks_padding) = (settings.split_special(), settings.masks_padding());
        let made = |kind, path, (padding, separator): (Option<u32>, Option<u32>)| {
            let blank = separator.filter(|_| plan.blank_separator);
            Self { kind, path, padding, masks_padding, clean: plan.clean, blank }
        };
        /// Boxes a pipeline, and finds the padding and the separator among its tokens.
        macro_rules! pipeline {
            ($opened:expr) => {{
                let (mut tokenizer, tokens, path) = $opened;
                tokenizer.set_encode_special_tokens(split_special);
                let id = |role: &str| tokens.role(role).and_then(|token| tokenizer.token_to_id(token));
                let ids = (id("pad_token"), id("sep_token"));
                made(TokenizerKind::Pipeline(Box::new(tokenizer)), path, ids)
            }};
        }
        Ok(match settings.class {
            TokenizerClass::Clip | TokenizerClass::OpenClip => pipeline!(clip_bpe::open(files, settings)?),
            TokenizerClass::AsWritten => pipeline!(as_written(files, settings)?),
            TokenizerClass::Gemma | TokenizerClass::Siglip2 => pipeline!(gemma::open(files, settings)?),
            TokenizerClass::Bert => pipeline!(bert::open(files, settings)?),
            TokenizerClass::XlmRoberta | TokenizerClass::T5 => pipeline!(unigram::open(files, settings)?),
            TokenizerClass::Siglip => {
                let (siglip, path) = Siglip::open(files, settings)?;
                let ids = (siglip.padding, None);
                made(TokenizerKind::Siglip(Box::new(siglip)), path, ids)
            }
        })
    }

    /// Returns the file that the vocabulary came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether models get a mask of the padding.
    pub fn masks_padding(&self) -> bool {
        self.masks_padding
    }

    /// Returns the token that pads the prompts of a batch, if there is one.
    pub fn padding(&self) -> Option<u32> {
        self.padding
    }

    /// Returns the token for text that the vocabulary cannot spell, if there is one token for any number of letters.
    pub fn unknown(&self) -> Option<u32> {
        match &self.kind {
            TokenizerKind::Siglip(siglip) => siglip.unknown(),
            TokenizerKind::Pipeline(_) => None,
        }
    }

    /// Returns the token ids of `text`, start and end included, however many.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the vocabulary cannot spell the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_upto(text, usize::MAX)
    }

    /// Returns the token ids of `text`, cut to `limit` with start and end kept.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_upto(&self, text: &str, limit: usize) -> Result<Vec<u32>> {
        let cleaned = self.clean.map(|clean| clean.run(text));
        let words = cleaned.as_deref().unwrap_or(text);
        let ids = match &self.kind {
            TokenizerKind::Pipeline(pipeline) => caught(|| pipeline.encode_upto(words, limit)),
            TokenizerKind::Siglip(siglip) => Ok(siglip.encode_upto(words, limit)),
        };
        let seen = |id| if self.blank == Some(id) { 0 } else { id };
        ids.map(|ids| ids.into_iter().map(seen).collect())
            .map_err(|e| Error::checkpoint(&self.path, format!("cannot tokenize {text:?}: {e}")))
    }
}

impl<M, N, PT, PP, D> Pipeline for TokenizerImpl<M, N, PT, PP, D>
where
    M: Model + std::fmt::Debug + Send + Sync,
    N: Normalizer + std::fmt::Debug + Send + Sync,
    PT: PreTokenizer + std::fmt::Debug + Send + Sync,
    PP: PostProcessor + std::fmt::Debug + Send + Sync,
    D: Decoder + std::fmt::Debug + Send + Sync,
{
    fn encode_upto(&self, text: &str, limit: usize) -> tokenizers::Result<Vec<u32>> {
        let ends = self.get_post_processor().map_or(0, |ends| ends.added_tokens(false));
        let mut words = self.encode_fast(text, false)?;
        words.truncate(limit.saturating_sub(ends), 0, TruncationDirection::Right);
        Ok(self.post_process(words, None, true)?.get_ids().to_vec())
    }
}

impl Pipeline for Written {
    fn encode_upto(&self, text: &str, limit: usize) -> tokenizers::Result<Vec<u32>> {
        (**self).encode_upto(text, limit)
    }
}

/// Returns a panic of the `tokenizers` crate as an error. It does not check that the parts of a `tokenizer.json` fit each
/// other, such as the tokens that its post-processor names.
fn caught<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("its parts do not fit each other".into()))
}

/// Reads a whole `tokenizer.json`, except how it cuts and pads: the pipeline does that itself.
fn as_written(files: &Files, settings: TokenizerSettings) -> Result<(Written, Tokens, PathBuf)> {
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
    let written = WrittenTokens::deserialize(Value::Object(written.collect()));
    let unreadable = |e| Error::checkpoint(&path, format!("is not a tokenizer that zsic can read: {e}"));
    let tokens = settings.tokens(written.map_err(|e| unreadable(e.into()))?)?;
    let mut tokenizer = caught(|| Ok(Written::deserialize(Value::Object(json))?)).map_err(unreadable)?;
    tokenizer.add_tokens(&tokens.added);
    Ok((tokenizer, tokens, path))
}
