//! Chooses the tokenizer's class from `tokenizer_config.json` and `config.json`, and refuses one that is not
//! supported before any tokenizer is read.

use serde_json::{Map, Value};

use super::clean::Clean;
use crate::checkpoint::file_names::{CONFIG, TOKENIZER_SETTINGS};

const CLASS: &str = "tokenizer_class";

/// Which class of transformers splits text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenizerClass {
    /// CLIP's own class. It reads only the vocabulary, the merges and the added tokens of a `tokenizer.json`.
    Clip,
    /// open_clip's own version of CLIP's (SimpleTokenizer), which reads no special token inside a text.
    OpenClip,
    /// SigLIP's own class, which reads `spiece.model`.
    Siglip,
    /// Gemma's class. It reads only the vocabulary, the merges, the added tokens and the ends of a `tokenizer.json`.
    Gemma,
    /// Gemma's, as SigLIP 2 in native shapes uses it: text is lowercased.
    Siglip2,
    /// BERT's own class. It reads only the vocabulary and the added tokens of a `tokenizer.json`.
    Bert,
    /// XLM-RoBERTa's own class. It reads only the vocabulary, the map of characters and the added tokens of a
    /// `tokenizer.json`.
    XlmRoberta,
    /// T5's own class, which reads the same.
    T5,
    /// The class that runs a `tokenizer.json` as written.
    AsWritten,
}

/// What a family says about its tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenizerPlan {
    /// The class, whatever the settings name.
    pub class: Option<TokenizerClass>,
    /// The class if the settings name none.
    pub default: TokenizerClass,
    /// How text is cleaned first.
    pub clean: Option<Clean>,
    /// Whether token 0 replaces the separator.
    pub blank_separator: bool,
}

impl TokenizerPlan {
    /// Returns the plan of a family that leaves the class to the settings.
    pub const fn of(default: TokenizerClass) -> Self {
        Self { class: None, default, clean: None, blank_separator: false }
    }
}

impl TokenizerClass {
    /// Returns whether it is CLIP's, in either version.
    pub(super) fn is_clip(self) -> bool {
        matches!(self, Self::Clip | Self::OpenClip)
    }

    /// Returns the class that the plan fixes, or that `tokenizer_config.json` names, or `config.json` if that names
    /// none, or else the plan's default.
    ///
    /// # Errors
    /// The file that names a class that is not supported, and one line about it.
    pub(super) fn of(
        settings: &Map<String, Value>,
        config: &Map<String, Value>,
        plan: &TokenizerPlan,
    ) -> Result<Self, (&'static str, String)> {
        if let Some(class) = plan.class {
            return Ok(class);
        }
        let named = |map: &Map<String, Value>| map.get(CLASS).filter(|class| !class.is_null()).cloned();
        let (file, class) = match named(settings) {
            Some(class) => (TOKENIZER_SETTINGS, Some(class)),
            None => (CONFIG, named(config)),
        };
        match class.as_ref().map(|class| class.as_str().unwrap_or_default()) {
            None => Ok(plan.default),
            Some("CLIPTokenizer" | "CLIPTokenizerFast") => Ok(Self::Clip),
            Some("SiglipTokenizer") => Ok(Self::Siglip),
            Some("GemmaTokenizer" | "GemmaTokenizerFast") => Ok(Self::Gemma),
            Some("Siglip2Tokenizer") => Ok(Self::Siglip2),
            Some("BertTokenizer" | "BertTokenizerFast") => Ok(Self::Bert),
            Some("XLMRobertaTokenizer" | "XLMRobertaTokenizerFast") => Ok(Self::XlmRoberta),
            Some("T5Tokenizer" | "T5TokenizerFast") => Ok(Self::T5),
            Some("RobertaTokenizer" | "RobertaTokenizerFast") => Ok(Self::AsWritten),
            Some("PreTrainedTokenizerFast" | "PreTrainedTokenizer" | "TokenizersBackend" | "PythonBackend") => {
                Ok(Self::AsWritten)
            }
            Some(other) => {
                let known = "zsic knows CLIPTokenizer, SiglipTokenizer, Siglip2Tokenizer, GemmaTokenizer, BertTokenizer, \
                             RobertaTokenizer, XLMRobertaTokenizer, T5Tokenizer and PreTrainedTokenizerFast";
                Err((file, format!("tokenizer class `{other}` is not supported; {known}")))
            }
        }
    }

    /// Returns the token that the class takes for a role if the settings name none.
    pub(super) fn default_token(self, role: &str) -> Option<&'static str> {
        match (self, role) {
            (Self::Clip | Self::OpenClip, "bos_token") => Some("<|startoftext|>"),
            (Self::Clip | Self::OpenClip, "eos_token" | "unk_token" | "pad_token") => Some("<|endoftext|>"),
            (Self::Siglip, "eos_token" | "pad_token") => Some("</s>"),
            (Self::Siglip | Self::Gemma | Self::Siglip2 | Self::XlmRoberta | Self::T5, "unk_token") => Some("<unk>"),
            (Self::Gemma | Self::Siglip2, "bos_token") => Some("<bos>"),
            (Self::Gemma | Self::Siglip2, "eos_token") => Some("<eos>"),
            (Self::Gemma | Self::Siglip2 | Self::XlmRoberta | Self::T5, "pad_token") => Some("<pad>"),
            (Self::Gemma | Self::Siglip2 | Self::XlmRoberta, "mask_token") => Some("<mask>"),
            (Self::XlmRoberta, "bos_token" | "cls_token") => Some("<s>"),
            (Self::XlmRoberta, "eos_token" | "sep_token") | (Self::T5, "eos_token") => Some("</s>"),
            (Self::Bert, "unk_token") => Some("[UNK]"),
            (Self::Bert, "sep_token") => Some("[SEP]"),
            (Self::Bert, "pad_token") => Some("[PAD]"),
            (Self::Bert, "cls_token") => Some("[CLS]"),
            (Self::Bert, "mask_token") => Some("[MASK]"),
            _ => None,
        }
    }

    /// Returns the side that the class pads on if the settings name none.
    pub(super) fn default_side(self) -> &'static str {
        if self == Self::Gemma { "left" } else { "right" }
    }
}

/// Checks that what `tokenizer_config.json` and `config.json` say about a tokenizer is supported, before it is read.
///
/// # Errors
/// One line: which file is not supported, and why.
pub fn accept(settings: &Map<String, Value>, config: &Map<String, Value>, plan: &TokenizerPlan) -> Result<(), String> {
    let class = TokenizerClass::of(settings, config, plan);
    let checked = class.and_then(|class| check(settings, class).map_err(|e| (TOKENIZER_SETTINGS, e)));
    checked.map_err(|(file, reason)| format!("its {file}: {reason}"))
}

/// Refuses settings that would change a text's tokens and that zsic does not follow.
pub(super) fn check(settings: &Map<String, Value>, class: TokenizerClass) -> Result<(), String> {
    if let Some(Value::Array(names)) = settings.get("fast_tokenizer_files")
        && let Some(other) = names.iter().find(|name| *name != "tokenizer.json")
    {
        return Err(format!("names the file {other} in fast_tokenizer_files; zsic reads only tokenizer.json"));
    }
    let side = |key| settings.get(key).map_or("right", |side| side.as_str().unwrap_or_default());
    if side("padding_side") != "right" {
        return Err(padded_on(side("padding_side")));
    }
    if !class.is_clip() && side("truncation_side") != "right" {
        return Err(format!(
            "truncation_side `{}` is not supported; prompts are cut at their end",
            side("truncation_side")
        ));
    }
    if class == TokenizerClass::Siglip
        && let Some(options) = settings.get("sp_model_kwargs").and_then(Value::as_object)
        && let Some(option) = options.iter().find(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)))
    {
        return Err(format!("sp_model_kwargs has {}, which is not supported", option.0));
    }
    Ok(())
}

/// Returns the reason for refusing a side of padding.
pub(super) fn padded_on(side: &str) -> String {
    format!("padding_side `{side}` is not supported; padding is on the right")
}
