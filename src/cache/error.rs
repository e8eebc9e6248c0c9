//! Errors of the cache. None of them stops a run: without the cache everything is computed again.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::reason::os_reason;

/// A failure of the cache. The message is one line in lower case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The directory or the file cannot be made, read or written.
    #[error("{}: the cache cannot be used: {reason}", .path.display())]
    Io {
        /// The directory or the file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The disk is full, or the process may write no more.
    #[error("{}: the cache cannot grow: the disk is full", .0.display())]
    Full(PathBuf),
    /// The directory is on a file system that several machines share.
    #[error("{}: the cache cannot be used: it is on a network file system", .0.display())]
    Remote(PathBuf),
    /// Other users may write the directory or the file, and so could plant scores.
    #[error(
        "{}: the cache is not used: {reason}; \
         run `chmod go-w` on it and `zsic cache clear`", .path.display()
    )]
    Shared {
        /// The directory or the file.
        path: PathBuf,
        /// Who may write it.
        reason: &'static str,
    },
    /// The file is damaged, or it is not a cache.
    #[error("{}: the cache is damaged; `zsic cache clear` removes it", .0.display())]
    Damaged(PathBuf),
    /// The cache's path is not a regular file.
    #[error("{}: the cache cannot be used: {reason}; `zsic cache clear` removes it", .path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
        /// The reason: what it is.
        reason: String,
    },
    /// Another process has been writing for too long.
    #[error("{}: the cache is in use by another process that does not finish", .0.display())]
    Busy(PathBuf),
}

impl CacheError {
    pub(super) fn io(path: &Path, e: &io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), reason: os_reason(e) }
    }

    pub(super) fn store(path: &Path, e: rusqlite::Error) -> Self {
        let owned = path.to_path_buf();
        match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(owned),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(owned),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(owned),
            Some(ErrorCode::ReadOnly) => {
                Self::Io { path: owned, reason: "it, or its folder, is not writable".to_owned() }
            }
            Some(ErrorCode::CannotOpen) => Self::Io { path: owned, reason: "it cannot be opened".to_owned() },
            _ => Self::Io { path: owned, reason: e.to_string().replace('\n', " ") },
        }
    }
}
