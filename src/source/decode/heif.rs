//! HEIF files, which HEIC and AVIF are: the primary picture from its items, upright.

use heifer_isobmff::boxes::{ColorInfo, Property};
use heifer_isobmff::{HeifFile, Item, ItemId};
use image::RgbImage;
use image::metadata::Orientation;

use super::bounds::Bounds;
use super::yuv::{Coding, Planes};
use super::{DecodeResult, Decoded, Format, damaged, heif_boxes, unsupported, upright};
use crate::source::ImageError;

/// The sides of blocks that HEVC fills its pictures up to.
const BLOCK: u64 = 64;
/// Bytes of a pixel at the peak: samples of two bytes in the decoder and in the assembled picture, and RGB.
const BYTES_OF_PIXEL: u64 = 20;
/// How often compressed data is held, beside the file.
const COPIES: u64 = 2;
/// Bytes of a file that the tiles of a small one may share.
const SHARED: u64 = 64 << 20;

/// Decodes the primary picture.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds, format: Format) -> DecodeResult<Decoded> {
    let file = HeifFile::parse(heif_boxes::checked(bytes, format)?).map_err(|e| container(format, &e))?;
    let heif = Heif { file, bounds, format, length: bytes.len() as u64 };
    let id = heif.file.primary_id;
    let source = heif.source(id)?;
    heif.reserve(id, source)?;
    let (planes, coding, codec) = heif.planes(source)?;
    let data = match codec {
        #[cfg(feature = "heic")]
        Codec::Hevc => super::heic::rgb(&planes, coding)?,
        #[cfg(feature = "avif")]
        Codec::Av1 => heif.av1_rgb(source, &planes, coding)?,
    };
    let [width, height] = [planes.width, planes.height].map(|side| side as u32);
    drop(planes);
    let mut image = RgbImage::from_raw(width, height, data).ok_or_else(ImageError::empty)?;
    let own = heif.properties(id)?.filter(|_| source != id);
    for change in heif.properties(source)?.chain(own) {
        image = heif.changed(image, change, codec)?;
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
    /// Bytes of the file.
    length: u64,
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

    /// Returns the item that another is made from without a change of its own, or else the same.
    fn source(&self, id: ItemId) -> DecodeResult<ItemId> {
        match (&self.item(id)?.item_type.0, self.file.referenced_items(id, b"dimg")) {
            (b"iden", &[source]) => Ok(source),
            _ => Ok(id),
        }
    }

    /// Takes the memory for a picture, for one of its tiles and for its alpha beside it. Reads the sizes of all.
    fn reserve(&self, id: ItemId, source: ItemId) -> DecodeResult<()> {
        let whole = self.pixels(source)?;
        let tiles = self.tiles(source);
        let sizes = tiles.iter().map(|&tile| self.pixels(tile)).collect::<DecodeResult<Vec<_>>>()?;
        let data: u64 = tiles.iter().chain([&id, &source]).map(|&item| self.stored(item)).fold(0, u64::saturating_add);
        if data > 4 * self.length + SHARED {
            return Err(self.damaged("its tiles overlap"));
        }
        let pixels =
            whole * (1 + u64::from(self.multiplied_alpha(source).is_some())) + sizes.into_iter().max().unwrap_or(0);
        self.bounds.take(pixels.saturating_mul(BYTES_OF_PIXEL).saturating_add(self.length * COPIES))
    }

    /// Returns the items that a grid is made from.
    fn tiles(&self, id: ItemId) -> &[ItemId] {
        self.file.referenced_items(id, b"dimg")
    }

    /// Checks an item's size. Returns the most pixels that its codec may store.
    fn pixels(&self, id: ItemId) -> DecodeResult<u64> {
        let (width, height) = self.size(id)?;
        let (width, height) = (u64::from(width), u64::from(height));
        self.bounds.check(width, height)?;
        Ok(width.next_multiple_of(BLOCK) * height.next_multiple_of(BLOCK))
    }

    fn size(&self, id: ItemId) -> DecodeResult<(u32, u32)> {
        let size = self.file.image_size(id).map_err(|e| container(self.format, &e))?;
        size.ok_or_else(|| self.damaged("it states no size"))
    }

    /// Returns the samples of a picture and how they are coded.
    fn planes(&self, id: ItemId) -> DecodeResult<(Planes, Coding, Codec)> {
        let is_grid = self.item(id)?.item_type.0 == *b"grid";
        let (planes, coding, codec) = if is_grid { self.grid(id)? } else { self.coded(id)? };
        let stated = self.properties(id)?.find_map(|property| match *property {
            Property::Color(ColorInfo::Nclx { primaries, matrix, full_range, .. }) => {
                Some(Coding { matrix, primaries, full_range })
            }
            _ => None,
        });
        Ok((planes, stated.unwrap_or(coding), codec))
    }

    /// Decodes an item that is not made from others.
    fn coded(&self, id: ItemId) -> DecodeResult<(Planes, Coding, Codec)> {
        let most = self.pixels(id)?;
        let (planes, coding, codec) = match &self.item(id)?.item_type.0 {
            #[cfg(feature = "heic")]
            b"hvc1" | b"hev1" => {
                let stream = self.file.hevc_bitstream(id).map_err(|e| container(self.format, &e))?;
                let (planes, coding) = super::heic::decode(&stream, most)?;
                (planes, coding, Codec::Hevc)
            }
            #[cfg(feature = "avif")]
            b"av01" => {
                let data = self.file.item_data(id).map_err(|e| container(self.format, &e))?;
                let decoded = super::av1::decode(&data, most);
                let (planes, coding) = decoded.ok_or_else(|| self.damaged(super::BROKEN))?;
                (planes, coding, Codec::Av1)
            }
            other => {
                let format = if *other == *b"av01" { Format::Avif } else { self.format };
                return Err(unsupported(format.readable()?, format!("pictures of type {}", other.escape_ascii())));
            }
        };
        if self.size(id)? != (planes.width as u32, planes.height as u32) {
            return Err(self.damaged("a picture of another size than stated"));
        }
        Ok((planes, coding, codec))
    }

    /// Puts the tiles of a grid together.
    fn grid(&self, id: ItemId) -> DecodeResult<(Planes, Coding, Codec)> {
        let grid = self.file.grid(id).map_err(|e| container(self.format, &e))?;
        let (width, height) = (grid.output_width, grid.output_height);
        if self.size(id)? != (width, height) {
            return Err(self.damaged("a grid of another size than stated"));
        }
        let (tiles, columns, rows) = (self.tiles(id), usize::from(grid.columns), usize::from(grid.rows));
        let first = self.size(tiles.first().copied().unwrap_or(id))?;
        let fill = |tile: u32, count: usize, side: u32| {
            let (tile, count, side) = (u64::from(tile), count as u64, u64::from(side));
            tile * (count - 1) < side && tile * count >= side
        };
        let is_whole = tiles.len() == columns * rows && fill(first.0, columns, width) && fill(first.1, rows, height);
        if !is_whole {
            return Err(self.damaged("tiles that do not fill their grid"));
        }
        let mut whole: Option<(Planes, Coding, Codec)> = None;
        for (place, &tile) in tiles.iter().enumerate() {
            let is_changed = self.properties(tile)?.any(|p| matches!(p, Property::Rotation(1..) | Property::Mirror(_)));
            if is_changed || self.size(tile)? != first {
                return Err(unsupported(self.format, "tiles of several sizes, or turned tiles"));
            }
            let (planes, coding, own) = self.coded(tile)?;
            let new = || (Planes::new(width as usize, height as usize, planes.depth, planes.chroma), coding, own);
            let (whole, _, codec) = whole.get_or_insert_with(new);
            if own != *codec {
                return Err(self.damaged("tiles of several kinds in one grid"));
            }
            whole.put(&planes, place % columns * planes.width, place / columns * planes.height)?;
        }
        whole.ok_or_else(|| self.damaged("a grid without tiles"))
    }

    /// Applies a property that changes pictures.
    fn changed(&self, image: RgbImage, change: &Property, codec: Codec) -> DecodeResult<RgbImage> {
        Ok(match *change {
            Property::Rotation(quarters) => upright::turned(image, counterclockwise(quarters)),
            Property::Mirror(true) => upright::turned(image, Orientation::FlipVertical),
            Property::Mirror(false) => upright::turned(image, Orientation::FlipHorizontal),
            Property::CleanAperture { width, height, horiz_offset, vert_offset } if codec.crops() => {
                self.cropped(image, [width, height], [horiz_offset, vert_offset])?
            }
            _ => image,
        })
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

    #[cfg(feature = "avif")]
    fn av1_rgb(&self, id: ItemId, planes: &Planes, coding: Coding) -> DecodeResult<Vec<u8>> {
        let mut rgb = super::avif::rgb(planes, coding, self.alpha(id).is_some())?;
        if let Some(alpha) = self.multiplied_alpha(id) {
            if self.size(alpha)? != self.size(id)? {
                return Err(self.damaged("alpha of another size"));
            }
            super::avif::unmultiply(&mut rgb, &self.planes(alpha)?.0);
        }
        Ok(rgb)
    }

    /// Returns the alpha that colours are multiplied with.
    fn multiplied_alpha(&self, id: ItemId) -> Option<ItemId> {
        self.alpha(id).filter(|alpha| self.file.referenced_items(id, b"prem").contains(alpha))
    }

    /// Returns the bytes of an item's data.
    fn stored(&self, id: ItemId) -> u64 {
        let extents = self.item(id).ok().and_then(|item| item.location.as_ref()).map(|place| &place.extents);
        let length = |length: u64| if length == 0 { self.length } else { length };
        extents.into_iter().flatten().map(|extent| length(extent.length)).fold(0, u64::saturating_add)
    }

    /// Returns the item with an item's alpha.
    fn alpha(&self, id: ItemId) -> Option<ItemId> {
        let is_alpha = |property: &Property| {
            matches!(property, Property::AuxiliaryType(kind)
                if kind.starts_with("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha") || kind.starts_with("urn:mpeg:hevc:2015:auxid:1"))
        };
        let others = self.file.referencing_items(id, b"auxl");
        others.into_iter().find(|&other| self.properties(other).is_ok_and(|mut all| all.any(is_alpha)))
    }
}
