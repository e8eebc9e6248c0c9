//! An open folder of the cache. Walks and empties it without following a link or crossing onto another disk, even if
//! other processes change names meanwhile.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::error::HubError;
use crate::net::reason;
use crate::system::folder::{self, Inner};

/// An open folder, and its name for messages.
pub(super) struct Folder {
    open: folder::Folder,
    path: PathBuf,
}

impl Folder {
    /// Opens the cache itself, which may be a link since the user named it.
    pub fn open(path: &Path) -> Result<Self, HubError> {
        let open = folder::Folder::open(path).map_err(|e| failed(path, e))?;
        Ok(Self { open, path: path.to_path_buf() })
    }

    /// Opens a folder in this one, or returns None if it is missing. Refuses links and mount points.
    pub fn inner(&self, name: &OsStr) -> Result<Option<Self>, HubError> {
        let path = self.path.join(name);
        match self.open.inner(name).map_err(|e| failed(&path, e))? {
            Inner::Open(open) => Ok(Some(Self { open, path })),
            Inner::Missing => Ok(None),
            Inner::Stranger { is_mount: false } => Err(self.stranger(name)),
            Inner::Stranger { is_mount: true } => Err(refused(path, "is a mount point: unmount it first")),
        }
    }

    /// Returns the names in it, and whether each is a folder.
    pub fn entries(&self) -> Result<Vec<(OsString, bool)>, HubError> {
        let entry = |name: OsString| {
            let is_folder = self.find(&name)?.is_some_and(|found| found.is_folder);
            Ok((name, is_folder))
        };
        self.open.names().map_err(|e| failed(&self.path, e))?.into_iter().map(entry).collect()
    }

    /// Walks `path` and everything below it, and deletes it if `delete` is true. Returns the bytes of its files.
    pub fn take(&self, path: &Path, delete: bool) -> Result<u64, HubError> {
        let mut parts = path.iter();
        let Some(name) = parts.next() else { return Ok(0) };
        let Some(found) = self.find(name)? else { return Ok(0) };
        let rest = parts.as_path();
        if !rest.as_os_str().is_empty() {
            return self.inner(name)?.map_or(Ok(0), |inner| inner.take(rest, delete));
        }
        let mut size = 0;
        if !found.is_folder {
            // Python may have moved a blob into its store of shared ones. Then the blob is a link, and frees nothing
            // until Python cleans the store.
            size = if found.is_file { found.size } else { 0 };
        } else if let Some(inner) = self.inner(name)? {
            for (entry, _) in inner.entries()? {
                size += inner.take(Path::new(&entry), delete)?;
            }
        }
        if delete {
            self.delete(name, found.is_folder)?
        } else {
            self.check_writable()?
        }
        Ok(size)
    }

    /// Deletes a file or an empty folder.
    pub fn delete(&self, name: &OsStr, is_folder: bool) -> Result<(), HubError> {
        match self.open.delete(name, is_folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
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

    fn find(&self, name: &OsStr) -> Result<Option<folder::Found>, HubError> {
        self.open.find(name).map_err(|e| failed(&self.path.join(name), e))
    }

    /// Checks that entries may be deleted.
    pub fn check_writable(&self) -> Result<(), HubError> {
        self.open.check_writable().map_err(|e| failed(&self.path, e))
    }
}

fn failed(path: &Path, e: io::Error) -> HubError {
    refused(path.to_path_buf(), &format!("cannot be removed: {}", reason(&e)))
}

fn refused(path: PathBuf, reason: &str) -> HubError {
    HubError::NotRemoved { path, reason: reason.to_owned(), begun: false }
}
