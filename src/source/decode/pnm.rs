//! PBM, PGM, PPM and grey PFM, as Pillow reads them (PpmImagePlugin.py).

use std::str::FromStr;

use image::RgbImage;
use image::metadata::Orientation;

use super::bounds::Bounds;
use super::cursor::Cursor;
use super::signature::is_text;
use super::{DecodeResult, Decoded, Format, Options, damaged, rgb, unsupported};
use crate::source::{HEAD, ImageError, Limits};

/// The most digits of a number.
const DIGITS: usize = 10;

/// Returns the bytes that decoding takes per pixel of a kind: numbers in digits take two bytes, grey one, and the
/// result is RGB. The number of floats is not known beforehand.
fn bytes_of_pixel(kind: u8) -> u64 {
    match kind {
        b'3' => 9,
        b'f' => 5,
        b'6' => 3,
        _ => 4,
    }
}

/// Returns whether a file begins with a complete header and matching data. Text may begin with a letter and numbers
/// too, so of formats whose data may be text only small files are recognized, by decoding them.
pub(super) fn begins(head: &[u8]) -> bool {
    let Some((kind, pixels, data)) = header(head) else { return false };
    let is_whole = (head.len() as u64) < HEAD;
    let is_data = match kind {
        b'1'..=b'3' => is_whole && digits(kind, data) == Some(pixels),
        _ => !is_text(data),
    };
    is_data && (!is_whole || is_decoded(head))
}

/// Returns whether a file that may be text has a complete header, and nothing after it that is clearly text.
pub(super) fn may_begin(head: &[u8]) -> bool {
    header(head).is_some_and(|(kind, _, data)| match kind {
        b'1'..=b'3' => digits(kind, data).is_some(),
        _ => data.is_empty() || head.len() as u64 == HEAD,
    })
}

/// Returns the kind of a file, the number of its pixels and the rest after its header, if that is complete.
fn header(head: &[u8]) -> Option<(u8, u64, &[u8])> {
    let [b'P', kind @ (b'1'..=b'6' | b'f'), space, rest @ ..] = head else { return None };
    let mut file = Cursor::new(rest);
    let mut number = || header_number::<u32>(&mut file).ok().filter(|&n| n > 0);
    let (width, height) = (number()?, number()?);
    let is_scaled = match kind {
        b'1' | b'4' => true,
        b'f' => header_number::<f64>(&mut file).is_ok(),
        _ => number().is_some(),
    };
    (is_space(*space) && is_scaled).then(|| (*kind, u64::from(width) * u64::from(height), file.rest()))
}

/// Returns how many pixels the digits in `data` make, or None if it has anything else.
fn digits(kind: u8, data: &[u8]) -> Option<u64> {
    let text: Vec<u8> = without_comments(data).collect();
    if !text.iter().all(|&byte| is_space(byte) || byte.is_ascii_digit()) {
        return None;
    }
    let numbers = || text.split(|&byte| is_space(byte)).filter(|number| !number.is_empty()).count();
    Some(match kind {
        b'1' => text.iter().filter(|byte| byte.is_ascii_digit()).count(),
        b'2' => numbers(),
        _ => numbers() / 3,
    } as u64)
}

/// Returns whether a few bytes are a complete picture.
fn is_decoded(bytes: &[u8]) -> bool {
    let limits = Limits { max_pixels: 8 * HEAD, ..Limits::default() };
    let options = Options { limits: &limits, spare: None, enough: None };
    decode(bytes, &Bounds::new(&options)).is_ok()
}

/// Decodes the first picture of a file.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds) -> DecodeResult<Decoded> {
    let kind = match bytes {
        [b'P', kind, space, ..] if is_space(*space) => *kind,
        _ => return Err(unsupported(Format::Pnm, "an unknown magic number")),
    };
    let mut file = Cursor::at(bytes, 3);
    let (width, height): (u32, u32) = (header_number(&mut file)?, header_number(&mut file)?);
    bounds.check(width.into(), height.into())?;
    bounds.take(u64::from(width) * u64::from(height) * bytes_of_pixel(kind))?;
    let (columns, rows) = (width as usize, height as usize);
    let pixels = columns * rows;
    let data = match kind {
        b'1' => rgb::from_grey(&plain_bits(file.rest(), pixels)?),
        b'4' => rgb::from_grey(&packed_bits(&mut file, columns, rows)?),
        b'2' | b'5' => rgb::from_grey(&samples(&mut file, kind == b'2', pixels, true)?),
        b'3' | b'6' => samples(&mut file, kind == b'3', pixels * 3, false)?,
        b'f' => rgb::from_grey(&floats(&mut file, columns, rows)?),
        _ => return Err(unsupported(Format::Pnm, format!("P{}", char::from(kind)))),
    };
    let image = RgbImage::from_raw(width, height, data).ok_or_else(ImageError::empty)?;
    Ok(Decoded { image, orientation: Orientation::NoTransforms })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// Reads the next word of the header. A comment may stand anywhere, even inside a word.
fn header_word<'a>(file: &mut Cursor, word: &'a mut Vec<u8>) -> DecodeResult<&'a str> {
    word.clear();
    while word.len() <= DIGITS {
        match file.u8() {
            Some(b'#') => while file.u8().is_some_and(|byte| byte != b'\n' && byte != b'\r') {},
            Some(byte) if !is_space(byte) => word.push(byte),
            Some(_) if word.is_empty() => {}
            _ => break,
        }
    }
    match std::str::from_utf8(word) {
        Ok("") => Err(ImageError::truncated("PNM")),
        Ok(word) if word.len() <= DIGITS => Ok(word),
        _ => Err(damaged(Format::Pnm, "its header is too long")),
    }
}

fn header_number<T: FromStr>(file: &mut Cursor) -> DecodeResult<T> {
    let mut word = Vec::new();
    let word = header_word(file, &mut word)?;
    let reason = || format!("`{}` in its header is not a number", word.escape_debug());
    word.parse().map_err(|_| damaged(Format::Pnm, reason()))
}

/// Reads samples as bytes: grey above 255 is scaled to 16 bits and keeps the high byte; everything else is scaled to 8
/// bits, rounded to even as in Python.
fn samples(file: &mut Cursor, plain: bool, count: usize, grey: bool) -> DecodeResult<Vec<u8>> {
    let most: u32 = header_number(file)?;
    if !(1..65536).contains(&most) {
        return Err(damaged(Format::Pnm, format!("its maximum value is {most}")));
    }
    let wide = most > 255;
    let full = if wide && grey { 65535.0 } else { 255.0 };
    let scale = |value: u16| {
        let value = (f64::from(value) / f64::from(most) * full).round_ties_even().min(full);
        if wide && grey { rgb::from_u16(value as u16) } else { value as u8 }
    };
    let table: Vec<u8> = (0..=if wide { 65535 } else { 255 }).map(scale).collect();
    if plain {
        return plain_numbers(file.rest(), count, most)
            .map(|values| values.iter().map(|&value| table[usize::from(value)]).collect());
    }
    let data = file.take(if wide { 2 * count } else { count }).ok_or_else(|| ImageError::truncated("PNM"))?;
    Ok(match (wide, most) {
        (true, _) => data.as_chunks().0.iter().map(|&word| table[usize::from(u16::from_be_bytes(word))]).collect(),
        (false, 255) => data.to_vec(),
        (false, _) => data.iter().map(|&value| table[usize::from(value)]).collect(),
    })
}

/// Removes the comments from a text, and joins the text around them.
fn without_comments(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut comment = false;
    text.iter().copied().filter(move |&byte| {
        let was = comment;
        comment = if comment { byte != b'\n' && byte != b'\r' } else { byte == b'#' };
        !comment && !was
    })
}

/// Reads `count` numbers in digits.
fn plain_numbers(text: &[u8], count: usize, most: u32) -> DecodeResult<Vec<u16>> {
    // Pillow checks the last word before it counts.
    if without_comments(text).fold(0, |length, byte| if is_space(byte) { 0 } else { length + 1 }) > DIGITS {
        return Err(damaged(Format::Pnm, "a number that is too long"));
    }
    let mut values = Vec::with_capacity(count.min(text.len()));
    let mut number: Option<(u64, usize)> = None;
    for byte in without_comments(text).chain([b' ']) {
        number = match (number, byte) {
            _ if values.len() == count => break,
            (None, byte) if is_space(byte) => None,
            (Some((value, _)), byte) if is_space(byte) => {
                if value > most.into() {
                    return Err(damaged(Format::Pnm, format!("{value} is above its maximum value {most}")));
                }
                values.push(value as u16);
                None
            }
            (number, b'0'..=b'9') if number.is_none_or(|(_, digits)| digits < DIGITS) => {
                let (value, digits) = number.unwrap_or((0, 0));
                Some((value * 10 + u64::from(byte - b'0'), digits + 1))
            }
            _ => return Err(damaged(Format::Pnm, "it has something other than numbers in its data")),
        };
    }
    if values.len() < count { Err(ImageError::truncated("PNM")) } else { Ok(values) }
}

/// Reads `count` bits in digits, with or without space between them; 1 is black.
fn plain_bits(text: &[u8], count: usize) -> DecodeResult<Vec<u8>> {
    let mut bits = Vec::with_capacity(count.min(text.len()));
    for byte in without_comments(text).filter(|&byte| !is_space(byte)) {
        match byte {
            b'0' | b'1' if bits.len() == count => {}
            b'0' => bits.push(255),
            b'1' => bits.push(0),
            _ => return Err(damaged(Format::Pnm, "it has something other than bits in its data")),
        }
    }
    if bits.len() < count { Err(ImageError::truncated("PNM")) } else { Ok(bits) }
}

/// Reads rows of bits, each in whole bytes; 1 is black.
fn packed_bits(file: &mut Cursor, columns: usize, rows: usize) -> DecodeResult<Vec<u8>> {
    let stride = columns.div_ceil(8);
    let data = file.take(stride * rows).ok_or_else(|| ImageError::truncated("PNM"))?;
    let mut bits = Vec::with_capacity(columns * rows);
    for line in data.chunks_exact(stride) {
        bits.extend((0..columns).map(|x| if line[x / 8] & (0x80 >> (x % 8)) == 0 { 255 } else { 0 }));
    }
    Ok(bits)
}

/// Reads rows of floats from the last to the first, truncated to whole numbers and clipped.
fn floats(file: &mut Cursor, columns: usize, rows: usize) -> DecodeResult<Vec<u8>> {
    let scale: f64 = header_number(file)?;
    if scale == 0.0 || !scale.is_finite() {
        return Err(damaged(Format::Pnm, "its scale is not a number"));
    }
    let number = if scale < 0.0 { f32::from_le_bytes } else { f32::from_be_bytes };
    let data = file.take(columns * rows * 4).ok_or_else(|| ImageError::truncated("PNM"))?;
    let lines = data.chunks_exact(columns * 4).rev();
    Ok(lines.flat_map(|line| line.as_chunks().0.iter().map(|&word| rgb::from_f32(number(word)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_join_what_they_part() {
        assert_eq!(plain_numbers(b"1#x\n2 3", 2, 20).unwrap(), [12, 3]);
        assert_eq!(plain_numbers(b"1 2", 2, 9).unwrap(), [1, 2]);
        assert!(plain_numbers(b"1 10", 2, 9).is_err() && plain_numbers(b"1", 2, 9).is_err());
    }
}
