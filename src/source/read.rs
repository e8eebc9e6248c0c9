//! Reads the bytes of one local input. The first bytes show whether it is an image before the rest is read.

use std::fs::File;
use std::io::{self, ErrorKind as Io, Read};
use std::ops::Range;
use std::path::Path;

use super::decode::check_format;
use super::memory_budget::too_little;
use super::{Bytes, ErrorKind, Held, ImageError, Input, Lease, Limits, Stage};
use crate::system::file::read_exact_at;
use crate::system::{name, pipe, sparse};

/// The first bytes of a file, which identify its format.
pub const HEAD: u64 = 512;

/// Bytes of an input of unknown length that are read before memory is reserved, first for more and then for the
/// maximum.
const STEPS: [u64; 2] = [1 << 20, 16 << 20];
/// The purpose of the memory, for messages.
pub(crate) const READ: &str = "to be read";
/// The growth of a buffer in bytes. A stated length may be wrong.
const GROWTH: u64 = 64 << 20;

/// Reads an image's file. Messages do not name it; see [`ImageError::named`].
///
/// # Errors
/// [`ImageError`] of kind `not_found`, `permission`, `read`, `too_large`, or `format` if the file does not begin like
/// an image; `refused` for a URL, which [`crate::net::Images`] fetches.
pub fn read(input: Input) -> Result<Vec<u8>, ImageError> {
    read_within(input, &Limits::default()).map(Bytes::into_vec)
}

/// Reads an image's file once there is room for it. Its length is known first, and holes are not read.
///
/// # Errors
/// The errors of [`read`], and `memory` if the file never fits in this room.
pub fn read_within(input: Input, limits: &Limits) -> Result<Bytes, ImageError> {
    match input {
        Input::Stdin => read_image(io::stdin().lock(), Stage::Read, limits),
        Input::Held(Held { bytes, .. }) => {
            let is_too_long = bytes.as_ref().is_ok_and(|bytes| bytes.len() as u64 > limits.max_bytes);
            if is_too_long { Err(too_many_bytes(limits.max_bytes)) } else { bytes }
        }
        Input::Url(_) => Err(ImageError::new(ErrorKind::Refused, "is a URL, which is not read as a file")),
        Input::Path(path) | Input::Region(path, _) => read_path(&path, limits).map_err(|e| explained(&path, e)),
    }
}

fn read_path(path: &Path, limits: &Limits) -> Result<Bytes, ImageError> {
    let failed = |e: io::Error| ImageError::from_io(&e);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return read_image(pipe::open(path).map_err(failed)?, Stage::Read, limits);
    }
    let file = File::open(path).map_err(failed)?;
    let length = metadata.len();
    if let Some(stored) = sparse::stored(&file, &metadata) {
        return read_with_holes(file, length, &stored, limits);
    }
    read_in_room(file, Some(length), Stage::Read, limits)
}

/// Adds a hint to a failure if the name looks like something else.
fn explained(path: &Path, e: ImageError) -> ImageError {
    let name = path.as_os_str().as_encoded_bytes();
    let has = |byte| name.contains(&byte);
    let hint = match e.kind {
        _ if has(0) => "use -0 for a list separated by NUL bytes",
        ErrorKind::NotFound if has(b'\n') => "leave out -0 for a list with one name per line",
        ErrorKind::NotFound if name.windows(3).any(|some| some == b"://") => {
            "only http and https URLs are fetched; name a file by its path"
        }
        _ if name::is_pattern(path) => "no file has this name; patterns are expanded only on the command line",
        ErrorKind::NotFound if has(b'*') || has(b'?') => {
            "leave out the quotes so that the shell expands the pattern, or name the folder and use --include"
        }
        _ => return e,
    };
    ImageError { message: format!("{}; {hint}", e.message), ..e }
}

/// Reads an image of unknown length to its end.
pub(super) fn read_image(reader: impl Read, stage: Stage, limits: &Limits) -> Result<Bytes, ImageError> {
    read_in_room(reader, None, stage, limits)
}

fn read_in_room(reader: impl Read, length: Option<u64>, stage: Stage, limits: &Limits) -> Result<Bytes, ImageError> {
    let mut take = |bytes| limits.room.take(stage, bytes, READ);
    let space = Space { cap: limits.max_bytes, most: limits.room.most(stage), take: &mut take };
    read_whole(reader, length, space, |e| ImageError::from_io(&e))
}

/// A limit on reading, and the source of its memory.
pub(crate) struct Space<'a> {
    /// The most bytes of a file.
    pub cap: u64,
    /// The most bytes that can be taken.
    pub most: u64,
    /// Takes memory.
    pub take: &'a mut dyn FnMut(u64) -> Result<Lease, ImageError>,
}

/// Reads an image to its end, which is `length` bytes if that is known. Checks its first bytes, its length and the room
/// before reading the rest. `failed` converts an error of the reader.
pub(crate) fn read_whole(
    mut reader: impl Read,
    length: Option<u64>,
    Space { cap, most, take }: Space,
    failed: impl Fn(io::Error) -> ImageError,
) -> Result<Bytes, ImageError> {
    let mut bytes = head(&mut reader, &failed)?;
    if length.is_some_and(|length| length > cap) {
        return Err(too_many_bytes(cap));
    }
    let mut lease = length.map(&mut *take).transpose()?;
    let mut end = length.unwrap_or(STEPS[0]).min(cap);
    loop {
        read_up_to(&mut reader, end, &mut bytes).map_err(&failed)?;
        if (bytes.len() as u64) < end || !reads_another(&mut reader, &mut bytes).map_err(&failed)? {
            return Ok(Bytes::new(bytes, lease));
        }
        if end == cap {
            return Err(too_many_bytes(cap));
        }
        if end >= most {
            return Err(too_little(end + 1, most, READ));
        }
        // A file longer than stated takes room for the maximum. Give back first: waiting while holding could deadlock.
        drop(lease.take());
        end = if end < STEPS[1] { STEPS[1] } else { cap }.min(cap).min(most);
        let taken = take(end)?;
        end = end.max(taken.bytes().min(cap)); // whoever waited for more has it
        lease = Some(taken);
    }
}

/// Reads a file of `length` bytes, of which those in `stored` lie outside of its holes.
fn read_with_holes(mut file: File, length: u64, stored: &[Range<u64>], limits: &Limits) -> Result<Bytes, ImageError> {
    let failed = |e: io::Error| ImageError::from_io(&e);
    head(&mut file, &failed)?;
    if length > limits.max_bytes {
        return Err(too_many_bytes(limits.max_bytes));
    }
    let count = stored.iter().map(|part| part.end - part.start).sum();
    let lease = limits.room.take(Stage::Read, limits.room.counted(length, count), READ)?;
    let mut bytes = vec![0; length as usize]; // unwritten pages take no memory
    for part in stored {
        read_exact_at(&file, &mut bytes[part.start as usize..part.end as usize], part.start).map_err(failed)?;
    }
    Ok(Bytes::new(bytes, Some(lease)))
}

/// Reads until there are `end` bytes, most of them zeros. Pages of zeros take no memory.
pub(super) fn fill_sparse(reader: &mut impl Read, end: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut at = bytes.len();
    let mut whole = vec![0; end as usize];
    whole[..at].copy_from_slice(bytes);
    let mut part = vec![0; 1 << 16];
    while at < whole.len() {
        let part = &mut part[..(whole.len() - at).min(1 << 16)];
        reader.read_exact(part)?;
        if part.iter().any(|&byte| byte != 0) {
            whole[at..at + part.len()].copy_from_slice(part);
        }
        at += part.len();
    }
    *bytes = whole;
    Ok(())
}

/// Returns the first bytes, if they are those of an image.
fn head(reader: &mut impl Read, failed: &impl Fn(io::Error) -> ImageError) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    reader.take(HEAD).read_to_end(&mut bytes).map_err(failed)?;
    check_format(&bytes).map_err(|e| packed(&bytes).unwrap_or(e))?;
    Ok(bytes)
}

/// Reads one more byte, if there is one.
fn reads_another(reader: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<bool> {
    Ok(reader.take(1).read_to_end(bytes)? == 1)
}

/// Reads until there are `end` bytes, or to the end.
pub(super) fn read_up_to(reader: &mut impl Read, end: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    while (bytes.len() as u64) < end {
        let missing = (end - bytes.len() as u64).min(GROWTH);
        bytes.try_reserve_exact(missing as usize).map_err(|_| Io::OutOfMemory)?;
        if reader.by_ref().take(missing).read_to_end(bytes)? < missing as usize {
            break;
        }
    }
    Ok(())
}

/// Returns the failure of an input with more than `cap` bytes.
pub(crate) fn too_many_bytes(cap: u64) -> ImageError {
    ImageError::new(ErrorKind::TooLarge, format!("has more than the {cap} bytes allowed (--max-bytes)"))
}

/// Returns how to unpack a compressed file, if the first bytes are of one.
pub(super) fn packed(head: &[u8]) -> Option<ImageError> {
    let (what, command) = match head {
        [0x1f, 0x8b, ..] => ("gzip", "zcat"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => ("bzip2", "bzcat"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("xz", "xzcat"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", "zstdcat"),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            let reason = "is a zip file, which is not supported; unpack it and name the folder";
            return Some(ImageError::new(ErrorKind::Format, reason));
        }
        _ => return None,
    };
    let reason = format!("is compressed with {what}; use a pipe: {command} FILE | zsic classify - ...");
    Some(ImageError::new(ErrorKind::Format, reason))
}
