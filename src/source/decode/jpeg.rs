//! JPEG through libjpeg-turbo's code (mozjpeg), whose accurate inverse DCT and smooth chroma upsampling give Pillow's
//! pixels byte for byte.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use image::{ImageFormat, RgbImage};
use mozjpeg::decompress::DecompressStarted;
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
    let tail = Tail { rest: bytes, exhausted: &exhausted };
    let file = Decompress::with_markers(&[Marker::APP(1)]).from_reader(tail).map_err(failed)?;
    let (width, height) = file.size();
    check_size(width as u64, height as u64, max_pixels)?;
    let segment = |prefix: &[u8]| file.markers().find_map(|m| m.data.strip_prefix(prefix).map(<[u8]>::to_vec));
    let orientation = upright::orientation(segment(EXIF).as_deref(), segment(XMP).as_deref());
    let inks = matches!(file.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let space = if inks { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let started = file.to_colorspace(space).map_err(failed)?;
    let data: Vec<u8> = if inks {
        // Adobe writes inks inverted, and Pillow takes every file of four channels for Adobe's.
        let pixels: Vec<[u8; 4]> = whole(started, &exhausted)?;
        pixels.iter().flat_map(|pixel| rgb::from_cmyk(pixel.map(|ink| 255 - ink))).collect()
    } else {
        whole(started, &exhausted)?
    };
    let image = RgbImage::from_raw(width as u32, height as u32, data).ok_or_else(|| ImageError::truncated("JPEG"))?;
    Ok(Decoded { image, orientation })
}

/// Every pixel. After the last one the data may end, but an error in it still counts.
fn whole<T: bytemuck::Pod>(mut started: DecompressStarted<Tail>, exhausted: &Cell<bool>) -> Outcome<Vec<T>> {
    let pixels = started.read_scanlines().map_err(failed)?;
    if exhausted.get() {
        return Err(ImageError::truncated("JPEG"));
    }
    started.finish().map_err(failed)?;
    Ok(pixels)
}

/// Decodes a strip or tile of a TIFF file, `size` pixels of `channels` bytes in the colours in which they are stored,
/// but YCbCr as RGB. libtiff, and so Pillow, lets libjpeg go on with grey where the data ends early.
pub(super) fn part(bytes: &[u8], size: [usize; 2], channels: usize, ycbcr: bool) -> Outcome<Vec<u8>> {
    let exhausted = Cell::new(false);
    let file = Decompress::new_reader(Tail { rest: bytes, exhausted: &exhausted }).map_err(failed)?;
    let (width, height) = file.size();
    if width != size[0] || height < size[1] || height > 1 << 16 || file.components().len() != channels {
        return Err(damaged(ImageFormat::Tiff, "a part of another size"));
    }
    let space = if ycbcr { ColorSpace::JCS_RGB } else { file.color_space() };
    let mut started = file.to_colorspace(space).map_err(failed)?;
    let mut pixels: Vec<u8> = started.read_scanlines().map_err(failed)?;
    pixels.truncate(width * size[1] * channels);
    Ok(pixels)
}

fn failed(e: io::Error) -> ImageError {
    damaged(ImageFormat::Jpeg, e)
}
