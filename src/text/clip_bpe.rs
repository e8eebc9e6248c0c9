//! CLIP's tokenizer: lower-cased byte-level BPE. As transformers 5 does, vocabulary, merges and added tokens come from
//! the files and the pipeline around them from here, whatever normaliser or post-processor a `tokenizer.json` names.

use std::collections::HashSet;
use std::path::PathBuf;

use ahash::AHashMap;
use serde::Deserialize;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::class::TokenizerClass;
use super::settings::{TokenizerSettings, Tokens};
use super::token_spec::{Numbered, Padding, WrittenTokens};
use crate::checkpoint::Files;
use crate::{Error, Result};

/// How text is split into words (transformers, tokenization_clip.py, and open_clip, tokenizer.py).
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// Two more words that only transformers has.
const ENDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|";

/// Builds the pipeline around the vocabulary of `tokenizer.json`, or of `vocab.json` and `merges.txt`. Returns it with the
/// file that the vocabulary came from.
///
/// # Errors
/// [`Error::Checkpoint`] naming the file that is missing or damaged.
pub(super) fn open(files: &Files, settings: TokenizerSettings) -> Result<(Tokenizer, Tokens, PathBuf)> {
    let mut source = Source::open(files)?;
    let ends = if settings.class == TokenizerClass::Clip { ENDS } else { "" };
    let tokens = settings.tokens(std::mem::take(&mut source.written))?;
    source.check_merges(&tokens)?;
    let path = source.path.clone();
    let failed = |e| Error::checkpoint(&path, format!("is not a CLIP tokenizer: {e}"));
    let mut tokenizer = pipeline(source, tokens.role("unk_token"), &format!("{ends}{WORDS}")).map_err(failed)?;
    tokenizer.add_tokens(&tokens.added);
    let end = |role| -> Result<_> {
        let token = tokens.role(role).unwrap_or_default();
        let missing = || Error::checkpoint(&path, format!("has no token `{token}`, its {role}"));
        Ok((token.to_owned(), tokenizer.token_to_id(token).ok_or_else(missing)?))
    };
    let ends = RobertaProcessing::new(end("eos_token")?, end("bos_token")?).trim_offsets(false).add_prefix_space(false);
    tokenizer.with_post_processor(Some(ends));
    Ok((tokenizer, tokens, path))
}

fn pipeline(source: Source, unknown: Option<&str>, words: &str) -> tokenizers::Result<Tokenizer> {
    let model = BPE::builder()
        .vocab_and_merges(source.vocab, source.merges)
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".to_owned())
        .unk_token(unknown.unwrap_or("None").to_owned()) // a name that no token has, as in transformers
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
    tokenizer.with_normalizer(Some(Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()])));
    let words = Split::new(SplitPattern::Regex(words.to_owned()), SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
    Ok(tokenizer)
}

/// Vocabulary and merges, from whichever files hold them.
struct Source {
    path: PathBuf,
    merges_path: PathBuf,
    vocab: Vocab,
    merges: Merges,
    written: WrittenTokens,
}

/// The parts of a `tokenizer.json` that are used.
#[derive(Deserialize)]
struct ClipFile {
    model: ModelSection,
    #[serde(default)]
    added_tokens: Vec<Numbered>,
    padding: Option<Padding>,
}

#[derive(Deserialize)]
struct ModelSection {
    vocab: AHashMap<String, u32>,
    merges: Vec<MergePair>,
}

/// `"a b"` or `["a", "b"]`: older and newer files.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergePair {
    Pair(String, String),
    Line(String),
}

impl MergePair {
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
            let ClipFile { model, added_tokens, padding } = files.read_json(WHOLE)?;
            let written = WrittenTokens { added_tokens, padding };
            let merges = model.merges.into_iter().map(MergePair::pair).collect::<std::result::Result<_, _>>();
            let merges = merges.map_err(|e| Error::checkpoint(&path, e))?;
            return Ok(Self { merges_path: path.clone(), path, vocab: model.vocab, merges, written });
        }
        if !files.contains(VOCAB) {
            return Err(Error::checkpoint(files.root(), "has no tokenizer: neither tokenizer.json nor vocab.json"));
        }
        let merges_path = files.path(MERGES);
        let merges = parse_merges(&files.read(MERGES)?).map_err(|e| Error::checkpoint(&merges_path, e))?;
        let vocab = files.read_json(VOCAB)?;
        Ok(Self { path: files.path(VOCAB), merges_path, vocab, merges, written: WrittenTokens::default() })
    }

    /// Checks that no merge is missing. A cut `merges.txt` is still a list of merges, but every token of more than one
    /// byte comes from a merge, so the vocabulary shows what is missing.
    fn check_merges(&self, tokens: &Tokens) -> Result<()> {
        let merged: HashSet<String> = self.merges.iter().map(|(a, b)| format!("{a}{b}")).collect();
        let is_byte = |token: &str| token.strip_suffix("</w>").unwrap_or(token).chars().count() <= 1;
        let is_added = |token: &str| tokens.added.iter().any(|t| t.content == token);
        let is_end = |token: &str| token.starts_with("<|") && token.ends_with("|>");
        let may_lack = |token: &str| is_byte(token) || is_added(token) || is_end(token);
        match self.vocab.keys().find(|token| !merged.contains(*token) && !may_lack(token)) {
            None => Ok(()),
            Some(token) => Err(Error::checkpoint(
                &self.merges_path,
                format!("has no merge that makes the token {token:?}; it may be cut"),
            )),
        }
    }
}

/// Parses `merges.txt`: a version line, then one merge per line.
fn parse_merges(bytes: &[u8]) -> std::result::Result<Merges, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    let lines = text.lines().filter(|line| !line.starts_with("#version"));
    lines.map(|line| MergePair::Line(line.to_owned()).pair()).collect()
}
