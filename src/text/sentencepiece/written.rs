//! What a `tokenizer.json` says of a unigram model.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The `model` of a `tokenizer.json`.
#[derive(Deserialize)]
pub(in super::super) struct WrittenPieces {
    #[serde(rename = "type")]
    kind: String,
    vocab: Vocabulary,
    pub unk_id: Option<u32>,
    #[serde(default)]
    pub byte_fallback: bool,
}

impl WrittenPieces {
    /// Takes the pieces and their scores.
    pub fn vocab(&mut self) -> Result<Vec<(String, f32)>, String> {
        match std::mem::replace(&mut self.vocab, Vocabulary::Other) {
            Vocabulary::List(pieces) if self.kind == "Unigram" => Ok(pieces),
            _ => Err(format!("holds a model of type {}; this checkpoint needs Unigram", self.kind)),
        }
    }
}

/// The pieces of a model, and their scores.
enum Vocabulary {
    List(Vec<(String, f32)>),
    /// That of a model of another type.
    Other,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of pieces and their scores")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocabulary, A::Error> {
                let mut pieces = Vec::new();
                while let Some(piece) = list.next_element()? {
                    pieces.push(piece);
                }
                Ok(Vocabulary::List(pieces))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Vocabulary::Other)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Finds the map of characters in the normalizer of a `tokenizer.json`.
pub(in super::super) fn charsmap(normalizer: &Value) -> Option<Vec<u8>> {
    let parts = normalizer.get("normalizers").and_then(Value::as_array);
    let mut parts = parts.map_or_else(|| vec![normalizer], |parts| parts.iter().collect()).into_iter();
    let base64 = parts.find_map(|part| part.get("precompiled_charsmap"))?.as_str()?;
    STANDARD.decode(base64).ok()
}
