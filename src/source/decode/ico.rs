//! Windows icons and cursors: the picture that Pillow chooses. Of an icon (IcoImagePlugin.py) it is the largest, and among
//! equals the one with the fewest bits; of a cursor (CurImagePlugin.py) the first that no later one exceeds both ways.

use image::RgbImage;
use image::metadata::Orientation;

use super::bmp::Bitmap;
use super::bounds::Bounds;
use super::chunks::{PngFile, SIGNATURE};
use super::cursor::Cursor;
use super::{DecodeResult, Decoded, Format, damaged, png};
use crate::source::ImageError;

/// An entry of the directory.
struct IconEntry {
    area: u32,
    /// Distinguishes entries of equal size.
    depth: u32,
    bits: u16,
    length: usize,
    offset: usize,
}

/// Returns whether a file begins with an icon's directory.
pub(super) fn begins(head: &[u8]) -> bool {
    let mut file = Cursor::at(head, 4);
    let Some(count) = file.u16_le() else { return false };
    let (Some([_, _, _, _, planes, 0, bits, 0]), Some(length), Some(offset)) =
        (file.array(), file.u32_le(), file.u32_le())
    else {
        return false;
    };
    let directory = 6 + 16 * u32::from(count);
    let is_known = planes <= 1 && bits <= 32 || is_cursor(head); // which has the place of its tip there
    count > 0 && is_known && length > 0 && (directory..0x100_0000).contains(&offset)
}

/// Returns whether a file begins like a cursor. TGA files begin with the same bytes and no entries.
pub(super) fn is_cursor(head: &[u8]) -> bool {
    head.starts_with(b"\0\0\x02\0") && Cursor::at(head, 4).u16_le() > Some(0)
}

/// Decodes an icon's or cursor's main picture.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds) -> DecodeResult<Decoded> {
    if is_cursor(bytes) {
        return Ok(Decoded { image: cursor(bytes, bounds)?, orientation: Orientation::NoTransforms });
    }
    let entry = entry(bytes).ok_or_else(|| ImageError::truncated("ICO"))?;
    let picture = bytes.get(entry.offset..).unwrap_or_default();
    let image = if picture.starts_with(SIGNATURE) {
        png::whole(&PngFile::read(picture, bounds)?, bounds)?.image
    } else {
        bitmap(bytes, &entry, bounds)?
    };
    Ok(Decoded { image, orientation: Orientation::NoTransforms })
}

/// Returns the entry of the main picture, or `None` if the file ends in the directory.
fn entry(bytes: &[u8]) -> Option<IconEntry> {
    let mut file = Cursor::at(bytes, 4);
    let mut entries = Vec::new();
    for _ in 0..file.u16_le()? {
        let [width, height, colours, _] = file.array()?;
        let (_, bits) = (file.u16_le()?, file.u16_le()?);
        let side = |n: u8| if n == 0 { 256 } else { u32::from(n) };
        let depth = match (bits, colours) {
            (0, 0) => 256,
            (0, 1) => 256, // the logarithm is 0, which Pillow takes as missing
            (0, colours) => u32::from(colours).next_power_of_two().ilog2(),
            (bits, _) => bits.into(),
        };
        let (length, offset) = (file.u32_le()? as usize, file.u32_le()? as usize);
        entries.push(IconEntry { area: side(width) * side(height), depth, bits, length, offset });
    }
    // The first of equal entries.
    entries.into_iter().min_by_key(|e| (std::cmp::Reverse(e.area), e.depth))
}

/// Decodes a cursor's main picture. The mask is dropped, except that it makes pixels of a picture in greys black.
fn cursor(bytes: &[u8], bounds: &Bounds) -> DecodeResult<RgbImage> {
    let mut file = Cursor::at(bytes, 4);
    let mut chosen: Option<[u8; 16]> = None;
    for _ in 0..file.u16_le().unwrap_or(0) {
        let entry: [u8; 16] = file.array().ok_or_else(|| ImageError::truncated("ICO"))?;
        chosen = chosen.filter(|best| entry[0] <= best[0] || entry[1] <= best[1]).or(Some(entry));
    }
    let offset = Cursor::at(&chosen.unwrap_or_default(), 12).u32_le().unwrap_or(0);
    let bitmap = Bitmap::read(bytes, offset as usize, 0)?;
    let height = bitmap.height / 2;
    if !bitmap.is_grey() {
        return bitmap.decode(bytes, height, bounds);
    }
    let mut data = bitmap.decode(bytes, 2 * height, bounds)?.into_raw();
    let half = data.len() / 2;
    let (mask, picture) = data.split_at_mut(half);
    for (grey, &hidden) in picture.iter_mut().zip(&*mask) {
        let product = u32::from(*grey) * u32::from(255 - hidden) + 128;
        *grey = (((product >> 8) + product) >> 8) as u8;
    }
    data.drain(..half);
    RgbImage::from_raw(bitmap.width, height, data).ok_or_else(ImageError::empty)
}

/// Decodes a bitmap with a mask. The mask is transparency, which is dropped, but Pillow requires it.
fn bitmap(bytes: &[u8], entry: &IconEntry, bounds: &Bounds) -> DecodeResult<RgbImage> {
    let bitmap = Bitmap::read(bytes, entry.offset, 0)?;
    let height = bitmap.height / 2;
    let image = bitmap.decode(bytes, height, bounds)?;
    let (columns, rows) = (bitmap.width as usize, height as usize);
    let mask = if entry.bits == 32 {
        Some((bitmap.start, columns * rows * 4))
    } else {
        // The bitmap ends with the entry.
        let stride = columns.div_ceil(32) * 4;
        let start = (entry.offset + entry.length).checked_sub(stride * rows);
        start.map(|start| (start, stride * (rows - 1) + columns.div_ceil(8)))
    };
    match mask {
        Some((start, length)) if start + length <= bytes.len() => Ok(image),
        Some(_) => Err(ImageError::truncated("ICO")),
        None => Err(damaged(Format::Ico, "its mask lies outside the file")),
    }
}
