//! Moves records of an earlier run aside, to copy kept ones from there.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use zsic::system::file::names;

use super::super::beside::{OLD, OLD_JOURNAL, SETTINGS};
use super::super::journal::{ENTRY, Journal, JournalEntry, record};
use super::super::own::{self, appear, copy, cut};
use super::Partial;

impl Partial {
    /// Adds records with these entries to [`OLD`], each before its entry. Returns the number of damaged ones, which are
    /// left out.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub fn set_aside(&mut self, entries: impl Iterator<Item = io::Result<JournalEntry>>) -> Result<u64> {
        let (old, journal) = (self.beside(OLD), self.beside(OLD_JOURNAL));
        let failed = || format!("{}: cannot be written", old.display());
        self.own_old()?;
        let append = |path: &Path| match own::open(path, true)? {
            Some(file) => Ok(file),
            None => own::create(path).with_context(failed),
        };
        let (mut data, mut entries_there) = (append(&old)?, append(&journal)?);
        let whole = entries_there.metadata().with_context(failed)?.len() / ENTRY * ENTRY;
        cut(&entries_there, whole).with_context(failed)?;
        let (mut start, mut damaged) = (data.seek(SeekFrom::End(0)).with_context(failed)?, 0);
        for entry in entries {
            let entry = entry.with_context(failed)?;
            let Some(record) = record(&self.file, &entry).with_context(failed)? else {
                damaged += 1;
                continue;
            };
            let moved = entry.moved_to(start);
            data.write_all(&record).with_context(failed)?;
            entries_there.write_all(&moved.to_bytes()).with_context(failed)?;
            start = moved.end();
        }
        data.sync_data().and_then(|()| entries_there.sync_data()).with_context(failed)?;
        Ok(damaged)
    }

    /// Makes [`OLD`] a separate file if it is another name of the finished one.
    fn own_old(&self) -> Result<()> {
        let old = self.beside(OLD);
        match own::check(&old, false)? {
            Some(there) if names(&old, &there) > 1 => {
                copy(&old, &old).with_context(|| format!("{}: cannot be copied", old.display()))
            }
            _ => Ok(()),
        }
    }

    /// Starts an empty partial beside the finished file. `keep` puts the records of `journal` at [`OLD`].
    ///
    /// # Errors
    /// The error of `keep`, and a failure to write.
    pub fn begin_again(&mut self, journal: &Journal, keep: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let (old, old_journal) = (self.beside(OLD), self.beside(OLD_JOURNAL));
        let failed = |path: &Path| format!("{}: cannot be written", path.display());
        self.undo.set(self.all_made());
        self.clear_beside().with_context(|| failed(&self.path))?;
        self.write_settings().with_context(|| failed(&self.beside(SETTINGS)))?;
        keep(&old)?;
        appear(&old_journal, |file| journal.write_to(file)).with_context(|| failed(&old_journal))?;
        self.go_on_from(0, 0)
    }
}
