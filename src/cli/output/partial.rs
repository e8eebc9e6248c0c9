//! `FILE.partial`, locked by the run that writes it, and the files beside it until the output has its name. `resume.rs`
//! decides how a run begins.

mod aside;
mod finish;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zsic::system::file::{Care, FileId, is_taken, lock};

use super::super::fatal::usage;
use super::super::undo::Undo;
use super::beside::{BESIDE, JOURNAL, NEW, OLD, OLD_JOURNAL, SETTINGS, behind_links, partial_of, with_ending};
use super::journal::{ENTRY, JournalEntry, Of};
use super::made_with::MadeWith;
use super::notes::Notes;
use super::own::{self, appear, cut, remove};

/// Bytes of records written together.
const TOGETHER: usize = 1 << 20;

/// `FILE.partial`, locked by this run.
pub struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// The end of the last complete record; before the first, the end of an earlier run's records.
    length: u64,
    started: bool,
    /// The file written beside it before the first record.
    settings: Option<Vec<u8>>,
    /// Whether its records can be continued, and the place of the finished file's note.
    resumable: Option<Notes>,
    journal: Option<File>,
    records: u64,
    waiting: PendingRecords,
    /// The files that this run made before its first record.
    undo: Undo,
}

/// Records that wait to be written.
#[derive(Default)]
struct PendingRecords {
    bytes: Vec<u8>,
    entries: Vec<u8>,
    /// The length of each, and whether it has an entry.
    records: Vec<(usize, bool)>,
}

impl Partial {
    /// Opens the partial of `target`, or creates it.
    ///
    /// # Errors
    /// If it cannot be written, or another run writes it; a usage error if it, or a file beside it, is not ours.
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
        let (journal, waiting) = (None, PendingRecords::default());
        let (settings, resumable, records, started) = (None, None, 0, false);
        let partial =
            Self { file, path, target, length, started, settings, resumable, journal, records, waiting, undo };
        partial.check_owner()?;
        Ok(partial)
    }

    /// Refuses to overwrite files that are not ours: our settings always lie beside the rest.
    fn check_owner(&self) -> Result<()> {
        let settings = self.beside(SETTINGS);
        let left = BESIDE.iter().filter(|ending| !ending.ends_with(NEW)).map(|ending| self.beside(ending));
        let left = left.chain((self.length > 0).then(|| self.path.clone()));
        let strange = |path: &Path, why: &str| {
            Err(usage(format!("{}: was not written by zsic{why}; move it away or remove it", path.display())))
        };
        match left.into_iter().find(|path| std::fs::symlink_metadata(path).is_ok()) {
            Some(path) if path == settings || std::fs::symlink_metadata(&settings).is_ok() => {
                if is_settings(&settings)? { Ok(()) } else { strange(&settings, "") }
            }
            Some(path) => strange(&path, &format!(": {} is missing", settings.display())),
            None => Ok(()),
        }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the finished file.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the path of a file beside it.
    pub fn beside(&self, ending: &str) -> PathBuf {
        with_ending(&self.path, ending)
    }

    /// Returns whether it has anything of an earlier run.
    pub fn is_left(&self) -> bool {
        !self.started && self.length > 0
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        !self.is_left() && self.length == 0 && self.waiting.bytes.is_empty()
    }

    /// Sets the settings of the run, which are written beside it before the first record.
    pub fn set_settings(&mut self, settings: Vec<u8>) {
        self.settings = Some(settings);
    }

    /// Starts a journal of its records, and keeps in `notes` what stays of it when the file is finished.
    pub fn keep_journal(&mut self, notes: Notes) {
        self.resumable = Some(notes);
    }

    /// Opens a file beside it to read, or returns None if it is missing.
    ///
    /// # Errors
    /// The errors of [`own::open`].
    pub fn open_beside(&self, ending: &str) -> Result<Option<File>> {
        own::open(&self.beside(ending), false)
    }

    /// Opens it again, to read.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Cuts off everything after the first `records`, which end at `end`. Writing continues there.
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

    /// Returns the files that exist before the first record, in the order of removal.
    fn all_made(&self) -> Vec<PathBuf> {
        let path = std::iter::once(self.path.clone());
        path.chain(BESIDE.iter().map(|ending| self.beside(ending))).collect()
    }

    /// Removes the files of an earlier run beside it, except the settings.
    fn clear_beside(&self) -> io::Result<()> {
        BESIDE.iter().filter(|ending| **ending != SETTINGS).try_for_each(|ending| remove(&self.beside(ending)))
    }

    /// Writes the settings beside it, all at once.
    fn write_settings(&self) -> io::Result<()> {
        let Some(settings) = &self.settings else { return Ok(()) };
        appear(&self.beside(SETTINGS), |file| file.write_all(settings))
    }

    /// Prepares it for records. Before the first, files of an earlier run are removed.
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

    /// Adds a record, or another part of the file. It may wait for the next ones.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, record: &[u8], of: Option<&Of>) -> io::Result<()> {
        self.begin()?;
        let start = self.length + self.waiting.bytes.len() as u64;
        let of = of.filter(|_| self.journal.is_some());
        if let Some(of) = of {
            self.waiting.entries.extend(JournalEntry::new(start, record, *of).to_bytes());
        }
        self.waiting.bytes.extend(record);
        self.waiting.records.push((record.len(), of.is_some()));
        if self.waiting.bytes.len() >= TOGETHER { self.flush() } else { Ok(()) }
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// If it cannot be written. Then complete records that fit stay.
    pub fn flush(&mut self) -> io::Result<()> {
        let PendingRecords { bytes, entries, records } = std::mem::take(&mut self.waiting);
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
    /// Writes what waits, if possible. A run without records leaves no files.
    fn drop(&mut self) {
        _ = self.flush();
        if self.undo.is_pending() {
            self.undo.run();
        }
    }
}

/// Returns whether a file has the settings of one of our runs.
fn is_settings(path: &Path) -> Result<bool> {
    const LONGEST: u64 = 1 << 30;
    let Some(file) = own::open(path, false)? else { return Ok(false) };
    let settings: Option<serde_json::Value> = serde_json::from_reader(io::BufReader::new(file.take(LONGEST))).ok();
    Ok(settings.is_some_and(|settings| MadeWith::is_one(&settings)))
}

/// Opens or creates the partial at `path`, locked; returns its length too.
fn open(path: &Path) -> Result<(File, u64)> {
    let failed = || format!("{}: cannot be written", path.display());
    let alone = Care { alone: true, ..Care::default() };
    loop {
        let is_busy = |e: &anyhow::Error| e.downcast_ref().is_some_and(is_taken);
        let (file, is_ours) = match own::open(path, true) {
            Err(e) if is_busy(&e) => bail!("{}: another run is writing it", path.display()),
            Err(e) => return Err(e),
            Ok(Some(file)) => (file, false),
            Ok(None) => match alone.apply(File::options().read(true).write(true).create_new(true)).open(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                made => (made.with_context(failed)?, true),
            },
        };
        match lock(&file) {
            Err(std::fs::TryLockError::WouldBlock) => bail!("{}: another run is writing it", path.display()),
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => {} // some file systems lack locks
        }
        let (mine, length) = (FileId::of(&file).with_context(failed)?, file.metadata().with_context(failed)?.len());
        // Another run may have renamed the file between opening and locking.
        if FileId::here(path).is_ok_and(|there| there == mine) {
            if is_ours || length > 0 {
                return Ok((file, length));
            }
            remove(path).with_context(failed)?; // an empty file may be another user's
        }
    }
}
