//! The tokens that are matched before words are split, and those with a role, from the tokenizer's settings files.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::checkpoint::Files;
use crate::{Error, Result};

/// The tokens with a role: their key in the settings and their default.
const ROLES: [(&str, &str); 4] = [
    ("bos_token", "<|startoftext|>"),
    ("eos_token", "<|endoftext|>"),
    ("unk_token", "<|endoftext|>"),
    ("pad_token", "<|endoftext|>"),
];

/// A token as settings write it: its text alone, or with flags.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
pub(super) enum TokenSpec {
    Text(String),
    Flags {
        content: String,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        #[serde(default)]
        single_word: bool,
        normalized: Option<bool>,
        #[serde(default)]
        special: bool,
    },
}

impl TokenSpec {
    fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Flags { content, .. } => content,
        }
    }

    fn token(&self) -> AddedToken {
        match self {
            Self::Text(content) => AddedToken::from(content, true),
            Self::Flags { content, lstrip, rstrip, single_word, normalized, special } => {
                let token = AddedToken::from(content, *special).lstrip(*lstrip).rstrip(*rstrip);
                token.single_word(*single_word).normalized(normalized.unwrap_or(!special))
            }
        }
    }
}

/// The tokens that are matched before words are split, and those with a role.
pub(super) struct SpecialTokens {
    pub(super) added: Vec<AddedToken>,
    settings: Map<String, Value>,
}

impl SpecialTokens {
    /// Gathers them in the order of transformers: `added_tokens_decoder` alone where there is one; else
    /// `special_tokens_map.json` over `tokenizer_config.json`, then `added_tokens.json` and `tokenizer.json`.
    pub(super) fn open(files: &Files, in_tokenizer: Vec<TokenSpec>) -> Result<Self> {
        const SETTINGS: &str = "tokenizer_config.json";
        let path = files.path(SETTINGS);
        let mut settings = read_optional(files, SETTINGS)?;
        check_class(&settings).map_err(|e| Error::checkpoint(&path, e))?;
        let mut added: Vec<AddedToken> = Vec::new();
        if let Some(decoder) = settings.get("added_tokens_decoder") {
            let decoder: Map<String, Value> = parse(&path, decoder)?;
            let mut tokens = decoder
                .iter()
                .map(|(id, token)| {
                    let id: u32 = id.parse().map_err(|_| Error::checkpoint(&path, format!("{id:?} is no token id")))?;
                    Ok((id, parse::<TokenSpec>(&path, token)?.token()))
                })
                .collect::<Result<Vec<_>>>()?;
            tokens.sort_by_key(|(id, _)| *id);
            added = tokens.into_iter().map(|(_, token)| token).collect();
        } else {
            settings.extend(read_optional(files, "special_tokens_map.json")?);
            let plain = read_optional(files, "added_tokens.json")?;
            added.extend(plain.keys().map(|content| AddedToken::from(content, false)));
            for spec in in_tokenizer {
                added.retain(|t| t.content != spec.content()); // its flags win
                added.push(spec.token());
            }
        }
        let mut tokens = Self { added, settings };
        tokens.add_roles(&path)?;
        Ok(tokens)
    }

    /// Adds the tokens with a role, and the additional ones, that no file has added yet.
    fn add_roles(&mut self, path: &Path) -> Result<()> {
        let mut missing = Vec::new();
        for (role, default) in ROLES {
            let spec = match self.settings.get(role).filter(|v| !v.is_null()) {
                Some(spec) => parse(path, spec)?,
                None => TokenSpec::Text(default.to_owned()),
            };
            self.settings.insert(role.to_owned(), Value::from(spec.content()));
            missing.push(spec);
        }
        if let Some(more) = self.settings.get("additional_special_tokens").filter(|v| !v.is_null()) {
            missing.extend(parse::<Vec<TokenSpec>>(path, more)?);
        }
        for spec in missing {
            if !self.added.iter().any(|t| t.content == spec.content()) {
                self.added.push(AddedToken::from(spec.content(), true));
            }
        }
        Ok(())
    }

    /// The token with a role.
    pub(super) fn role(&self, role: &str) -> &str {
        self.settings.get(role).and_then(Value::as_str).unwrap_or_default()
    }
}

/// CLIP's tokenizer under the names it has had; any other splits text in another way.
fn check_class(settings: &Map<String, Value>) -> std::result::Result<(), String> {
    match settings.get("tokenizer_class").and_then(Value::as_str) {
        None | Some("CLIPTokenizer" | "CLIPTokenizerFast") => {}
        Some(other) => return Err(format!("tokenizer class `{other}` is not supported; zsic knows CLIPTokenizer")),
    }
    match settings.get("padding_side").and_then(Value::as_str) {
        None | Some("right") => Ok(()),
        Some(side) => Err(format!("padding_side `{side}` is not supported; CLIP pads on the right")),
    }
}

fn read_optional(files: &Files, name: &str) -> Result<Map<String, Value>> {
    if files.contains(name) { files.read_json(name) } else { Ok(Map::new()) }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, json: &Value) -> Result<T> {
    T::deserialize(json).map_err(|e| Error::checkpoint(path, format!("{e}: {json}")))
}
