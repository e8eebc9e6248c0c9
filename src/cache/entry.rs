//! What the store's file holds: entries by kind and scope, and what reads and writes carry.

use super::keys::CacheKey;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file's stamp -> the hash of its content.
    File,
    /// An image -> its embedding.
    Image,
    /// A label's prompts -> its embedding.
    Label,
    /// A text -> its embedding.
    Text,
}

impl EntryKind {
    pub(super) const ALL: [Self; 4] = [Self::File, Self::Image, Self::Label, Self::Text];

    /// Returns its name: `file`, `image`, `label`, `text`.
    pub fn name(self) -> &'static str {
        ["file", "image", "label", "text"][self as usize]
    }
}

/// An entry to keep.
#[derive(Debug)]
pub(super) struct CacheEntry {
    pub key: CacheKey,
    pub kind: EntryKind,
    /// The scope it belongs to; 0 for files.
    pub scope: i64,
    pub value: Vec<u8>,
}

/// The contents of one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub entries: Vec<CacheEntry>,
    /// Entries used now, but not in the last hour.
    pub used: Vec<CacheKey>,
    /// Names of scopes.
    pub names: Vec<(i64, String)>,
}

/// The entries found, and those of them not used in the last hour.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub values: Vec<Option<Vec<u8>>>,
    pub stale: Vec<CacheKey>,
}

/// Entries of one kind and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The kind of the entries.
    pub kind: EntryKind,
    /// The checkpoint and arithmetic they belong to; None for files.
    pub scope: Option<String>,
    /// The number of entries.
    pub entries: u64,
    /// The bytes of their values.
    pub bytes: u64,
}
