//! CLIP's tokenizer: lower-cased byte-level BPE. As transformers 5 does, vocabulary, merges and added tokens come from
//! the files and the pipeline around them from here, whatever normaliser or post-processor a `tokenizer.json` names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ahash::AHashMap;
use serde::Deserialize;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::special_tokens::{SpecialTokens, TokenSpec};
use crate::checkpoint::Files;
use crate::{Error, Result};

/// How text falls into words (transformers, tokenization_clip.py).
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Text -> token ids.
#[derive(Debug)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    path: PathBuf,
    start: u32,
    end: u32,
}

impl ClipTokenizer {
    /// Reads `tokenizer.json`, or `vocab.json` and `merges.txt`, and the settings beside them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing or damaged.
    pub fn open(files: &Files) -> Result<Self> {
        let mut source = Source::open(files)?;
        let path = source.path.clone();
        let tokens = SpecialTokens::open(files, std::mem::take(&mut source.added_tokens))?;
        source.check_merges(&tokens)?;
        let failed = |e: tokenizers::Error| Error::checkpoint(&path, format!("is no CLIP tokenizer: {e}"));
        let model = BPE::builder()
            .vocab_and_merges(source.vocab, source.merges)
            .continuing_subword_prefix(String::new())
            .end_of_word_suffix("</w>".to_owned())
            .unk_token(tokens.role("unk_token").to_owned())
            .build()
            .map_err(failed)?;
        let mut tokenizer = Tokenizer::new(model);
        let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ").map_err(failed)?;
        let normalizers = Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()]);
        tokenizer.with_normalizer(Some(normalizers));
        let words = SplitPattern::Regex(WORDS.to_owned());
        let words = Split::new(words, SplitDelimiterBehavior::Removed, true).map_err(failed)?;
        let bytes = ByteLevel::new(false, true, true);
        tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
        for token in &tokens.added {
            let one = std::slice::from_ref(token);
            if token.special {
                tokenizer.add_special_tokens(one)
            } else {
                tokenizer.add_tokens(one)
            };
        }
        let id = |role| {
            let token = tokens.role(role);
            let missing = || Error::checkpoint(&path, format!("has no token `{token}`, its {role}"));
            tokenizer.token_to_id(token).ok_or_else(missing)
        };
        let (start, end) = (id("bos_token")?, id("eos_token")?);
        Ok(Self { start, end, tokenizer, path })
    }

    /// The file that the vocabulary came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Token ids of `text`, start and end included, however many.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the vocabulary cannot spell the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let failed = |e| Error::checkpoint(&self.path, format!("cannot tokenize {text:?}: {e}"));
        let words = self.tokenizer.encode_fast(text, false).map_err(failed)?;
        let mut ids = Vec::with_capacity(words.len() + 2);
        ids.push(self.start);
        ids.extend_from_slice(words.get_ids());
        ids.push(self.end);
        Ok(ids)
    }

    /// Shortens `ids` to `limit`, the end token kept.
    pub fn truncate(&self, ids: &mut Vec<u32>, limit: usize) {
        if ids.len() > limit {
            ids.truncate(limit.saturating_sub(1));
            ids.push(self.end);
        }
    }
}

/// Vocabulary and merges, from whichever files hold them.
struct Source {
    path: PathBuf,
    merges_path: PathBuf,
    vocab: Vocab,
    merges: Merges,
    added_tokens: Vec<TokenSpec>,
}

/// What is used of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerFile {
    model: ModelSection,
    #[serde(default)]
    added_tokens: Vec<TokenSpec>,
}

#[derive(Deserialize)]
struct ModelSection {
    vocab: AHashMap<String, u32>,
    merges: Vec<Merge>,
}

/// `"a b"` or `["a", "b"]`: older and newer files.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

impl Merge {
    fn pair(self) -> std::result::Result<(String, String), String> {
        let line = match self {
            Self::Pair(a, b) => return Ok((a, b)),
            Self::Line(line) => line,
        };
        match line.split_once(' ') {
            Some((a, b)) if !b.contains(' ') => Ok((a.to_owned(), b.to_owned())),
            _ => Err(format!("has a merge that is not two tokens: {line:?}")),
        }
    }
}

impl Source {
    fn open(files: &Files) -> Result<Self> {
        const WHOLE: &str = "tokenizer.json";
        const VOCAB: &str = "vocab.json";
        const MERGES: &str = "merges.txt";
        if files.contains(WHOLE) {
            let path = files.path(WHOLE);
            let TokenizerFile { model, added_tokens } = files.read_json(WHOLE)?;
            let merges = model.merges.into_iter().map(Merge::pair).collect::<std::result::Result<_, _>>();
            let merges = merges.map_err(|e| Error::checkpoint(&path, e))?;
            return Ok(Self { merges_path: path.clone(), path, vocab: model.vocab, merges, added_tokens });
        }
        if !files.contains(VOCAB) {
            return Err(Error::checkpoint(files.root(), "has no tokenizer: neither tokenizer.json nor vocab.json"));
        }
        let merges_path = files.path(MERGES);
        let merges = parse_merges(&files.read(MERGES)?).map_err(|e| Error::checkpoint(&merges_path, e))?;
        let vocab = files.read_json(VOCAB)?;
        Ok(Self { path: files.path(VOCAB), merges_path, vocab, merges, added_tokens: Vec::new() })
    }

    /// A cut `merges.txt` is still a list of merges. But every token of more than one byte comes from a merge, so a
    /// vocabulary tells what is missing.
    fn check_merges(&self, tokens: &SpecialTokens) -> Result<()> {
        let merged: HashSet<String> = self.merges.iter().map(|(a, b)| format!("{a}{b}")).collect();
        let is_byte = |token: &str| token.strip_suffix("</w>").unwrap_or(token).chars().count() <= 1;
        let is_added = |token: &str| tokens.added.iter().any(|t| t.content == token);
        match self.vocab.keys().find(|token| !merged.contains(*token) && !is_byte(token) && !is_added(token)) {
            None => Ok(()),
            Some(token) => Err(Error::checkpoint(
                &self.merges_path,
                format!("has no merge that makes the token {token:?}; it may be cut"),
            )),
        }
    }
}

/// `merges.txt`: a version line, then a merge a line.
fn parse_merges(bytes: &[u8]) -> std::result::Result<Merges, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    let lines = text.lines().filter(|line| !line.starts_with("#version"));
    lines.map(|line| Merge::Line(line.to_owned()).pair()).collect()
}
