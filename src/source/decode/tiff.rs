//! TIFF: the first page, in the kinds that Pillow reads (`OPEN_INFO` in TiffImagePlugin.py).

use std::borrow::Cow;

use image::RgbImage;
use image::metadata::Orientation;

use super::bounds::Bounds;
use super::ifd::{Directory, Order};
use super::rgb::{self, Palette};
use super::strips::{Packing, part_of};
use super::{DecodeResult, Decoded, Format, damaged, unsupported, upright};
use crate::source::ImageError;

/// Bytes that parts may share: empty parts are often one. Each is unpacked separately, which takes time.
const SHARED: u64 = 64 << 20;
/// The most samples of a pixel whose kinds are looked at.
const SAMPLES: usize = 64;

/// The colours of a pixel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colours {
    Grey,
    /// Grey from white to black.
    Negative,
    Indexed,
    Rgb,
    /// RGB multiplied with alpha, the fourth sample.
    Premultiplied,
    Cmyk,
    YCbCr,
    Lab,
}

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds) -> DecodeResult<Decoded> {
    let tags = Directory::read(bytes).ok_or_else(|| ImageError::truncated("TIFF"))?;
    page(bytes, &tags, upright::of_tags(&tags).unwrap_or(Orientation::NoTransforms), bounds)
}

/// Decodes the page that a directory describes.
pub(super) fn page(bytes: &[u8], tags: &Directory, orientation: Orientation, bounds: &Bounds) -> DecodeResult<Decoded> {
    let page = Page::read(tags, bounds)?;
    let samples = page.samples(bytes, tags, orientation != Orientation::NoTransforms, bounds)?;
    let data = page.rgb(samples, tags)?;
    let image = RgbImage::from_raw(page.width as u32, page.height as u32, data).ok_or_else(ImageError::empty)?;
    Ok(Decoded { image, orientation })
}

/// A page's layout.
struct Page<'a> {
    width: usize,
    height: usize,
    colours: Colours,
    /// 1 for unsigned, 2 for signed, 3 for float.
    format: u64,
    /// Samples per pixel.
    channels: usize,
    /// Whether each channel has its own strips or tiles.
    planar: bool,
    packing: Packing<'a>,
}

impl<'a> Page<'a> {
    fn read(tags: &Directory<'a>, bounds: &Bounds) -> DecodeResult<Self> {
        let number = |tag, other| tags.number(tag).unwrap_or(other);
        let side = |tag| tags.number(tag).ok_or_else(|| damaged(Format::Tiff, "it states no size"));
        let (width, height) = (side(256)?, side(257)?);
        bounds.check(width, height)?;
        let (compression, photometric) = (number(259, 1), number(262, 0));
        if compression != 1 && !tags.complete {
            return Err(ImageError::truncated("TIFF")); // Pillow calls libtiff here, which is stricter
        }
        let planar = number(284, 1) == 2;
        // No kind that is read has more than a few samples.
        let numbers = |tag| tags.values(tag).map(|all| all.take(SAMPLES).collect::<Vec<_>>());
        let mut bits = numbers(258).unwrap_or_else(|| vec![1]);
        let mut extra = numbers(338).unwrap_or_default();
        let mut channels = number(277, 1) as usize;
        if planar && extra.iter().all(|&kind| kind == 0) {
            channels = channels.saturating_sub(extra.len());
            bits.truncate(bits.len().saturating_sub(extra.len()));
            extra.clear();
        }
        if channels <= 6 && bits.len() == 1 {
            bits.resize(channels, bits[0]);
        }
        bits.truncate(channels);
        let mut formats = numbers(339).unwrap_or_else(|| vec![1]);
        formats.dedup();
        let reversed = number(266, 1) == 2;
        let (&[format], Some(&depth)) = (formats.as_slice(), bits.first()) else {
            return Err(unsupported(Format::Tiff, "samples of several kinds"));
        };
        let key =
            PixelKind { photometric, format, depth, extra: &extra, reversed, little: tags.order == Order::Little };
        let colours = key.colours(channels).filter(|_| bits.len() == channels && bits.iter().all(|&b| b == depth));
        let colours = colours.ok_or_else(|| {
            let kind = format!("{bits:?} bits of colours {photometric}, extra samples {extra:?}, format {format}");
            unsupported(Format::Tiff, kind)
        })?;
        let ycbcr = colours == Colours::YCbCr;
        let sampling = tags.numbers(530).unwrap_or_else(|| vec![2, 2]);
        if ycbcr && compression != 1 && compression != 7 && sampling != [1, 1] {
            return Err(unsupported(Format::Tiff, "chroma at half size, not in jpeg"));
        }
        let packing = Packing {
            compression,
            predictor: number(317, 1),
            reversed,
            order: tags.order,
            bits: depth as usize,
            channels: if planar { 1 } else { channels },
            tables: tags.bytes(347).unwrap_or_default(),
            ycbcr,
            fax_2d: number(292, 0) & 1 != 0,
        };
        let (width, height) = (width as usize, height as usize);
        Ok(Self { width, height, colours, format, channels, planar, packing })
    }

    /// Returns every sample as a byte [H, W, C].
    fn samples(&self, file: &[u8], tags: &Directory, is_turned: bool, bounds: &Bounds) -> DecodeResult<Vec<u8>> {
        let tiled = tags.bytes(273).is_none();
        let places = tags.numbers(if tiled { 324 } else { 273 });
        let places = places.filter(|places| !places.is_empty());
        let mut places = places.ok_or_else(|| damaged(Format::Tiff, "it does not say where its pixels are"))?;
        let lengths = tags.numbers(if tiled { 325 } else { 279 }).unwrap_or_default();
        let side =
            |tag, other: usize| tags.number(tag).map_or(other as u64, |n| if tiled { n } else { n.min(other as u64) });
        let (columns, rows) = (
            if tiled { side(322, 0) } else { self.width as u64 },
            side(if tiled { 323 } else { 278 }, if tiled { 0 } else { self.height }),
        );
        bounds.check(columns, rows)?;
        let (columns, rows) = (columns as usize, rows as usize);
        let raw = self.packing.compression == 1;
        if raw && !self.planar && [columns, rows] == [self.width, self.height] {
            places = places.split_off(places.len() - 1); // Pillow uses the last part if each covers the image
        }
        let to_the_end = |place: u64| if raw { 0 } else { (file.len() as u64).saturating_sub(place) };
        let unstated = places.iter().skip(lengths.len()).map(|&place| to_the_end(place));
        let all = lengths.iter().copied().chain(unstated).fold(0, u64::saturating_add);
        if all > 4 * file.len() as u64 + SHARED {
            return Err(damaged(Format::Tiff, "its strips or tiles overlap"));
        }
        let stored = lengths.iter().max().map_or(file.len() as u64, |&most| most.min(file.len() as u64));
        let across = self.width.div_ceil(columns);
        let parts = across * self.height.div_ceil(rows);
        let all = parts * if self.planar { self.channels } else { 1 };
        let there = places.iter().take(all).enumerate();
        let kept = self.packing.kept(there.filter_map(|(part, &place)| part_of(file, place, lengths.get(part))))?;
        let part = self.packing.bytes_unpacking(columns, rows, stored, kept);
        bounds.take(self.memory(part, is_turned))?;
        let mut samples = vec![0; self.width * self.height * self.channels];
        for part in 0..all {
            let Some(&place) = places.get(part) else {
                if raw {
                    break; // Pillow leaves parts without a place black
                }
                return Err(ImageError::truncated("TIFF"));
            };
            let (plane, part_in_plane) = (part / parts, part % parts);
            let [left, top] = [part_in_plane % across * columns, part_in_plane / across * rows];
            let there = rows.min(self.height - top);
            let data = part_of(file, place, lengths.get(part).filter(|_| !raw));
            let data = data.ok_or_else(|| ImageError::truncated("TIFF"))?;
            // Tiles are complete; strips have only rows of the image.
            let made = if tiled && !raw { rows } else { there };
            let data = self.packing.unpack(data, columns, made)?;
            self.place(&data, columns, [left, top, plane], there, &mut samples)?;
        }
        Ok(samples)
    }

    /// Returns the peak memory in bytes: all samples beside a strip or tile, then beside their colours, then turned
    /// colours.
    fn memory(&self, part: u64, is_turned: bool) -> u64 {
        let pixels = (self.width * self.height) as u64;
        let samples = pixels * self.channels as u64;
        let colours = match self.colours {
            _ if self.is_rgb() => 0,
            Colours::Indexed => pixels * 4, // the indices too
            _ => pixels * 3,
        };
        let turned = if is_turned { pixels * 6 } else { 0 };
        samples.saturating_add(part.max(colours)).max(turned)
    }

    /// Returns whether the samples are RGB already.
    fn is_rgb(&self) -> bool {
        self.channels == 3
            && (self.colours == Colours::Rgb || self.colours == Colours::YCbCr && self.packing.compression == 7)
    }

    /// Puts the samples of a strip or tile in their place.
    fn place(&self, data: &[u8], columns: usize, at: [usize; 3], rows: usize, samples: &mut [u8]) -> DecodeResult<()> {
        let [left, top, plane] = at;
        let in_part = self.packing.channels;
        let count = columns.min(self.width - left) * in_part;
        for (y, line) in data.chunks_exact(self.packing.row_bytes(columns)).take(rows).enumerate() {
            let line = self.bytes(line, count)?;
            let start = ((top + y) * self.width + left) * self.channels;
            if self.planar {
                let out = samples[start + plane..].iter_mut().step_by(self.channels);
                out.zip(line.iter()).for_each(|(out, value)| *out = *value);
            } else {
                samples[start..start + count].copy_from_slice(&line);
            }
        }
        Ok(())
    }

    /// Converts the first samples of a row to bytes: scales up fewer bits, takes the high byte of more, clips others.
    fn bytes<'l>(&self, line: &'l [u8], count: usize) -> DecodeResult<Cow<'l, [u8]>> {
        let (bits, order) = (self.packing.bits, self.packing.order);
        let numbers = line.chunks_exact((bits / 8).max(1)).take(count).map(|sample| order.number(sample));
        let scale = if self.colours == Colours::Indexed { 1 } else { 255 / ((1usize << bits.min(8)) - 1) };
        Ok(match (self.format, bits) {
            (1 | 2, 8) => Cow::Borrowed(&line[..count]),
            (1, 1 | 2 | 4) => {
                let sample = |i: usize| line[i * bits / 8] >> (8 - bits - i * bits % 8) & ((1 << bits) - 1) as u8;
                (0..count).map(|i| sample(i) * scale as u8).collect()
            }
            // Two samples in three bytes; take the high byte of each sample scaled to sixteen bits.
            (1, 12) => {
                (0..count).map(|i| if i % 2 == 0 { line[i / 2 * 3] >> 4 } else { line[i / 2 * 3 + 1] & 15 }).collect()
            }
            (1, 16) => numbers.map(|n| rgb::from_u16(n as u16)).collect(),
            (2, 16) => numbers.map(|n| (n as u16 as i16).clamp(0, 255) as u8).collect(),
            (1 | 2, 32) => numbers.map(|n| (n as u32 as i32).clamp(0, 255) as u8).collect(),
            (3, 32) => numbers.map(|n| rgb::from_f32(f32::from_bits(n as u32))).collect(),
            (format, bits) => return Err(unsupported(Format::Tiff, format!("{bits} bits of format {format}"))),
        })
    }

    fn rgb(&self, samples: Vec<u8>, tags: &Directory) -> DecodeResult<Vec<u8>> {
        if self.is_rgb() {
            return Ok(samples);
        }
        let pixels = samples.chunks_exact(self.channels);
        Ok(match self.colours {
            Colours::Grey => pixels.flat_map(|p| [p[0]; 3]).collect(),
            Colours::Negative => pixels.flat_map(|p| [255 - p[0]; 3]).collect(),
            Colours::Rgb => pixels.flat_map(|p| [p[0], p[1], p[2]]).collect(),
            Colours::Premultiplied => pixels.flat_map(|p| rgb::from_premultiplied([p[0], p[1], p[2], p[3]])).collect(),
            Colours::Cmyk => pixels.flat_map(|p| rgb::from_cmyk([p[0], p[1], p[2], p[3]])).collect(),
            Colours::Lab => pixels.flat_map(|p| rgb::from_lab([p[0], p[1], p[2]])).collect(),
            Colours::YCbCr => match self.packing.compression {
                1 => pixels.flat_map(|p| rgb::from_ycbcr([p[0], p[1], p[2]])).collect(),
                _ => pixels.flat_map(|p| rgb::from_ycc([p[0], p[1], p[2]])).collect(),
            },
            Colours::Indexed => {
                // All reds, then all greens, then all blues.
                let map = tags.numbers(320).ok_or_else(|| damaged(Format::Tiff, "it has no palette"))?;
                let size = map.len() / 3;
                let channel = |i: usize, plane: usize| rgb::from_u16(map[plane * size + i] as u16);
                let colours: Vec<_> = (0..size).map(|i| [channel(i, 0), channel(i, 1), channel(i, 2)]).collect();
                let indices: Vec<u8> = pixels.map(|p| p[0]).collect();
                Palette::from_rgb(&colours).colours(&indices)
            }
        })
    }
}

/// The properties by which Pillow knows a kind of TIFF.
struct PixelKind<'a> {
    photometric: u64,
    format: u64,
    depth: u64,
    extra: &'a [u64],
    reversed: bool,
    little: bool,
}

impl PixelKind<'_> {
    fn colours(&self, channels: usize) -> Option<Colours> {
        let forward = !self.reversed;
        match (self.photometric, channels, self.format, self.depth, self.extra) {
            (0, 1, 1, 1 | 2 | 4 | 8, []) => Some(Colours::Negative),
            (0, 1, 1, 16, []) if forward && self.little => Some(Colours::Grey), // not inverted by Pillow
            (0 | 1, 1, 3, 32, []) if forward => Some(Colours::Grey),
            (1, 1, 1, 1 | 2 | 4 | 8, []) => Some(Colours::Grey),
            (1, 1, 1, 16, []) if forward || self.little => Some(Colours::Grey),
            (1, 1, 1, 12 | 32, []) if forward && self.little => Some(Colours::Grey),
            (1, 1, 2, 8 | 16 | 32, []) if forward => Some(Colours::Grey),
            (1, 2, 1, 8, [0 | 2]) if forward => Some(Colours::Grey),
            (2, 3, 1, 8, []) => Some(Colours::Rgb),
            (2, 3, 1, 16, []) if forward => Some(Colours::Rgb),
            (2, 4, 1, 8, [] | [0 | 2 | 999]) | (2, 4, 1, 16, [] | [0 | 2]) if forward => Some(Colours::Rgb),
            (2, 4, 1, 8 | 16, [1]) if forward => Some(Colours::Premultiplied),
            (2, 5, 1, 8, [0 | 2, 0]) | (2, 6, 1, 8, [0 | 2, 0, 0]) if forward => Some(Colours::Rgb),
            (2, 5, 1, 8, [1, 0]) | (2, 6, 1, 8, [1, 0, 0]) if forward => Some(Colours::Premultiplied),
            (3, 1, 1, 1 | 2 | 4 | 8, []) => Some(Colours::Indexed),
            (3, 2, 1, 8, [0 | 2]) if forward => Some(Colours::Indexed),
            (5, 4, 1, 8 | 16, []) | (5, 5, 1, 8, [0]) | (5, 6, 1, 8, [0, 0]) if forward => Some(Colours::Cmyk),
            (6, 1, 1, 8, []) if forward => Some(Colours::Grey),
            (6, 3, 1, 8, []) if forward => Some(Colours::YCbCr),
            (8, 3, 1, 8, []) if forward => Some(Colours::Lab),
            _ => None,
        }
    }
}
