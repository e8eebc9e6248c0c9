//! The entries of a walk, and the counts of files that it skips.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::decode::{ending, is_video};
use super::{ImageError, Input, Name};

/// An image to read, or the reason why it was not found, in a message that does not name it yet.
pub type Entry = std::result::Result<Input, (Name, ImageError)>;

/// The most kinds of files with a count of their own.
const KINDS: usize = 100;
/// The most characters of an ending with a count of its own.
const LONGEST: usize = 10;

/// A kind of file that a walk skips.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// A file with this ending, in lower case.
    Ending(String),
    /// A file whose name has no ending.
    NoEnding,
    /// A file with an ending that has no count of its own.
    OtherEnding,
    /// A video, which is not supported, with its ending in lower case.
    Video(String),
    /// A link to nothing, or any link in a tar.
    Link,
    /// A link to a folder, in a walk that does not follow such links.
    LinkedFolder,
    /// A pipe, socket or device.
    Special,
}

impl Skipped {
    /// Returns the kind of a file by its name and its first bytes.
    pub(super) fn of(path: &Path, head: &[u8]) -> Self {
        let ending = ending(path).unwrap_or_default();
        let is_plain = ending.chars().count() <= LONGEST && ending.chars().all(char::is_alphanumeric);
        match ending {
            ending if is_video(path, head) => Self::Video(if is_plain { ending } else { String::new() }),
            ending if ending.is_empty() => Self::NoEnding,
            ending if is_plain => Self::Ending(ending),
            _ => Self::OtherEnding,
        }
    }
}

/// Receives each skipped file.
type Listener = Box<dyn Fn(&Name, &Skipped) + Send + Sync>;

/// Counts what a walk skips.
#[derive(Default)]
pub struct Tally {
    skipped: AtomicU64,
    elsewhere: AtomicU64,
    kinds: Mutex<BTreeMap<Skipped, u64>>,
    listener: Option<Listener>,
}

impl Tally {
    /// Returns a tally that calls `listener` for each skipped file.
    pub fn telling(listener: impl Fn(&Name, &Skipped) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Box::new(listener)), ..Self::default() }
    }

    /// Returns the number of files in folders and tars that are not images, and of links to folders.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Returns the number for each kind of file.
    pub fn kinds(&self) -> BTreeMap<Skipped, u64> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of files in other shares. It includes unopened files that only their first bytes would
    /// identify.
    pub fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Ordering::Relaxed)
    }

    pub(super) fn skip(&self, name: &Name, kind: Skipped) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        if let Some(tell) = &self.listener {
            tell(name, &kind);
        }
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let is_apart = kinds.len() < KINDS || kinds.contains_key(&kind);
        let kind = match kind {
            Skipped::Ending(_) if !is_apart => Skipped::OtherEnding,
            Skipped::Video(_) if !is_apart => Skipped::Video(String::new()),
            kind => kind,
        };
        *kinds.entry(kind).or_default() += 1;
    }

    pub(super) fn pass_elsewhere(&self) {
        self.elsewhere.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("skipped", &self.skipped).field("elsewhere", &self.elsewhere).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_name_and_content() {
        let kind = |name: &str, head: &[u8]| Skipped::of(Path::new(name), head);
        let ending = |text: &str| Skipped::Ending(text.to_owned());
        assert_eq!(kind("a/notes.TXT", b""), ending("txt"));
        assert_eq!(kind("Makefile", b""), Skipped::NoEnding);
        assert_eq!(kind("Mr. Smith goes", b""), Skipped::OtherEnding);
        assert_eq!(kind("x.averyveryverylongone", b""), Skipped::OtherEnding);
        assert_eq!(kind("x.MOV", b""), Skipped::Video("mov".to_owned()));
        assert_eq!(kind("x", b"\0\0\0\x18ftypisom"), Skipped::Video(String::new()));
    }

    #[test]
    fn the_kinds_that_are_counted_are_few() {
        let tally = Tally::default();
        let name = Name::stdin();
        for n in 0..1000 {
            tally.skip(&name, Skipped::Ending(format!("x{n}")));
            tally.skip(&name, Skipped::Video(format!("v{n}")));
        }
        assert_eq!((tally.skipped(), tally.kinds().values().sum::<u64>()), (2000, 2000));
        assert!(tally.kinds().len() <= KINDS + 2);
    }
}
