//! Opens the files beside an output. It never goes through a planted link or pipe, and never writes a file that has
//! another name.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use zsic::system::file::{Care, names};

use super::super::fatal::usage;
use super::beside::{NEW, with_ending};

/// Opens a file to read, and to write too if `write` is true. Returns None if it is missing.
///
/// # Errors
/// The errors of [`check`], and a failure to open it.
pub fn open(path: &Path, write: bool) -> Result<Option<File>> {
    if check(path, write)?.is_none() {
        return Ok(None);
    }
    let failed = || format!("{}: cannot be {}", path.display(), if write { "written" } else { "read" });
    let care = Care { no_link: true, alone: write, ..Care::default() }; // it may have been swapped meanwhile
    let file = care.apply(File::options().read(true).write(write)).open(path);
    let file = file.with_context(failed)?;
    judge(path, &file.metadata().with_context(failed)?, write)?;
    Ok(Some(file))
}

/// Creates a new file. An old file of the name is removed, not followed.
///
/// # Errors
/// If it cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    remove(path)?;
    File::options().read(true).write(true).create_new(true).open(path)
}

/// Removes a file, if it is there.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Returns the metadata of the file at `path`, or None if it is missing. `write` is whether it will be written.
///
/// # Errors
/// A usage error if it is not a regular file, or if it will be written and has another name.
pub fn check(path: &Path, write: bool) -> Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => judge(path, &metadata, write).map(|()| Some(metadata)),
        Err(_) => Ok(None), // opening it reports the error
    }
}

fn judge(path: &Path, metadata: &Metadata, write: bool) -> Result<()> {
    let what = match () {
        () if metadata.is_symlink() => "is a symbolic link, which is not followed here",
        () if !metadata.is_file() => "is not a regular file",
        () if write && names(path, metadata) > 1 => "has another name (a hard link), which would change too",
        () => return Ok(()),
    };
    Err(usage(format!("{}: {what}; remove it, or name another output", path.display())))
}

/// Writes a file that appears all at once.
///
/// # Errors
/// If it cannot be written.
pub fn appear(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = with_ending(path, NEW);
    let mut file = create(&temporary)?;
    let named = write(&mut file).and_then(|()| file.sync_data()).and_then(|()| std::fs::rename(&temporary, path));
    if named.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    named
}

/// Copies `from` to a file that appears all at once.
///
/// # Errors
/// If it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    appear(to, |file| io::copy(&mut source, file).map(drop))
}

/// Cuts a file off at `end`, where writing continues.
///
/// # Errors
/// If it cannot be cut.
pub fn cut(file: &File, end: u64) -> io::Result<()> {
    let mut file = file;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end)).map(drop)
}
