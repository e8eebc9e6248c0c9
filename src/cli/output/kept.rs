//! Finds records of an earlier run by their images. Inputs mostly come in the order of the records, so the next record
//! is tried first. An index of all names, 24 bytes per record, is made only if that one belongs to another image.

use std::fs::File;
use std::io;

use super::super::fatal::usage;
use super::journal::{Journal, JournalEntry, Key, record};
use zsic::pipeline::Version;

/// The records that may be kept.
pub struct Kept {
    pub journal: Journal,
    /// The file of the records; None if they need not be read.
    data: Option<File>,
    /// Whether records of failures are kept too.
    failed_too: bool,
    /// The record after the last one found.
    next: u64,
    /// The number of leading records found in turn.
    passed: u64,
    /// The records whose images are among the inputs. One of a name stands for all of that name.
    seen: Vec<bool>,
    /// The records that may be kept, in the order of names and versions.
    index: Option<Vec<Indexed>>,
}

/// The start of a key, a part of the version, and their record.
type Indexed = (u64, u64, u64);

impl Kept {
    /// Creates the records of this journal. Those in `data` are read and checked before they count.
    pub fn new(journal: Journal, data: Option<File>, failed_too: bool) -> Self {
        let seen = vec![false; journal.count as usize];
        Self { journal, data, failed_too, next: 0, passed: 0, seen, index: None }
    }

    /// Sets `data` as the file of the records, which are read and checked from now on.
    pub fn believe(&mut self, data: Option<File>) {
        self.data = data;
    }

    /// Returns the number of leading records found in turn.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Returns the next record, if its image has this `version` now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn next_if(&mut self, key: &Key, version: Option<Version>) -> io::Result<Option<JournalEntry>> {
        if self.next == self.journal.count {
            return Ok(None);
        }
        let entry = self.journal.entry(self.next)?;
        if !is_of(&entry, key, version) || !self.is_good(&entry)? {
            return Ok(None);
        }
        self.seen[self.next as usize] = true;
        self.passed += u64::from(self.passed == self.next);
        self.next += 1;
        Ok(Some(entry))
    }

    /// Returns a record of an image with this `version`, and its index. Marks its name as present.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn find(&mut self, key: &Key, version: Option<Version>) -> io::Result<Option<(u64, JournalEntry)>> {
        if self.passed == self.journal.count {
            return Ok(None);
        }
        if let Some(entry) = self.next_if(key, version)? {
            return Ok(Some((self.next - 1, entry)));
        }
        self.mark(key)?;
        match self.first(key, version)? {
            Some((at, entry)) if self.is_good(&entry)? => {
                self.next = at + 1;
                Ok(Some((at, entry)))
            }
            _ => Ok(None),
        }
    }

    /// Marks an image as present.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn mark(&mut self, key: &Key) -> io::Result<()> {
        if let Some((at, _)) = self.first(key, None)? {
            self.seen[at as usize] = true;
        }
        Ok(())
    }

    /// Counts the records of images that did not fail and are not among the inputs, and returns the first.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn missing(&mut self) -> io::Result<(u64, Option<JournalEntry>)> {
        if self.passed == self.journal.count {
            return Ok((0, None));
        }
        self.make_index()?;
        let (mut count, mut first) = (0, None);
        for named in self.index.iter().flat_map(|index| index.chunk_by(|a, b| a.0 == b.0)) {
            if named.iter().any(|(_, _, at)| self.seen[*at as usize]) {
                continue;
            }
            for (_, _, at) in named {
                let entry = self.journal.entry(*at)?;
                if !entry.of.failed && self.is_good(&entry)? {
                    count += 1;
                    first = first.filter(|(before, _)| before < at).or(Some((*at, entry)));
                }
            }
        }
        Ok((count, first.map(|(_, entry)| entry)))
    }

    /// Reads the record of an entry.
    pub fn record(&self, entry: &JournalEntry) -> io::Result<Option<Vec<u8>>> {
        self.data.as_ref().map_or(Ok(None), |data| record(data, entry))
    }

    fn is_good(&self, entry: &JournalEntry) -> io::Result<bool> {
        let is_whole = || self.data.as_ref().map_or(Ok(true), |data| Ok(record(data, entry)?.is_some()));
        if entry.of.failed && !self.failed_too { Ok(false) } else { is_whole() }
    }

    /// Returns the first record of an image. Others of that version are equal to it, and are not read: there may be as
    /// many as there are lookups.
    fn first(&mut self, key: &Key, version: Option<Version>) -> io::Result<Option<(u64, JournalEntry)>> {
        let index = self.make_index()?;
        let wanted = (key.number(), version.map_or(0, |version| version.number()), 0);
        let Some(&(_, _, at)) = index.get(index.partition_point(|indexed| *indexed < wanted)) else { return Ok(None) };
        let entry = self.journal.entry(at)?;
        Ok(is_of(&entry, key, version).then_some((at, entry)))
    }

    fn make_index(&mut self) -> io::Result<&[Indexed]> {
        if self.index.is_none() {
            let mut index = Vec::with_capacity(self.journal.count as usize);
            for (entry, at) in self.journal.entries(0..self.journal.count).zip(0..) {
                let of = entry?.of;
                if self.failed_too || !of.failed {
                    index.push((of.key.number(), of.version.number(), at));
                }
            }
            index.sort_unstable();
            self.index = Some(index);
        }
        Ok(self.index.as_deref().unwrap_or_default())
    }
}

/// Returns whether an entry belongs to an image with this `version`.
fn is_of(entry: &JournalEntry, key: &Key, version: Option<Version>) -> bool {
    entry.of.key == *key && version.is_none_or(|version| version == entry.of.version)
}

/// Returns the error about records of images that are not among the inputs.
pub fn missing(name: &str, count: u64, first: Option<String>) -> anyhow::Error {
    let images = if count == 1 { "1 image of it is" } else { &format!("{count} images of it are") };
    let first = first.map_or_else(String::new, |first| format!(" (the first is `{first}`)"));
    let advice = "name the inputs of the earlier run, or add --drop-missing to leave them out";
    usage(format!("{name}: {images} no longer among the inputs{first}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::super::journal::Of;
    use super::*;

    fn version(n: u8) -> Version {
        Version::from_bytes([n; Version::BYTES])
    }

    /// Creates records of names and versions; `!` marks a failure.
    fn kept(dir: &tempfile::TempDir, names: &[(&str, u8)], failed_too: bool) -> Kept {
        let (mut journal, mut data) = (Vec::new(), Vec::new());
        for (name, n) in names {
            let of = Of::new(name.trim_end_matches('!'), version(*n), name.ends_with('!'));
            journal.extend(JournalEntry::new(data.len() as u64, name.as_bytes(), of).to_bytes());
            data.extend(name.as_bytes());
        }
        let open = |name: &str, bytes: Vec<u8>| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            File::open(dir.path().join(name)).unwrap()
        };
        Kept::new(Journal::new(open("journal", journal), 0).unwrap(), Some(open("data", data)), failed_too)
    }

    fn find(kept: &mut Kept, name: &str, n: Option<u8>) -> Option<u64> {
        kept.find(&Key::of(name), n.map(version)).unwrap().map(|(index, _)| index)
    }

    #[test]
    fn records_are_found_in_any_order_by_name_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let records = [("a", 1), ("b", 1), ("c!", 1), ("b", 2), ("d", 1)];
        let mut kept = self::kept(&dir, &records, true);
        assert_eq!(find(&mut kept, "a", Some(1)), Some(0));
        assert_eq!(find(&mut kept, "b", Some(2)), Some(3), "the other of that name");
        assert_eq!(find(&mut kept, "d", None), Some(4), "of an image whose version is not known");
        assert_eq!(find(&mut kept, "c", Some(1)), Some(2));
        assert_eq!((find(&mut kept, "b", Some(3)), find(&mut kept, "e", None)), (None, None));
        assert_eq!(find(&mut self::kept(&dir, &records, false), "c", Some(1)), None, "failures are not kept");
    }

    #[test]
    fn a_record_that_is_found_twice_leaves_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = kept(&dir, &[("a", 1), ("b", 1)], true);
        assert_eq!(["a", "a", "b"].map(|name| find(&mut kept, name, Some(1))), [Some(0), Some(0), Some(1)]);
        assert_eq!(kept.missing().unwrap().0, 0);
    }

    #[test]
    fn what_is_missing_is_told_once_for_each_record_of_a_name_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = kept(&dir, &[("a", 1), ("b", 1), ("c!", 1), ("b", 2), ("d", 2), ("e", 1), ("d", 1)], true);
        find(&mut kept, "b", Some(9));
        kept.mark(&Key::of("a")).unwrap();
        let (count, first) = kept.missing().unwrap();
        let first = first.map(|entry| (entry.of.key, entry.of.version));
        assert_eq!((count, first), (3, Some((Key::of("d"), version(2)))), "a failure is no loss");
        // A damaged record is computed again, not lost.
        let mut bytes = std::fs::read(dir.path().join("data")).unwrap();
        bytes[b"abc!bde".len() - 1] ^= 1;
        std::fs::write(dir.path().join("data"), bytes).unwrap();
        assert_eq!(kept.missing().unwrap().0, 2);
        assert!(find(&mut kept, "e", None).is_none());
    }

    #[test]
    fn many_records_of_one_name_take_no_time_each() {
        const MANY: u64 = 20_000;
        let (dir, start) = (tempfile::tempdir().unwrap(), std::time::Instant::now());
        let mut names = vec![("a!", 1); MANY as usize];
        names.extend(vec![("b", 1); MANY as usize]);
        let mut kept = kept(&dir, &names, false);
        for _ in 0..MANY {
            assert_eq!((find(&mut kept, "b", Some(2)), find(&mut kept, "a", Some(1))), (None, None));
        }
        assert_eq!(kept.missing().unwrap().0, 0);
        let mut kept = self::kept(&dir, &names, true);
        for _ in 0..MANY {
            assert_eq!((find(&mut kept, "b", Some(1)), find(&mut kept, "c", None)), (Some(MANY), None));
            kept.next = 0;
        }
        assert_eq!(kept.missing().unwrap().0, 0);
        assert_eq!(self::kept(&dir, &names, true).missing().unwrap().0, MANY, "of the name that did not fail");
        assert!(start.elapsed().as_secs() < 20, "a look at each for each would take minutes");
    }
}
