//! PNG: `chunks` reads the chunks, the `png` crate the pixels.
//!
//! Pillow checks only zlib's checksum of the image data, needs nothing after the last pixel, and accepts data that ends
//! between two rows. The crate wants whole files. So it gets a clean stream with the same data; if that fails, the rows
//! are inflated here as Pillow inflates them (ZipDecode.c) and passed to it uncompressed.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use image::RgbImage;
use image::metadata::Orientation;
use png::ColorType;

use super::bounds::Bounds;
use super::chunks::{PngFile, SIGNATURE};
use super::{BROKEN, DecodeResult, Decoded, Format, RowSink, Strip, damaged, upright};
use crate::source::ImageError;

/// Adam7: the first column and row of each pass, and the steps to the next ones.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// Decodes a PNG file, or the first frame of an animation. With `rows`, passes the rows on and returns None, if they
/// are stored and shown from the top.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds, rows: Option<&mut dyn RowSink>) -> DecodeResult<Option<Decoded>> {
    let file = PngFile::read(bytes, bounds)?;
    match rows {
        Some(rows) if !file.interlaced && file.frame.is_none() && file.orientation() == Orientation::NoTransforms => {
            rows.begin(file.width as usize, file.height as usize)?;
            file.attempt(bounds, file.bytes_of_rows(), |clean, checked| hand_on(clean, checked, &mut *rows))?;
            Ok(None)
        }
        _ => whole(&file, bounds).map(Some),
    }
}

/// Decodes every pixel.
pub(super) fn whole(file: &PngFile, bounds: &Bounds) -> DecodeResult<Decoded> {
    let [left, top, width, height] = file.place();
    bounds.check(width.into(), height.into())?;
    let pixels = u64::from(file.width) * u64::from(file.height);
    let image = file.attempt(bounds, pixels * file.bytes_of_pixel(), pixels_of)?;
    let image = if image.dimensions() == (file.width, file.height) {
        image
    } else {
        let mut canvas = RgbImage::new(file.width, file.height);
        image::imageops::replace(&mut canvas, &image, left.into(), top.into());
        canvas
    };
    Ok(Decoded { image, orientation: file.orientation() })
}

impl PngFile<'_> {
    fn orientation(&self) -> Orientation {
        upright::orientation(self.exif.as_deref().or(self.profile.as_deref()), self.xmp.as_deref())
    }

    /// Returns left, top, width and height of the chosen frame.
    fn place(&self) -> [u32; 4] {
        self.frame.unwrap_or([0, 0, self.width, self.height])
    }

    /// Tries a clean file with the image data, and then, unchecked, one with the rows as Pillow inflates them. `bytes`
    /// is the additional memory of an attempt.
    fn attempt<T>(
        &self,
        bounds: &Bounds,
        bytes: u64,
        mut decode: impl FnMut(&[u8], bool) -> DecodeResult<T>,
    ) -> DecodeResult<T> {
        let [_, _, width, height] = self.place();
        let packed: usize = self.data.iter().map(|part| part.len()).sum();
        bounds.take(packed as u64 + bytes)?;
        if let Ok(decoded) = decode(&self.clean(width, height, &self.data), true) {
            return Ok(decoded);
        }
        let length = self.inflated(width, height)?;
        bounds.take(2 * length as u64 + bytes)?;
        let packed = stored(self.rows(length)?)?;
        let clean = self.clean(width, height, &[&packed]);
        drop(packed);
        decode(&clean, false)
    }

    /// Returns the bytes per pixel of a whole image: samples and colours, and the colours twice if they are moved.
    fn bytes_of_pixel(&self) -> u64 {
        let stays = self.frame.is_none() && self.orientation() == Orientation::NoTransforms;
        match self.colour {
            2 | 3 => {
                if stays {
                    3
                } else {
                    6
                }
            }
            0 | 4 => 6,
            _ => 7,
        }
    }

    /// Returns the bytes needed to pass on rows: a few compressed ones, and a strip of colours.
    fn bytes_of_rows(&self) -> u64 {
        u64::from(self.width) * (8 * 4 + 3 * Strip::rows(self.width as usize) as u64 + 4)
    }

    /// Returns a PNG file with nothing but the image data.
    fn clean(&self, width: u32, height: u32, data: &[&[u8]]) -> Vec<u8> {
        let length: usize = data.iter().map(|part| part.len()).sum();
        let mut file = Vec::with_capacity(length + 1024);
        file.extend_from_slice(SIGNATURE);
        // The checksums stay empty: the crate does not check them.
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

    /// Returns the length of each uncompressed row with its filter byte, in the order of the data.
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

    /// Returns the length of the rows, after checking that they can be inflated. Data may end early at the end of a
    /// row, but only with its own end mark.
    fn inflated(&self, width: u32, height: u32) -> DecodeResult<usize> {
        let length = self.row_lengths(width, height).sum();
        let mut end = self.inflate(length, |_| {})?;
        for length in self.row_lengths(width, height) {
            if (1..length).contains(&end) {
                return Err(ImageError::truncated("PNG"));
            }
            end = end.saturating_sub(length);
        }
        Ok(length)
    }

    /// Returns the inflated rows, with zeros for missing ones.
    fn rows(&self, length: usize) -> DecodeResult<Vec<u8>> {
        let mut rows = Vec::with_capacity(length);
        self.inflate(length, |part| rows.extend_from_slice(part))?;
        rows.resize(length, 0);
        Ok(rows)
    }

    /// Inflates at most `length` bytes and passes them on in parts. Returns their number.
    fn inflate(&self, length: usize, mut take: impl FnMut(&[u8])) -> DecodeResult<usize> {
        let mut buffer = vec![0; length.min(1 << 16)];
        let mut stream = Decompress::new(true);
        let mut parts = self.data.iter();
        let mut part: &[u8] = &[];
        loop {
            let (read, made) = (stream.total_in(), stream.total_out() as usize);
            let out = &mut buffer[..(length - made).min(1 << 16)];
            let status = stream.decompress(part, out, FlushDecompress::None);
            part = &part[(stream.total_in() - read) as usize..];
            let now = stream.total_out() as usize;
            take(&out[..now - made]);
            match status.map_err(|_| damaged(Format::Png, BROKEN))? {
                Status::StreamEnd => break,
                _ if stream.total_in() > read || now > made => {}
                _ if now == length => break,
                _ => part = parts.next().ok_or_else(|| ImageError::truncated("PNG"))?,
            }
        }
        Ok(stream.total_out() as usize)
    }
}

/// Returns the bytes as uncompressed zlib data.
fn stored(data: Vec<u8>) -> DecodeResult<Vec<u8>> {
    let mut stream = ZlibEncoder::new(Vec::with_capacity(data.len() + data.len() / 1000 + 64), Compression::none());
    stream.write_all(&data).and_then(|()| stream.finish()).map_err(|e| damaged(Format::Png, e))
}

/// Returns the pixels of a clean file.
fn pixels_of(file: &[u8], checked: bool) -> DecodeResult<RgbImage> {
    let mut reader = open(file, checked)?;
    let mut data = vec![0; reader.output_buffer_size().ok_or_else(ImageError::empty)?];
    let info = reader.next_frame(&mut data).map_err(failed)?;
    if info.color_type != ColorType::Rgb {
        let mut colours = Vec::with_capacity(info.width as usize * info.height as usize * 3);
        append(info.color_type, &data, &mut colours);
        data = colours;
    }
    RgbImage::from_raw(info.width, info.height, data).ok_or_else(ImageError::empty)
}

/// Opens a clean file.
fn open(file: &[u8], checked: bool) -> DecodeResult<png::Reader<std::io::Cursor<&[u8]>>> {
    let mut options = png::DecodeOptions::default();
    options.set_ignore_crc(true);
    options.set_ignore_adler32(!checked);
    let mut decoder = png::Decoder::new_with_options(std::io::Cursor::new(file), options);
    decoder.set_limits(png::Limits { bytes: usize::MAX }); // the pixel cap was checked before
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.read_info().map_err(failed)
}

/// Appends the colours of pixels of 8 bits.
fn append(kind: ColorType, pixels: &[u8], colours: &mut Vec<u8>) {
    match kind {
        ColorType::Grayscale => colours.extend(pixels.iter().flat_map(|&grey| [grey; 3])),
        ColorType::GrayscaleAlpha => colours.extend(pixels.chunks_exact(2).flat_map(|p| [p[0]; 3])),
        ColorType::Rgba => colours.extend(pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]])),
        _ => colours.extend_from_slice(pixels),
    }
}

fn failed(e: png::DecodingError) -> ImageError {
    damaged(Format::Png, e)
}

/// Passes on the rows of a clean file.
fn hand_on(file: &[u8], checked: bool, rows: &mut dyn RowSink) -> DecodeResult<()> {
    let mut reader = open(file, checked)?;
    let (width, kind) = (reader.info().width, reader.output_color_type().0);
    let mut row = vec![0; reader.output_line_size(width).ok_or_else(ImageError::empty)?];
    let mut strip = Strip::new(rows, width as usize);
    while reader.read_row(&mut row).map_err(failed)?.is_some() {
        strip.row(|rows| append(kind, &row, rows));
    }
    strip.hand_on();
    Ok(())
}
