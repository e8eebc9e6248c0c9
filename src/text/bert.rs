//! BERT's tokenizer: word pieces, with each Chinese character as a word. As transformers 5 does, the vocabulary and
//! added tokens come from the files, the rules for cleaning text from the settings, and the rest from here.

use std::path::PathBuf;

use ahash::AHashMap;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;

use super::settings::{TokenizerSettings, Tokens};
use super::token_spec::{Numbered, Padding, WrittenTokens};
use crate::checkpoint::Files;
use crate::checkpoint::file_names::{TOKENIZER, WORD_PIECES};
use crate::{Error, Result};

/// The parts of a `tokenizer.json` that are used.
#[derive(Deserialize)]
struct BertFile {
    model: Vocabulary,
    #[serde(default)]
    added_tokens: Vec<Numbered>,
    padding: Option<Padding>,
}

#[derive(Deserialize)]
struct Vocabulary {
    vocab: AHashMap<String, u32>,
}

/// Builds the pipeline around the vocabulary of `tokenizer.json`, or of `vocab.txt`. Returns it with that file.
///
/// # Errors
/// [`Error::Checkpoint`] naming the file that is missing or damaged.
pub(super) fn open(files: &Files, settings: TokenizerSettings) -> Result<(Tokenizer, Tokens, PathBuf)> {
    let flag = |name: &str, default: bool| match settings.value(name) {
        Some(Value::Bool(flag)) => *flag,
        _ => default,
    };
    let lower = flag("do_lower_case", true);
    let chinese = flag("tokenize_chinese_chars", true);
    let accents = settings.value("strip_accents").and_then(Value::as_bool);
    let (vocab, written, path) = vocabulary(files)?;
    let tokens = settings.tokens(written)?;
    let failed = |e| Error::checkpoint(&path, format!("is not a BERT tokenizer: {e}"));
    let unknown = tokens.role("unk_token").unwrap_or("[UNK]").to_owned();
    let model = WordPiece::builder().vocab(vocab).unk_token(unknown).build().map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, chinese, accents, lower)));
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.add_tokens(&tokens.added);
    let end = |role| -> Result<_> {
        let token = tokens.role(role).unwrap_or_default();
        let missing = || Error::checkpoint(&path, format!("has no token `{token}`, its {role}"));
        Ok((token.to_owned(), tokenizer.token_to_id(token).ok_or_else(missing)?))
    };
    let ends = BertProcessing::new(end("sep_token")?, end("cls_token")?);
    tokenizer.with_post_processor(Some(ends));
    Ok((tokenizer, tokens, path))
}

fn vocabulary(files: &Files) -> Result<(AHashMap<String, u32>, WrittenTokens, PathBuf)> {
    if files.contains(TOKENIZER) {
        let BertFile { model, added_tokens, padding } = files.read_json(TOKENIZER)?;
        return Ok((model.vocab, WrittenTokens { added_tokens, padding }, files.path(TOKENIZER)));
    }
    if !files.contains(WORD_PIECES) {
        return Err(Error::checkpoint(files.root(), "has no tokenizer: neither tokenizer.json nor vocab.txt"));
    }
    let bytes = files.read(WORD_PIECES)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| Error::checkpoint(files.path(WORD_PIECES), "is not UTF-8 text"))?;
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate();
    let vocab = lines.map(|(id, piece)| (piece.trim_end_matches('\r').to_owned(), id as u32)).collect();
    Ok((vocab, WrittenTokens::default(), files.path(WORD_PIECES)))
}
