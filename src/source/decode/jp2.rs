//! JPEG 2000: a raw codestream or a JP2 file. Boxes and colours are read here as Pillow reads them (Jpeg2KImagePlugin.py,
//! Jpeg2KDecode.c), and the `hayro-jpeg2000` crate decodes the codestream. Deliberate differences: the whitest samples
//! of more than 8 bits stay white, where Pillow makes them black, and indices of few bits are used as they are, where
//! Pillow shifts them; and small components of a raw codestream are YCbCr, as in OpenJPEG's own program.

use hayro_jpeg2000::{ComponentData, DecodeSettings, DecoderContext, Image};
use image::RgbImage;
use image::metadata::Orientation;

use super::bounds::Bounds;
use super::cursor::Cursor;
use super::j2k::Codestream;
use super::rgb::{self, Palette};
use super::signature::JPEG_2000;
use super::{DecodeResult, Decoded, Format, boxes, damaged, unsupported};
use crate::source::ImageError;

/// The beginning of a JP2 file in sRGB. Without it, the decoder takes small components for colours and converts them.
const BOXES: &[u8] = b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 \
    \0\0\0\x17jp2h\0\0\0\x0fcolr\x01\0\0\0\0\0\x10\0\0\0\0jp2c";

/// Decodes a JPEG 2000 file, at a lower resolution if that leaves `enough` pixels on both sides.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds, enough: Option<usize>) -> DecodeResult<Decoded> {
    let file = Jp2File::read(bytes)?;
    let header = Codestream::read(file.codestream)?;
    bounds.check(header.size[0].into(), header.size[1].into())?;
    let colours = file.colours(&header)?;
    bounds.take(header.memory().saturating_add(bytes.len() as u64))?;
    let side = enough.filter(|_| colours != Colours::Indexed).and_then(|side| u32::try_from(side).ok());
    let target_resolution = side.map(|side| (side, side));
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution };
    let unconverted = header.is_subsampled.then(|| [BOXES, file.codestream].concat());
    let image = Image::new(unconverted.as_deref().unwrap_or(file.codestream), &settings).map_err(failed)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let data = converted(decoded.components(), colours, file.palette.as_ref());
    let image = RgbImage::from_raw(image.width(), image.height(), data).ok_or_else(ImageError::empty)?;
    Ok(Decoded { image, orientation: Orientation::NoTransforms })
}

/// The meaning of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Grey,
    Rgb,
    Ycc,
    Cmyk,
    Indexed,
}

/// The contents of a file.
#[derive(Default)]
struct Jp2File<'a> {
    codestream: &'a [u8],
    has_boxes: bool,
    /// The colour space, if it is stated by a number.
    space: Option<u32>,
    palette: Option<Palette>,
}

impl<'a> Jp2File<'a> {
    fn read(bytes: &'a [u8]) -> DecodeResult<Self> {
        let mut file = Self::default();
        if bytes.starts_with(&JPEG_2000) {
            file.codestream = bytes;
            return Ok(file);
        }
        let mut rest = Cursor::new(bytes);
        while let Some((kind, Some(data))) = boxes::next(&mut rest) {
            match &kind {
                b"jp2h" if !file.has_boxes => {
                    file.read_header(data);
                    file.has_boxes = true;
                }
                b"jp2c" if file.has_boxes => {
                    file.codestream = data;
                    return Ok(file);
                }
                _ => {}
            }
        }
        Err(ImageError::truncated(Format::Jpeg2000.name()))
    }

    /// Reads the boxes of the colour space and of the palette.
    fn read_header(&mut self, header: &[u8]) {
        let mut rest = Cursor::new(header);
        let mut has_space = false;
        while let Some((kind, Some(data))) = boxes::next(&mut rest) {
            match &kind {
                b"colr" if !has_space => {
                    has_space = true;
                    self.space = Cursor::at(data, 3).u32_be().filter(|_| data[0] == 1);
                }
                b"pclr" => self.palette = palette(data),
                _ => {}
            }
        }
    }

    /// Returns what the components mean, or an error for what Pillow does not read either.
    fn colours(&self, header: &Codestream) -> DecodeResult<Colours> {
        if header.is_small {
            return Err(unsupported(Format::Jpeg2000, "fewer samples than pixels"));
        }
        Ok(match (self.space, header.components) {
            (Some(12), 4) => Colours::Cmyk,
            (Some(18), 3 | 4) => Colours::Ycc,
            (None, 3) if header.is_subsampled && !self.has_boxes => Colours::Ycc,
            (None | Some(16), 1) if self.palette.is_some() => Colours::Indexed,
            (Some(12 | 18 | 24), _) | (Some(16), 1 | 2) | (Some(17), 3) | (_, 0 | 5..) => {
                return Err(unsupported(Format::Jpeg2000, "components that do not fit the colour space"));
            }
            (_, 1 | 2) => Colours::Grey,
            (_, 3 | 4) => Colours::Rgb,
        })
    }
}

/// Reads a palette of 8-bit colours; alpha is dropped.
fn palette(data: &[u8]) -> Option<Palette> {
    let mut fields = Cursor::new(data);
    let (colours, channels) = (usize::from(fields.u16_be()?), usize::from(fields.u8()?));
    if channels < 3 || fields.take(channels)?.iter().any(|&depth| depth > 7) {
        return None;
    }
    let colours = fields.take(colours * channels)?.chunks_exact(channels);
    let colours: Vec<[u8; 3]> = colours.take(256).map(|colour| [colour[0], colour[1], colour[2]]).collect();
    Some(Palette::from_rgb(&colours))
}

/// Turns components into RGB; nothing if their number does not fit.
fn converted(components: &[ComponentData], colours: Colours, palette: Option<&Palette>) -> Vec<u8> {
    let bytes = |convert: fn(f32, u8) -> u8| {
        move |component: &ComponentData| {
            let depth = component.bit_depth();
            component.samples().iter().map(|&sample| convert(sample, depth)).collect::<Vec<u8>>()
        }
    };
    match (colours, components, palette) {
        (Colours::Indexed, [indices], Some(palette)) => palette.colours(&bytes(|sample, _| sample as u8)(indices)),
        (Colours::Grey, [grey], _) => rgb::from_grey(&bytes(high_byte)(grey)),
        (Colours::Grey, [grey, _], _) => rgb::from_grey(&bytes(nearest_byte)(grey)),
        (Colours::Rgb, [r, g, b, ..], _) => pixels([r, g, b], |pixel| pixel),
        (Colours::Ycc, [y, cb, cr, ..], _) => pixels([y, cb, cr], rgb::from_ycbcr),
        (Colours::Cmyk, [c, m, y, k], _) => pixels([c, m, y, k], rgb::from_cmyk),
        _ => Vec::new(),
    }
}

/// Interleaves components and converts their pixels.
fn pixels<const N: usize>(components: [&ComponentData; N], convert: impl Fn([u8; N]) -> [u8; 3]) -> Vec<u8> {
    let depths = components.map(ComponentData::bit_depth);
    let planes = components.map(ComponentData::samples);
    let length = planes.iter().map(|plane| plane.len()).min().unwrap_or(0);
    let mut data = Vec::with_capacity(length * 3);
    let pixel = |at: usize| std::array::from_fn(|n| nearest_byte(planes[n][at], depths[n]));
    (0..length).for_each(|at| data.extend_from_slice(&convert(pixel(at))));
    data
}

/// Scales a sample to 8 bits: up by a shift, down to the nearest.
fn nearest_byte(sample: f32, depth: u8) -> u8 {
    let (value, shift) = (whole(sample, depth), i32::from(depth) - 8);
    if shift <= 0 { (value << -shift) as u8 } else { ((value + (1 << (shift - 1))) >> shift).min(255) as u8 }
}

/// Scales a sample of one grey component to 8 bits: up by a shift, down to its high byte.
fn high_byte(sample: f32, depth: u8) -> u8 {
    let (value, shift) = (whole(sample, depth), i32::from(depth) - 8);
    if shift <= 0 { (value << -shift) as u8 } else { (value >> shift) as u8 }
}

/// Rounds a sample and clips it to its depth.
fn whole(sample: f32, depth: u8) -> u32 {
    ((sample + 0.5) as u32).min(u32::MAX.checked_shr(32 - u32::from(depth)).unwrap_or(0)) // negative ones become 0
}

fn failed(e: hayro_jpeg2000::DecodeError) -> ImageError {
    damaged(Format::Jpeg2000, e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Limits;
    use crate::source::decode::Options;

    #[test]
    fn lower_resolutions_are_large_enough() {
        let limits = Limits::default();
        let bytes = include_bytes!("../../../tests/fixtures/decode/lossy-5.jp2"); // 100 x 80
        for (enough, size) in [(None, (100, 80)), (Some(41), (100, 80)), (Some(40), (50, 40)), (Some(10), (13, 10))] {
            let bounds = Bounds::new(&Options { limits: &limits, spare: None, enough });
            assert_eq!(decode(bytes, &bounds, enough).unwrap().image.dimensions(), size);
        }
    }

    #[test]
    fn samples_of_every_depth_are_scaled() {
        assert_eq!([0.0, 1.0, 3.0].map(|sample| nearest_byte(sample, 2)), [0, 64, 192]);
        assert_eq!([-3.0, 254.6, 999.0].map(|sample| nearest_byte(sample, 8)), [0, 255, 255]);
        assert_eq!([0.0, 7.0, 8.0, 4095.0].map(|sample| nearest_byte(sample, 12)), [0, 0, 1, 255]);
        assert_eq!([0.0, 255.0, 256.0, 65535.0].map(|sample| high_byte(sample, 16)), [0, 0, 1, 255]);
    }
}
