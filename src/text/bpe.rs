//! Byte-pair encoding over whole texts, with single bytes for what the vocabulary lacks: Gemma's. The `tokenizers`
//! crate gives the same ids but takes ten times as long to read such a vocabulary.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::{Model, Token};

use super::pieces::{Builder, Pieces, Text};

/// The numbers of Gemma's pieces and merges. Room for that many is made at once.
const GEMMA: (usize, usize) = (256_000, 580_604);

/// The `model` of a `tokenizer.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Bpe {
    vocab: Vocab,
    merges: Merges,
    /// The piece for text that cannot be spelled.
    #[serde(skip)]
    pub unknown: String,
}

/// Pieces and their ids.
#[derive(Debug)]
struct Vocab(Pieces);

/// Pairs of pieces and their ranks.
#[derive(Debug)]
struct Merges(Pieces);

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("pieces and their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut pieces = Builder::with_capacity(GEMMA.0);
                while let Some(Text(piece)) = map.next_key::<Text<'de>>()? {
                    pieces.insert(&*piece, map.next_value()?);
                }
                Ok(Vocab(pieces.build()))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Merges;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merges, A::Error> {
                let mut pairs = Builder::with_capacity(GEMMA.1);
                for rank in 0.. {
                    let Some(merge) = list.next_element::<Merge<'de>>()? else { break };
                    let (left, right) = merge.pair().map_err(serde::de::Error::custom)?;
                    pairs.insert((left, right), rank);
                }
                Ok(Merges(pairs.build()))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// `"a b"` or `["a", "b"]`: older and newer files.
enum Merge<'a> {
    Line(Text<'a>),
    Pair(Text<'a>, Text<'a>),
}

impl<'de> Deserialize<'de> for Merge<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("two pieces")
            }

            fn visit_borrowed_str<E>(self, line: &'de str) -> Result<Merge<'de>, E> {
                Ok(Merge::Line(Text(line.into())))
            }

            fn visit_str<E>(self, line: &str) -> Result<Merge<'de>, E> {
                Ok(Merge::Line(Text(line.to_owned().into())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Merge<'de>, A::Error> {
                let mut next = || pair.next_element()?.ok_or_else(|| serde::de::Error::custom("a merge of one piece"));
                Ok(Merge::Pair(next()?, next()?))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Merge<'_> {
    fn pair(&self) -> Result<(&str, &str), String> {
        match self {
            Self::Pair(Text(left), Text(right)) => Ok((left, right)),
            Self::Line(Text(line)) => line.split_once(' ').ok_or_else(|| format!("a merge of one piece: {line:?}")),
        }
    }
}

/// A piece of a text while it is merged.
struct Symbol {
    /// Its place in the spelled text. Empty once it is part of another.
    place: Range<usize>,
    /// The neighbours' numbers; None at the ends of the text.
    left: Option<usize>,
    right: Option<usize>,
}

impl Bpe {
    /// Spells a text in pieces of one character, or in bytes for characters without a piece. Returns it with their
    /// places.
    fn spell(&self, text: &str) -> (String, Vec<Range<usize>>) {
        let (mut spelled, mut places) = (String::with_capacity(text.len()), Vec::new());
        let mut was_unknown = false;
        for c in text.chars() {
            let mut buffer = [0; 4];
            let piece = &*c.encode_utf8(&mut buffer);
            let mut add = |piece: &str| {
                places.push(spelled.len()..spelled.len() + piece.len());
                spelled += piece;
            };
            let bytes = || piece.bytes().map(|byte| format!("<0x{byte:02X}>")).collect::<Vec<_>>();
            let is_known = self.vocab.0.get(piece).is_some();
            let bytes = if is_known { Vec::new() } else { bytes() };
            let is_spelled = !is_known && bytes.iter().all(|byte| self.vocab.0.get(byte.as_str()).is_some());
            match () {
                () if is_known => add(piece),
                () if is_spelled => bytes.iter().for_each(|byte| add(byte)),
                () if was_unknown => {} // neighbours that cannot be spelled count as one
                () => add(&self.unknown),
            }
            was_unknown = !is_known && !is_spelled;
        }
        (spelled, places)
    }

    /// Merges neighbours, best rank first, and of equal ranks the first in the text.
    fn merge(&self, spelled: &str, places: Vec<Range<usize>>) -> Vec<Range<usize>> {
        let last = places.len().saturating_sub(1);
        let symbol = |(at, place): (usize, Range<usize>)| Symbol {
            place,
            left: at.checked_sub(1),
            right: (at < last).then_some(at + 1),
        };
        let mut symbols: Vec<Symbol> = places.into_iter().enumerate().map(symbol).collect();
        let rank = |symbols: &[Symbol], left: usize, right: usize| {
            self.merges.0.get((&spelled[symbols[left].place.clone()], &spelled[symbols[right].place.clone()]))
        };
        let pairs =
            (1..symbols.len()).filter_map(|right| Some(Reverse((rank(&symbols, right - 1, right)?, right - 1))));
        let mut queue: BinaryHeap<Reverse<(u32, usize)>> = pairs.collect();
        while let Some(Reverse((best, left))) = queue.pop() {
            let Some(right) = symbols[left].right.filter(|_| !symbols[left].place.is_empty()) else { continue };
            if rank(&symbols, left, right) != Some(best) {
                continue; // one of the two has changed since
            }
            symbols[left].place.end = symbols[right].place.end;
            symbols[left].right = symbols[right].right;
            symbols[right].place = 0..0;
            if let Some(next) = symbols[left].right {
                symbols[next].left = Some(left);
                queue.extend(rank(&symbols, left, next).map(|rank| Reverse((rank, left))));
            }
            if let Some(before) = symbols[left].left {
                queue.extend(rank(&symbols, before, left).map(|rank| Reverse((rank, before))));
            }
        }
        symbols.into_iter().map(|symbol| symbol.place).filter(|place| !place.is_empty()).collect()
    }
}

impl Model for Bpe {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let (spelled, places) = self.spell(text);
        let token = |place: Range<usize>| {
            let piece = &spelled[place.clone()];
            let missing = || format!("the vocabulary lacks {piece:?}, which a merge makes");
            let id = self.vocab.0.get(piece).ok_or_else(missing)?;
            // Nothing uses a token's place in the text.
            Ok(Token::new(id, piece.to_owned(), (0, 0)))
        };
        self.merge(&spelled, places).into_iter().map(token).collect()
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.vocab.0.get(token)
    }

    fn id_to_token(&self, _: u32) -> Option<String> {
        None // ids are never turned into text
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        HashMap::new()
    }

    fn get_vocab_size(&self) -> usize {
        self.vocab.0.len()
    }

    fn save(&self, _: &Path, _: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("a vocabulary is not written".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        TrainerWrapper::BpeTrainer(BpeTrainer::default())
    }
}
