//! `FILE.partial`, locked by the run that writes it, and what lies beside it until the file has its name. What it is all
//! for is `resume.rs`.

mod aside;
mod finish;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::super::fatal::usage;
use super::super::undo::Undo;
use super::beside::{BESIDE, JOURNAL, NEW, OLD, OLD_JOURNAL, SETTINGS, behind_links, partial_of, with_ending};
use super::journal::{ENTRY, Entry, Of};
use super::made_with::MadeWith;
use super::notes::Notes;
use super::own::{self, appear, cut, is_same, remove};

/// Bytes of records that are written at once.
const TOGETHER: usize = 1 << 20;

/// `FILE.partial`, locked by this run.
pub struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// The end of the last whole record; before the first, of what an earlier run left.
    length: u64,
    started: bool,
    /// What is written beside it before the first record.
    settings: Option<Vec<u8>>,
    /// Whether its records can be gone on from, and where the note of the finished file is kept.
    resumable: Option<Notes>,
    journal: Option<File>,
    records: u64,
    waiting: Waiting,
    /// What this run made before its first record.
    undo: Undo,
}

/// Records that are not written yet.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    entries: Vec<u8>,
    /// The length of each, and whether it has an entry.
    records: Vec<(usize, bool)>,
}

impl Partial {
    /// Opens that of `target`, or makes it.
    ///
    /// # Errors
    /// If it cannot be written, or another run writes it; a usage error if it, or what lies beside it, is not ours.
    pub fn open(target: &Path) -> Result<Self> {
        let target = behind_links(target);
        let path = partial_of(&target);
        for ending in ["", JOURNAL, OLD, OLD_JOURNAL, SETTINGS] {
            own::check(&with_ending(&path, ending), ending != OLD)?;
        }
        let opened = Undo::begin(&path, || {
            let (file, length) = open(&path)?;
            let made = if length == 0 { vec![path.clone()] } else { Vec::new() };
            Ok::<_, anyhow::Error>(((file, length), made))
        });
        let ((file, length), undo) = opened?;
        let (journal, waiting) = (None, Waiting::default());
        let (settings, resumable, records, started) = (None, None, 0, false);
        let partial =
            Self { file, path, target, length, started, settings, resumable, journal, records, waiting, undo };
        partial.check_owner()?;
        Ok(partial)
    }

    /// Refuses to write over what no run of ours left: the settings lie beside everything else that it leaves.
    fn check_owner(&self) -> Result<()> {
        let settings = self.beside(SETTINGS);
        let left = BESIDE.iter().filter(|ending| !ending.ends_with(NEW)).map(|ending| self.beside(ending));
        let left = left.chain((self.length > 0).then(|| self.path.clone()));
        let strange = |path: &Path, why: &str| {
            Err(usage(format!("{}: was not left by zsic{why}; move it away or remove it", path.display())))
        };
        match left.into_iter().find(|path| std::fs::symlink_metadata(path).is_ok()) {
            Some(path) if path == settings || std::fs::symlink_metadata(&settings).is_ok() => {
                if is_settings(&settings)? { Ok(()) } else { strange(&settings, "") }
            }
            Some(path) => strange(&path, &format!(": there is no {} beside it", settings.display())),
            None => Ok(()),
        }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the file that it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the path of what lies beside it.
    pub fn beside(&self, ending: &str) -> PathBuf {
        with_ending(&self.path, ending)
    }

    /// Returns whether an earlier run left something in it.
    pub fn is_left(&self) -> bool {
        !self.started && self.length > 0
    }

    /// Returns whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.is_left() && self.length == 0 && self.waiting.bytes.is_empty()
    }

    /// Keeps the settings of the run, to be written beside it before the first record.
    pub fn set_settings(&mut self, settings: Vec<u8>) {
        self.settings = Some(settings);
    }

    /// Keeps a journal of its records, and in `notes` what of it stays when the file is finished.
    pub fn keep_journal(&mut self, notes: Notes) {
        self.resumable = Some(notes);
    }

    /// Opens what lies beside it, to be read; none if it is not there.
    ///
    /// # Errors
    /// As [`own::open`].
    pub fn open_beside(&self, ending: &str) -> Result<Option<File>> {
        own::open(&self.beside(ending), false)
    }

    /// Opens it once more, to be read.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Cuts off what is behind the first `records`, which end at `end`; records go on from there.
    ///
    /// # Errors
    /// If it cannot be cut.
    pub fn go_on_from(&mut self, records: u64, end: u64) -> Result<()> {
        let path = self.beside(JOURNAL);
        let failed = || format!("{}: cannot be written", path.display());
        let journal = match own::open(&path, true)? {
            Some(file) => file,
            None => own::create(&path).with_context(failed)?,
        };
        cut(&self.file, end).with_context(|| format!("{}: cannot be written", self.path.display()))?;
        cut(&journal, records * ENTRY).with_context(failed)?;
        (self.length, self.records, self.started, self.journal) = (end, records, true, Some(journal));
        if end > 0 {
            self.undo.keep();
        }
        Ok(())
    }

    /// What is there before the first record, in the order in which it may go.
    fn all_made(&self) -> Vec<PathBuf> {
        let path = std::iter::once(self.path.clone());
        path.chain(BESIDE.iter().map(|ending| self.beside(ending))).collect()
    }

    /// Removes what an earlier run left beside it, but for the settings.
    fn clear_beside(&self) -> io::Result<()> {
        BESIDE.iter().filter(|ending| **ending != SETTINGS).try_for_each(|ending| remove(&self.beside(ending)))
    }

    /// Writes the settings beside it, whole.
    fn write_settings(&self) -> io::Result<()> {
        let Some(settings) = &self.settings else { return Ok(()) };
        appear(&self.beside(SETTINGS), |file| file.write_all(settings))
    }

    /// Makes it ready for records. Before the first, what an earlier run left goes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        cut(&self.file, 0)?;
        self.length = 0;
        self.undo.set(self.all_made());
        self.clear_beside()?;
        self.write_settings()?;
        if self.resumable.is_some() {
            self.journal = Some(own::create(&self.beside(JOURNAL))?);
        }
        Ok(())
    }

    /// Adds a record, or a part of the file that is none. It is written with those that come soon.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, record: &[u8], of: Option<&Of>) -> io::Result<()> {
        self.begin()?;
        let start = self.length + self.waiting.bytes.len() as u64;
        let of = of.filter(|_| self.journal.is_some());
        if let Some(of) = of {
            self.waiting.entries.extend(Entry::new(start, record, *of).to_bytes());
        }
        self.waiting.bytes.extend(record);
        self.waiting.records.push((record.len(), of.is_some()));
        if self.waiting.bytes.len() >= TOGETHER { self.flush() } else { Ok(()) }
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// If it cannot be written; then what fits stays, and no part of a record.
    pub fn flush(&mut self) -> io::Result<()> {
        let Waiting { bytes, entries, records } = std::mem::take(&mut self.waiting);
        if self.append(&bytes, &entries).is_ok() {
            return Ok(());
        }
        let (mut bytes, mut entries) = (&bytes[..], &entries[..]);
        for (length, has_entry) in records {
            let (record, rest) = bytes.split_at(length);
            let (entry, other) = entries.split_at(if has_entry { ENTRY as usize } else { 0 });
            self.append(record, entry)?;
            (bytes, entries) = (rest, other);
        }
        Ok(())
    }

    /// Writes records and then their entries, or nothing.
    fn append(&mut self, bytes: &[u8], entries: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let journal = self.journal.as_mut();
        let written = self.file.write_all(bytes).and_then(|()| journal.map_or(Ok(()), |file| file.write_all(entries)));
        if written.is_err() {
            cut(&self.file, self.length)?;
            self.journal.as_ref().map_or(Ok(()), |journal| cut(journal, self.records * ENTRY))?;
            return written;
        }
        self.length += bytes.len() as u64;
        self.records += entries.len() as u64 / ENTRY;
        self.undo.keep();
        Ok(())
    }
}

impl Drop for Partial {
    /// A run that wrote nothing leaves nothing behind. What waits to be written is written, if that is possible.
    fn drop(&mut self) {
        _ = self.flush();
        if self.undo.is_pending() {
            self.undo.run();
        }
    }
}

/// Returns whether a file has the settings of a run of ours.
fn is_settings(path: &Path) -> Result<bool> {
    const LONGEST: u64 = 1 << 30;
    let Some(file) = own::open(path, false)? else { return Ok(false) };
    let settings: Option<serde_json::Value> = serde_json::from_reader(io::BufReader::new(file.take(LONGEST))).ok();
    Ok(settings.is_some_and(|settings| MadeWith::is_one(&settings)))
}

/// The partial at `path`, made if it is not there, with the lock on it; and its length.
fn open(path: &Path) -> Result<(File, u64)> {
    let failed = || format!("{}: cannot be written", path.display());
    loop {
        let (file, is_ours) = match own::open(path, true)? {
            Some(file) => (file, false),
            None => match File::options().read(true).write(true).create_new(true).open(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                made => (made.with_context(failed)?, true),
            },
        };
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => bail!("{}: another run is writing it", path.display()),
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => {} // some file systems have no locks
        }
        let mine = file.metadata().with_context(failed)?;
        // Another run may have given the file its name between the opening and the lock.
        if std::fs::symlink_metadata(path).is_ok_and(|there| is_same(&there, &mine)) {
            if is_ours || mine.len() > 0 {
                return Ok((file, mine.len()));
            }
            remove(path).with_context(failed)?; // an empty one may be another user's
        }
    }
}
