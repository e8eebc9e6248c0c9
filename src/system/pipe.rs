//! Pipes and standard streams: opened without hanging, waited for while full, closed by the parent process.

use std::fs::File;
#[cfg(windows)]
use std::io::Write;
use std::io::{self, Read};
#[cfg(unix)]
pub use std::os::fd::AsFd as AsStream;
#[cfg(windows)]
pub use std::os::windows::io::AsHandle as AsStream;
use std::path::Path;

/// Opens a file, or a pipe with a writer. A pipe without a writer would block for ever.
///
/// # Errors
/// The system's error, and if nothing writes to the pipe.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    #[cfg(unix)] // pipes in folders
    {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        if std::fs::metadata(path)?.file_type().is_fifo() {
            let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
            let mut pipe = File::options().read(true).custom_flags(nonblocking).open(path)?;
            let mut first = [0];
            let first = match pipe.read(&mut first) {
                Ok(0) => return Err(io::Error::other("it is a pipe without a writer")),
                Ok(_) => &first[..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => &[], // a writer is there
                Err(e) => return Err(e),
            };
            // Keep this descriptor: the writer may be gone before another one is opened.
            fcntl_setfl(&pipe, fcntl_getfl(&pipe)? - OFlags::NONBLOCK)?;
            return Ok(Box::new(io::Cursor::new(first.to_vec()).chain(pipe)));
        }
    }
    Ok(Box::new(File::open(path)?))
}

/// Waits until a stream that refused bytes takes some.
///
/// # Errors
/// The system's error.
pub fn wait_for_room(stream: &impl AsStream) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, poll};
        match poll(&mut [PollFd::new(stream, PollFlags::OUT)], None) {
            Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
    #[cfg(windows)] // streams of other processes block there, so this never happens
    {
        _ = stream;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Makes reads of a stream block, even if the parent process made it nonblocking.
pub fn block_on(stream: &impl AsStream) {
    #[cfg(unix)]
    {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        if let Ok(flags) = fcntl_getfl(stream)
            && flags.contains(OFlags::NONBLOCK)
        {
            _ = fcntl_setfl(stream, flags - OFlags::NONBLOCK); // on failure, reading reports it
        }
    }
    #[cfg(windows)] // streams of other processes block there
    let _ = stream;
}

/// Returns whether the parent process closed a stream. On Unix, ask before the standard library opens what is closed.
pub fn is_closed(stream: &impl AsStream) -> bool {
    #[cfg(unix)]
    return rustix::io::fcntl_getfd(stream).is_err();
    #[cfg(windows)]
    return std::os::windows::io::AsRawHandle::as_raw_handle(&stream.as_handle()).is_null();
}

/// Writes to a stream without the lock that another thread may hold, and without memory.
pub fn write_unlocked(stream: &impl AsStream, bytes: &[u8]) {
    #[cfg(unix)]
    let _ = rustix::io::write(stream, bytes);
    #[cfg(windows)] // a second handle of the stream is a file
    if let Ok(handle) = stream.as_handle().try_clone_to_owned() {
        let _ = File::from(handle).write_all(bytes);
    }
}

/// Returns whether writing failed since nobody reads any more.
pub fn is_broken(e: &io::Error) -> bool {
    const NOT_CONNECTED: i32 = 233; // of a reader that was there; the standard library has no kind for it
    e.kind() == io::ErrorKind::BrokenPipe || cfg!(windows) && e.raw_os_error() == Some(NOT_CONNECTED)
}
