//! GIF: the first frame on its canvas, read as Pillow reads it (GifImagePlugin.py, GifDecode.c): a file is complete
//! once its last pixel is there, whatever follows.

use image::RgbImage;
use image::metadata::Orientation;

use super::bounds::Bounds;
use super::cursor::Cursor;
use super::rgb::Palette;
use super::{BROKEN, DecodeResult, Decoded, Format, damaged};
use crate::source::ImageError;

/// Bytes of a canvas pixel: its index and its colour.
const BYTES_OF_CANVAS: u64 = 4;
/// The number of codes in GIF's LZW.
const CODES: usize = 4096;

/// The first frame, its pixels still packed.
struct GifFrame<'a> {
    /// The canvas. A frame that reaches beyond it widens it.
    size: [usize; 2],
    place: [usize; 2],
    extent: [usize; 2],
    palette: Palette,
    clear: Option<u8>,
    interlaced: bool,
    bits: u8,
    data: &'a [u8],
}

/// Decodes the first frame.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds) -> DecodeResult<Decoded> {
    let frame = first_frame(bytes).ok_or_else(|| ImageError::truncated("GIF"))?;
    let ([width, height], [left, top], [columns, rows]) = (frame.size, frame.place, frame.extent);
    bounds.check(width as u64, height as u64)?;
    bounds.check(columns as u64, rows as u64)?;
    bounds.take((columns * rows) as u64 + (width * height) as u64 * BYTES_OF_CANVAS)?;
    let mut pixels = vec![0; columns * rows];
    unpack(frame.data, frame.bits, &mut pixels)?;
    // Pillow fills the canvas with the transparent colour, not with the background.
    let mut canvas = vec![frame.clear.unwrap_or(0); width * height];
    for (row, line) in row_order(rows, frame.interlaced).zip(pixels.chunks_exact(columns)) {
        let at = (top + row) * width + left;
        canvas[at..at + columns].copy_from_slice(line);
    }
    let image = RgbImage::from_raw(width as u32, height as u32, frame.palette.colours(&canvas));
    Ok(Decoded { image: image.ok_or_else(ImageError::empty)?, orientation: Orientation::NoTransforms })
}

/// Reads the blocks up to the first frame. Returns `None` if the file ends before it.
fn first_frame(bytes: &[u8]) -> Option<GifFrame<'_>> {
    let mut file = Cursor::at(bytes, 6);
    let mut size = [usize::from(file.u16_le()?), usize::from(file.u16_le()?)];
    let [flags, _, _] = file.array()?;
    let global = colours(&mut file, flags)?;
    let mut clear = None;
    loop {
        match file.u8()? {
            b';' => return None,
            b'!' => {
                if let Some(index) = extension(&mut file)? {
                    clear = Some(index);
                }
            }
            b',' => {
                let place = [usize::from(file.u16_le()?), usize::from(file.u16_le()?)];
                let extent = [usize::from(file.u16_le()?), usize::from(file.u16_le()?)];
                let flags = file.u8()?;
                let palette = colours(&mut file, flags)?.or(global).unwrap_or_else(Palette::greys);
                size = [0, 1].map(|i| size[i].max(place[i] + extent[i]));
                let (interlaced, bits) = (flags & 0x40 != 0, file.u8()?);
                return Some(GifFrame { size, place, extent, palette, clear, interlaced, bits, data: file.rest() });
            }
            _ => {} // Pillow searches on, byte by byte
        }
    }
}

/// Reads a colour table, if the flags announce one. Returns `None` if the file ends in it.
fn colours(file: &mut Cursor, flags: u8) -> Option<Option<Palette>> {
    if flags & 0x80 == 0 {
        return Some(None);
    }
    let table = file.take(3 << ((flags & 7) + 1))?.as_chunks().0;
    // A ramp of greys does not count as a table: an index past its end is then a grey too.
    let ramp = table.iter().enumerate().all(|(i, colour)| *colour == [i as u8; 3]);
    Some(Some(if ramp { Palette::greys() } else { Palette::from_rgb(table) }))
}

/// Skips an extension. Returns the index of the transparent colour, if it states one.
fn extension(file: &mut Cursor) -> Option<Option<u8>> {
    let kind = file.u8()?;
    let first = block(file);
    let mut clear = None;
    if let (0xf9, Some(block)) = (kind, first) {
        let [flags, _, _, rest @ ..] = block else { return None };
        if flags & 1 != 0 {
            clear = Some(*rest.first()?);
        }
    }
    // A comment ends at an empty first block.
    if kind != 0xfe || first.is_some() {
        while block(file).is_some() {}
    }
    Some(clear)
}

/// Reads a block of data. Returns `None` for the empty block that ends a list.
fn block<'a>(file: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = file.u8().filter(|&n| n > 0)?;
    Some(file.take_up_to(length.into())).filter(|block| !block.is_empty())
}

/// Returns the rows in their stored order.
fn row_order(rows: usize, interlaced: bool) -> impl Iterator<Item = usize> {
    let passes: &[(usize, usize)] = if interlaced { &[(0, 8), (4, 8), (2, 4), (1, 2)] } else { &[(0, 1)] };
    passes.iter().flat_map(move |&(first, step)| (first..rows).step_by(step))
}

/// Reads LZW codes from blocks of bytes. Truncated blocks are ignored, and empty ones do not end the data.
struct Codes<'a> {
    file: Cursor<'a>,
    block: Cursor<'a>,
    bits: u64,
    count: u32,
}

impl Codes<'_> {
    fn next(&mut self, size: u32) -> Option<usize> {
        while self.count < size {
            match self.block.u8() {
                Some(byte) => {
                    self.bits |= u64::from(byte) << self.count;
                    self.count += 8;
                }
                None => {
                    let length = self.file.u8()?;
                    self.block = Cursor::new(self.file.take(length.into())?);
                }
            }
        }
        let code = self.bits & ((1 << size) - 1);
        self.bits >>= size;
        self.count -= size;
        Some(code as usize)
    }
}

/// Fills `out` from LZW codes. Every string of the table lies in the output already, so a start and a length describe
/// it. weezl does not serve here: it panics at 12 bits, which Pillow reads.
fn unpack(data: &[u8], bits: u8, out: &mut [u8]) -> DecodeResult<()> {
    let broken = || damaged(Format::Gif, BROKEN);
    if bits > 12 {
        return Err(broken());
    }
    let clear = 1usize << bits;
    let mut table = vec![(0, 0); CODES.max(clear + 2)];
    let (mut next, mut size) = (clear + 2, u32::from(bits) + 1);
    let mut last: Option<(usize, usize)> = None;
    let mut codes = Codes { file: Cursor::new(data), block: Cursor::new(&[]), bits: 0, count: 0 };
    let mut at = 0;
    while at < out.len() {
        let code = codes.next(size).filter(|&code| code != clear + 1).ok_or_else(|| ImageError::truncated("GIF"))?;
        if code == clear {
            (next, size, last) = (clear + 2, u32::from(bits) + 1, None);
            continue;
        }
        if code > if last.is_some() { next } else { clear } || (code >= clear && code >= CODES) {
            return Err(broken());
        }
        if let Some((start, length)) = last.filter(|_| next < CODES) {
            table[next] = (start, length + 1);
            size += u32::from(next + 1 == 1 << size && size < 12);
            next += 1;
        }
        let length = if code < clear {
            out[at] = code as u8;
            1
        } else {
            let (start, length) = table[code];
            let length = length.min(out.len() - at);
            for i in 0..length {
                out[at + i] = out[start + i]; // one by one: a string may overlap itself
            }
            length
        };
        last = Some((at, length));
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interlaced_rows_are_each_there_once() {
        for rows in 0..20 {
            let mut order: Vec<_> = row_order(rows, true).collect();
            order.sort_unstable();
            assert_eq!(order, Vec::from_iter(0..rows));
        }
    }

    #[test]
    fn a_string_may_reach_into_itself() {
        let mut out = [9; 6];
        // Clear 4, then 1, 6 (= 1 1), 7 (= 1 1 1), in 3 bits each, except 4 bits for the last.
        let codes = 4 | 1 << 3 | 6 << 6 | 7u32 << 9;
        unpack(&[2, codes as u8, (codes >> 8) as u8], 2, &mut out).unwrap();
        assert_eq!(out, [1; 6]);
        assert!(unpack(&[1, 4], 2, &mut out).is_err());
    }
}
