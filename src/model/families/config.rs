//! Reads `config.json` key by key. A missing key takes the family's default, and a value that no model has is refused
//! by name.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::spec::{BlockSpec, HiddenAct, ImageStem, TokenStem, TowerSpec};

/// The largest size that a model may have. A file with a larger one is damaged.
const LARGEST: usize = 1 << 24;

/// The file, or one of its sections.
pub(super) struct Section<'a> {
    /// Empty for the file.
    name: &'static str,
    keys: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    /// Takes the whole file.
    pub fn whole(config: &'a Value) -> Self {
        Self { name: "", keys: config.as_object() }
    }

    /// Returns the first of some sections that exists, or an empty one.
    pub fn section(&self, names: &[&'static str]) -> Result<Self, String> {
        for &name in names {
            match self.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::Object(keys)) => return Ok(Self { name, keys: Some(keys) }),
                Some(other) => return Err(self.refuse(name, shown(other), "an object")),
            }
        }
        Ok(Self { name: names[0], keys: None })
    }

    /// Returns whether it has any keys.
    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Returns whether a key has a value that is not null, false or zero.
    pub fn has(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)) && value.as_f64() != Some(0.0))
    }

    /// Returns whether a key has a list.
    pub fn is_list(&self, key: &str) -> bool {
        self.get(key).is_some_and(Value::is_array)
    }

    /// Reads a text, if the key has one.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.refuse(key, shown(other), "a text")),
        }
    }

    /// Reads a switch. Null is its default.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        self.read(key, default, "true or false", |value| if value.is_null() { Some(default) } else { value.as_bool() })
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.keys?.get(key)
    }

    /// Formats an error: the key, its value, and what it should be.
    pub fn refuse(&self, key: &str, value: impl Display, expected: impl Display) -> String {
        let dot = if self.name.is_empty() { "" } else { "." };
        let default = if self.get(key).is_none() { " by default" } else { "" };
        format!("{}{dot}{key} is {value}{default}; expected {expected}", self.name)
    }

    /// Reads a value. `read` returns None for one that is not `expected`.
    pub fn read<T>(
        &self,
        key: &str,
        default: T,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, String> {
        let Some(value) = self.get(key) else { return Ok(default) };
        read(value).ok_or_else(|| self.refuse(key, shown(value), expected))
    }

    /// Reads a size.
    pub fn size(&self, key: &str, default: usize) -> Result<usize, String> {
        let size = |value: &Value| usize::try_from(value.as_u64()?).ok().filter(|size| (1..=LARGEST).contains(size));
        self.read(key, default, &format!("a whole number from 1 to {LARGEST}"), size)
    }

    /// Reads a size whose null means the default.
    pub fn size_or_null(&self, key: &str, default: usize) -> Result<usize, String> {
        if self.get(key) == Some(&Value::Null) { Ok(default) } else { self.size(key, default) }
    }

    /// Reads an image tower over its defaults.
    pub fn image_tower(&self, default: TowerSpec<ImageStem>) -> Result<TowerSpec<ImageStem>, String> {
        let side = self.size("image_size", default.stem.side)?;
        let patch = self.size("patch_size", default.stem.patch)?;
        let channels = self.size("num_channels", 3)?;
        if channels != 3 {
            return Err(self.refuse("num_channels", channels, 3));
        }
        if patch > side {
            return Err(self.refuse("patch_size", patch, format!("no more than image_size, {side}")));
        }
        let stem = ImageStem { side, patch, ..default.stem };
        Ok(TowerSpec { stem, blocks: self.blocks(default.blocks)?, ..default })
    }

    /// Reads a text tower over its defaults. A prompt is no longer than the positions and the default's length.
    pub fn text_tower(&self, default: TowerSpec<TokenStem>) -> Result<TowerSpec<TokenStem>, String> {
        let positions = self.size("max_position_embeddings", default.stem.positions)?;
        let vocabulary = self.size("vocab_size", default.stem.vocabulary)?;
        let before = default.stem.uncounted.map_or(0, |id| id as usize + 1);
        let length = positions.saturating_sub(before).min(default.stem.length);
        let stem = TokenStem { vocabulary, positions, length, ..default.stem };
        Ok(TowerSpec { stem, blocks: self.blocks(default.blocks)?, ..default })
    }

    fn blocks(&self, default: BlockSpec) -> Result<BlockSpec, String> {
        let width = self.size("hidden_size", default.width)?;
        let heads = self.size("num_attention_heads", default.heads)?;
        if width % heads != 0 {
            return Err(self.refuse("num_attention_heads", heads, format!("a divisor of hidden_size, {width}")));
        }
        let known = "quick_gelu, gelu, gelu_new, gelu_pytorch_tanh or relu";
        let eps = |value: &Value| value.as_f64().filter(|eps| (0.0..=1.0).contains(eps));
        Ok(BlockSpec {
            width,
            heads,
            mlp_width: self.size("intermediate_size", default.mlp_width)?,
            layers: self.size("num_hidden_layers", default.layers)?,
            act: self.read("hidden_act", default.act, known, |value| HiddenAct::deserialize(value).ok())?,
            eps: self.read("layer_norm_eps", default.eps, "a number from 0 to 1", eps)?,
            mask: default.mask,
            order: default.order,
        })
    }
}

/// Returns a value, shortened.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.len() > 60 => "a long text".to_owned(),
        other => other.to_string(),
    }
}
