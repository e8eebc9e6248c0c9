//! Gemma's tokenizer, which SigLIP 2 uses: byte-pair encoding over the whole text, with spaces made visible. As
//! transformers 5 does, vocabulary, merges, added tokens and ends come from `tokenizer.json`, and the rest from here.
//! The version of SigLIP 2 in native shapes lowercases the text first.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::{Lowercase, Replace, Sequence};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerImpl};

use super::bpe::Bpe;
use super::class::TokenizerClass;
use super::sentencepiece::SPACE;
use super::settings::{TokenizerSettings, Tokens};
use super::token_spec::{Numbered, Padding, WrittenTokens};
use crate::checkpoint::{Files, file_names};
use crate::{Error, Result};

/// The pipeline. Nothing is split before the model, since no space remains.
pub(super) type Gemma =
    TokenizerImpl<Bpe, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// The parts of a `tokenizer.json` that are used.
#[derive(Deserialize)]
struct GemmaFile {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<Numbered>,
    padding: Option<Padding>,
    #[serde(default)]
    post_processor: Value,
}

/// Reads `tokenizer.json`. Returns the pipeline, its tokens and the file.
///
/// # Errors
/// [`Error::Checkpoint`] naming the file that is missing or damaged.
pub(super) fn open(files: &Files, settings: TokenizerSettings) -> Result<(Gemma, Tokens, PathBuf)> {
    let path = files.path(file_names::TOKENIZER);
    if !files.contains(file_names::TOKENIZER) {
        return Err(Error::checkpoint(files.root(), "has no tokenizer.json, which its tokenizer_class asks for"));
    }
    let GemmaFile { mut model, added_tokens, padding, post_processor } = files.read_json(file_names::TOKENIZER)?;
    let lower = settings.class == TokenizerClass::Siglip2;
    let tokens = settings.tokens(WrittenTokens { added_tokens, padding })?;
    model.unknown = tokens.role("unk_token").unwrap_or_default().to_owned();
    let failed = |e| Error::checkpoint(&path, format!("is not a Gemma tokenizer: {e}"));
    let mut tokenizer = Gemma::new(model);
    let spaces = Replace::new(" ", SPACE).map_err(failed)?.into();
    let steps = if lower { vec![Lowercase.into(), spaces] } else { vec![spaces] };
    tokenizer.with_normalizer(Some(Sequence::new(steps)));
    tokenizer.add_tokens(&tokens.added);
    // `add_bos_token` and `add_eos_token` do not count if there is a `tokenizer.json` (transformers 5.23).
    let ends: Option<PostProcessorWrapper> = serde_json::from_value(post_processor).map_err(|e| failed(e.into()))?;
    tokenizer.with_post_processor(ends);
    Ok((tokenizer, tokens, path))
}
