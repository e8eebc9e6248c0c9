//! The chunks of PNG, read as Pillow reads them (PngImagePlugin.py): it checks checksums only before the image data,
//! and requires parts of some chunks that it does not use.

use std::io::Read;

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::bounds::Bounds;
use super::cursor::Cursor;
use super::{DecodeResult, Format, damaged, unsupported};
use crate::source::ImageError;

pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The most bytes of a compressed text.
const TEXT: u64 = 1 << 20;
/// The most texts that are decompressed: as many as Pillow has memory for.
const TEXTS: u32 = 64;

/// The contents of the chunks.
#[derive(Default)]
pub(super) struct PngFile<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) depth: u8,
    pub(super) colour: u8,
    pub(super) interlaced: bool,
    pub(super) palette: &'a [u8],
    /// The first frame of an animation: left, top, width, height.
    pub(super) frame: Option<[u32; 4]>,
    /// The number of an animation's last chunk.
    sequence: Option<u32>,
    animated: bool,
    pub(super) data: Vec<&'a [u8]>,
    pub(super) exif: Option<Vec<u8>>,
    /// EXIF as text, used if there is no other.
    pub(super) profile: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
    /// The number of texts that were decompressed.
    texts: u32,
}

impl<'a> PngFile<'a> {
    pub(super) fn read(bytes: &'a [u8], bounds: &Bounds) -> DecodeResult<Self> {
        let mut file = Self::default();
        let mut rest = Cursor::at(bytes, SIGNATURE.len());
        // Checksums count up to the image data.
        let (kind, length) = loop {
            let (kind, length) = head(&mut rest).ok_or_else(|| ImageError::truncated("PNG"))?;
            match &kind {
                b"IDAT" | b"fdAT" => break (kind, length),
                b"IEND" => return Err(damaged(Format::Png, "it has no image data")),
                _ => {}
            }
            let (data, sum) = rest.take(length).zip(rest.u32_be()).ok_or_else(|| ImageError::truncated("PNG"))?;
            let mut crc = Crc::new();
            crc.update(&kind);
            crc.update(data);
            if crc.sum() != sum {
                return Err(bad(kind, "checksum"));
            }
            file.chunk(kind, data)?;
        };
        file.check()?;
        bounds.check(file.width.into(), file.height.into())?;
        let mut next = Some((kind, length));
        while let Some((kind @ (b"IDAT" | b"fdAT"), length)) = next.as_ref().map(|(kind, length)| (kind, *length)) {
            let data = rest.take_up_to(length);
            if kind == b"fdAT" {
                file.chunk(*kind, data)?;
            }
            file.data.push(if kind == b"fdAT" { data.get(4..).unwrap_or_default() } else { data });
            rest.take_up_to(4);
            next = head(&mut rest);
        }
        // Chunks after it must be whole.
        while let Some((kind, length)) = next {
            if &kind == b"IEND" || (&kind == b"fcTL" && file.animated) {
                break;
            }
            file.chunk(kind, rest.take(length).ok_or_else(|| ImageError::truncated("PNG"))?)?;
            rest.take_up_to(4);
            next = head(&mut rest);
        }
        Ok(file)
    }

    /// Reads a chunk. Faults that Pillow reports are errors.
    fn chunk(&mut self, kind: [u8; 4], data: &'a [u8]) -> DecodeResult<()> {
        let mut fields = Cursor::new(data);
        let least = match &kind {
            b"IHDR" => 13,
            b"gAMA" | b"fdAT" => 4,
            b"cHRM" => 32,
            b"sRGB" => 1,
            b"pHYs" => 9,
            b"acTL" => 8,
            b"fcTL" => 26,
            b"tRNS" if self.colour == 0 => 2,
            b"tRNS" if self.colour == 2 => 6,
            _ => 0,
        };
        if data.len() < least {
            return Err(bad(kind, "length"));
        }
        match &kind {
            b"IHDR" => {
                (self.width, self.height) = (fields.u32_be().unwrap_or(0), fields.u32_be().unwrap_or(0));
                let [depth, colour, _, filter, interlace] = fields.array().unwrap_or_default();
                (self.depth, self.colour, self.interlaced) = (depth, colour, interlace != 0);
                if filter != 0 {
                    return Err(bad(kind, "filter"));
                }
            }
            b"PLTE" if self.colour == 3 && self.data.is_empty() => self.palette = data,
            b"iCCP" => {
                let name = data.iter().position(|&byte| byte == 0).map_or(0, |end| end + 1);
                if data.get(name) != Some(&0) {
                    return Err(bad(kind, "compression"));
                }
            }
            b"tEXt" | b"zTXt" | b"iTXt" => self.text(kind, data)?,
            b"eXIf" => self.exif = Some(data.to_vec()),
            b"acTL" => self.animated = fields.u32_be() > Some(0),
            b"fcTL" => {
                let place = self.frame_place(fields)?;
                if self.data.is_empty() {
                    self.frame = Some(place);
                }
            }
            b"fdAT" if self.sequence.is_none() => return Err(out_of_sequence()),
            b"fdAT" => self.in_sequence(fields.u32_be())?,
            _ => {}
        }
        Ok(())
    }

    /// Checks the numbering of an animation's chunks.
    fn in_sequence(&mut self, number: Option<u32>) -> DecodeResult<()> {
        if number != Some(self.sequence.map_or(0, |last| last.wrapping_add(1))) {
            return Err(out_of_sequence());
        }
        self.sequence = number;
        Ok(())
    }

    fn frame_place(&mut self, mut fields: Cursor) -> DecodeResult<[u32; 4]> {
        self.in_sequence(fields.u32_be())?;
        let [width, height, left, top] = [(); 4].map(|()| fields.u32_be().unwrap_or(u32::MAX));
        let fits = |at: u32, size: u32, all: u32| at.checked_add(size).is_some_and(|end| end <= all);
        if !fits(left, width, self.width) || !fits(top, height, self.height) {
            return Err(damaged(Format::Png, "a frame outside of its image"));
        }
        Ok([left, top, width, height])
    }

    /// Reads a text, if it may state an orientation.
    fn text(&mut self, kind: [u8; 4], data: &[u8]) -> DecodeResult<()> {
        let (key, rest) = split(data).unwrap_or((data, &[]));
        let inflated = |data: &[u8]| {
            let mut text = Vec::new();
            // Truncated data counts as far as it goes.
            let whole = ZlibDecoder::new(data).take(TEXT).read_to_end(&mut text);
            whole.map_or_else(|e| e.kind() == std::io::ErrorKind::UnexpectedEof, |_| true).then_some(text)
        };
        let is_wanted = matches!(key, b"XML:com.adobe.xmp" | b"Raw profile type exif");
        if is_wanted && kind != *b"tEXt" {
            self.texts += 1;
            if self.texts > TEXTS {
                return Err(damaged(Format::Png, "it has too many texts about its orientation"));
            }
        }
        let value = match (&kind, rest) {
            (b"zTXt", [0, ..]) | (b"iTXt", _) if !is_wanted => None,
            (b"zTXt", [0, rest @ ..]) => inflated(rest),
            (b"zTXt", [_, ..]) => return Err(bad(kind, "compression")),
            (b"iTXt", [flag, method, rest @ ..]) => {
                let text = split(rest).and_then(|(_, rest)| split(rest)).map(|(_, text)| text);
                match (flag, method) {
                    (0, _) => text.map(<[u8]>::to_vec),
                    (_, 0) => text.and_then(inflated),
                    _ => None,
                }
            }
            _ => Some(rest.to_vec()),
        };
        match (key, value) {
            (b"XML:com.adobe.xmp", Some(value)) => self.xmp = Some(value),
            (b"Raw profile type exif", Some(value)) => self.profile = Some(from_hex(&value)),
            _ => {}
        }
        Ok(())
    }

    /// Checks the kind of PNG.
    fn check(&self) -> DecodeResult<()> {
        match (self.colour, self.depth) {
            (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) | (2 | 4 | 6, 8 | 16) => Ok(()),
            (colour, depth) => Err(unsupported(Format::Png, format!("{depth} bits in colour type {colour}"))),
        }?;
        if self.palette.len() / 3 > 256 { Err(bad(*b"PLTE", "length")) } else { Ok(()) }
    }
}

/// Reads kind and length of a chunk, or returns `None` at the end.
fn head(rest: &mut Cursor) -> Option<([u8; 4], usize)> {
    let length = rest.u32_be()?;
    let kind: [u8; 4] = rest.array()?;
    kind.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').then_some((kind, length as usize))
}

fn out_of_sequence() -> ImageError {
    damaged(Format::Png, "frames out of sequence")
}

fn bad(kind: [u8; 4], what: &str) -> ImageError {
    damaged(Format::Png, format!("the {what} of its {} chunk is wrong", kind.escape_ascii()))
}

/// Splits bytes at the first zero.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|&byte| byte == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

/// Decodes a "raw profile": three lines that describe it, then hexadecimal digits. Other characters between them are
/// skipped, which crates for hexadecimal refuse.
fn from_hex(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|&byte| byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().filter_map(|&byte| char::from(byte).to_digit(16)).map(|d| d as u8).collect();
    digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_profiles_are_hexadecimal() {
        assert_eq!(from_hex(b"\nexif\n  3\n0a1B\nff\n"), [0x0a, 0x1b, 0xff]);
    }
}
