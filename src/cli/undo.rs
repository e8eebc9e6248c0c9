//! What a run has made and would not leave behind: the files of one that is refused, or that ends or is stopped by a
//! signal before its first record. What is in the files is not known here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a signal takes back, by the file that it was begun for.
static PENDING: Mutex<BTreeMap<PathBuf, Vec<PathBuf>>> = Mutex::new(BTreeMap::new());

fn pending() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<PathBuf>>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a file. One that cannot be removed stays: there is nobody left to tell.
fn remove(path: impl AsRef<Path>) {
    _ = std::fs::remove_file(path);
}

/// How to take back what was begun for one file.
#[derive(Debug)]
pub struct Undo {
    file: PathBuf,
    made: Vec<PathBuf>,
    is_pending: bool,
}

impl Undo {
    /// Begins something for `file`: `make` says what came of it, and which files it made. No signal comes between.
    ///
    /// # Errors
    /// What `make` says.
    pub fn begin<T, E>(file: &Path, make: impl FnOnce() -> Result<(T, Vec<PathBuf>), E>) -> Result<(T, Self), E> {
        let mut pending = pending();
        let (outcome, made) = make()?;
        pending.insert(file.to_path_buf(), made.clone());
        Ok((outcome, Self { file: file.to_path_buf(), made, is_pending: true }))
    }

    /// Says that other files are being made, which go in this order where the run ends without more.
    pub fn set(&mut self, made: Vec<PathBuf>) {
        pending().insert(self.file.clone(), made.clone());
        (self.made, self.is_pending) = (made, true);
    }

    /// Something was written: a stop leaves it now.
    pub fn keep(&mut self) {
        if std::mem::take(&mut self.is_pending) {
            pending().remove(&self.file);
        }
    }

    /// All is done: there is nothing to take back any more.
    pub fn forget(&mut self) {
        self.keep();
        self.made.clear();
    }

    /// Whether nothing was written yet.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Takes everything back.
    pub fn run(&mut self) {
        self.keep();
        self.made.drain(..).for_each(remove);
    }
}

/// Takes back what was begun and has nothing yet, and lets nobody begin any more: for the end of the process. None if
/// somebody is just beginning.
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
