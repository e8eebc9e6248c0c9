//! Opens regular files only, and reads at most a stated size, wherever others may have put files. It never waits for a
//! named pipe or opens a device.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::system::file::{Care, kind};

/// Opens a regular file to read. Follows links.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, File::options().read(true), Care::default())
}

/// Opens a regular file with `options`. Does not follow a link.
#[cfg(feature = "net")]
pub(crate) fn open_here(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if path.is_symlink() {
        return Err(refused("a link"));
    }
    open_with(path, options, Care { no_link: true, ..Care::default() })
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_open(open(path)?, limit)
}

/// Reads a regular file of at most `limit` bytes without updating its last use, where the system allows.
#[cfg(feature = "net")]
pub(crate) fn read_unnoticed(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let care = Care { unnoticed: true, ..Care::default() };
    if let Ok(file) = open_with(path, File::options().read(true), care) {
        return read_open(file, limit);
    }
    read(path, limit)
}

/// Checks that a file is a regular one of at most `limit` bytes.
pub(crate) fn check(path: &Path, limit: u64) -> io::Result<()> {
    let metadata = path.metadata()?;
    check_kind(&metadata)?;
    check_length(metadata.len(), limit)
}

fn read_open(file: File, limit: u64) -> io::Result<Vec<u8>> {
    check_length(file.metadata()?.len(), limit)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?; // it may be growing
    check_length(bytes.len() as u64, limit)?;
    Ok(bytes)
}

fn check_length(length: u64, limit: u64) -> io::Result<()> {
    let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
    if length > limit { Err(too_long()) } else { Ok(()) }
}

fn open_with(path: &Path, options: &mut OpenOptions, care: Care) -> io::Result<File> {
    if let Ok(there) = path.metadata() {
        check_kind(&there)?; // opening a device can have effects
    }
    let file = care.apply(options).open(path)?;
    check_kind(&file.metadata()?)?; // it may have been replaced meanwhile
    Ok(file)
}

fn check_kind(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(refused(kind(metadata.file_type()))) }
}

fn refused(kind: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, not a regular file"))
}

#[cfg(all(test, unix))] // pipes and links
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "12345").unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("pipe", at("link-to-pipe")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read(&at(name), 5).unwrap(), b"12345");
            assert_eq!(read_unnoticed(&at(name), 5).unwrap(), b"12345");
            assert!(read(&at(name), 4).unwrap_err().to_string().contains("more than 4 bytes"));
        }
        for (name, kind) in [("pipe", "named pipe"), ("link-to-pipe", "named pipe"), ("zero", "device"), ("", "folder")]
        {
            let path = at(name);
            let errors = [read(&path, 5).err(), read_unnoticed(&path, 5).err(), check(&path, 5).err()];
            for error in errors.map(Option::unwrap) {
                assert!(error.to_string().contains(kind), "{name}: {error}");
            }
        }
    }

    #[test]
    fn what_is_written_here_is_not_written_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("victim", at("dangling")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for name in ["dangling", "pipe"] {
            assert!(open_here(&at(name), File::options().write(true).create(true)).is_err(), "{name}");
        }
        assert!(!at("victim").exists());
        open_here(&at("new"), File::options().write(true).create(true)).unwrap();
        assert!(at("new").exists());
    }
}
