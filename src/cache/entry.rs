//! What the store's file holds: entries by kind and scope, and what reads and writes carry.

use super::keys::Key;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file's stamp -> the hash of its content.
    File,
    /// An image -> its embedding.
    Image,
    /// A label's prompts -> its embedding.
    Label,
    /// A text -> its embedding.
    Text,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::File, Self::Image, Self::Label, Self::Text];

    /// Returns its name: `file`, `image`, `label`, `text`.
    pub fn name(self) -> &'static str {
        ["file", "image", "label", "text"][self as usize]
    }
}

/// An entry to keep.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: Key,
    pub kind: Kind,
    /// The scope it belongs to; 0 for files.
    pub scope: i64,
    pub value: Vec<u8>,
}

/// The contents of one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    /// Entries used now, but not in the last hour.
    pub used: Vec<Key>,
    /// Names of scopes.
    pub names: Vec<(i64, String)>,
}

/// The entries found, and those of them not used in the last hour.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub values: Vec<Option<Vec<u8>>>,
    pub stale: Vec<Key>,
}

/// Entries of one kind and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The kind of the entries.
    pub kind: Kind,
    /// The checkpoint and arithmetic they belong to; None for files.
    pub scope: Option<String>,
    /// The number of entries.
    pub entries: u64,
    /// The bytes of their values.
    pub bytes: u64,
}
