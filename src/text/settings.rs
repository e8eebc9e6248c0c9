//! What a checkpoint's settings say about its tokenizer: what splits text, and which tokens are matched before that. It
//! follows transformers 5 step by step, since the order in which tokens are added decides the ids of new ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::class::{TokenizerClass, TokenizerPlan, check, padded_on};
use super::token_spec::{Flags, TokenSpec, WrittenTokens, last_flags};
use crate::checkpoint::Files;
use crate::checkpoint::file_names::{ADDED_TOKENS, CONFIG, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_SETTINGS as SETTINGS};
use crate::{Error, Result};

/// The tokens with a role: their keys in the settings.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Special tokens without a role: their key, and its older name.
const EXTRA: &str = "extra_special_tokens";
const ADDITIONAL: &str = "additional_special_tokens";

/// The settings beside the vocabulary.
pub(super) struct TokenizerSettings {
    pub class: TokenizerClass,
    path: PathBuf,
    /// `tokenizer_config.json`, and over it `special_tokens_map.json`.
    values: Map<String, Value>,
    /// Tokens of other roles than the known ones, which are plain text in `tokenizer_config.json`.
    other_roles: Map<String, Value>,
    special_tokens_map: Map<String, Value>,
    added_tokens: Map<String, Value>,
}

/// The tokens that the settings add, in order, and those with a role.
pub(super) struct Tokens {
    pub added: Vec<AddedToken>,
    /// The ids that the settings give.
    pub numbers: HashMap<String, u32>,
    roles: Vec<(String, TokenSpec)>,
}

impl Tokens {
    /// Returns the token with a role, if there is one.
    pub fn role(&self, role: &str) -> Option<&str> {
        self.roles.iter().find(|(key, _)| key == role).map(|(_, token)| token.content())
    }
}

impl TokenizerSettings {
    /// Reads the files beside the vocabulary.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file and the setting that is not supported.
    pub fn open(files: &Files, plan: &TokenizerPlan) -> Result<Self> {
        let path = files.path(SETTINGS);
        let mut values = read_optional(files, SETTINGS)?;
        let class = TokenizerClass::of(&values, &read_optional(files, CONFIG)?, plan);
        let class = class.map_err(|(file, reason)| Error::checkpoint(files.path(file), reason))?;
        check(&values, class).map_err(|e| Error::checkpoint(&path, e))?;
        if values.get(EXTRA).is_none_or(|extra| extra.is_null() || *extra == Value::Array(Vec::new()))
            && let Some(additional) = values.remove(ADDITIONAL)
        {
            values.insert(EXTRA.to_owned(), additional);
        }
        let (mut other_roles, values): (Map<_, _>, Map<_, _>) =
            values.into_iter().partition(|(key, value)| is_other_role(key) && value.is_string());
        let mut settings = Self {
            class,
            path,
            values,
            other_roles: Map::new(),
            special_tokens_map: read_optional(files, SPECIAL_TOKENS)?,
            added_tokens: read_optional(files, ADDED_TOKENS)?,
        };
        other_roles.extend(settings.named_extra());
        settings.other_roles = other_roles;
        Ok(settings)
    }

    /// Returns the value of a setting.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Returns whether text is lowercased, for the classes that ask.
    pub fn do_lower_case(&self) -> bool {
        self.values.get("do_lower_case").is_none_or(|value| *value == Value::Bool(true))
    }

    /// Returns whether the tokenizer gives models a mask of the padding, as all classes do by default.
    pub fn masks_padding(&self) -> bool {
        let is_mask = |name: &Value| name == "attention_mask";
        self.values.get("model_input_names").and_then(Value::as_array).is_none_or(|names| names.iter().any(is_mask))
    }

    /// Returns whether a special token inside a text is read as text.
    pub fn split_special(&self) -> bool {
        // open_clip's own version writes them differently.
        self.class == TokenizerClass::OpenClip || self.values.get("split_special_tokens") == Some(&Value::Bool(true))
    }

    /// Gathers the tokens: those with ids in the order of their ids, those with a role, the extra ones. `written` is what
    /// a `tokenizer.json` says.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the setting that cannot be followed.
    pub fn tokens(mut self, written: WrittenTokens) -> Result<Tokens> {
        let side = written.padding.as_ref().map(|padding| padding.direction.to_lowercase());
        let side = side.unwrap_or_else(|| self.class.default_side().to_owned());
        if side != "right" && !self.values.contains_key("padding_side") {
            return Err(Error::checkpoint(self.path.with_file_name(TOKENIZER), padded_on(&side)));
        }
        if let Some(padding) = &written.padding
            && !self.class.is_clip()
        {
            self.values.entry("pad_token").or_insert_with(|| padding.pad_token.clone().into());
        }
        // A tokenizer that runs as written has its tokens already. Others are rebuilt.
        let before = written.added_tokens.iter().filter(|_| self.class == TokenizerClass::AsWritten);
        let before: Vec<TokenSpec> = before.map(|numbered| TokenSpec::Flags(numbered.token.clone())).collect();
        let numbered = self.numbered(written)?;
        let roles = self.roles(&numbered)?;
        let extra = self.extra()?;
        let numbers = numbered.iter().map(|(id, token)| (token.content.clone(), *id)).collect();
        let by_id: BTreeMap<u32, Flags> = numbered.into_iter().collect();
        let mut added: Vec<TokenSpec> = by_id.into_values().map(TokenSpec::Flags).collect();
        let names: HashSet<_> = before.iter().chain(&added).map(|token| token.content().to_owned()).collect();
        for token in roles.iter().map(|(_, token)| token).chain(&extra) {
            if !names.contains(token.content()) && !added.contains(token) {
                added.push(token.clone());
            }
        }
        let has_role = |token: &TokenSpec| roles.iter().any(|(_, other)| other.content() == token.content());
        let before = before.iter().map(|token| token.token(false));
        let added = last_flags(before.chain(added.iter().map(|token| token.token(has_role(token)))));
        Ok(Tokens { added, numbers, roles })
    }

    /// Returns the tokens with ids, in the order of the files: those of `added_tokens_decoder` if there is one, else
    /// those of `added_tokens.json` and `tokenizer.json`.
    fn numbered(&mut self, written: WrittenTokens) -> Result<Vec<(u32, Flags)>> {
        let id = |path: &PathBuf, token: &str, id: Option<u32>| {
            id.ok_or_else(|| Error::checkpoint(path, format!("gives the token `{token}` no id")))
        };
        if let Some(decoder) = self.values.get("added_tokens_decoder") {
            let decoder: Map<String, Value> = self.parse(decoder)?;
            return decoder
                .iter()
                .map(|(key, token)| {
                    let token: Flags = self.parse(token)?;
                    Ok((id(&self.path, &token.content, key.parse().ok())?, token))
                })
                .collect();
        }
        let special = self.merge_map();
        let path = self.path.with_file_name(ADDED_TOKENS);
        let mut numbered = Vec::new();
        for (content, number) in std::mem::take(&mut self.added_tokens) {
            let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
            let is_special = special.contains(&content);
            numbered.push((id(&path, &content, number)?, Flags::plain(content, is_special)));
        }
        numbered.extend(written.added_tokens.into_iter().map(|numbered| (numbered.id, numbered.token)));
        Ok(numbered)
    }

    /// Overrides the other settings with `special_tokens_map.json`, and returns the tokens that either calls special.
    fn merge_map(&mut self) -> HashSet<String> {
        let mut special = HashSet::new();
        for (key, mut value) in std::mem::take(&mut self.special_tokens_map) {
            match (&mut value, self.values.get(EXTRA)) {
                (Value::Array(more), all) if key == EXTRA => {
                    special.extend(more.iter_mut().filter_map(Value::as_object_mut).filter_map(mark_special));
                    let all = all.and_then(Value::as_array).cloned().unwrap_or_default();
                    let new: Vec<Value> = more.drain(..).filter(|token| !all.contains(token)).collect();
                    more.extend(all.into_iter().chain(new));
                }
                (Value::Object(token), _) if key != EXTRA => {
                    let content = mark_special(token);
                    special.extend(content.filter(|_| !is_other_role(&key)));
                }
                _ => {}
            }
            self.values.insert(key, value);
        }
        let named = self.named_extra();
        self.other_roles.extend(named);
        let extra = self.values.get(EXTRA).and_then(Value::as_array).into_iter().flatten();
        let texts = ROLES.iter().filter_map(|role| self.values.get(*role)).chain(extra).filter_map(Value::as_str);
        special.extend(texts.map(str::to_owned));
        special
    }

    /// Takes the extra tokens out of the settings if each has a name, as a role has.
    fn named_extra(&mut self) -> Map<String, Value> {
        match self.values.remove(EXTRA) {
            Some(Value::Object(named)) => named,
            Some(other) => {
                self.values.insert(EXTRA.to_owned(), other);
                Map::new()
            }
            None => Map::new(),
        }
    }

    /// Returns the tokens with a role. A token that also has an id takes its flags from there.
    fn roles(&self, numbered: &[(u32, Flags)]) -> Result<Vec<(String, TokenSpec)>> {
        let mut roles = Vec::new();
        for role in ROLES {
            let default = self.class.default_token(role);
            let token = match self.values.get(role) {
                Some(Value::Null) if self.class.is_clip() && matches!(role, "bos_token" | "eos_token") => {
                    return Err(Error::checkpoint(&self.path, format!("says that there is no {role}; CLIP needs one")));
                }
                Some(Value::Null) => continue,
                Some(token) => {
                    let token: TokenSpec = self.parse(token)?;
                    let same = numbered.iter().rfind(|(_, other)| other.content == token.content());
                    same.map_or(token, |(_, flags)| TokenSpec::Flags(flags.clone()))
                }
                None => match default {
                    Some(default) => TokenSpec::Text(default.to_owned()),
                    None => continue,
                },
            };
            roles.push((role.to_owned(), token));
        }
        let mut others: Map<String, Value> = Map::new();
        let is_token = |value: &Value| value.is_string() || value.get("__type").is_some();
        let here = self.values.iter().filter(|(key, value)| is_other_role(key) && is_token(value));
        others.extend(here.map(|(key, value)| (key.clone(), value.clone())));
        others.extend(self.other_roles.clone());
        for (role, token) in others {
            roles.push((role, self.parse(&token)?));
        }
        Ok(roles)
    }

    /// Returns the special tokens without a role.
    fn extra(&self) -> Result<Vec<TokenSpec>> {
        let extra = self.values.get(EXTRA).or_else(|| self.values.get(ADDITIONAL));
        extra.filter(|extra| !extra.is_null()).map_or_else(|| Ok(Vec::new()), |extra| self.parse(extra))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, json: &Value) -> Result<T> {
        T::deserialize(json).map_err(|e| Error::checkpoint(&self.path, format!("{e}: {json}")))
    }
}

/// Marks a token as special, as every token of `special_tokens_map.json` is. Returns its text.
fn mark_special(token: &mut Map<String, Value>) -> Option<String> {
    token.extend([("special".to_owned(), true.into()), ("__type".to_owned(), "AddedToken".into())]);
    token.get("content").and_then(Value::as_str).map(str::to_owned)
}

fn is_other_role(key: &str) -> bool {
    key.ends_with("_token") && !ROLES.contains(&key)
}

fn read_optional(files: &Files, name: &str) -> Result<Map<String, Value>> {
    if files.contains(name) { files.read_json(name) } else { Ok(Map::new()) }
}
