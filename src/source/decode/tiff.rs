//! TIFF: the first page, in every photometric interpretation that Pillow reads. The `image` crate knows fewer.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use tiff::decoder::{BufferLayoutPreference, Decoder, Limits};
use tiff::tags::{SampleFormat, Tag};
use tiff::{ColorType, TiffError};

use super::{Decoded, Outcome, check_size, damaged, rgb, unsupported, upright};
use crate::source::ImageError;

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Outcome<Decoded> {
    let mut file = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = file.dimensions().map_err(failed)?;
    check_size(width.into(), height.into(), max_pixels)?;
    // Eight bytes a sample, four samples a pixel: nothing that the cap lets through is larger.
    let mut limits = Limits::default();
    limits.decoding_buffer_size = (u64::from(width) * u64::from(height) * 32) as usize;
    limits.intermediate_buffer_size = limits.decoding_buffer_size.max(1 << 20);
    let mut file = file.with_limits(limits);
    let color = file.colortype().map_err(failed)?;
    let layout = file.image_buffer_layout().map_err(failed)?;
    let mut data = vec![0; layout.complete_len];
    file.read_image_bytes(&mut data).map_err(failed)?;
    let samples = Samples { data, layout, color, width: width as usize, height: height as usize };
    let palette = match color {
        ColorType::Palette(_) => file.get_tag_u16_vec(Tag::ColorMap).map_err(failed)?,
        _ => Vec::new(),
    };
    let image = RgbImage::from_raw(width, height, samples.rgb(&palette)?).ok_or_else(ImageError::empty)?;
    let exif = file.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    let xmp = file.get_tag_u8_vec(Tag::Unknown(700)).ok();
    let stated = exif.and_then(image::metadata::Orientation::from_exif);
    Ok(Decoded { image, orientation: stated.unwrap_or_else(|| upright::orientation(None, xmp.as_deref())) })
}

/// The samples of a page as they lie in its strips or tiles.
struct Samples {
    data: Vec<u8>,
    layout: BufferLayoutPreference,
    color: ColorType,
    width: usize,
    height: usize,
}

impl Samples {
    /// RGB bytes [H, W, 3].
    fn rgb(&self, palette: &[u16]) -> Outcome<Vec<u8>> {
        let channels = usize::from(self.color.num_samples());
        let bytes = self.bytes(channels)?; // [H, W, C]
        let pixels = bytes.chunks_exact(channels);
        Ok(match self.color {
            ColorType::Gray(_) | ColorType::GrayA(_) | ColorType::Multiband { .. } => {
                pixels.flat_map(|p| [p[0]; 3]).collect()
            }
            ColorType::RGB(_) | ColorType::RGBA(_) => pixels.flat_map(|p| [p[0], p[1], p[2]]).collect(),
            ColorType::CMYK(_) | ColorType::CMYKA(_) => {
                pixels.flat_map(|p| rgb::from_cmyk([p[0], p[1], p[2], p[3]])).collect()
            }
            ColorType::YCbCr(_) => pixels.flat_map(|p| rgb::from_ycbcr([p[0], p[1], p[2]])).collect(),
            ColorType::Palette(_) => {
                let size = palette.len() / 3; // all reds, then all greens, then all blues
                let channel = |index: u8, plane: usize| {
                    let place = plane * size + usize::from(index);
                    if usize::from(index) < size { rgb::from_u16(palette[place]) } else { 0 }
                };
                pixels.flat_map(|p| [channel(p[0], 0), channel(p[0], 1), channel(p[0], 2)]).collect()
            }
            other => return Err(unsupported(ImageFormat::Tiff, format!("{other:?} colours"))),
        })
    }

    /// Each sample as a byte, channels interleaved.
    fn bytes(&self, channels: usize) -> Outcome<Vec<u8>> {
        let planes = self.layout.planes.max(1);
        let plane = self.layout.plane_stride.map_or(self.data.len(), |n| n.get()).max(1);
        let in_plane = if planes > 1 { 1 } else { channels };
        let split: Vec<Vec<u8>> =
            self.data.chunks(plane).take(planes).map(|data| self.plane(data, in_plane)).collect::<Outcome<_>>()?;
        if planes == 1 {
            return Ok(split.into_iter().next().unwrap_or_default());
        }
        if planes < channels {
            return Err(unsupported(ImageFormat::Tiff, format!("{planes} planes of {channels}")));
        }
        let pixels = self.width * self.height;
        Ok((0..pixels).flat_map(|at| split[..channels].iter().map(move |plane| plane[at])).collect())
    }

    /// The samples of one plane as bytes: scaled up from fewer bits, the high byte of more, clipped from others.
    fn plane(&self, data: &[u8], channels: usize) -> Outcome<Vec<u8>> {
        let count = self.width * self.height * channels;
        let indexed = matches!(self.color, ColorType::Palette(_));
        let words = |size: usize| data.chunks_exact(size).take(count);
        let bytes: Vec<u8> = match (self.layout.sample_format, self.color.bit_depth()) {
            (SampleFormat::Uint, 8) => data[..count.min(data.len())].to_vec(),
            (SampleFormat::Uint, bits @ (1 | 2 | 4)) => self.unpack(data, channels, bits, indexed),
            (SampleFormat::Uint, 16) => words(2).map(|w| rgb::from_u16(u16::from_ne_bytes([w[0], w[1]]))).collect(),
            (SampleFormat::Int, 32) => {
                words(4).map(|w| i32::from_ne_bytes([w[0], w[1], w[2], w[3]]).clamp(0, 255) as u8).collect()
            }
            (SampleFormat::IEEEFP, 32) => {
                words(4).map(|w| f32::from_ne_bytes([w[0], w[1], w[2], w[3]]) as u8).collect() // saturates
            }
            (format, bits) => return Err(unsupported(ImageFormat::Tiff, format!("{bits}-bit {format:?} samples"))),
        };
        if bytes.len() < count { Err(ImageError::truncated("TIFF")) } else { Ok(bytes) }
    }

    /// Samples of 1, 2 or 4 bits, rows starting at whole bytes.
    fn unpack(&self, data: &[u8], channels: usize, bits: u8, indexed: bool) -> Vec<u8> {
        let row = self.width * channels;
        let stride = self.layout.row_stride.map_or((row * usize::from(bits)).div_ceil(8), |n| n.get());
        let mask = (1u16 << bits) - 1;
        let scale = if indexed { 1 } else { 255 / mask };
        let sample = |line: &[u8], at: usize| {
            let bit = at * usize::from(bits);
            let shift = 8 - usize::from(bits) - bit % 8;
            ((u16::from(line[bit / 8]) >> shift & mask) * scale) as u8
        };
        let lines = data.chunks_exact(stride.max(1)).take(self.height);
        lines.flat_map(|line| (0..row).map(move |at| sample(line, at))).collect()
    }
}

fn failed(e: TiffError) -> ImageError {
    match e {
        TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => ImageError::truncated("TIFF"),
        TiffError::UnsupportedError(e) => unsupported(ImageFormat::Tiff, e),
        other => damaged(ImageFormat::Tiff, other),
    }
}
