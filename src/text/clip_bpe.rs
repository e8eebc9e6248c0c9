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
            return Ok(Self { path, vocab: model.vocab, merges, written });
        }
        if !files.contains(VOCAB) {
            return Err(Error::checkpoint(files.root(), "has no tokenizer: neither tokenizer.json nor vocab.json"));
        }
        let vocab = files.read_json(VOCAB)?;
        let merges =
            parse_merges(&files.read(MERGES)?, &vocab).map_err(|e| Error::checkpoint(files.path(MERGES), e))?;
        Ok(Self { path: files.path(VOCAB), vocab, merges, written: WrittenTokens::default() })
    }
}

/// Parses `merges.txt`: a version line, then one merge per line.
fn parse_merges(bytes: &[u8], vocab: &Vocab) -> std::result::Result<Merges, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    let lines = text.lines().filter(|line| !line.starts_with("#version"));
    let merges = lines.map(|line| MergePair::Line(line.to_owned()).pair()).collect::<std::result::Result<_, _>>()?;
    match lost_token(&merges, vocab) {
        None => Ok(merges),
        Some(token) => Err(format!("has no merge that makes the token {token:?}; it may be cut")),
    }
}

/// Returns the token whose merge is lost in a file that was cut.
///
/// Text never becomes a token that no merge makes. Checkpoints may have such tokens, as transformers allows. But
/// vocabularies list tokens in the order of their merges. If a file was cut, the next token after its last whole merge
/// has no merge and consists of two earlier tokens.
fn lost_token<'a>(merges: &Merges, vocab: &'a Vocab) -> Option<&'a str> {
    // The end of the file may be half a merge.
    let last: Vec<u32> =
        merges.iter().rev().take(2).filter_map(|(a, b)| vocab.get(&format!("{a}{b}")).copied()).collect();
    let is_next = |id: u32| merges.len() < 2 || id.checked_sub(1).is_some_and(|before| last.contains(&before));
    let is_earlier = |token: &str, id: u32| vocab.get(token).is_some_and(|&other| other < id);
    let is_pair = |token: &str, id| {
        let mut pairs = (1..token.len()).filter_map(|at| token.split_at_checked(at));
        pairs.any(|(a, b)| is_earlier(a, id) && is_earlier(b, id))
    };
    let made: HashSet<String> = merges.iter().map(|(a, b)| format!("{a}{b}")).collect();
    let is_word = |token: &str| token.len() < 256; // longer tokens would take long, and no training makes them
    let lost =
        |&(token, &id): &(&String, &u32)| is_next(id) && is_word(token) && is_pair(token, id) && !made.contains(token);
    vocab.iter().find(lost).map(|(token, _)| &**token)
}
