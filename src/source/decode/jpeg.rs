//! JPEG through libjpeg-turbo's code (mozjpeg), whose accurate inverse DCT and smooth chroma upsampling give Pillow's
//! pixels byte for byte. Decoders in Rust are biased on files with subsampled chroma.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use image::RgbImage;
use image::metadata::Orientation;
use mozjpeg::decompress::DecompressStarted;
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::bounds::Bounds;
use super::scans::Scans;
use super::{BYTES_OF_PIXEL, DecodeResult, Decoded, Format, RowSink, damaged, rgb, upright};
use crate::source::ImageError;

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// Rows passed on together: few enough to stay in the cache.
const STRIP: usize = 16;
/// Bytes that decoding takes per column when rows are passed on: libjpeg's and a strip's.
const BYTES_OF_COLUMN: u64 = 256;

/// Bytes that remember whether more was requested than there is. libjpeg fills missing data with grey; Pillow, and so
/// zsic, calls such a file truncated.
struct Tail<'a> {
    rest: &'a [u8],
    exhausted: &'a Cell<bool>,
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rest.read(buffer)
    }
}

impl BufRead for Tail<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest.is_empty() {
            self.exhausted.set(true);
        }
        Ok(self.rest)
    }

    fn consume(&mut self, n: usize) {
        self.rest = &self.rest[n..];
    }
}

/// Decodes a JPEG file, turned as `orientation` says, or as the file itself does. With `rows`, passes the rows on and
/// returns None, unless the picture is turned or in inks. Fatal errors of the C library become panics, which the caller
/// catches.
pub(super) fn decode(
    bytes: &[u8],
    bounds: &Bounds,
    enough: Option<usize>,
    orientation: Option<Orientation>,
    rows: Option<&mut dyn RowSink>,
) -> DecodeResult<Option<Decoded>> {
    let exhausted = Cell::new(false);
    let tail = Tail { rest: bytes, exhausted: &exhausted };
    let mut file = Decompress::with_markers(&[Marker::APP(1)]).from_reader(tail).map_err(failed)?;
    let (width, height) = file.size();
    bounds.check(width as u64, height as u64)?;
    let scans = Scans::of(bytes)?;
    let segments = |prefix: &'static [u8]| file.markers().filter_map(move |m| m.data.strip_prefix(prefix));
    let own = || {
        let exif: Vec<u8> = segments(EXIF).flatten().copied().collect(); // in parts, if it is long
        upright::orientation(Some(&exif), segments(XMP).last())
    };
    let orientation = orientation.unwrap_or_else(own);
    if let Some(eighths) = enough.and_then(|side| eighths(width.min(height), side)) {
        file.scale(eighths);
    }
    let inks = matches!(file.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let space = if inks { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let streams = rows.is_some() && !inks && orientation == Orientation::NoTransforms;
    bounds.take(scans.kept + if streams { BYTES_OF_COLUMN } else { height as u64 * BYTES_OF_PIXEL } * width as u64)?;
    let started = file.to_colorspace(space).map_err(failed)?;
    let (width, height) = (started.width() as u32, started.height() as u32);
    let data: Vec<u8> = match rows {
        _ if inks => {
            // Adobe writes inverted inks, and Pillow assumes Adobe for every file with four channels.
            let pixels: Vec<[u8; 4]> = whole(started, &exhausted)?;
            pixels.iter().flat_map(|pixel| rgb::from_cmyk(pixel.map(|ink| 255 - ink))).collect()
        }
        Some(rows) if streams => {
            hand_on(started, &exhausted, rows)?;
            return Ok(None);
        }
        _ => whole(started, &exhausted)?,
    };
    let image = RgbImage::from_raw(width, height, data).ok_or_else(|| ImageError::truncated("JPEG"))?;
    Ok(Some(Decoded { image, orientation }))
}

/// Returns the strongest reduction, in eighths, that leaves at least `enough` of `side` pixels.
fn eighths(side: usize, enough: usize) -> Option<u8> {
    [1u8, 2, 4].into_iter().find(|&eighths| (side * usize::from(eighths)).div_ceil(8) >= enough)
}

/// Passes on every row, a few at a time.
fn hand_on(mut started: DecompressStarted<Tail>, exhausted: &Cell<bool>, rows: &mut dyn RowSink) -> DecodeResult<()> {
    let (width, height) = (started.width(), started.height());
    rows.begin(width, height)?;
    let mut strip = vec![0u8; width * 3 * STRIP.min(height)];
    for top in (0..height).step_by(STRIP) {
        let strip = &mut strip[..width * 3 * STRIP.min(height - top)];
        rows.push(started.read_scanlines_into(strip).map_err(failed)?);
    }
    finish(started, exhausted)
}

/// Decodes every pixel.
fn whole<T: bytemuck::Pod>(mut started: DecompressStarted<Tail>, exhausted: &Cell<bool>) -> DecodeResult<Vec<T>> {
    let pixels = started.read_scanlines().map_err(failed)?;
    finish(started, exhausted)?;
    Ok(pixels)
}

/// Finishes decoding. After the last pixel the data may end, but an error in it still counts.
fn finish(started: DecompressStarted<Tail>, exhausted: &Cell<bool>) -> DecodeResult<()> {
    if exhausted.get() {
        return Err(ImageError::truncated("JPEG"));
    }
    started.finish().map_err(failed)
}

/// Decodes a strip or tile of a TIFF file: `size` pixels of `channels` bytes in their stored colours, except that YCbCr
/// becomes RGB. libtiff, and so Pillow, lets libjpeg fill missing data with grey.
pub(super) fn part(bytes: &[u8], size: [usize; 2], channels: usize, ycbcr: bool) -> DecodeResult<Vec<u8>> {
    let exhausted = Cell::new(false);
    Scans::of(bytes)?;
    let file = Decompress::new_reader(Tail { rest: bytes, exhausted: &exhausted }).map_err(failed)?;
    let (width, height) = file.size();
    if width != size[0] || height < size[1] || height > 1 << 16 || file.components().len() != channels {
        return Err(damaged(Format::Tiff, "a strip or tile of another size"));
    }
    let space = if ycbcr { ColorSpace::JCS_RGB } else { file.color_space() };
    let mut started = file.to_colorspace(space).map_err(failed)?;
    let mut pixels = vec![0; width * size[1] * channels]; // a part may have extra rows
    started.read_scanlines_into(&mut pixels).map_err(failed)?;
    Ok(pixels)
}

fn failed(e: io::Error) -> ImageError {
    damaged(Format::Jpeg, e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduced_sizes_are_large_enough() {
        assert_eq!(eighths(3000, 448), Some(2)); // 750; an eighth would be 375
        assert_eq!(eighths(3584, 448), Some(1));
        assert_eq!(eighths(896, 448), Some(4));
        assert_eq!(eighths(894, 448), None);
        assert_eq!(eighths(480, 448), None);
    }
}
