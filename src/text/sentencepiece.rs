//! SentencePiece's unigram model: text -> normalized text -> the most likely pieces, in the same floats as the original, so
//! that ties fall alike. Read from a `.model` file, or from a `tokenizer.json` that was converted from one.

mod list;
mod parts;
mod proto;
mod written;

use list::{PieceKind, PieceList};
use prost::Message;
use proto::{ModelProto, PieceProto};
pub(super) use written::{WrittenPieces, charsmap, read};

use super::charsmap::Charsmap;
use super::pieces::Pieces;

/// A space in normalized text.
pub(super) const SPACE: &str = "\u{2581}";
/// The cost of an unknown character on top of that of the least likely piece.
const UNKNOWN_PENALTY: f32 = 10.0;

/// How spaces are treated by default.
const AS_WRITTEN: Spaces = Spaces { add_dummy_prefix: true, remove_extra: true, escape: true };

/// How spaces are treated.
#[derive(Debug)]
struct Spaces {
    add_dummy_prefix: bool,
    remove_extra: bool,
    escape: bool,
}

/// A model.
#[derive(Debug)]
pub(super) struct SentencePiece {
    charsmap: Charsmap,
    spaces: Spaces,
    /// Every piece, by its text.
    ids: Pieces,
    kinds: Vec<PieceKind>,
    scores: Vec<f32>,
    /// The scores of the least and of the most likely piece.
    least: f32,
    most: f32,
    /// The lengths in bytes that pieces have, shortest first.
    lengths: Vec<usize>,
    unknown: u32,
    byte_fallback: bool,
    has_user_defined: bool,
    /// Whether sums of scores are rounded to f32, as in the original. Those of the `tokenizers` crate are not.
    rounds: bool,
}

impl SentencePiece {
    /// Reads a `.model` file.
    ///
    /// # Errors
    /// One line: what the file is not.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let model = ModelProto::decode(bytes).map_err(|_| "is not a SentencePiece model, or is damaged")?;
        let (Some(trainer), Some(normalizer)) = (model.trainer, model.normalizer) else {
            return Err("is cut off: the part after the pieces of a SentencePiece model is missing".to_owned());
        };
        match trainer.model_type.unwrap_or(1) {
            1 => {}
            2 => return Err("holds a BPE model; zsic reads unigram models".to_owned()),
            other => return Err(format!("holds a model of type {other}; zsic reads unigram models")),
        }
        if trainer.treat_whitespace_as_suffix {
            return Err("puts spaces after words (treat_whitespace_as_suffix), which is not supported".to_owned());
        }
        let spaces = Spaces {
            add_dummy_prefix: normalizer.add_dummy_prefix.unwrap_or(true),
            remove_extra: normalizer.remove_extra_whitespaces.unwrap_or(true),
            escape: normalizer.escape_whitespaces.unwrap_or(true),
        };
        let charsmap = Charsmap::read(&normalizer.precompiled_charsmap)?;
        let mut pieces = PieceList::default();
        for PieceProto { piece, score, kind } in model.pieces {
            let kind = kind.map_or(Ok(PieceKind::Normal), PieceKind::try_from);
            pieces.push(&piece, score, kind.map_err(|_| "holds a piece of an unknown kind")?);
        }
        Self::new(pieces, charsmap, spaces, trainer.byte_fallback)
    }

    /// Takes what a `tokenizer.json` says. `charsmap` is the `Precompiled` part of its normalizer. The file does not
    /// say which pieces are not text, so those that look like `<s>` and the unknown one count as such.
    ///
    /// # Errors
    /// One line: what the file is not.
    pub fn written(model: WrittenPieces, charsmap: &[u8]) -> Result<Self, String> {
        let (unknown, byte_fallback) = (model.unk_id, model.byte_fallback);
        let mut pieces = model.vocab()?;
        pieces.set_unknown(unknown);
        Self::new(pieces, Charsmap::read(charsmap)?, AS_WRITTEN, byte_fallback)
    }

    /// Takes what a `tokenizer.json` says about a model that runs on words with visible spaces. Every piece except the
    /// unknown one is text.
    ///
    /// # Errors
    /// One line: what the file is not.
    pub fn of_words(model: WrittenPieces) -> Result<Self, String> {
        let (unknown, byte_fallback) = (model.unk_id, model.byte_fallback);
        let mut pieces = model.vocab()?;
        pieces.kinds.fill(PieceKind::Normal);
        pieces.set_unknown(unknown);
        let model = Self::new(pieces, Charsmap::default(), AS_WRITTEN, byte_fallback)?;
        Ok(Self { rounds: false, ..model })
    }

    /// Reads a `.model` file for such a model, with the ids that fairseq gave its pieces: the first three are new, and
    /// the last is a mask. Also returns the bytes of its character map.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn in_fairseq_order(bytes: &[u8]) -> Result<(Self, Vec<u8>), String> {
        let model = ModelProto::decode(bytes).map_err(|_| "is not a SentencePiece model, or is damaged")?;
        let mut pieces = PieceList::default();
        for first in ["<s>", "<pad>", "</s>"] {
            pieces.push(first, 0.0, PieceKind::Normal);
        }
        pieces.push("<unk>", 0.0, PieceKind::Unknown);
        model.pieces.iter().skip(3).for_each(|piece| pieces.push(&piece.piece, piece.score, PieceKind::Normal));
        pieces.push("<mask>", 0.0, PieceKind::Normal);
        let charsmap = model.normalizer.map(|normalizer| normalizer.precompiled_charsmap).unwrap_or_default();
        let model = Self::new(pieces, Charsmap::default(), AS_WRITTEN, false)?;
        Ok((Self { rounds: false, ..model }, charsmap))
    }

    fn new(pieces: PieceList, charsmap: Charsmap, spaces: Spaces, byte_fallback: bool) -> Result<Self, String> {
        let lengths = pieces.lengths();
        let PieceList { ids, scores, kinds, .. } = pieces;
        let unknown = kinds.iter().position(|kind| *kind == PieceKind::Unknown).ok_or("has no unknown piece")? as u32;
        let normal =
            || scores.iter().zip(&kinds).filter(|(_, kind)| **kind == PieceKind::Normal).map(|(score, _)| *score);
        let (least, most) = (normal().fold(f32::MAX, f32::min), normal().fold(f32::MIN, f32::max));
        let has_user_defined = kinds.contains(&PieceKind::UserDefined);
        let ids = ids.build();
        let rounds = true;
        Ok(Self {
            charsmap,
            spaces,
            ids,
            kinds,
            scores,
            least,
            most,
            lengths,
            unknown,
            byte_fallback,
            has_user_defined,
            rounds,
        })
    }

    /// Returns the number of pieces.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Returns the id of a piece.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece)
    }

    /// Returns the id of unknown text, unless it is spelled in bytes.
    pub fn unknown(&self) -> Option<u32> {
        (!self.byte_fallback).then_some(self.unknown)
    }

    /// Returns the ids of a text's pieces. Unknown neighbours are one piece, or their bytes.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.ids(&self.normalize(text))
    }

    /// Returns the ids of the pieces of normalized text.
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for (id, piece) in self.pieces(text) {
            match () {
                () if id != self.unknown => ids.push(id),
                () if self.byte_fallback => {
                    let byte = |byte: u8| self.id(&format!("<0x{byte:02X}>")).unwrap_or(self.unknown);
                    ids.extend(piece.bytes().map(byte));
                }
                () if ids.last() != Some(&self.unknown) => ids.push(id),
                () => {}
            }
        }
        ids
    }

    /// Maps characters, and makes spaces visible.
    fn normalize(&self, text: &str) -> String {
        let Spaces { add_dummy_prefix, remove_extra, escape } = self.spaces;
        let mut rest = text;
        if remove_extra {
            while let (" ", length) = self.next(rest) {
                rest = &rest[length..];
            }
        }
        let space = if escape { SPACE } else { " " };
        let mut normalized = String::with_capacity(2 * text.len());
        if rest.is_empty() {
            return normalized;
        }
        if add_dummy_prefix {
            normalized += space;
        }
        let mut after_space = remove_extra;
        while !rest.is_empty() {
            let (mut mapped, length) = self.next(rest);
            if after_space {
                mapped = mapped.trim_start_matches(' ');
            }
            if !mapped.is_empty() {
                mapped.split_inclusive(' ').for_each(|part| match part.strip_suffix(' ') {
                    Some(part) => normalized.extend([part, space]),
                    None => normalized += part,
                });
                after_space = remove_extra && mapped.ends_with(' ');
            }
            rest = &rest[length..];
        }
        if remove_extra {
            normalized.truncate(normalized.trim_end_matches(space).len());
        }
        normalized
    }

    /// Maps the beginning of a text. Returns what it becomes, and how long it is. A user-defined piece stays as it is.
    fn next<'a>(&'a self, text: &'a str) -> (&'a str, usize) {
        let is_defined =
            |end: &usize| self.id(&text[..*end]).is_some_and(|id| self.kinds[id as usize] == PieceKind::UserDefined);
        let defined = self.has_user_defined.then(|| self.ends(text).rev().find(is_defined)).flatten();
        defined.map_or_else(|| self.charsmap.next(text), |end| (&text[..end], end))
    }

    /// Returns the places where a piece at the beginning of `text` may end.
    fn ends<'a>(&'a self, text: &'a str) -> impl DoubleEndedIterator<Item = usize> + 'a {
        let fitting = self.lengths.partition_point(|length| *length <= text.len());
        self.lengths[..fitting].iter().copied().filter(|&end| text.is_char_boundary(end))
    }

    /// Splits normalized text into the most likely pieces (EncodeOptimized of unigram_model.cc).
    fn pieces<'a>(&self, text: &'a str) -> Vec<(u32, &'a str)> {
        #[derive(Clone, Copy)]
        struct Best {
            score: f64,
            start: usize,
            id: u32,
        }
        let rounded = |sum: f64| if self.rounds { f64::from(sum as f32) } else { sum };
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1]; // by where a piece ends
        let unknown_score = self.least - UNKNOWN_PENALTY;
        for (start, first) in text.char_indices() {
            let before = best[start].map_or(0.0, |best| best.score);
            let mut offer = |end: usize, id: u32, score: f64| {
                if best[end].is_none_or(|best| score > best.score) {
                    best[end] = Some(Best { score: rounded(score), start, id });
                }
            };
            let mut is_single = false;
            for length in self.ends(&text[start..]) {
                let Some(id) = self.id(&text[start..start + length]) else { continue };
                let score = match self.kinds[id as usize] {
                    PieceKind::Normal => f64::from(self.scores[id as usize]),
                    PieceKind::UserDefined => f64::from(length as f32 * self.most) - 0.1,
                    _ => continue,
                };
                offer(start + length, id, score + before);
                is_single |= length == first.len_utf8();
            }
            if !is_single {
                offer(start + first.len_utf8(), self.unknown, rounded(f64::from(unknown_score) + before));
            }
        }
        let mut pieces = Vec::new();
        let mut end = text.len();
        while let Some(Best { start, id, .. }) = best[end].filter(|_| end > 0) {
            pieces.push((id, &text[start..end]));
            end = start;
        }
        pieces.reverse();
        pieces
    }
}
