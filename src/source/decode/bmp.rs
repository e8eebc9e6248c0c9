//! BMP, and the bitmaps within icons, as Pillow reads them (BmpImagePlugin.py).

use image::RgbImage;
use image::metadata::Orientation;

use super::bounds::Bounds;
use super::cursor::Cursor;
use super::rgb::Palette;
use super::{BYTES_OF_PIXEL, DecodeResult, Decoded, Format, RowSink, Strip, damaged, unsupported};
use crate::source::ImageError;

const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const FIELDS: u32 = 3;

/// Decodes a BMP file, or a bitmap without the file's header. With `rows`, passes the rows on and returns None.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds, rows: Option<&mut dyn RowSink>) -> DecodeResult<Option<Decoded>> {
    let bitmap = if is_bare(bytes) {
        Bitmap::read(bytes, 0, 0)?
    } else {
        let offset = Cursor::at(bytes, 10).u32_le().ok_or_else(|| ImageError::truncated("BMP"))?;
        Bitmap::read(bytes, 14, offset as usize)?
    };
    let Some(rows) = rows else {
        let image = bitmap.decode(bytes, bitmap.height, bounds)?;
        return Ok(Some(Decoded { image, orientation: Orientation::NoTransforms }));
    };
    let (width, height) = (bitmap.width as usize, bitmap.height as usize);
    bounds.check(width as u64, height as u64)?;
    bounds.take(bitmap.bytes_unpacked(bitmap.height) + width as u64 * BYTES_OF_PIXEL * Strip::ROWS as u64)?;
    rows.begin(width, height)?;
    let mut strip = Strip::new(rows, width);
    bitmap.each_row(bytes, height, |row| strip.row(|rows| rows.extend_from_slice(row)))?;
    strip.hand_on();
    Ok(None)
}

/// Returns whether a file begins with a bitmap's header instead of the file's, as `.dib` files do.
pub(super) fn is_bare(head: &[u8]) -> bool {
    Cursor::new(head).u32_le().is_some_and(is_header_length)
}

/// Returns whether a file begins with the header of a BMP file and a bitmap's header.
pub(super) fn begins(head: &[u8]) -> bool {
    let field = |at| Cursor::at(head, at).u32_le().unwrap_or(0);
    let length = field(14);
    let planes = Cursor::at(head, if length == 12 { 22 } else { 26 }).u16_le();
    let is_known = is_header_length(length) || length == 16;
    head.starts_with(b"BM") && is_known && planes == Some(1) && matches!(field(10), 0 | 26..0x100_0000)
}

/// Returns whether a bitmap's header of this length is known.
fn is_header_length(length: u32) -> bool {
    matches!(length, 12 | 40 | 52 | 56 | 64 | 108 | 124)
}

/// A bitmap's header.
pub(super) struct Bitmap {
    pub(super) width: u32,
    /// In an icon, which also has a mask, twice the picture's height.
    pub(super) height: u32,
    top_down: bool,
    bits: u32,
    compression: u32,
    pixels: PixelFormat,
    /// Where the pixels start in the file.
    pub(super) start: usize,
}

/// The storage of a pixel.
enum PixelFormat {
    /// Indices of as many bits as the header says.
    Indexed(Box<Palette>),
    /// Greys of 1 or 8 bits: Pillow's reading of a palette that is a ramp of greys.
    Grey(u32),
    /// Little-endian words: the shift and the greatest value of red, green and blue.
    Word([(u32, u32); 3]),
    /// The bytes of red, green and blue within a pixel.
    Bytes([usize; 3]),
}

impl Bitmap {
    /// Reads the header at `at`. `start`, if not zero, is the file's offset of the pixels.
    pub(super) fn read(file: &[u8], at: usize, start: usize) -> DecodeResult<Self> {
        let mut rest = Cursor::at(file, at);
        let length = rest.u32_le().ok_or_else(|| ImageError::truncated("BMP"))?;
        if !is_header_length(length) {
            return Err(unsupported(Format::Bmp, format!("a header of {length} bytes")));
        }
        let header = rest.take(length as usize - 4).ok_or_else(|| ImageError::truncated("BMP"))?;
        let field = |at: usize| Cursor::at(header, at).u32_le().unwrap_or(0);
        let short = |at: usize| u32::from(Cursor::at(header, at).u16_le().unwrap_or(0));
        let old = length == 12;
        let top_down = !old && header[7] == 0xff;
        let (width, height) = if old { (short(0), short(2)) } else { (field(0), field(4)) };
        let (bits, compression) = if old { (short(6), RAW) } else { (short(10), field(12)) };
        let height = if top_down { height.wrapping_neg() } else { height };
        let mut masks = [field(36), field(40), field(44), if length >= 56 { field(48) } else { 0 }];
        if compression == FIELDS && length == 40 {
            for mask in &mut masks[..3] {
                *mask = rest.u32_le().ok_or_else(|| ImageError::truncated("BMP"))?;
            }
            masks[3] = 0;
        }
        let colours = if old { 0 } else { field(28) };
        let colours = if colours == 0 { 1u32.checked_shl(bits).unwrap_or(0) } else { colours };
        let pixels = match (bits, compression) {
            (1 | 4 | 8, RAW | RLE8 | RLE4) => palette(&mut rest, colours, if old { 3 } else { 4 })?,
            (16 | 24 | 32, RAW) => plain(bits),
            (16 | 24 | 32, FIELDS) => {
                masked(bits, masks).ok_or_else(|| unsupported(Format::Bmp, "its layout of bits"))?
            }
            (16 | 24 | 32, RLE8 | RLE4) | (1 | 4 | 8 | 16 | 24 | 32, _) => {
                return Err(unsupported(Format::Bmp, format!("compression {compression} of {bits} bits")));
            }
            _ => return Err(unsupported(Format::Bmp, format!("{bits} bits a pixel"))),
        };
        let read = file.len() - rest.rest().len();
        // Some files leave the palette out of the offset of the pixels.
        let behind_header = bits <= 8 && start == 14 + length as usize;
        let skipped = if behind_header { colours as usize * if old { 3 } else { 4 } } else { 0 };
        let start = if start == 0 { read } else { start + skipped };
        Ok(Self { width, height, top_down, bits, compression, pixels, start })
    }

    /// Returns whether its palette is a ramp of greys.
    pub(super) fn is_grey(&self) -> bool {
        matches!(self.pixels, PixelFormat::Grey(_))
    }

    /// Decodes the first `height` rows of the file.
    pub(super) fn decode(&self, file: &[u8], height: u32, bounds: &Bounds) -> DecodeResult<RgbImage> {
        bounds.check(self.width.into(), height.into())?;
        let length = u64::from(self.width) * u64::from(height) * 3;
        bounds.take(length + self.bytes_unpacked(height))?;
        let mut image = Vec::with_capacity(length as usize);
        self.each_row(file, height as usize, |row| image.extend_from_slice(row))?;
        RgbImage::from_raw(self.width, height, image).ok_or_else(ImageError::empty)
    }

    /// Returns the bytes of unpacked run lengths.
    fn bytes_unpacked(&self, height: u32) -> u64 {
        let is_packed = matches!(self.compression, RLE8 | RLE4);
        if is_packed { u64::from(self.width) * u64::from(height) } else { 0 }
    }

    /// Passes on the colours of the first `rows` rows of the file, from the top.
    fn each_row(&self, file: &[u8], rows: usize, mut take: impl FnMut(&[u8])) -> DecodeResult<()> {
        let columns = self.width as usize;
        let unpacked: Vec<u8>;
        let (data, bits, stride) = if matches!(self.compression, RLE8 | RLE4) {
            if matches!(self.pixels, PixelFormat::Grey(1)) {
                return Err(unsupported(Format::Bmp, "compressed black and white"));
            }
            unpacked = self.unpack(file, columns, columns * rows)?;
            (unpacked.as_slice(), 8, columns)
        } else {
            let bits = if let PixelFormat::Grey(bits) = self.pixels { bits } else { self.bits };
            let stride = (columns * self.bits as usize).div_ceil(32) * 4;
            let used = (columns * bits as usize).div_ceil(8);
            if used > stride {
                return Err(unsupported(Format::Bmp, "greys in less than eight bits"));
            }
            // The last row's padding may be missing.
            let data = Cursor::at(file, self.start).take(stride * (rows - 1) + used);
            (data.ok_or_else(|| ImageError::truncated("BMP"))?, bits, stride)
        };
        let mut colours = Vec::with_capacity(columns * 3);
        for row in 0..rows {
            let line = &data[stride * if self.top_down { row } else { rows - 1 - row }..];
            colours.clear();
            self.colours(&line[..stride.min(line.len())], columns, bits, &mut colours);
            take(&colours);
        }
        Ok(())
    }

    /// Appends the colours of one row.
    fn colours(&self, line: &[u8], columns: usize, bits: u32, image: &mut Vec<u8>) {
        let indices = |scale: u8| -> Vec<u8> {
            let per_byte = 8 / bits as usize;
            let mask = (0xffu32 >> (8 - bits)) as u8;
            (0..columns)
                .map(|x| line[x / per_byte] >> (8 - bits as usize * (x % per_byte + 1)) & mask)
                .map(|index| index * scale)
                .collect()
        };
        match &self.pixels {
            PixelFormat::Indexed(palette) => image.extend(palette.colours(&indices(1))),
            PixelFormat::Grey(bits) => {
                image.extend(Palette::greys().colours(&indices(if *bits == 1 { 255 } else { 1 })))
            }
            PixelFormat::Word(fields) => {
                for word in line.as_chunks().0.iter().take(columns) {
                    let word = u32::from(u16::from_le_bytes(*word));
                    image.extend(fields.map(|(shift, most)| ((word >> shift & most) * 255 / most) as u8));
                }
            }
            PixelFormat::Bytes(at) => {
                let pixels = line.chunks_exact(bits as usize / 8).take(columns);
                image.extend(pixels.flat_map(|pixel| at.map(|at| pixel[at])));
            }
        }
    }

    /// Expands run lengths to one byte a pixel, by Pillow's rules: a run ends with its row, and data continues until
    /// every pixel is set.
    fn unpack(&self, file: &[u8], columns: usize, count: usize) -> DecodeResult<Vec<u8>> {
        let mut pixels: Vec<u8> = Vec::with_capacity(count.min(file.len().saturating_mul(256)));
        let mut rest = Cursor::at(file, self.start);
        let mut x = 0;
        let fours = self.compression == RLE4;
        while pixels.len() < count {
            let Some([run, value]) = rest.array() else { break };
            let missing = count - pixels.len();
            match (usize::from(run), usize::from(value)) {
                (0, 0) => {
                    let end = pixels.len().next_multiple_of(columns);
                    pixels.resize(end, 0);
                    x = 0;
                }
                (0, 1) => break,
                (0, 2) => {
                    let Some([right, up]) = rest.array() else { break };
                    let jump = usize::from(right) + usize::from(up) * columns;
                    pixels.resize(pixels.len() + jump.min(missing), 0);
                    x = pixels.len() % columns;
                }
                (0, length) => {
                    let given = length.min(missing);
                    let Some(bytes) = rest.take(if fours { given.div_ceil(2) } else { given }) else { break };
                    if fours {
                        pixels.extend(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(given));
                    } else {
                        pixels.extend(bytes);
                    }
                    x += length;
                    if !(file.len() - rest.rest().len()).is_multiple_of(2) {
                        rest.take(1);
                    }
                }
                (run, _) => {
                    let pair = if fours { [value >> 4, value & 15] } else { [value; 2] };
                    let run = if x + run > columns { columns.saturating_sub(x) } else { run };
                    pixels.extend(pair.iter().cycle().take(run));
                    x += run;
                }
            }
        }
        if pixels.len() < count { Err(ImageError::truncated("BMP")) } else { Ok(pixels) }
    }
}

/// Reads the palette at `rest`. A ramp of greys does not count as a palette.
fn palette(rest: &mut Cursor, colours: u32, size: usize) -> DecodeResult<PixelFormat> {
    if !(1..=65536).contains(&colours) {
        return Err(unsupported(Format::Bmp, format!("{colours} colours")));
    }
    let table = rest.take_up_to(colours as usize * size);
    let whole = table.len() == colours as usize * size || table.len() + 1 == colours as usize * size;
    let mut entries = table.chunks(size).filter_map(|entry| entry.first_chunk::<3>());
    let grey = |i: usize| if colours == 2 { i * 255 } else { i };
    if whole && entries.clone().enumerate().all(|(i, entry)| entry.iter().all(|&v| usize::from(v) == grey(i))) {
        return Ok(PixelFormat::Grey(if colours <= 2 { 1 } else { 8 }));
    }
    if table.len() / size > 256 {
        return Err(damaged(Format::Bmp, format!("{colours} colours")));
    }
    let table: Vec<[u8; 3]> = entries.by_ref().map(|&[b, g, r]| [r, g, b]).collect();
    Ok(PixelFormat::Indexed(Box::new(Palette::from_rgb(&table))))
}

fn plain(bits: u32) -> PixelFormat {
    if bits == 16 { PixelFormat::Word([(10, 31), (5, 31), (0, 31)]) } else { PixelFormat::Bytes([2, 1, 0]) }
}

/// Returns the pixel layout of a set of masks that Pillow knows.
fn masked(bits: u32, [r, g, b, a]: [u32; 4]) -> Option<PixelFormat> {
    Some(match (bits, [r, g, b], a) {
        (16, [0xf800, 0x7e0, 0x1f], _) => PixelFormat::Word([(11, 31), (5, 63), (0, 31)]),
        (16, [0x7c00, 0x3e0, 0x1f], _) => PixelFormat::Word([(10, 31), (5, 31), (0, 31)]),
        (24, [0xff_0000, 0xff00, 0xff], _) | (32, [0xff_0000, 0xff00, 0xff], 0 | 0xff00_0000) | (32, [0, 0, 0], 0) => {
            PixelFormat::Bytes([2, 1, 0])
        }
        (32, [0xff00_0000, 0xff_0000, 0xff00], 0 | 0xff) => PixelFormat::Bytes([3, 2, 1]),
        (32, [0xff00_0000, 0xff00, 0xff], 0 | 0xff_0000) => PixelFormat::Bytes([3, 1, 0]),
        (32, [0xff, 0xff00, 0xff_0000], 0xff00_0000) => PixelFormat::Bytes([0, 1, 2]),
        _ => return None,
    })
}
