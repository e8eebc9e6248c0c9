//! Gemma's tokenizer, which SigLIP 2 has: byte-pair encoding over the whole text, in which spaces are made visible. As
//! transformers 5 does, vocabulary, merges, added tokens and ends come from `tokenizer.json`, and the rest from here.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::Replace;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{DecoderWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerImpl};

use super::bpe::Bpe;
use super::sentencepiece::SPACE;
use super::settings::{Settings, Tokens};
use super::token_spec::{Numbered, Padding, Written};
use crate::checkpoint::{Files, layout};
use crate::{Error, Result};

/// The pipeline. Nothing is split before the model, as no space is left.
pub(super) type Gemma = TokenizerImpl<Bpe, Replace, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// What is used of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerFile {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<Numbered>,
    padding: Option<Padding>,
    post_processor: Option<Value>,
}

/// Reads `tokenizer.json`. Returns the pipeline, its tokens and the file.
///
/// # Errors
/// [`Error::Checkpoint`] naming the file that is missing or damaged.
pub(super) fn open(files: &Files, settings: Settings) -> Result<(Gemma, Tokens, PathBuf)> {
    let path = files.path(layout::TOKENIZER);
    if !files.contains(layout::TOKENIZER) {
        return Err(Error::checkpoint(files.root(), "has no tokenizer.json, which its tokenizer_class asks for"));
    }
    let TokenizerFile { mut model, added_tokens, padding, post_processor } = files.read_json(layout::TOKENIZER)?;
    let ends = settings.ends();
    let tokens = settings.tokens(Written { added_tokens, padding })?;
    model.unknown = tokens.role("unk_token").unwrap_or_default().to_owned();
    let failed = |e| Error::checkpoint(&path, format!("is no Gemma tokenizer: {e}"));
    let mut tokenizer = Gemma::new(model);
    tokenizer.with_normalizer(Some(Replace::new(" ", SPACE).map_err(failed)?));
    tokenizer.add_tokens(&tokens.added);
    let ends: PostProcessorWrapper = match (ends, post_processor) {
        (None, Some(written)) => serde_json::from_value(written).map_err(|e| failed(e.into()))?,
        (ends, _) => {
            let (start, end) = ends.unwrap_or((false, false));
            around(&tokenizer, &tokens, start, end).map_err(failed)?.into()
        }
    };
    tokenizer.with_post_processor(Some(ends));
    Ok((tokenizer, tokens, path))
}

/// Puts the start and the end token around a text, if asked for.
fn around(tokenizer: &Gemma, tokens: &Tokens, start: bool, end: bool) -> tokenizers::Result<TemplateProcessing> {
    let token = |role: &str, is_wanted: bool| -> tokenizers::Result<Option<(String, u32)>> {
        let Some(token) = tokens.role(role).filter(|_| is_wanted) else { return Ok(None) };
        let id = tokenizer.token_to_id(token).ok_or_else(|| format!("it has no token `{token}`, its {role}"))?;
        Ok(Some((token.to_owned(), id)))
    };
    let (start, end) = (token("bos_token", start)?, token("eos_token", end)?);
    let name = |token: &Option<(String, u32)>| token.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let order = [name(&start), vec!["$A".to_owned()], name(&end)].concat();
    let special: Vec<(String, u32)> = start.into_iter().chain(end).collect();
    Ok(TemplateProcessing::builder().try_single(order)?.special_tokens(special).build()?)
}
