//! The formats whose pixels the `image` crate gives as Pillow does: PNG, WebP, BMP, PNM, ICO.

use std::io::{Cursor, ErrorKind::UnexpectedEof};

use image::error::ImageError as LibraryError;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::{Decoded, Outcome, check_size, damaged, rgb, unsupported, upright};
use crate::source::ImageError;

/// Decodes an image of a known format.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, max_pixels: u64) -> Outcome<Decoded> {
    let failed = |e| failure(format, e);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(Limits::no_limits()); // the pixel cap is checked below, before pixels are allocated
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into(), max_pixels)?;
    let exif = decoder.exif_metadata().map_err(failed)?;
    let xmp = decoder.xmp_metadata().map_err(failed)?;
    let orientation = upright::orientation(exif.as_deref(), xmp.as_deref());
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    Ok(Decoded { image: to_rgb(image, format)?, orientation })
}

/// Drops alpha, repeats grey, keeps the high byte of 16 bits.
fn to_rgb(image: DynamicImage, format: ImageFormat) -> Outcome<RgbImage> {
    let (width, height) = (image.width(), image.height());
    let data: Vec<u8> = match image {
        DynamicImage::ImageRgb8(image) => return Ok(image),
        DynamicImage::ImageLuma8(image) => image.iter().flat_map(|&l| [l; 3]).collect(),
        DynamicImage::ImageLumaA8(image) => image.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        DynamicImage::ImageRgba8(image) => image.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        DynamicImage::ImageLuma16(image) => image.iter().flat_map(|&l| [rgb::from_u16(l); 3]).collect(),
        DynamicImage::ImageLumaA16(image) => image.chunks_exact(2).flat_map(|p| [rgb::from_u16(p[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.iter().map(|&s| rgb::from_u16(s)).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]].map(rgb::from_u16)).collect()
        }
        other => return Err(unsupported(format, format!("{:?} samples", other.color()))),
    };
    RgbImage::from_raw(width, height, data).ok_or_else(ImageError::empty)
}

fn failure(format: ImageFormat, e: LibraryError) -> ImageError {
    match e {
        LibraryError::IoError(e) if e.kind() == UnexpectedEof => ImageError::truncated(super::name(format)),
        LibraryError::Unsupported(e) => unsupported(format, e),
        other => damaged(format, other),
    }
}
