//! The bytes of one input that is on this machine. What is no image is told by its first bytes, before the rest is read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::decode::check_format;
use super::{ErrorKind, Held, ImageError, Input};

/// The most bytes that one input may have: larger than any picture below the pixel cap, smaller than memory.
pub(crate) const MAX_BYTES: u64 = 2 << 30;
/// The first bytes of a file that tell its format.
pub const HEAD: u64 = 512;

/// Reads an image's file whole. Messages do not name it; see [`ImageError::named`].
///
/// # Errors
/// [`ImageError`] of kind `not_found`, `permission`, `read`, `too_large`, or `format` for what does not begin like an
/// image; `refused` for a URL, which [`crate::net::Images`] fetches.
pub fn read(input: Input) -> Result<Vec<u8>, ImageError> {
    match input {
        Input::Stdin => read_image(io::stdin().lock(), 0),
        Input::Held(Held { bytes, .. }) => bytes,
        Input::Url(_) => Err(ImageError::new(ErrorKind::Refused, "is a URL, and files only are read here")),
        Input::Path(path) => {
            let length = std::fs::metadata(&path).map_or(0, |m| m.len());
            let failed = |e: io::Error| explained(&path, ImageError::from_io(&e));
            read_image(open(&path).map_err(failed)?, length)
        }
    }
}

/// A failure with what was probably meant, where the name looks like something else.
fn explained(path: &Path, e: ImageError) -> ImageError {
    let name = path.as_os_str().as_bytes();
    let has = |byte| name.contains(&byte);
    let hint = match e.kind {
        _ if has(0) => "a list that NUL separates is read with -0",
        ErrorKind::NotFound if has(b'\n') => "a list with one name a line is read without -0",
        ErrorKind::NotFound if name.windows(3).any(|some| some == b"://") => {
            "of URLs only http and https are fetched, and a file is named by its path"
        }
        ErrorKind::NotFound if has(b'*') || has(b'?') => {
            "globs are the shell's, without quotes, or --include's, of the files in a folder"
        }
        _ => return e,
    };
    ImageError { message: format!("{}; {hint}", e.message), ..e }
}

/// Reads an image to its end, `length` bytes as far as is known.
pub(super) fn read_image(reader: impl Read, length: u64) -> Result<Vec<u8>, ImageError> {
    read_at_most(reader, length, MAX_BYTES, |e| ImageError::from_io(&e))
}

/// The same with another cap, and another word for what fails.
pub(crate) fn read_at_most(
    mut reader: impl Read,
    length: u64,
    cap: u64,
    failed: impl Fn(io::Error) -> ImageError,
) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut bytes).map_err(&failed)?;
    check_format(&bytes).map_err(|e| packed(&bytes).unwrap_or(e))?;
    let rest = length.min(cap).saturating_sub(HEAD) as usize;
    bytes.try_reserve_exact(rest).map_err(|_| ImageError::no_memory())?;
    reader.take(cap + 1 - HEAD).read_to_end(&mut bytes).map_err(&failed)?;
    if bytes.len() as u64 > cap { Err(too_many_bytes(cap)) } else { Ok(bytes) }
}

/// An input of more than `cap` bytes.
pub(crate) fn too_many_bytes(cap: u64) -> ImageError {
    ImageError::new(ErrorKind::TooLarge, format!("has more than {cap} bytes"))
}

/// What to do about something compressed, if the first bytes are of that.
pub(super) fn packed(head: &[u8]) -> Option<ImageError> {
    let (what, command) = match head {
        [0x1f, 0x8b, ..] => ("gzip", "zcat"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => ("bzip2", "bzcat"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("xz", "xzcat"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", "zstdcat"),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            let reason = "is a zip, which is not read; unpack it and name the folder";
            return Some(ImageError::new(ErrorKind::Format, reason));
        }
        _ => return None,
    };
    let reason = format!("is compressed with {what}; decompress it into a pipe: {command} FILE | zsic classify - ...");
    Some(ImageError::new(ErrorKind::Format, reason))
}

/// Opens a file, or a pipe that someone writes to. A pipe without a writer would block for ever.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
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
