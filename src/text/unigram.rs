//! The tokenizers of XLM-RoBERTa and T5: a unigram model over words. As transformers 5 does, vocabulary, character map and added
//! tokens come from the files, and the rest from here. The `tokenizers` crate takes many times as long to read the vocabulary.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::unigram::UnigramTrainer;
use tokenizers::normalizers::Precompiled;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    DecoderWrapper, Model, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Token, TokenizerImpl,
};

use super::class::TokenizerClass;
use super::sentencepiece::{self, SentencePiece, WrittenPieces, charsmap};
use super::settings::{TokenizerSettings, Tokens};
use super::token_spec::{Numbered, Padding, WrittenTokens};
use crate::checkpoint::{Files, file_names};
use crate::{Error, Result};

/// The pipeline.
pub(super) type UnigramPipeline =
    TokenizerImpl<Unigram, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// A unigram model as the `tokenizers` crate runs models: on one word at a time.
#[derive(Debug)]
pub(super) struct Unigram(SentencePiece);

/// The parts of a `tokenizer.json` that are used.
#[derive(Deserialize)]
struct UnigramFile {
    model: WrittenPieces,
    normalizer: Option<Value>,
    #[serde(default)]
    added_tokens: Vec<Numbered>,
    padding: Option<Padding>,
}

/// Reads `tokenizer.json`, or `sentencepiece.bpe.model` if that is missing. Returns the pipeline, its tokens and the
/// file.
///
/// # Errors
/// [`Error::Checkpoint`] naming the file that is missing or damaged.
pub(super) fn open(files: &Files, settings: TokenizerSettings) -> Result<(UnigramPipeline, Tokens, PathBuf)> {
    let (model, charsmap, written, path) = read(files)?;
    let class = settings.class;
    let tokens = settings.tokens(written)?;
    let failed = |e: String| Error::checkpoint(&path, format!("is not a unigram tokenizer: {e}"));
    let mut tokenizer = UnigramPipeline::new(Unigram(model));
    if !charsmap.is_empty() {
        let map = Precompiled::from(&charsmap).map_err(|e| failed(e.to_string()))?;
        tokenizer.with_normalizer(Some(NormalizerWrapper::Precompiled(map)));
    }
    let spaces = Metaspace::new('\u{2581}', PrependScheme::Always, true);
    let words = Sequence::new(vec![WhitespaceSplit.into(), spaces.into()]);
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(words)));
    tokenizer.add_tokens(&tokens.added);
    let end = |role| {
        let token = tokens.role(role).unwrap_or_default();
        let missing = || failed(format!("it has no token `{token}`, its {role}"));
        Ok::<_, Error>((token.to_owned(), tokenizer.token_to_id(token).ok_or_else(missing)?))
    };
    let (end, start) = (end("eos_token")?, if class == TokenizerClass::T5 { None } else { Some(end("bos_token")?) });
    let ends: PostProcessorWrapper = match start {
        Some(start) => RobertaProcessing::new(end, start).trim_offsets(false).add_prefix_space(false).into(),
        None => {
            let mut ends = TemplateProcessing::builder();
            ends.try_single(format!("$A {}", end.0)).map_err(failed)?.special_tokens(vec![end]);
            ends.build().map_err(|e| failed(e.to_string()))?.into()
        }
    };
    tokenizer.with_post_processor(Some(ends));
    Ok((tokenizer, tokens, path))
}

/// Returns the model, the bytes of its character map, its tokens and the file.
fn read(files: &Files) -> Result<(SentencePiece, Vec<u8>, WrittenTokens, PathBuf)> {
    const BPE: &str = file_names::SENTENCEPIECE_BPE;
    if files.contains(file_names::TOKENIZER) {
        let path = files.path(file_names::TOKENIZER);
        let file: UnigramFile = sentencepiece::read(files, |file: &mut UnigramFile| &mut file.model)?;
        let charsmap = file.normalizer.as_ref().and_then(charsmap).unwrap_or_default();
        let model = SentencePiece::of_words(file.model).map_err(|e| Error::checkpoint(&path, e))?;
        let written = WrittenTokens { added_tokens: file.added_tokens, padding: file.padding };
        return Ok((model, charsmap, written, path));
    }
    if !files.contains(BPE) {
        return Err(Error::checkpoint(files.root(), format!("has no tokenizer: neither tokenizer.json nor {BPE}")));
    }
    let (model, charsmap) =
        SentencePiece::in_fairseq_order(&files.read(BPE)?).map_err(|e| Error::checkpoint(files.path(BPE), e))?;
    Ok((model, charsmap, WrittenTokens::default(), files.path(BPE)))
}

impl Model for Unigram {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        // Nothing uses a token's text or its place.
        Ok(self.0.ids(word).into_iter().map(|id| Token::new(id, String::new(), (0, 0))).collect())
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.id(token)
    }

    fn id_to_token(&self, _: u32) -> Option<String> {
        None // ids are never turned into text
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        HashMap::new()
    }

    fn get_vocab_size(&self) -> usize {
        self.0.len()
    }

    fn save(&self, _: &Path, _: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("a vocabulary is not written".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        TrainerWrapper::UnigramTrainer(UnigramTrainer::default())
    }
}
