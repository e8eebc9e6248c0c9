//! The pieces of a unigram model that were read so far. Their texts are not kept.

use crate::text::pieces::Builder;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
pub(super) enum PieceKind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// Pieces in the order of their ids.
#[derive(Default)]
pub(in crate::text) struct PieceList {
    pub(super) ids: Builder,
    pub(super) scores: Vec<f32>,
    pub(super) kinds: Vec<PieceKind>,
    /// Whether a piece has as many bytes.
    has_length: Vec<bool>,
}

impl PieceList {
    /// Makes room for `count` pieces.
    pub fn with_capacity(count: usize) -> Self {
        let (scores, kinds) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { ids: Builder::with_capacity(count), scores, kinds, has_length: Vec::new() }
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, piece: &str, score: f32, kind: PieceKind) {
        self.ids.insert(piece, self.len() as u32);
        self.scores.push(score);
        self.kinds.push(kind);
        self.has_length.resize(self.has_length.len().max(piece.len() + 1), false);
        self.has_length[piece.len()] = true;
    }

    /// Adds a piece of the kind that its text suggests: `<0x0A>` is a byte, `<s>` is not text.
    pub fn push_by_look(&mut self, piece: &str, score: f32) {
        let kind = match () {
            () if is_byte(piece) => PieceKind::Byte,
            () if piece.len() > 2 && piece.starts_with('<') && piece.ends_with('>') => PieceKind::Control,
            () => PieceKind::Normal,
        };
        self.push(piece, score, kind);
    }

    /// Returns how many pieces there are.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Adds the pieces of `others`.
    pub fn append(&mut self, others: Self) {
        self.ids.append(others.ids, self.len() as u32);
        self.scores.extend(others.scores);
        self.kinds.extend(others.kinds);
        self.has_length.resize(self.has_length.len().max(others.has_length.len()), false);
        self.has_length.iter_mut().zip(others.has_length).for_each(|(has, other)| *has |= other);
    }

    /// Makes a piece the unknown one, if it exists.
    pub fn set_unknown(&mut self, id: Option<u32>) {
        if let Some(kind) = id.and_then(|id| self.kinds.get_mut(id as usize)) {
            *kind = PieceKind::Unknown;
        }
    }

    /// Returns the lengths in bytes that pieces have, shortest first.
    pub fn lengths(&self) -> Vec<usize> {
        (1..self.has_length.len()).filter(|length| self.has_length[*length]).collect()
    }
}

fn is_byte(piece: &str) -> bool {
    let digits = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}
