//! What a `tokenizer.json` says of a unigram model.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::Result;
use crate::checkpoint::Files;
use crate::checkpoint::file_names::TOKENIZER;
use crate::text::pieces::Text;
use crate::text::sentencepiece::list::PieceList;
use crate::text::sentencepiece::parts;

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
    /// Returns the pieces and their scores.
    pub fn vocab(self) -> std::result::Result<PieceList, String> {
        match self.vocab {
            Vocabulary::List(pieces) if self.kind == "Unigram" => Ok(pieces),
            _ => Err(format!("holds a model of type {}; this checkpoint needs Unigram", self.kind)),
        }
    }
}

/// Reads a `tokenizer.json`. `model` finds the model in it.
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) naming the file.
pub(in super::super) fn read<T: DeserializeOwned>(
    files: &Files,
    model: impl Fn(&mut T) -> &mut WrittenPieces,
) -> Result<T> {
    files.check_small(TOKENIZER)?;
    let parts = files.open(TOKENIZER).ok().and_then(|file| parts::read(&file));
    if let Some((rest, pieces)) = parts
        && let Ok(mut read) = serde_json::from_slice(&rest)
        && let Vocabulary::List(first) = &mut model(&mut read).vocab
        && first.len() == 1
    {
        first.append(pieces);
        return Ok(read);
    }
    files.read_json(TOKENIZER)
}

/// The pieces of a model, and their scores.
enum Vocabulary {
    List(PieceList),
    /// That of a model of another type.
    Other,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of pieces and their scores")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Vocabulary, A::Error> {
                let mut pieces = PieceList::default();
                while let Some((Text(piece), score)) = list.next_element::<(Text<'de>, f32)>()? {
                    pieces.push_by_look(&piece, score);
                }
                Ok(Vocabulary::List(pieces))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Vocabulary, A::Error> {
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
