//! The journal of an output's records: the place of each record, its image and that image's version, whether it is a
//! failure, and a checksum. An entry is written after its record, so after a stop the shorter of the two counts.
//! Entries have a fixed length, so a torn one is visible.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;

use ring::digest::{Context, SHA256, digest};

use zsic::pipeline::Version;
use zsic::system::file::read_exact_at;

/// Bytes of an entry.
pub const ENTRY: u64 = 64;
/// Entries copied together.
const TOGETHER: u64 = 1 << 12;
/// Bytes of the hash of an image's name.
const NAME: usize = 16;
/// Bytes of a record's checksum.
const CHECK: usize = 8;

/// The hash of an image's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; NAME]);

impl Key {
    /// Returns the key of a name.
    pub fn of(name: &str) -> Self {
        Self(first(digest(&SHA256, name.as_bytes()).as_ref()))
    }

    /// Returns the start of the key as a number.
    pub fn number(&self) -> u64 {
        u64::from_be_bytes(first(&self.0))
    }
}

/// The subject of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Of {
    /// The image's name.
    pub key: Key,
    /// The image's version.
    pub version: Version,
    /// Whether the record is a failure.
    pub failed: bool,
}

impl Of {
    /// Describes the record of the image `name`.
    pub fn new(name: &str, version: Version, failed: bool) -> Self {
        Self { key: Key::of(name), version, failed }
    }
}

/// One record in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalEntry {
    /// Where the record begins.
    pub start: u64,
    /// Bytes of the record.
    pub length: u32,
    /// Its subject.
    pub of: Of,
    check: [u8; CHECK],
}

impl JournalEntry {
    /// Describes `record`, which begins at `start`.
    pub fn new(start: u64, record: &[u8], of: Of) -> Self {
        let mut entry = Self { start, length: record.len() as u32, of, check: [0; CHECK] };
        entry.check = entry.check_of(record);
        entry
    }

    /// Returns the entry for the same record at a new `start`.
    pub fn moved_to(self, start: u64) -> Self {
        Self { start, ..self }
    }

    /// Returns the end of the record.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.length.into())
    }

    /// Returns whether this is the record, bit for bit.
    pub fn is_of(&self, record: &[u8]) -> bool {
        self.length as usize == record.len() && self.check == self.check_of(record)
    }

    /// Compares everything but the place, which may change.
    fn check_of(&self, record: &[u8]) -> [u8; CHECK] {
        let mut context = Context::new(&SHA256);
        context.update(&self.of.key.0);
        context.update(self.of.version.bytes());
        context.update(&[self.of.failed.into()]);
        context.update(record);
        first(context.finish().as_ref())
    }

    /// Returns the bytes of the entry.
    pub fn to_bytes(self) -> [u8; ENTRY as usize] {
        let mut bytes = [0; ENTRY as usize];
        bytes[..8].copy_from_slice(&self.start.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12] = self.of.failed.into();
        bytes[16..32].copy_from_slice(&self.of.key.0);
        bytes[32..56].copy_from_slice(self.of.version.bytes());
        bytes[56..].copy_from_slice(&self.check);
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY as usize]) -> Self {
        Self {
            start: u64::from_le_bytes(first(bytes)),
            length: u32::from_le_bytes(first(&bytes[8..])),
            of: Of {
                key: Key(first(&bytes[16..])),
                version: Version::from_bytes(first(&bytes[32..])),
                failed: bytes[12] != 0,
            },
            check: first(&bytes[56..]),
        }
    }
}

/// Returns the first `N` of at least as many bytes.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&bytes[..N]);
    first
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// The start of the first entry.
    base: u64,
    /// The number of complete entries.
    pub count: u64,
}

impl Journal {
    /// Reads the entries of `file` from `base` on.
    ///
    /// # Errors
    /// If the length of the file is unknown.
    pub fn new(file: File, base: u64) -> io::Result<Self> {
        let count = file.metadata()?.len().saturating_sub(base) / ENTRY;
        Ok(Self { file, base, count })
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn entry(&self, index: u64) -> io::Result<JournalEntry> {
        let mut bytes = [0; ENTRY as usize];
        read_exact_at(&self.file, &mut bytes, self.base + index * ENTRY)?;
        Ok(JournalEntry::from_bytes(&bytes))
    }

    /// Reads some consecutive entries.
    pub fn entries(&self, range: Range<u64>) -> impl Iterator<Item = io::Result<JournalEntry>> {
        range.map(|index| self.entry(index))
    }

    /// Writes all entries to `out`.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut bytes = vec![0; (TOGETHER * ENTRY) as usize];
        for first in (0..self.count).step_by(TOGETHER as usize) {
            let some = &mut bytes[..(TOGETHER.min(self.count - first) * ENTRY) as usize];
            read_exact_at(&self.file, some, self.base + first * ENTRY)?;
            out.write_all(some)?;
        }
        Ok(())
    }
}

/// Reads the record of an entry from `file`, or returns None if the record is damaged.
///
/// # Errors
/// If it cannot be read.
pub fn record(file: &File, entry: &JournalEntry) -> io::Result<Option<Vec<u8>>> {
    if entry.end() > file.metadata()?.len() {
        return Ok(None); // a damaged entry may state any length
    }
    let mut record = vec![0; entry.length as usize];
    read_exact_at(file, &mut record, entry.start)?;
    Ok(entry.is_of(&record).then_some(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_record_and_its_entry_counts() {
        let of = Of::new("a.jpg", Version::from_bytes([7; 24]), true);
        let entry = JournalEntry::new(5, b"a record\n", of);
        assert_eq!((entry.start, entry.end()), (5, 14));
        assert_eq!(JournalEntry::from_bytes(&entry.to_bytes()), entry);
        for bit in 0..9 * 8 {
            let mut record = *b"a record\n";
            record[bit / 8] ^= 1 << (bit % 8);
            assert!(!entry.is_of(&record), "{bit}");
        }
        for bit in (8 * 8..12 * 8 + 1).chain(16 * 8..64 * 8) {
            let mut bytes = entry.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!JournalEntry::from_bytes(&bytes).is_of(b"a record\n"), "{bit}");
        }
    }
}
