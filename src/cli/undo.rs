//! Removes files that a run made and must not leave behind: if it is refused, or ends before its first record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The actions that a signal takes back, by the file they were begun for.
static PENDING: Mutex<BTreeMap<PathBuf, Vec<PathBuf>>> = Mutex::new(BTreeMap::new());

fn pending() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<PathBuf>>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a file. A file that cannot be removed stays: a signal ends the process without messages.
fn remove(path: impl AsRef<Path>) {
    _ = std::fs::remove_file(path);
}

/// Takes back everything begun for one file.
#[derive(Debug)]
pub struct Undo {
    file: PathBuf,
    made: Vec<PathBuf>,
    is_pending: bool,
}

impl Undo {
    /// Begins an action for `file`: `make` returns its result and the files it made. Signals wait meanwhile.
    ///
    /// # Errors
    /// The error of `make`.
    pub fn begin<T, E>(file: &Path, make: impl FnOnce() -> Result<(T, Vec<PathBuf>), E>) -> Result<(T, Self), E> {
        let mut pending = pending();
        let (outcome, made) = make()?;
        pending.insert(file.to_path_buf(), made.clone());
        Ok((outcome, Self { file: file.to_path_buf(), made, is_pending: true }))
    }

    /// Adds files that are removed, in this order, if the run ends early.
    pub fn set(&mut self, made: Vec<PathBuf>) {
        pending().insert(self.file.clone(), made.clone());
        (self.made, self.is_pending) = (made, true);
    }

    /// Keeps the files: something was written.
    pub fn keep(&mut self) {
        if std::mem::take(&mut self.is_pending) {
            pending().remove(&self.file);
        }
    }

    /// Ends the action: nothing will be taken back.
    pub fn forget(&mut self) {
        self.keep();
        self.made.clear();
    }

    /// Returns whether nothing was written yet.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Takes everything back.
    pub fn run(&mut self) {
        self.keep();
        self.made.drain(..).for_each(remove);
    }
}

/// Takes back all actions without a record, and prevents new ones: for the end of the process. Returns None if one is
/// just beginning.
pub fn try_run_all() -> Option<()> {
    let pending = PENDING.try_lock().ok()?;
    pending.values().flatten().for_each(remove);
    std::mem::forget(pending);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let (file, old) = (dir.path().join("file"), dir.path().join("old"));
        let begin = || {
            let make = || std::fs::write(&file, "").map(|()| ((), vec![file.clone()]));
            Undo::begin(&file, make).unwrap().1
        };
        let mut undo = begin();
        assert!(undo.is_pending() && pending().contains_key(&file));
        undo.keep();
        assert!(!undo.is_pending() && !pending().contains_key(&file) && file.exists());
        std::fs::write(&old, "").unwrap();
        undo.set(vec![old.clone()]);
        undo.run(); // of what was made since
        assert!(file.exists() && !old.exists());
        let mut undo = begin();
        undo.run();
        assert!(!file.exists());
        let mut undo = begin();
        undo.forget();
        undo.run();
        assert!(file.exists());
    }
}
