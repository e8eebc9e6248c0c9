//! The end of a partial: it, or the file made from it, gets the name of the output.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use zsic::system::file::FileId;

use super::super::beside::{BESIDE, MADE, OLD, OLD_JOURNAL};
use super::super::journal::Journal;
use super::super::own::{self, remove};
use super::Partial;

impl Partial {
    /// Gives it the name of the file.
    ///
    /// # Errors
    /// If it cannot be written or renamed.
    pub fn finish(mut self) -> Result<()> {
        let failed = |path: &Path| format!("{}: cannot be written", path.display());
        self.begin().and_then(|()| self.flush()).with_context(|| failed(&self.path))?;
        self.undo.forget();
        self.finish_as(&self.file, &self.path)
    }

    /// Gives the file that `make` writes from the records the name of the target. The partial stays until then.
    ///
    /// # Errors
    /// The error of `make`, and a failure to write or rename.
    pub fn finish_made(mut self, make: impl FnOnce(&Path, &mut File) -> Result<()>) -> Result<()> {
        let failed = |path: &Path| format!("{}: cannot be written", path.display());
        self.begin().and_then(|()| self.flush()).with_context(|| failed(&self.path))?;
        self.undo.forget();
        let path = self.beside(MADE);
        let made = own::create(&path).with_context(|| failed(&path)).and_then(|mut file| {
            make(&self.path, &mut file).with_context(|| failed(&path))?;
            self.finish_as(&file, &path)
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&path); // its space is needed on a full disk
        }
        made
    }

    /// Gives `file`, which is at `path`, the name of the target, and removes the files beside it. The note is written
    /// first: it counts only if it matches the file.
    fn finish_as(&self, file: &File, path: &Path) -> Result<()> {
        let failed = || format!("{}: cannot be written", path.display());
        if let Ok(old) = std::fs::metadata(&self.target) {
            file.set_permissions(old.permissions()).with_context(failed)?;
        }
        file.sync_data().with_context(failed)?; // after a crash the name must not stand for missing data
        if !FileId::here(path).is_ok_and(|there| FileId::of(file).is_ok_and(|own| own == there)) {
            bail!("{}: another file took its place; the output is not finished", path.display());
        }
        if let (Some(notes), Some(settings), Some(journal)) = (&self.resumable, &self.settings, &self.journal) {
            let journal = journal.try_clone().and_then(|journal| Journal::new(journal, 0)).with_context(failed)?;
            notes.keep(&self.target, &file.metadata().with_context(failed)?, settings, &journal);
        }
        let renamed = remove(&self.beside(OLD_JOURNAL)) // first, or a kill could leave it beside a finished file
            .and_then(|()| remove(&self.beside(OLD)))
            .and_then(|()| std::fs::rename(path, &self.target));
        renamed.with_context(|| format!("{}: cannot be renamed", path.display()))?;
        if path != self.path {
            remove(&self.path).with_context(failed)?;
        }
        self.remove_rest().with_context(failed)
    }

    /// Removes files that a kill may leave beside a finished file.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove_rest(&self) -> io::Result<()> {
        BESIDE.iter().try_for_each(|ending| remove(&self.beside(ending)))
    }
}
