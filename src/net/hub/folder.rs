//! An open folder of the cache. Walks and empties it without following a link or crossing onto another disk, even if
//! other processes change names meanwhile.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::HubError;
use crate::net::reason;

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder, and its name for messages.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the cache itself, which may be a link since the user named it.
    pub fn open(path: &Path) -> Result<Self, HubError> {
        let fd = rustix::fs::openat(CWD, path, FLAGS, Mode::empty()).map_err(|e| failed(path, e))?;
        Ok(Self { fd, path: path.to_path_buf() })
    }

    /// Opens a folder in this one, or returns None if it is missing. Refuses links and mount points.
    pub fn inner(&self, name: &OsStr) -> Result<Option<Self>, HubError> {
        let path = self.path.join(name);
        let fd = match rustix::fs::openat(&self.fd, name, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(self.stranger(name)),
            Err(e) => return Err(failed(&path, e)),
        };
        if is_mount(&self.fd, &fd).map_err(|e| failed(&path, e))? {
            return Err(refused(path, "is a mount point: unmount it first"));
        }
        Ok(Some(Self { fd, path }))
    }

    /// Returns the names in it, and whether each is a folder.
    pub fn entries(&self) -> Result<Vec<(OsString, bool)>, HubError> {
        let failed = |e| failed(&self.path, e);
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let name = OsStr::from_bytes(entry.map_err(failed)?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                let is_folder = self.stat(&name)?.is_some_and(|stat| kind(&stat).is_dir());
                found.push((name, is_folder));
            }
        }
        Ok(found)
    }

    /// Walks `path` and everything below it, and deletes it if `delete` is true. Returns the bytes of its files.
    pub fn take(&self, path: &Path, delete: bool) -> Result<u64, HubError> {
        let mut parts = path.iter();
        let Some(name) = parts.next() else { return Ok(0) };
        let Some(stat) = self.stat(name)? else { return Ok(0) };
        let rest = parts.as_path();
        if !rest.as_os_str().is_empty() {
            return self.inner(name)?.map_or(Ok(0), |inner| inner.take(rest, delete));
        }
        let mut size = 0;
        if !kind(&stat).is_dir() {
            // Python may have moved a blob into its store of shared ones. Then the blob is a link, and frees nothing
            // until Python cleans the store.
            size = if kind(&stat).is_file() { stat.st_size.cast_unsigned() } else { 0 };
        } else if let Some(inner) = self.inner(name)? {
            for (entry, _) in inner.entries()? {
                size += inner.take(Path::new(&entry), delete)?;
            }
        }
        if delete {
            self.delete(name, kind(&stat).is_dir())?
        } else {
            self.check_writable()?
        }
        Ok(size)
    }

    /// Deletes a file or an empty folder.
    pub fn delete(&self, name: &OsStr, is_folder: bool) -> Result<(), HubError> {
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&self.fd, name, flags) {
            Err(Errno::NOENT) => Ok(()),
            done => done.map_err(|e| failed(&self.path.join(name), e)),
        }
    }

    /// Refuses an entry that does not belong here.
    pub fn stranger(&self, name: &OsStr) -> HubError {
        let path = self.path.join(name);
        match std::fs::read_link(&path) {
            Ok(target) => {
                let reason = format!("is a link to {}, which is not followed: delete it by hand", target.display());
                refused(path, &reason)
            }
            Err(_) => refused(path, "does not belong to the cache's layout: move it away first"),
        }
    }

    fn stat(&self, name: &OsStr) -> Result<Option<Stat>, HubError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => found.map(Some).map_err(|e| failed(&self.path.join(name), e)),
        }
    }

    /// Checks that entries may be deleted.
    pub fn check_writable(&self) -> Result<(), HubError> {
        let may = rustix::fs::accessat(&self.fd, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty());
        may.map_err(|e| failed(&self.path, e))
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Returns whether something is mounted on `inner`, a folder in `outer`.
fn is_mount(outer: &OwnedFd, inner: &OwnedFd) -> Result<bool, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{StatxAttributes, StatxFlags};
        // A bind mount is on the same device.
        let found = rustix::fs::statx(inner, "", AtFlags::EMPTY_PATH, StatxFlags::empty());
        if found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
            return Ok(true);
        }
    }
    Ok(rustix::fs::fstat(outer)?.st_dev != rustix::fs::fstat(inner)?.st_dev)
}

fn failed(path: &Path, e: Errno) -> HubError {
    refused(path.to_path_buf(), &format!("cannot be removed: {}", reason(&e.into())))
}

fn refused(path: PathBuf, reason: &str) -> HubError {
    HubError::NotRemoved { path, reason: reason.to_owned(), begun: false }
}
