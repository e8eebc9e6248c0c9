//! The small preview that many camera raw files hold first, and that is all that is read of them.

use std::path::Path;

use super::ifd::Directory;
use super::signature::is_raw_name;

/// The shorter side of a picture below which it is said to be small: the largest side that a common model takes.
const SMALL: u64 = 512;

/// Returns the size of what is read of a camera raw file, if that is a small preview of the photograph. The first 64 KiB of
/// the file are enough, and a file that is no TIFF has none.
pub fn small_preview(name: &Path, file: &[u8]) -> Option<(u64, u64)> {
    let tags = Directory::read(file)?;
    let is_reduced = tags.number(254).is_some_and(|kind| kind & 1 == 1);
    let is_dng = tags.bytes(50706).is_some();
    let (width, height) = (tags.number(256)?, tags.number(257)?);
    ((is_reduced || is_dng || is_raw_name(name)) && width.min(height) < SMALL).then_some((width, height))
}
