//! Open files and their metadata: places in a file, identity, times, links.

use std::fs::{File, FileType, Metadata, OpenOptions, TryLockError};
use std::io;
#[cfg(windows)]
use std::io::{Seek, SeekFrom};
#[cfg(unix)]
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
#[cfg(windows)]
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
#[cfg(windows)]
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(unix)]
use rustix::fs::OFlags;

/// Opens a link itself, not its target (`FILE_FLAG_OPEN_REPARSE_POINT`).
#[cfg(windows)]
const THE_LINK: u32 = 0x0020_0000;
/// Lets others read, delete and rename an open file (`FILE_SHARE_READ`, `FILE_SHARE_DELETE`).
#[cfg(windows)]
const SHARE_READ_AND_DELETE: u32 = 1 | 4;
/// Lets others write it too, as the standard library does.
#[cfg(windows)]
const SHARE_ALL: u32 = 1 | 2 | 4;
/// Opens folders too (`FILE_FLAG_BACKUP_SEMANTICS`).
#[cfg(windows)]
const FOLDERS_TOO: u32 = 0x0200_0000;

/// Fills `buffer` from the byte `offset` on. The place where the file is read and written next does not move.
///
/// # Errors
/// The system's error, and `UnexpectedEof`.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return file.read_exact_at(buffer, offset);
    #[cfg(windows)] // it reads at a place too, but moves there
    keep_place(file, |file| {
        let mut done = 0;
        while done < buffer.len() {
            match file.seek_read(&mut buffer[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(())
    })
}

/// Writes `bytes` from the byte `offset` on. The place where the file is read and written next does not move.
///
/// # Errors
/// The system's error.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return file.write_all_at(bytes, offset);
    #[cfg(windows)] // it writes at a place too, but moves there
    keep_place(file, |file| {
        let mut done = 0;
        while done < bytes.len() {
            done += file.seek_write(&bytes[done..], offset + done as u64)?;
        }
        Ok(())
    })
}

#[cfg(windows)]
fn keep_place<T>(mut file: &File, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
    let place = file.stream_position()?;
    let done = work(file);
    file.seek(SeekFrom::Start(place))?;
    done
}

/// Identifies a file as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// Identifies an open file.
    ///
    /// # Errors
    /// The system's error.
    pub fn of(file: &File) -> io::Result<Self> {
        #[cfg(unix)]
        return file.metadata().map(|found| Self(found.dev(), found.ino()));
        #[cfg(windows)] // the standard library keeps them in metadata, but does not show them
        winapi_util::file::information(file).map(|found| Self(found.volume_serial_number(), found.file_index()))
    }

    /// Identifies the file or folder at a path.
    ///
    /// # Errors
    /// The system's error.
    pub fn at(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        return std::fs::metadata(path).map(|found| Self(found.dev(), found.ino()));
        #[cfg(windows)]
        Self::of(&look(path, 0)?)
    }

    /// Identifies what is at a path: a link itself, not its target.
    ///
    /// # Errors
    /// The system's error.
    pub fn here(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        return std::fs::symlink_metadata(path).map(|found| Self(found.dev(), found.ino()));
        #[cfg(windows)]
        Self::of(&look(path, THE_LINK)?)
    }

    /// Returns the two numbers: of the disk, and of the file on it.
    pub fn numbers(&self) -> (u64, u64) {
        (self.0, self.1)
    }
}

/// Opens what is at a path for its metadata alone.
#[cfg(windows)]
fn look(path: &Path, flags: u32) -> io::Result<File> {
    File::options().access_mode(0).custom_flags(FOLDERS_TOO | flags).open(path)
}

/// Returns the numbers of the file that metadata are of.
#[cfg(feature = "cache")]
pub(crate) fn numbers(metadata: &Metadata) -> (u64, u64) {
    #[cfg(unix)]
    return (metadata.dev(), metadata.ino());
    #[cfg(windows)] // they would need every file to be opened; its path, size and times identify it anyway
    return {
        _ = metadata;
        (0, 0)
    };
}

/// Returns the number of names of the file at `path`, of which these are the metadata.
pub fn names(path: &Path, metadata: &Metadata) -> u64 {
    #[cfg(unix)]
    let (names, _) = (metadata.nlink(), path);
    #[cfg(windows)] // metadata do not show it
    let (names, _) = (
        look(path, THE_LINK).and_then(winapi_util::file::information).map_or(1, |found| found.number_of_links()),
        metadata,
    );
    names
}

/// Times of a file's last changes, as seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Of its content, or what a program set it to.
    pub content: (i64, i64),
    /// Of anything about it.
    pub any: (i64, i64),
}

impl Changes {
    /// Returns the times in metadata.
    pub fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        return Self {
            content: (metadata.mtime(), metadata.mtime_nsec()),
            any: (metadata.ctime(), metadata.ctime_nsec()),
        };
        #[cfg(windows)] // the last change of any kind is not shown there; a new file is still recognised
        return Self { content: since_1970(metadata.modified()), any: since_1970(metadata.created()) };
    }
}

#[cfg(windows)]
fn since_1970(time: io::Result<SystemTime>) -> (i64, i64) {
    let time = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    (time.as_secs().cast_signed(), time.subsec_nanos().into())
}

/// How a file is opened, beside the options of the standard library.
#[derive(Debug, Clone, Copy, Default)]
pub struct Care {
    /// Does not follow a link.
    pub no_link: bool,
    /// Does not update its last use, on Linux.
    pub unnoticed: bool,
    /// On Windows, keeps others from opening it to write; see [`lock`].
    pub alone: bool,
}

impl Care {
    /// Adds this to `options`. Opening never waits for the other end of a pipe.
    pub fn apply(self, options: &mut OpenOptions) -> &mut OpenOptions {
        #[cfg(unix)]
        {
            let mut flags = OFlags::NONBLOCK;
            flags.set(OFlags::NOFOLLOW, self.no_link);
            #[cfg(target_os = "linux")] // others have no such flag
            flags.set(OFlags::NOATIME, self.unnoticed);
            options.custom_flags(flags.bits().cast_signed())
        }
        #[cfg(windows)] // opening does not wait
        options.custom_flags(if self.no_link { THE_LINK } else { 0 }).share_mode(if self.alone {
            SHARE_READ_AND_DELETE
        } else {
            SHARE_ALL
        })
    }
}

/// Keeps other runs from writing a file that was opened `alone`. On Windows, opening did that already; a lock would
/// keep everyone from reading.
///
/// # Errors
/// The errors of [`File::try_lock`].
pub fn lock(file: &File) -> Result<(), TryLockError> {
    if cfg!(windows) { Ok(()) } else { file.try_lock() }
}

/// Returns whether opening a file failed since another run has it `alone`.
pub fn is_taken(e: &io::Error) -> bool {
    const SHARING_VIOLATION: i32 = 32;
    cfg!(windows) && e.raw_os_error() == Some(SHARING_VIOLATION)
}

/// Makes a link to a file.
///
/// # Errors
/// The system's error. On Windows only some users may make links.
pub fn link(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link);
    #[cfg(windows)] // links to files and to folders are different there
    std::os::windows::fs::symlink_file(target, link)
}

/// Returns the name, for messages, of a thing that is not a regular file.
pub(crate) fn kind(of: FileType) -> &'static str {
    match of {
        of if of.is_dir() => "a folder",
        #[cfg(unix)] // Windows has them outside of its folders
        of if of.is_fifo() => "a named pipe",
        #[cfg(unix)]
        of if of.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Returns whether following links never came to an end.
pub(crate) fn is_link_loop(e: &io::Error) -> bool {
    #[cfg(unix)]
    const LOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();
    #[cfg(windows)]
    const LOOP: i32 = 1921; // ERROR_CANT_RESOLVE_FILENAME
    e.raw_os_error() == Some(LOOP)
}

/// Returns whether the file system has no locks, or lacks the daemon for them.
#[cfg(feature = "net")]
pub(crate) fn knows_no_locks(e: &io::Error) -> bool {
    #[cfg(unix)]
    const NONE: i32 = rustix::io::Errno::NOLCK.raw_os_error();
    #[cfg(windows)]
    const NONE: i32 = 1; // ERROR_INVALID_FUNCTION
    e.kind() == io::ErrorKind::Unsupported || e.raw_os_error() == Some(NONE)
}
