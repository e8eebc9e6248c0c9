//! Files for this user alone.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The permission bits that let the group and others write.
#[cfg(unix)]
const WRITE_BY_OTHERS: u32 = 0o022;

/// Creates a folder, and those above it, for this user alone. On Windows they have the permissions of the folder that
/// they are in, which is this user's own unless the user chose another.
///
/// # Errors
/// The system's error.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)] // Windows has no modes
    builder.mode(0o700);
    builder.recursive(true).create(path)
}

/// Creates a file that is not there, for this user alone; on Windows as for a folder.
///
/// # Errors
/// The system's error.
pub fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)] // Windows has no modes
    options.mode(0o600);
    options.write(true).create_new(true).open(path)
}

/// Returns why others than this user and root may have written a file or folder. On Windows nothing is checked.
pub fn strangers(found: &Metadata) -> Option<&'static str> {
    #[cfg(unix)]
    match () {
        () if found.uid() != rustix::process::geteuid().as_raw() && found.uid() != 0 => {
            Some("it belongs to another user")
        }
        () if found.mode() & WRITE_BY_OTHERS != 0 => Some("other users may write it"),
        () => None,
    }
    #[cfg(windows)] // access lists have no such bits, and folders of users are their own
    {
        _ = found;
        None
    }
}
