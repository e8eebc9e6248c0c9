//! WebP: the container is checked as libwebp checks it (demux.c), and the `image-webp` crate decodes the picture, or
//! the first frame of an animation.

use image::RgbImage;
use image_webp::{DecodingError, WebPDecoder};

use super::bounds::Bounds;
use super::cursor::Cursor;
use super::{DecodeResult, Decoded, Format, damaged, upright};
use crate::source::ImageError;

const ANIMATED: u8 = 0x02;
const XMP: u8 = 0x04;
const EXIF: u8 = 0x08;
const ALPHA: u8 = 0x10;

/// Bytes that decoding takes per pixel, as measured: for a lossless picture, a lossy one, and a lossy one with alpha.
const LOSSLESS: u64 = 8;
const LOSSY: u64 = 5;
const LOSSY_AND_ALPHA: u64 = 12;
/// Bytes per pixel of the result.
const RGB: u64 = 3;

/// Decodes a WebP file.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds) -> DecodeResult<Decoded> {
    let file = WebpFile::read(bytes)?;
    let WebpFrame { place: [left, top], size, .. } = file.frame;
    let clean = file.frame.clean();
    let mut decoder = WebPDecoder::new(std::io::Cursor::new(clean)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let canvas = file.canvas.unwrap_or([width, height]);
    bounds.check(canvas[0].into(), canvas[1].into())?;
    bounds.check(width.into(), height.into())?;
    let fits = |at: u32, size: u32, all: u32| at.checked_add(size).is_some_and(|end| end <= all);
    if size.is_some_and(|size| size != [width, height])
        || !fits(left, width, canvas[0])
        || !fits(top, height, canvas[1])
        || (size.is_none() && canvas != [width, height])
    {
        return Err(damaged(Format::WebP, "sizes that disagree"));
    }
    let [frame, whole] = [[width, height], canvas].map(|[w, h]| u64::from(w) * u64::from(h));
    let around = if canvas == [width, height] { 0 } else { whole * 2 * RGB };
    let of_pixel = match file.frame.picture {
        Some((kind, _)) if &kind != b"VP8 " => LOSSLESS,
        _ if decoder.has_alpha() => LOSSY_AND_ALPHA,
        _ => LOSSY,
    };
    bounds.take(bytes.len() as u64 + frame * of_pixel + around)?;
    let mut data = vec![0; decoder.output_buffer_size().ok_or_else(ImageError::empty)?];
    decoder.read_image(&mut data).map_err(failed)?;
    if decoder.has_alpha() {
        data = data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    }
    let mut image = RgbImage::from_raw(width, height, data).ok_or_else(ImageError::empty)?;
    if canvas != [width, height] {
        // The canvas around a frame is transparent black, whatever the stated background.
        let mut whole = RgbImage::new(canvas[0], canvas[1]);
        image::imageops::replace(&mut whole, &image, left.into(), top.into());
        image = whole;
    }
    Ok(Decoded { image, orientation: upright::orientation(file.exif, file.xmp) })
}

/// The contents of the container.
#[derive(Default)]
struct WebpFile<'a> {
    canvas: Option<[u32; 2]>,
    frame: WebpFrame<'a>,
    exif: Option<&'a [u8]>,
    xmp: Option<&'a [u8]>,
}

/// A picture, and its place in an animation.
#[derive(Default, Clone)]
struct WebpFrame<'a> {
    place: [u32; 2],
    size: Option<[u32; 2]>,
    alpha: Option<&'a [u8]>,
    /// Kind and data of the chunk with the pixels.
    picture: Option<([u8; 4], &'a [u8])>,
}

impl<'a> WebpFile<'a> {
    fn read(bytes: &'a [u8]) -> DecodeResult<Self> {
        let mut header = Cursor::at(bytes, 4);
        let length = header.u32_le().ok_or_else(|| ImageError::truncated("WebP"))?;
        let body = header.take(length as usize).ok_or_else(|| ImageError::truncated("WebP"))?;
        let mut rest = Cursor::at(body, 4);
        let mut file = Self::default();
        let mut flags = 0;
        let mut animation = false;
        let mut first = true;
        while let Some((kind, data)) = chunk(&mut rest)? {
            match &kind {
                b"VP8X" if first => {
                    let (found, canvas) = extended(data).ok_or_else(|| ImageError::truncated("WebP"))?;
                    (flags, file.canvas) = (found, Some(canvas));
                }
                b"ANIM" => animation = true,
                b"ANMF" if flags & ANIMATED != 0 => {
                    let frame = WebpFrame::read(data)?;
                    if file.frame.picture.is_none() {
                        file.frame = frame; // a frame without a picture is skipped
                    }
                }
                b"EXIF" if flags & EXIF != 0 && file.exif.is_none() => file.exif = Some(data),
                b"XMP " if flags & XMP != 0 && file.xmp.is_none() => file.xmp = Some(data),
                _ if flags & ANIMATED == 0 => file.frame.add(kind, data),
                _ => {}
            }
            if first && &kind != b"VP8X" && file.frame.picture.is_some() {
                break; // a simple file: the rest is ignored
            }
            first = false;
        }
        if file.frame.picture.is_none() || (flags & ANIMATED != 0 && !animation) {
            return Err(damaged(Format::WebP, "it has no picture"));
        }
        Ok(file)
    }
}

/// Reads the flags and the canvas of a `VP8X` chunk.
fn extended(data: &[u8]) -> Option<(u8, [u32; 2])> {
    let mut fields = Cursor::new(data);
    let [flags, _, _, _] = fields.array()?;
    Some((flags, [u24(&mut fields)? + 1, u24(&mut fields)? + 1]))
}

fn u24(fields: &mut Cursor) -> Option<u32> {
    fields.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

/// Reads the next chunk. A chunk that reaches past the end is an error.
fn chunk<'a>(rest: &mut Cursor<'a>) -> DecodeResult<Option<([u8; 4], &'a [u8])>> {
    if rest.rest().is_empty() {
        return Ok(None);
    }
    let head = rest.array().zip(rest.u32_le());
    let whole = head.and_then(|(kind, length)| {
        let length = length as usize;
        rest.take(length.checked_add(length % 2)?).map(|data| (kind, &data[..length]))
    });
    whole.map(Some).ok_or_else(|| ImageError::truncated("WebP"))
}

impl<'a> WebpFrame<'a> {
    /// Reads a frame of an animation.
    fn read(data: &'a [u8]) -> DecodeResult<Self> {
        let mut fields = Cursor::new(data);
        let numbers = [(); 4].map(|()| u24(&mut fields));
        let ([Some(left), Some(top), Some(width), Some(height)], Some(_)) = (numbers, fields.take(4)) else {
            return Err(ImageError::truncated("WebP"));
        };
        let mut frame =
            WebpFrame { place: [left * 2, top * 2], size: Some([width + 1, height + 1]), ..Self::default() };
        while let Some((kind, data)) = chunk(&mut fields)? {
            frame.add(kind, data);
        }
        Ok(frame)
    }

    /// Takes in a chunk, if it belongs to a picture.
    fn add(&mut self, kind: [u8; 4], data: &'a [u8]) {
        match &kind {
            b"ALPH" if self.picture.is_none() => self.alpha = self.alpha.or(Some(data)),
            b"VP8 " | b"VP8L" => self.picture = self.picture.or(Some((kind, data))),
            _ => {}
        }
    }

    /// Returns a WebP file with nothing but this picture.
    fn clean(&self) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        let mut chunk = |kind: &[u8; 4], data: &[u8]| {
            file.extend_from_slice(kind);
            file.extend_from_slice(&(data.len() as u32).to_le_bytes());
            file.extend_from_slice(data);
            file.resize(file.len().next_multiple_of(2), 0);
        };
        let (kind, picture) = self.picture.unwrap_or_default();
        if let Some(alpha) = self.alpha.filter(|_| &kind == b"VP8 ") {
            // The size is in the picture's header, after its frame tag and start code.
            let side = |at: usize| match picture.get(at..at + 2) {
                Some(&[low, high]) => (u32::from(u16::from_le_bytes([low, high])) & 0x3fff).saturating_sub(1),
                _ => 0,
            };
            let mut head = vec![ALPHA, 0, 0, 0];
            head.extend([side(6), side(8)].iter().flat_map(|n| n.to_le_bytes().into_iter().take(3)));
            chunk(b"VP8X", &head);
            chunk(b"ALPH", alpha);
        }
        chunk(&kind, picture);
        let length = (file.len() as u32).saturating_sub(8).to_le_bytes();
        file[4..8].copy_from_slice(&length);
        file
    }
}

fn failed(e: DecodingError) -> ImageError {
    match e {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => ImageError::truncated("WebP"),
        other => damaged(Format::WebP, other),
    }
}
