//! What a run has made and would not leave behind: the files of one that is refused, or that ends or is stopped by a
//! signal before its first record. What is in the files is not known here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a signal takes back, by the file that it was begun for.
static PENDING: Mutex<BTreeMap<PathBuf, Vec<Step>>> = Mutex::new(BTreeMap::new());

fn pending() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<Step>>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A step back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Remove(PathBuf),
    PutBack { from: PathBuf, to: PathBuf },
}

impl Step {
    /// Takes the step. What cannot be taken back stays: there is nobody left to tell.
    fn take(&self) {
        let _ = match self {
            Self::Remove(path) => std::fs::remove_file(path),
            Self::PutBack { from, to } => std::fs::rename(from, to),
        };
    }
}

/// How to take back what was begun for one file.
#[derive(Debug)]
pub struct Undo {
    file: PathBuf,
    steps: Vec<Step>,
    is_pending: bool,
}

impl Undo {
    /// Begins something for `file`: `make` says what came of it, and what takes it back. No signal comes between.
    ///
    /// # Errors
    /// What `make` says.
    pub fn begin<T, E>(file: &Path, make: impl FnOnce() -> Result<(T, Vec<Step>), E>) -> Result<(T, Self), E> {
        let mut pending = pending();
        let (made, steps) = make()?;
        pending.insert(file.to_path_buf(), steps.clone());
        Ok((made, Self { file: file.to_path_buf(), steps, is_pending: true }))
    }

    /// Other steps, which are taken where the run ends without more.
    pub fn set(&mut self, steps: Vec<Step>) {
        pending().insert(self.file.clone(), steps.clone());
        (self.steps, self.is_pending) = (steps, true);
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
        self.steps.clear();
    }

    /// Whether nothing was written yet.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Takes everything back.
    pub fn run(&mut self) {
        self.keep();
        self.steps.drain(..).for_each(|step| step.take());
    }
}

/// Takes back what was begun and has nothing yet, and lets nobody begin any more: for the end of the process. None if
/// somebody is just beginning.
pub fn try_run_all() -> Option<()> {
    let pending = PENDING.try_lock().ok()?;
    pending.values().flatten().for_each(Step::take);
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
            let make = || std::fs::write(&file, "").map(|()| ((), vec![Step::Remove(file.clone())]));
            Undo::begin(&file, make).unwrap().1
        };
        let mut undo = begin();
        assert!(undo.is_pending() && pending().contains_key(&file));
        undo.keep();
        assert!(!undo.is_pending() && !pending().contains_key(&file) && file.exists());
        undo.run(); // of what was refused
        assert!(!file.exists());
        let mut undo = begin();
        std::fs::write(&old, "before").unwrap();
        undo.set(vec![Step::PutBack { from: old.clone(), to: file.clone() }]);
        undo.run();
        assert_eq!((std::fs::read_to_string(&file).unwrap(), old.exists()), ("before".to_owned(), false));
        let mut undo = begin();
        undo.forget();
        undo.run();
        assert!(file.exists());
    }
}
