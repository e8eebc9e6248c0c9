//! One process at a time for each blob, by the lock that Python takes. The system lets go of it when its holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::HubError;
use super::layout::make_parent;

/// Held until dropped.
pub(super) struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Takes the lock; `waiting` is called once if somebody else holds it.
    pub fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, HubError> {
        make_parent(path)?;
        let mut waiting = Some(waiting);
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
            let file = file.map_err(|e| HubError::io(path, e))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    file.lock().map_err(|e| HubError::io(path, e))?;
                }
                // A file system without locks: the hash and the rename still keep the cache right.
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => return Ok(Self(file)),
                Err(TryLockError::Error(e)) => return Err(HubError::io(path, e)),
                Ok(()) => {}
            }
            // The last holder may have deleted the file, and then a later one locks another.
            let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
            if let (Ok(mine), Ok(there)) = (file.metadata(), std::fs::metadata(path))
                && same(mine, there)
            {
                return Ok(Self(file));
            }
        }
    }
}
