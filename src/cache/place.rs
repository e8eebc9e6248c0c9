//! The cache's files on disk: where they are, who may write them, and how they are removed.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::error::CacheError;
use crate::regular;
use crate::system::owner;

type Result<T> = std::result::Result<T, CacheError>;

/// The file's name. Raise the number when the tables change.
const FILE: &str = "embeddings-1.db";

/// Returns the path of the cache's file in a directory.
pub(super) fn file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Creates the directory and the file if they are missing, for this user alone, and checks that other users may not
/// write them: the cache's entries become scores.
///
/// # Errors
/// [`CacheError::Shared`], [`CacheError::Remote`], and any failure to create or examine them.
pub(super) fn make(dir: &Path) -> Result<()> {
    is_there(dir)?;
    owner::create_folder(dir).map_err(|e| CacheError::io(dir, &e))?;
    if is_remote(dir) {
        return Err(CacheError::Remote(dir.to_path_buf()));
    }
    is_own(dir)?;
    let file = file(dir);
    match owner::create_file(&file) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => check_file(&file).and_then(|()| is_own(&file)),
        made => made.map(drop).map_err(|e| CacheError::io(&file, &e)),
    }
}

/// Checks that a directory or file belongs to this user or root, and that others may not write it. The sticky bit does
/// not help: others may still add a log beside the cache, which would be read as part of it.
fn is_own(path: &Path) -> Result<()> {
    let found = fs::metadata(path).map_err(|e| CacheError::io(path, &e))?;
    let Some(reason) = owner::strangers(&found) else { return Ok(()) };
    Err(CacheError::Shared { path: path.to_path_buf(), reason })
}

/// Returns whether a directory has something with the cache's name.
pub(super) fn is_there(dir: &Path) -> Result<bool> {
    match fs::metadata(dir) {
        Ok(found) if !found.is_dir() => {
            let reason = "it is not a folder, and the cache needs one".to_owned();
            return Err(CacheError::Io { path: dir.to_path_buf(), reason });
        }
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(CacheError::io(dir, &e)),
        _ => {}
    }
    Ok(look(&file(dir))?.is_some())
}

/// Returns whether the cache is a regular file, not a link to one or a folder.
pub(super) fn is_plain(dir: &Path) -> Result<bool> {
    Ok(look(&file(dir))?.is_some_and(|found| found.is_file()))
}

/// Checks that a cache is a file, or a link to one.
///
/// # Errors
/// [`CacheError::NoFile`].
pub(super) fn check_file(path: &Path) -> Result<()> {
    let reason = match regular::check(path, u64::MAX) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && path.is_symlink() => "it is a link to nothing".to_owned(),
        Err(e) if e.raw_os_error().is_none() => e.to_string(),
        _ => return Ok(()), // opening it reports other failures
    };
    Err(CacheError::NoFile { path: path.to_path_buf(), reason })
}

/// Removes everything with the name of one of the cache's files: a link itself, a folder with its contents.
pub(super) fn remove(dir: &Path) -> Result<()> {
    for path in files(dir) {
        let Some(found) = look(&path)? else { continue };
        let removed = if found.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(CacheError::io(&path, &e)),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the metadata of a path, without following a link.
fn look(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(|e| CacheError::io(path, &e)),
    }
}

/// Returns the cache's files: the file itself, the log, and the log's index.
fn files(dir: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| dir.join(format!("{FILE}{ending}")))
}

/// Returns the bytes that the cache in a directory takes.
pub(super) fn size(dir: &Path) -> u64 {
    files(dir).iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum()
}

/// Returns whether a directory is on a network file system, where the log's shared memory cannot work.
#[cfg(target_os = "linux")]
fn is_remote(dir: &Path) -> bool {
    // NFS, SMB 1 and 2, CIFS, Lustre, AFS, Ceph, GPFS, BeeGFS, 9P, OCFS2, GFS2 (linux/magic.h and the file systems'
    // headers). FUSE is left out: it often is a local disk.
    const REMOTE: [u32; 12] = [
        0x6969,
        0x517b,
        0xfe53_4d42,
        0xff53_4d42,
        0x0bd0_0bd0,
        0x5346_414f,
        0x00c3_6400,
        0x4750_4653,
        0x1983_0326,
        0x0102_1997,
        0x7461_636f,
        0x0116_1970,
    ];
    rustix::fs::statfs(dir).is_ok_and(|system| REMOTE.contains(&(system.f_type as u32)))
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_: &Path) -> bool {
    false
}
