//! A file's way to a new name: never over another file, and kept when the power fails.

use std::fs;
#[cfg(unix)]
use std::fs::File;
use std::io::{self, ErrorKind as Io};
use std::path::Path;

use super::file::FileId;

/// Renames a file within one file system. What has the name already stays: at once on Linux and macOS; by a second name for the
/// file elsewhere, and by a look first on file systems that know neither.
///
/// # Errors
/// The system's error: [`Io::AlreadyExists`] if the name is taken, [`Io::CrossesDevices`] if it is on another file system.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let id = FileId::here(from)?;
    let is_gone = |path: &Path| fs::symlink_metadata(path).is_err_and(|e| e.kind() == Io::NotFound);
    match try_rename_new(from, to) {
        // The answer of a disk on the network may be lost when the work is done.
        Err(_) if is_gone(from) && FileId::here(to).is_ok_and(|there| there == id) => Ok(()),
        done => done,
    }
}

fn try_rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {} // the file system cannot
            done => return Ok(done?),
        }
    }
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from).inspect_err(|_| {
            if FileId::here(from).is_ok_and(|left| FileId::here(to).is_ok_and(|there| there == left)) {
                _ = fs::remove_file(to); // one name is enough
            }
        }),
        Err(e) if matches!(e.kind(), Io::AlreadyExists | Io::CrossesDevices | Io::NotFound | Io::StorageFull) => Err(e),
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(Io::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Waits until the names in a folder are on the disk. Windows has no such call; its file systems keep the order.
///
/// # Errors
/// The system's error.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return File::open(folder)?.sync_all();
    #[cfg(windows)]
    {
        _ = folder;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), Io::AlreadyExists);
        assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"a".to_vec(), b"b".to_vec()));
        rename_new(&a, &c).unwrap();
        assert!(!a.exists() && fs::read(&c).unwrap() == b"a");
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), Io::NotFound);
        sync_folder(dir.path()).unwrap();
    }
}
