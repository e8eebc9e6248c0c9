//! One process at a time for each blob, by the lock that Python takes. The system releases it when its holder dies.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::error::HubError;
use super::layout::make_parent;
use crate::regular;
use crate::system::file::{FileId, knows_no_locks};

/// A lock, held until dropped.
pub(super) struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Takes the lock. Calls `waiting` once if another process holds it.
    pub fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, HubError> {
        make_parent(path)?;
        let mut waiting = Some(waiting);
        loop {
            let file = regular::open_here(path, File::options().create(true).truncate(false).write(true));
            let file = file.map_err(|e| HubError::io(path, e))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    match file.lock() {
                        Err(e) if knows_no_locks(&e) => return Ok(Self(file)),
                        done => done.map_err(|e| HubError::io(path, e))?,
                    }
                }
                // The hash and the rename still keep the cache right.
                Err(TryLockError::Error(e)) if knows_no_locks(&e) => return Ok(Self(file)),
                Err(TryLockError::Error(e)) => return Err(HubError::io(path, e)),
                Ok(()) => {}
            }
            // The last holder may have deleted the file; a later one then locks a new file.
            if let (Ok(mine), Ok(there)) = (FileId::of(&file), FileId::at(path))
                && mine == there
            {
                return Ok(Self(file));
            }
        }
    }
}

#[cfg(all(test, unix))] // its errors
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_file_system_without_a_lock_daemon_has_no_locks() {
        for none in [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(knows_no_locks(&none.into()), "{none}");
        }
        assert!(!knows_no_locks(&Errno::ACCESS.into()));
    }
}
