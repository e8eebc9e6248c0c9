//! Which class splits text, by `tokenizer_config.json` and `config.json`: the settings that tell, before there is a
//! tokenizer, whether it is supported.

use serde_json::{Map, Value};

use super::settings::check;

pub(super) const CONFIG: &str = "config.json";
pub(super) const SETTINGS: &str = "tokenizer_config.json";
const CLASS: &str = "tokenizer_class";

/// Who splits text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// CLIP's own class. Of a `tokenizer.json` it reads the vocabulary, the merges and the added tokens alone.
    Clip,
    /// The class that runs a `tokenizer.json` as it is written.
    AsWritten,
}

impl Class {
    /// Returns the class that `tokenizer_config.json` names, or `config.json` where that names none; or the file that names
    /// one that is not supported, and what is said of it.
    pub fn of(settings: &Map<String, Value>, config: &Map<String, Value>) -> Result<Self, (&'static str, String)> {
        let named = |map: &Map<String, Value>| map.get(CLASS).filter(|class| !class.is_null()).cloned();
        let (file, class) = match named(settings) {
            Some(class) => (SETTINGS, Some(class)),
            None => (CONFIG, named(config)),
        };
        match class.as_ref().map(|class| class.as_str().unwrap_or_default()) {
            None | Some("CLIPTokenizer" | "CLIPTokenizerFast") => Ok(Self::Clip),
            Some("PreTrainedTokenizerFast" | "PreTrainedTokenizer" | "TokenizersBackend" | "PythonBackend") => {
                Ok(Self::AsWritten)
            }
            Some(other) => {
                let known = "zsic knows CLIPTokenizer and PreTrainedTokenizerFast";
                Err((file, format!("tokenizer class `{other}` is not supported; {known}")))
            }
        }
    }
}

/// Checks that what `tokenizer_config.json` and `config.json` say of a tokenizer is supported, before there is one.
///
/// # Errors
/// A line saying which file is not supported, and why.
pub fn accept(settings: &Map<String, Value>, config: &Map<String, Value>) -> Result<(), String> {
    let class = Class::of(settings, config).and_then(|_| check(settings).map_err(|e| (SETTINGS, e)));
    class.map_err(|(file, reason)| format!("its {file}: {reason}"))
}
