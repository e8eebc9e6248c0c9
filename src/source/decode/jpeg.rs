//! JPEG through libjpeg-turbo's code (mozjpeg), whose accurate inverse DCT and smooth chroma upsampling give Pillow's
//! pixels byte for byte.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use image::{ImageFormat, RgbImage};
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::{Decoded, Outcome, check_size, damaged, rgb, upright};
use crate::source::ImageError;

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Bytes that remember whether more was asked for than there is. libjpeg goes on with grey where the data ends early;
/// Pillow, and so zsic, calls such a file truncated.
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

/// Decodes a JPEG file. Fatal errors of the C library arrive here as panics, caught by the caller.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Outcome<Decoded> {
    let exhausted = Cell::new(false);
    let failed = |e: io::Error| damaged(ImageFormat::Jpeg, e);
    let tail = Tail { rest: bytes, exhausted: &exhausted };
    let file = Decompress::with_markers(&[Marker::APP(1)]).from_reader(tail).map_err(failed)?;
    let (width, height) = file.size();
    check_size(width as u64, height as u64, max_pixels)?;
    let segment = |prefix: &[u8]| file.markers().find_map(|m| m.data.strip_prefix(prefix).map(<[u8]>::to_vec));
    let orientation = upright::orientation(segment(EXIF).as_deref(), segment(XMP).as_deref());
    let inks = matches!(file.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let space = if inks { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut started = file.to_colorspace(space).map_err(failed)?;
    let data: Vec<u8> = if inks {
        // Adobe writes inks inverted, and Pillow takes every file of four channels for Adobe's.
        let pixels: Vec<[u8; 4]> = started.read_scanlines().map_err(failed)?;
        pixels.iter().flat_map(|pixel| rgb::from_cmyk(pixel.map(|ink| 255 - ink))).collect()
    } else {
        started.read_scanlines().map_err(failed)?
    };
    started.finish().map_err(failed)?;
    if exhausted.get() {
        return Err(ImageError::truncated("JPEG"));
    }
    let image = RgbImage::from_raw(width as u32, height as u32, data).ok_or_else(|| ImageError::truncated("JPEG"))?;
    Ok(Decoded { image, orientation })
}
