//! The bytes of one input. What is no image is told by its first bytes, before the rest is read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::decode::check_format;
use super::{ErrorKind, ImageError, Input};

/// The most bytes that one input may have: larger than any picture below the pixel cap, smaller than memory.
const MAX_BYTES: u64 = 2 << 30;
/// Bytes that tell a format.
const HEAD: u64 = 32;

/// Reads an image's file whole. Messages do not name it; see [`ImageError::named`].
///
/// # Errors
/// [`ImageError`] of kind `not_found`, `permission`, `read`, `too_large`, or `format` for what does not begin like an
/// image.
pub fn read(input: &Input) -> Result<Vec<u8>, ImageError> {
    let failed = |e: io::Error| ImageError::from_io(&e);
    match input {
        Input::Stdin => read_image(io::stdin().lock(), 0),
        Input::Path(path) => {
            let length = std::fs::metadata(path).map_or(0, |m| m.len());
            read_image(open(path).map_err(failed)?, length)
        }
    }
}

fn read_image(mut reader: impl Read, length: u64) -> Result<Vec<u8>, ImageError> {
    let failed = |e: io::Error| ImageError::from_io(&e);
    let mut bytes = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut bytes).map_err(failed)?;
    check_format(&bytes)?;
    let rest = length.min(MAX_BYTES).saturating_sub(HEAD) as usize;
    bytes.try_reserve_exact(rest).map_err(|_| ImageError::no_memory())?;
    reader.take(MAX_BYTES + 1 - HEAD).read_to_end(&mut bytes).map_err(failed)?;
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
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut pipe = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let mut first = [0];
    let first = match pipe.read(&mut first) {
        Ok(0) => return Err(io::Error::other("it is a pipe that nobody writes to")),
        Ok(_) => &first[..],
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => &[], // a writer is there
        Err(e) => return Err(e),
    };
    // The same descriptor from here on: a writer may be gone before another could be opened.
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? - OFlags::NONBLOCK)?;
    Ok(Box::new(io::Cursor::new(first.to_vec()).chain(pipe)))
}
