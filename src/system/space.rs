//! The free space of a disk, and whether a folder may be written.

use std::path::Path;

/// Returns the bytes that may be written to the disk of `path`, or None if the system does not say.
pub fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    #[cfg(unix)]
    {
        let stat = rustix::fs::statvfs(there).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
    #[cfg(windows)]
    fs4::available_space(there).ok()
}

/// Returns whether this process may create files in a folder. On Windows only trying would tell, so the answer is
/// always yes.
pub fn is_writable(folder: &Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, access};
        folder.is_dir() && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }
    #[cfg(windows)] // access lists; the read-only attribute of a folder means something else
    folder.is_dir()
}
