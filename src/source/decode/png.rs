//! PNG: the chunks by `chunks`, the pixels by the `png` crate.
//!
//! Pillow checks no checksum of the image data but zlib's, needs nothing behind the last pixel, and takes data that
//! ends early between two rows. The crate wants whole files. So it is given a clean stream of the same data; where
//! that fails, the rows are inflated here as Pillow inflates them (ZipDecode.c) and given to it uncompressed.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use image::{ImageFormat, RgbImage};

use super::chunks::{File, SIGNATURE};
use super::{BROKEN, Decoded, Outcome, check_size, damaged, rgb, upright};
use crate::source::ImageError;

/// Adam7: the first column and row of each pass, and the steps to the next ones.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// Decodes a PNG file, of an animation the first frame.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Outcome<Decoded> {
    let file = File::read(bytes, max_pixels)?;
    let [left, top, width, height] = file.frame.unwrap_or([0, 0, file.width, file.height]);
    check_size(width.into(), height.into(), max_pixels)?;
    let image = pixels(&file.clean(width, height, &file.data), true)
        .or_else(|_| pixels(&file.clean(width, height, &[&stored(&file.rows(width, height)?)?]), false))?;
    let image = if image.dimensions() == (file.width, file.height) {
        image
    } else {
        let mut canvas = RgbImage::new(file.width, file.height);
        image::imageops::replace(&mut canvas, &image, left.into(), top.into());
        canvas
    };
    let xmp = file.xmp.as_deref();
    Ok(Decoded { image, orientation: upright::orientation(file.exif.or(file.profile).as_deref(), xmp) })
}

impl File<'_> {
    /// A PNG file of nothing but the image data.
    fn clean(&self, width: u32, height: u32, data: &[&[u8]]) -> Vec<u8> {
        let length: usize = data.iter().map(|part| part.len()).sum();
        let mut file = Vec::with_capacity(length + 1024);
        file.extend_from_slice(SIGNATURE);
        // Checksums are left out: the crate is told not to look at them.
        let mut chunk = |kind: &[u8; 4], parts: &[&[u8]]| {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            file.extend_from_slice(&(length as u32).to_be_bytes());
            file.extend_from_slice(kind);
            parts.iter().for_each(|part| file.extend_from_slice(part));
            file.extend_from_slice(&[0; 4]);
        };
        let layout = [self.depth, self.colour, 0, 0, u8::from(self.interlaced)];
        chunk(b"IHDR", &[&width.to_be_bytes(), &height.to_be_bytes(), &layout]);
        if self.colour == 3 {
            let mut palette = self.palette[..self.palette.len() / 3 * 3].to_vec();
            palette.resize(3 << self.depth, 0);
            chunk(b"PLTE", &[&palette]);
        }
        // Chunks have at most 2^31 - 1 bytes.
        for part in data.iter().flat_map(|part| part.chunks(1 << 30)) {
            chunk(b"IDAT", &[part]);
        }
        chunk(b"IEND", &[]);
        file
    }

    /// The length of each row as it is compressed, its filter included, in the order of the data.
    fn row_lengths(&self, width: u32, height: u32) -> impl Iterator<Item = usize> {
        let (width, height) = (width as usize, height as usize);
        let samples = match self.colour {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        };
        let bits = samples * usize::from(self.depth);
        let passes: &[[usize; 4]] = if self.interlaced { &PASSES } else { &[[0, 0, 1, 1]] };
        passes.iter().flat_map(move |&[left, top, across, down]| {
            let columns = width.saturating_sub(left).div_ceil(across);
            let rows = if columns == 0 { 0 } else { height.saturating_sub(top).div_ceil(down) };
            std::iter::repeat_n(1 + (columns * bits).div_ceil(8), rows)
        })
    }

    /// The rows, inflated. Data may end early where a row ends, but only by its own mark; the rest is zeros.
    fn rows(&self, width: u32, height: u32) -> Outcome<Vec<u8>> {
        let mut rows = vec![0; self.row_lengths(width, height).sum()];
        let mut stream = Decompress::new(true);
        let mut parts = self.data.iter();
        let mut part: &[u8] = &[];
        loop {
            let (read, made) = (stream.total_in(), stream.total_out());
            let out = &mut rows[made as usize..];
            let status = stream.decompress(part, out, FlushDecompress::None);
            part = &part[(stream.total_in() - read) as usize..];
            match status.map_err(|_| damaged(ImageFormat::Png, BROKEN))? {
                Status::StreamEnd => break,
                _ if stream.total_in() > read || stream.total_out() > made => {}
                _ if stream.total_out() as usize == rows.len() => break,
                _ => part = parts.next().ok_or_else(|| ImageError::truncated("PNG"))?,
            }
        }
        let made = stream.total_out() as usize;
        let mut end = made;
        for length in self.row_lengths(width, height) {
            if (1..length).contains(&end) {
                return Err(ImageError::truncated("PNG"));
            }
            end = end.saturating_sub(length);
        }
        rows[made..].fill(0); // the inflater may have used it
        Ok(rows)
    }
}

/// The same bytes as zlib data that is not compressed.
fn stored(data: &[u8]) -> Outcome<Vec<u8>> {
    let mut stream = ZlibEncoder::new(Vec::with_capacity(data.len() + data.len() / 1000 + 64), Compression::none());
    stream.write_all(data).and_then(|()| stream.finish()).map_err(|e| damaged(ImageFormat::Png, e))
}

/// The pixels of a clean file.
fn pixels(file: &[u8], checked: bool) -> Outcome<RgbImage> {
    let failed = |e| damaged(ImageFormat::Png, e);
    let mut options = png::DecodeOptions::default();
    options.set_ignore_crc(true);
    options.set_ignore_adler32(!checked);
    let mut decoder = png::Decoder::new_with_options(std::io::Cursor::new(file), options);
    decoder.set_limits(png::Limits { bytes: usize::MAX }); // the pixel cap was checked
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(failed)?;
    let mut data = vec![0; reader.output_buffer_size().ok_or_else(ImageError::empty)?];
    let info = reader.next_frame(&mut data).map_err(failed)?;
    let data = match info.color_type {
        png::ColorType::Grayscale => rgb::from_grey(&data),
        png::ColorType::GrayscaleAlpha => data.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Rgba => data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        _ => data,
    };
    RgbImage::from_raw(info.width, info.height, data).ok_or_else(ImageError::empty)
}
