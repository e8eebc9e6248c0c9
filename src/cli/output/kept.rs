//! Records of an earlier run, looked up by the images they are of. Inputs mostly come in the order of the records, so the
//! next record is looked at first; an index of all names, 16 bytes a record, is made where that is another's.

use std::fs::File;
use std::io;

use super::super::image_version::Version;
use super::journal::{Entry, Journal, Key, record};

/// Records that may be kept.
pub struct Kept {
    pub journal: Journal,
    /// Where the records are; none if they need not be looked at.
    data: Option<File>,
    /// The record behind the last one that was found.
    next: u64,
    /// Which records are of images that are still among the inputs, and how many are not known to be.
    seen: Vec<bool>,
    unseen: u64,
    /// How many records were found.
    found: u64,
    /// The beginnings of all keys in their order, and the records they belong to.
    index: Option<Vec<(u64, u64)>>,
}

impl Kept {
    /// Records with this journal. Those in `data` are read before they are believed.
    pub fn new(journal: Journal, data: Option<File>) -> Self {
        let unseen = journal.count;
        Self { journal, data, next: 0, seen: vec![false; unseen as usize], unseen, found: 0, index: None }
    }

    /// Takes `data` for the records, which are read from now on before they are believed.
    pub fn believe(&mut self, data: Option<File>) {
        self.data = data;
    }

    /// Returns how many records were the next ones, each in its turn.
    pub fn passed(&self) -> u64 {
        self.next
    }

    /// Returns the next record, if it is that of an image which is now `version`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn next_if(&mut self, key: &Key, version: Option<Version>, failed_too: bool) -> io::Result<Option<Entry>> {
        if self.next == self.journal.count {
            return Ok(None);
        }
        let entry = self.journal.entry(self.next)?;
        if entry.of.key != *key || !self.is_good(&entry, version, failed_too)? {
            return Ok(None);
        }
        self.see(self.next);
        self.next += 1;
        self.found += 1;
        Ok(Some(entry))
    }

    /// Returns a record of an image which is now `version`, and its index. Its name is among the inputs.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn find(&mut self, key: &Key, version: Option<Version>, failed_too: bool) -> io::Result<Option<(u64, Entry)>> {
        if self.found >= self.journal.count {
            return Ok(None);
        }
        if let Some(entry) = self.next_if(key, version, failed_too)? {
            return Ok(Some((self.next - 1, entry)));
        }
        let mut found = None;
        for index in self.named(key)? {
            self.see(index);
            let entry = self.journal.entry(index)?;
            if found.is_none() && self.is_good(&entry, version, failed_too)? {
                self.next = index + 1;
                self.found += 1;
                found = Some((index, entry));
            }
        }
        Ok(found)
    }

    /// Notes that an image is among the inputs.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn mark(&mut self, key: &Key) -> io::Result<()> {
        if self.unseen > 0 {
            self.named(key)?.into_iter().for_each(|index| self.see(index));
        }
        Ok(())
    }

    /// Returns the records of images which did not fail and are not among the inputs: how many, and the first.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn missing(&mut self) -> io::Result<(u64, Option<Entry>)> {
        let (mut count, mut first) = (0, None);
        for index in 0..self.journal.count {
            if self.unseen == 0 {
                break;
            }
            if self.seen[index as usize] {
                continue;
            }
            let entry = self.journal.entry(index)?;
            let named = self.named(&entry.of.key)?;
            let is_missing = !entry.of.failed && !named.into_iter().any(|index| self.seen[index as usize]);
            if is_missing && self.is_good(&entry, None, true)? {
                count += 1;
                first = first.or(Some(entry));
            }
        }
        Ok((count, first))
    }

    /// Reads the record of an entry.
    pub fn record(&self, entry: &Entry) -> io::Result<Option<Vec<u8>>> {
        self.data.as_ref().map_or(Ok(None), |data| record(data, entry))
    }

    fn is_good(&self, entry: &Entry, version: Option<Version>, failed_too: bool) -> io::Result<bool> {
        if version.is_some_and(|version| version != entry.of.version) || entry.of.failed && !failed_too {
            return Ok(false);
        }
        self.data.as_ref().map_or(Ok(true), |data| Ok(record(data, entry)?.is_some()))
    }

    fn see(&mut self, index: u64) {
        self.unseen -= u64::from(!std::mem::replace(&mut self.seen[index as usize], true));
    }

    /// The records of an image.
    fn named(&mut self, key: &Key) -> io::Result<Vec<u64>> {
        if self.index.is_none() {
            let mut index = Vec::with_capacity(self.journal.count as usize);
            for (at, entry) in self.journal.entries(0..self.journal.count).enumerate() {
                index.push((entry?.of.key.number(), at as u64));
            }
            index.sort_unstable();
            self.index = Some(index);
        }
        let index = self.index.as_deref().unwrap_or_default();
        let from = index.partition_point(|(number, _)| *number < key.number());
        let alike = index[from..].iter().take_while(|(number, _)| *number == key.number()).map(|(_, at)| *at);
        let named = |at| match self.journal.entry(at) {
            Ok(entry) => (entry.of.key == *key).then_some(Ok(at)),
            Err(e) => Some(Err(e)),
        };
        alike.filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::Of;
    use super::*;

    fn version(n: u8) -> Version {
        Version::from_bytes([n; Version::BYTES])
    }

    /// Records of names and versions; an `!` is a failure.
    fn kept(dir: &tempfile::TempDir, names: &[(&str, u8)]) -> Kept {
        let (mut journal, mut data) = (Vec::new(), Vec::new());
        for (name, n) in names {
            let of = Of::new(name.trim_end_matches('!'), version(*n), name.ends_with('!'));
            journal.extend(Entry::new(data.len() as u64, name.as_bytes(), of).to_bytes());
            data.extend(name.as_bytes());
        }
        let open = |name: &str, bytes: Vec<u8>| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            File::open(dir.path().join(name)).unwrap()
        };
        Kept::new(Journal::new(open("journal", journal), 0).unwrap(), Some(open("data", data)))
    }

    #[test]
    fn records_are_found_in_any_order_by_name_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = kept(&dir, &[("a", 1), ("b", 1), ("c!", 1), ("b", 2), ("d", 1)]);
        let mut find = |name: &str, n: Option<u8>, failed_too| {
            kept.find(&Key::of(name), n.map(version), failed_too).unwrap().map(|(index, _)| index)
        };
        assert_eq!(find("a", Some(1), true), Some(0));
        assert_eq!(find("b", Some(2), true), Some(3), "the other of that name");
        assert_eq!(find("d", None, true), Some(4), "of an image whose version is not known");
        assert_eq!((find("c", Some(1), false), find("c", Some(1), true)), (None, Some(2)));
        assert_eq!((find("b", Some(3), true), find("e", None, true)), (None, None));
    }

    #[test]
    fn what_is_missing_is_told_once_for_each_record_of_a_name_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = kept(&dir, &[("a", 1), ("b", 1), ("c!", 1), ("b", 2), ("d", 1), ("e", 1)]);
        kept.find(&Key::of("b"), Some(version(9)), true).unwrap();
        kept.mark(&Key::of("a")).unwrap();
        let (count, first) = kept.missing().unwrap();
        assert_eq!((count, first.map(|entry| entry.of.key)), (2, Some(Key::of("d"))), "a failure is no loss");
        // A damaged record is computed again, and not missed.
        let mut bytes = std::fs::read(dir.path().join("data")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(dir.path().join("data"), bytes).unwrap();
        assert_eq!(kept.missing().unwrap().0, 1);
        assert!(kept.find(&Key::of("e"), None, true).unwrap().is_none());
    }
}
