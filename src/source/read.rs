//! The bytes of one input.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::{ErrorKind, ImageError, Input};

/// The most bytes that one input may have: larger than any picture below the pixel cap, smaller than memory.
const MAX_BYTES: u64 = 2 << 30;

/// Reads an input whole. Messages do not name it; see [`ImageError::named`].
///
/// # Errors
/// [`ImageError`] of kind `not_found`, `permission`, `read` or `too_large`.
pub fn read(input: &Input) -> Result<Vec<u8>, ImageError> {
    match input {
        Input::Stdin => read_all(io::stdin().lock(), 0),
        Input::Path(path) => {
            let length = std::fs::metadata(path).map_or(0, |m| m.len());
            read_all(open(path).map_err(|e| ImageError::from_io(&e))?, length)
        }
    }
}

fn read_all(reader: impl Read, expected: u64) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::with_capacity(expected.min(MAX_BYTES) as usize);
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| ImageError::from_io(&e))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ImageError::new(ErrorKind::TooLarge, format!("has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Opens a file, or a pipe that someone writes to. A pipe without a writer would block for ever.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if !std::fs::metadata(path)?.file_type().is_fifo() {
        return Ok(Box::new(File::open(path)?));
    }
    let mut probe = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut first = [0];
    match probe.read(&mut first) {
        Ok(0) => Err(io::Error::other("it is a pipe that nobody writes to")),
        Ok(_) => Ok(Box::new(io::Cursor::new(first).chain(File::open(path)?))),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Box::new(File::open(path)?)), // a writer is there
        Err(e) => Err(e),
    }
}
