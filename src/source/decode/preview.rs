//! The small preview at the start of many camera raw files, which is all that zsic reads of them.

use std::path::Path;

use super::ifd::Directory;
use super::signature::is_raw_name;

/// A picture with a shorter side below this is called small: the largest side that common models take.
const SMALL: u64 = 512;

/// Returns the size of the picture that is read of a camera raw file, if it is a small preview. The first 64 KiB of the
/// file are enough. A file that is not a TIFF has none.
pub fn small_preview(name: &Path, file: &[u8]) -> Option<(u64, u64)> {
    let tags = Directory::read(file)?;
    let is_reduced = tags.number(254).is_some_and(|kind| kind & 1 == 1);
    let is_dng = tags.bytes(50706).is_some();
    let (width, height) = (tags.number(256)?, tags.number(257)?);
    ((is_reduced || is_dng || is_raw_name(name)) && width.min(height) < SMALL).then_some((width, height))
}
