//! An open folder. Names in it are used without following a link, even if other processes change them meanwhile. On
//! Windows the standard library has no such calls: names are checked first and then used.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

/// The facts about an entry.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub is_folder: bool,
    pub is_file: bool,
    pub size: u64,
}

/// The result of opening an inner folder.
pub enum Inner {
    Open(Folder),
    Missing,
    /// It is a link or not a folder, or something is mounted there.
    Stranger {
        is_mount: bool,
    },
}

#[cfg(unix)]
pub use unix::Folder;
#[cfg(windows)]
pub use windows::Folder;

#[cfg(unix)] // by open descriptors
mod unix {
    use std::os::fd::OwnedFd;

    use rustix::fs::{Access, AtFlags, CWD, Dir, FileType, Mode, OFlags};
    use rustix::io::Errno;

    use super::*;
    use crate::system::name;

    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    /// An open folder.
    pub struct Folder(OwnedFd);

    impl Folder {
        /// Opens a folder, which may be behind a link.
        pub fn open(path: &Path) -> io::Result<Self> {
            Ok(Self(rustix::fs::openat(CWD, path, FLAGS, Mode::empty())?))
        }

        /// Opens a folder in this one.
        pub fn inner(&self, name: &OsStr) -> io::Result<Inner> {
            let inner = match rustix::fs::openat(&self.0, name, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(Inner::Missing),
                Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Inner::Stranger { is_mount: false }),
                Err(e) => return Err(e.into()),
            };
            Ok(if is_mount(&self.0, &inner)? { Inner::Stranger { is_mount: true } } else { Inner::Open(Self(inner)) })
        }

        /// Returns the names in it.
        pub fn names(&self) -> io::Result<Vec<OsString>> {
            let names = Dir::read_from(&self.0)?
                .map(|entry| Ok(name::from_bytes(entry?.file_name().to_bytes()).into_owned()))
                .filter(|name| !name.as_ref().is_ok_and(|name| name == "." || name == ".."));
            names.collect()
        }

        /// Returns what is known of an entry, or None if it is missing.
        pub fn find(&self, name: &OsStr) -> io::Result<Option<Found>> {
            match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => Ok(None),
                found => {
                    let found = found?;
                    let kind = FileType::from_raw_mode(found.st_mode);
                    let size = found.st_size.cast_unsigned();
                    Ok(Some(Found { is_folder: kind.is_dir(), is_file: kind.is_file(), size }))
                }
            }
        }

        /// Deletes a file or an empty folder.
        pub fn delete(&self, name: &OsStr, is_folder: bool) -> io::Result<()> {
            let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            Ok(rustix::fs::unlinkat(&self.0, name, flags)?)
        }

        /// Checks that entries may be deleted.
        pub fn check_writable(&self) -> io::Result<()> {
            Ok(rustix::fs::accessat(&self.0, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())?)
        }
    }

    /// Returns whether something is mounted on `inner`, a folder in `outer`.
    fn is_mount(outer: &OwnedFd, inner: &OwnedFd) -> Result<bool, Errno> {
        #[cfg(target_os = "linux")] // a bind mount is on the same device
        {
            use rustix::fs::{StatxAttributes, StatxFlags};
            let found = rustix::fs::statx(inner, "", AtFlags::EMPTY_PATH, StatxFlags::empty());
            if found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
                return Ok(true);
            }
        }
        Ok(rustix::fs::fstat(outer)?.st_dev != rustix::fs::fstat(inner)?.st_dev)
    }
}

#[cfg(windows)] // by paths: links and mounted folders are reparse points, which count as links
mod windows {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A folder's path.
    pub struct Folder(PathBuf);

    impl Folder {
        /// Opens a folder, which may be behind a link.
        pub fn open(path: &Path) -> io::Result<Self> {
            if !fs::metadata(path)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self(path.to_path_buf()))
        }

        /// Opens a folder in this one.
        pub fn inner(&self, name: &OsStr) -> io::Result<Inner> {
            Ok(match self.find(name)? {
                None => Inner::Missing,
                Some(found) if found.is_folder => Inner::Open(Self(self.0.join(name))),
                Some(_) => Inner::Stranger { is_mount: false },
            })
        }

        /// Returns the names in it.
        pub fn names(&self) -> io::Result<Vec<OsString>> {
            fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name())).collect()
        }

        /// Returns what is known of an entry, or None if it is missing.
        pub fn find(&self, name: &OsStr) -> io::Result<Option<Found>> {
            match fs::symlink_metadata(self.0.join(name)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                found => {
                    let found = found?;
                    Ok(Some(Found { is_folder: found.is_dir(), is_file: found.is_file(), size: found.len() }))
                }
            }
        }

        /// Deletes a file or an empty folder.
        pub fn delete(&self, name: &OsStr, is_folder: bool) -> io::Result<()> {
            let path = self.0.join(name);
            if is_folder { fs::remove_dir(path) } else { fs::remove_file(path) }
        }

        /// Checks that entries may be deleted: only trying would tell.
        pub fn check_writable(&self) -> io::Result<()> {
            Ok(())
        }
    }
}
