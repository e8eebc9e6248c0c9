//! HEIF files, which HEIC and AVIF are: the primary picture from its items, upright.

use std::borrow::Cow;

use heifer_isobmff::boxes::{ColorInfo, Property};
use heifer_isobmff::{HeifFile, Item, ItemId};
use image::RgbImage;
use image::metadata::Orientation;

use super::bounds::Bounds;
use super::yuv::{Coding, Planes};
use super::{DecodeResult, Decoded, Format, damaged, unsupported, upright};
use crate::source::ImageError;

/// The sides of blocks that HEVC fills its pictures up to.
const BLOCK: u64 = 64;
/// Bytes of a pixel at the peak: samples of two bytes in the decoder and in the assembled picture, and RGB.
const BYTES_OF_PIXEL: u64 = 16;
/// The deepest chain of items that are made from others.
const DEPTH: usize = 4;

/// Decodes the primary picture.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds, format: Format) -> DecodeResult<Decoded> {
    let file = HeifFile::parse(bytes).map_err(|e| container(format, &e))?;
    let heif = Heif { file, bounds, format };
    let id = heif.file.primary_id;
    heif.reserve(id)?;
    let (planes, coding, codec) = heif.planes(id, 0)?;
    let data = match codec {
        #[cfg(feature = "heic")]
        Codec::Hevc => super::heic::rgb(&planes, coding)?,
        #[cfg(feature = "avif")]
        Codec::Av1 => heif.av1_rgb(id, &planes, coding)?,
    };
    let [width, height] = [planes.width, planes.height].map(|side| side as u32);
    drop(planes);
    let mut image = RgbImage::from_raw(width, height, data).ok_or_else(ImageError::empty)?;
    for change in heif.properties(id)? {
        image = match *change {
            Property::Rotation(quarters) => upright::turned(image, counterclockwise(quarters)),
            Property::Mirror(true) => upright::turned(image, Orientation::FlipVertical),
            Property::Mirror(false) => upright::turned(image, Orientation::FlipHorizontal),
            Property::CleanAperture { width, height, horiz_offset, vert_offset } if codec.crops() => {
                heif.cropped(image, [width, height], [horiz_offset, vert_offset])?
            }
            _ => image,
        };
    }
    Ok(Decoded { image, orientation: Orientation::NoTransforms })
}

/// Converts an error of the container.
fn container(format: Format, e: &heifer_isobmff::Error) -> ImageError {
    match e {
        heifer_isobmff::Error::UnexpectedEof => ImageError::truncated(format.name()),
        _ => damaged(format, "its container contradicts itself"),
    }
}

/// What a picture is compressed with.
#[derive(Clone, Copy, PartialEq)]
enum Codec {
    #[cfg(feature = "heic")]
    Hevc,
    #[cfg(feature = "avif")]
    Av1,
}

impl Codec {
    /// Returns whether the reference crops to a clean aperture: libheif does, and libavif, so Pillow, does not.
    fn crops(self) -> bool {
        match self {
            #[cfg(feature = "heic")]
            Self::Hevc => true,
            #[cfg(feature = "avif")]
            Self::Av1 => false,
        }
    }
}

fn counterclockwise(quarters: u8) -> Orientation {
    [Orientation::NoTransforms, Orientation::Rotate270, Orientation::Rotate180, Orientation::Rotate90]
        [usize::from(quarters & 3)]
}

/// A file and its limits.
struct Heif<'a, 'b> {
    file: HeifFile<'a>,
    bounds: &'b Bounds<'b>,
    format: Format,
}

impl<'a> Heif<'a, '_> {
    fn damaged(&self, reason: impl std::fmt::Display) -> ImageError {
        damaged(self.format, reason)
    }

    fn item(&self, id: ItemId) -> DecodeResult<&Item> {
        self.file.item(id).map_err(|e| container(self.format, &e))
    }

    fn properties(&self, id: ItemId) -> DecodeResult<impl Iterator<Item = &Property>> {
        self.file.item_properties(id).map_err(|e| container(self.format, &e))
    }

    fn data(&self, id: ItemId) -> DecodeResult<Cow<'a, [u8]>> {
        self.file.item_data(id).map_err(|e| container(self.format, &e))
    }

    /// Returns the samples of an item and how they are coded.
    fn planes(&self, id: ItemId, depth: usize) -> DecodeResult<(Planes, Coding, Codec)> {
        let (planes, coding, codec) = match &self.item(id)?.item_type.0 {
            #[cfg(feature = "heic")]
            b"hvc1" | b"hev1" => self.hevc(id)?,
            #[cfg(feature = "avif")]
            b"av01" => self.av1(id)?,
            b"grid" if depth < DEPTH => self.grid(id, depth)?,
            b"iden" if depth < DEPTH => {
                let &[source] = self.file.referenced_items(id, b"dimg") else {
                    return Err(self.damaged("an item made from nothing"));
                };
                self.planes(source, depth + 1)?
            }
            other => {
                let is_avif = *other == *b"av01";
                let format = if is_avif { Format::Avif.readable()? } else { self.format.readable()? };
                return Err(unsupported(format, format!("pictures of type {}", other.escape_ascii())));
            }
        };
        let stated = self.properties(id)?.find_map(|property| match *property {
            Property::Color(ColorInfo::Nclx { primaries, matrix, full_range, .. }) => {
                Some(Coding { matrix, primaries, full_range })
            }
            _ => None,
        });
        Ok((planes, stated.unwrap_or(coding), codec))
    }

    /// Takes the memory for the primary picture, and for one of its tiles beside it.
    fn reserve(&self, id: ItemId) -> DecodeResult<()> {
        let tiles = self.file.referenced_items(id, b"dimg").iter().take(1);
        let sizes = std::iter::once(&id).chain(tiles).map(|&id| self.size(id));
        let pixels = sizes.sum::<DecodeResult<u64>>()?;
        self.bounds.take(pixels.saturating_mul(BYTES_OF_PIXEL))
    }

    /// Checks an item's size. Returns the most pixels that its codec may store.
    fn size(&self, id: ItemId) -> DecodeResult<u64> {
        let size = self.file.image_size(id).map_err(|e| container(self.format, &e))?;
        let (width, height) = size.ok_or_else(|| self.damaged("it states no size"))?;
        let (width, height) = (u64::from(width), u64::from(height));
        self.bounds.check(width, height)?;
        Ok(width.next_multiple_of(BLOCK) * height.next_multiple_of(BLOCK))
    }

    /// Puts the tiles of a grid together.
    fn grid(&self, id: ItemId, depth: usize) -> DecodeResult<(Planes, Coding, Codec)> {
        let grid = self.file.grid(id).map_err(|e| container(self.format, &e))?;
        let (width, height) = (grid.output_width, grid.output_height);
        if self.file.image_size(id) != Ok(Some((width, height))) {
            return Err(self.damaged("a grid of another size than stated"));
        }
        let tiles = self.file.referenced_items(id, b"dimg");
        let columns = usize::from(grid.columns);
        if tiles.len() != columns * usize::from(grid.rows) {
            return Err(self.damaged("a grid that lacks tiles"));
        }
        let most = self.size(tiles[0])?;
        let (first, coding, codec) = self.planes(tiles[0], depth + 1)?;
        let fill =
            |tile: usize, count: usize, side: u32| tile * (count - 1) < side as usize && tile * count >= side as usize;
        if !fill(first.width, columns, width) || !fill(first.height, grid.rows.into(), height) {
            return Err(self.damaged("tiles that do not fill their grid"));
        }
        let mut whole = Planes::new(width as usize, height as usize, first.depth, first.chroma);
        whole.put(&first, 0, 0)?;
        for (place, &tile) in tiles.iter().enumerate().skip(1) {
            if self.size(tile)? > most {
                return Err(self.damaged("tiles of several sizes in one grid"));
            }
            let (planes, _, own) = self.planes(tile, depth + 1)?;
            if own != codec || [planes.width, planes.height] != [first.width, first.height] {
                return Err(self.damaged("tiles of several kinds in one grid"));
            }
            whole.put(&planes, place % columns * first.width, place / columns * first.height)?;
        }
        Ok((whole, coding, codec))
    }

    /// Crops to a clean aperture: sizes and offsets from the centre, as fractions.
    fn cropped(&self, image: RgbImage, size: [(u32, u32); 2], offset: [(i32, u32); 2]) -> DecodeResult<RgbImage> {
        let sides = [image.width(), image.height()];
        let part = |axis: usize| {
            let ((length, length_unit), (offset, offset_unit)) = (size[axis], offset[axis]);
            if length_unit == 0 || offset_unit == 0 {
                return None;
            }
            let length = f64::from(length) / f64::from(length_unit);
            let side = f64::from(sides[axis]);
            let start = (f64::from(offset) / f64::from(offset_unit) + (side - length) / 2.0).round();
            let end = (start + length.round()).min(side);
            (start >= 0.0 && end > start).then_some([start as u32, end as u32])
        };
        let parts = part(0).zip(part(1)).ok_or_else(|| self.damaged("it is cropped to nothing"))?;
        let ([left, right], [top, bottom]) = parts;
        Ok(image::imageops::crop_imm(&image, left, top, right - left, bottom - top).to_image())
    }

    #[cfg(feature = "heic")]
    fn hevc(&self, id: ItemId) -> DecodeResult<(Planes, Coding, Codec)> {
        let most = self.size(id)?;
        let stream = self.file.hevc_bitstream(id).map_err(|e| container(self.format, &e))?;
        let (planes, coding) = super::heic::decode(&stream, most)?;
        if self.file.image_size(id) != Ok(Some((planes.width as u32, planes.height as u32))) {
            return Err(self.damaged("a picture of another size than stated"));
        }
        Ok((planes, coding, Codec::Hevc))
    }

    #[cfg(feature = "avif")]
    fn av1(&self, id: ItemId) -> DecodeResult<(Planes, Coding, Codec)> {
        let most = self.size(id)?;
        let decoded = super::av1::decode(&self.data(id)?, most);
        let (planes, coding) = decoded.ok_or_else(|| self.damaged(super::BROKEN))?;
        Ok((planes, coding, Codec::Av1))
    }

    #[cfg(feature = "avif")]
    fn av1_rgb(&self, id: ItemId, planes: &Planes, coding: Coding) -> DecodeResult<Vec<u8>> {
        let alpha = self.alpha(id);
        let mut rgb = super::avif::rgb(planes, coding, alpha.is_some())?;
        if let Some(alpha) = alpha.filter(|alpha| self.file.referenced_items(id, b"prem").contains(alpha)) {
            super::avif::unmultiply(&mut rgb, &self.planes(alpha, 0)?.0);
        }
        Ok(rgb)
    }

    /// Returns the item with an item's alpha.
    #[cfg(feature = "avif")]
    fn alpha(&self, id: ItemId) -> Option<ItemId> {
        let is_alpha = |property: &Property| {
            matches!(property, Property::AuxiliaryType(kind)
                if kind.starts_with("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha") || kind.starts_with("urn:mpeg:hevc:2015:auxid:1"))
        };
        let others = self.file.referencing_items(id, b"auxl");
        others.into_iter().find(|&other| self.properties(other).is_ok_and(|mut all| all.any(is_alpha)))
    }
}
