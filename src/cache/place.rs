//! Where the cache is on the disk: its files, who may write them, and how they are removed. What they hold is not known
//! here.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::CacheError;
use crate::regular;

type Result<T> = std::result::Result<T, CacheError>;

/// The file's name; another number where the tables change.
const FILE: &str = "embeddings-1.db";
/// Permission bits of the group and of all others to write.
const WRITE_BY_OTHERS: u32 = 0o022;

/// The cache's file in a directory.
pub(super) fn file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Makes the directory and the file where they are missing, for this user alone, and checks that nobody else may write
/// them: what lies in the cache becomes scores.
///
/// # Errors
/// [`CacheError::Shared`], [`CacheError::Remote`], and if they cannot be made or looked at.
pub(super) fn make(dir: &Path) -> Result<()> {
    is_there(dir)?;
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| CacheError::io(dir, &e))?;
    if is_remote(dir) {
        return Err(CacheError::Remote(dir.to_path_buf()));
    }
    is_own(dir)?;
    let file = file(dir);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => check_file(&file).and_then(|()| is_own(&file)),
        made => made.map(drop).map_err(|e| CacheError::io(&file, &e)),
    }
}

/// Checks that a directory or file is this user's, or root's, and that no others may write it. The sticky bit is no
/// help: it lets others add files, and a log that lies beside the cache is read as part of it.
fn is_own(path: &Path) -> Result<()> {
    let found = fs::metadata(path).map_err(|e| CacheError::io(path, &e))?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw() || found.uid() == 0;
    let reason = match () {
        () if !is_ours => "it belongs to another user",
        () if found.mode() & WRITE_BY_OTHERS != 0 => "other users may write it",
        () => return Ok(()),
    };
    Err(CacheError::Shared { path: path.to_path_buf(), reason })
}

/// Whether there is a cache in a directory, or something that is called like one.
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

/// Whether the cache in a directory is a file, and not a link to one, a folder or the like.
pub(super) fn is_plain(dir: &Path) -> Result<bool> {
    Ok(look(&file(dir))?.is_some_and(|found| found.is_file()))
}

/// Checks that a cache is a file, or a link to one: nothing else is opened.
///
/// # Errors
/// [`CacheError::NoFile`].
pub(super) fn check_file(path: &Path) -> Result<()> {
    let reason = match regular::check(path, u64::MAX) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && path.is_symlink() => "it is a link to nothing".to_owned(),
        Err(e) if e.raw_os_error().is_none() => e.to_string(),
        _ => return Ok(()), // what else there is, opening it says
    };
    Err(CacheError::NoFile { path: path.to_path_buf(), reason })
}

/// Removes whatever has the name of one of the cache's files: of a link the link, of a folder all that is in it.
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

/// What has this name; a link is not followed.
fn look(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(|e| CacheError::io(path, &e)),
    }
}

/// The files that the cache consists of: the file, and the log and its index beside it.
fn files(dir: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| dir.join(format!("{FILE}{ending}")))
}

/// Bytes that the cache in a directory takes.
pub(super) fn size(dir: &Path) -> u64 {
    files(dir).iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum()
}

/// Whether a directory is on a file system that other machines write too, where the log's shared memory cannot work.
#[cfg(target_os = "linux")]
fn is_remote(dir: &Path) -> bool {
    // NFS, SMB 1 and 2, CIFS, Lustre, AFS, Ceph, GPFS, BeeGFS, 9P, OCFS2, GFS2 (linux/magic.h and the file systems' own
    // headers). FUSE is not among them: much of it is a disk of this machine.
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
