//! Image bytes -> upright RGB, as Pillow's `convert("RGB")` gives it: the format told by content, the pixel cap checked
//! before anything is allocated, EXIF orientation applied, alpha dropped and its colour kept. One deliberate
//! difference: 16-bit grey is scaled to 8 bits, where Pillow clips it to white.

mod bmp;
mod chunks;
mod cursor;
mod gif;
mod ico;
mod ifd;
mod jpeg;
mod png;
mod pnm;
mod preview;
mod rgb;
mod signature;
mod strips;
mod tiff;
mod upright;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{ImageFormat, RgbImage};

pub use preview::small_preview;
pub(super) use signature::{check_format, ending, is_video};
pub use signature::{explained, is_image, is_image_name, is_raw_name};

use super::{ErrorKind, ImageError};

type Outcome<T> = Result<T, ImageError>;

/// An image as it lies in its file, and how to turn it.
struct Decoded {
    image: RgbImage,
    orientation: Orientation,
}

/// Bytes that decoding takes for each pixel, at its height: samples as they are stored, and RGB.
const BYTES_WHILE_DECODING: u64 = 7;

/// What is wanted of an image.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The most pixels that it may have as it is stored.
    pub max_pixels: u64,
    /// The shorter side that is enough. A JPEG file much larger is decoded at 1/2, 1/4 or 1/8 of its size, never to less
    /// than this; `None` decodes it all.
    pub enough: Option<usize>,
}

/// Whoever takes an image's rows as they are decoded.
pub trait Rows {
    /// Hears the size, once, before the first row.
    ///
    /// # Errors
    /// Why an image of that size cannot be taken; the decoder stops there.
    fn begin(&mut self, width: usize, height: usize) -> Result<(), ImageError>;
    /// Takes the next rows from the top, RGB bytes `[n, W, 3]`.
    fn push(&mut self, rows: &[u8]);
}

/// Decodes an image of at most `max_pixels`.
///
/// # Errors
/// [`ImageError`] of kind `format`, `decode` or `too_large`. A decoder that panics is a `decode` error of its file.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Outcome<RgbImage> {
    run(bytes, &Options { max_pixels, enough: None }, None)?.ok_or_else(ImageError::empty)
}

/// Decodes an image into the hands of `rows`: the same pixels as [`decode`]'s, where nothing less is enough, but those
/// of an upright JPEG file come as they are decoded, and no whole image is ever in memory.
///
/// # Errors
/// As [`decode`], and what `rows` says. Rows that came before an error count for nothing.
pub fn decode_rows(bytes: &[u8], options: &Options, rows: &mut dyn Rows) -> Outcome<()> {
    if let Some(image) = run(bytes, options, Some(&mut *rows))? {
        rows.begin(image.width() as usize, image.height() as usize)?;
        rows.push(image.as_raw());
    }
    Ok(())
}

/// The image, unless its rows were handed on.
fn run(bytes: &[u8], options: &Options, rows: Option<&mut dyn Rows>) -> Outcome<Option<RgbImage>> {
    let format = signature::format(bytes)?;
    let max_pixels = options.max_pixels;
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, options, rows),
        ImageFormat::Png => png::decode(bytes, max_pixels).map(Some),
        ImageFormat::WebP => webp::decode(bytes, max_pixels).map(Some),
        ImageFormat::Gif => gif::decode(bytes, max_pixels).map(Some),
        ImageFormat::Bmp => bmp::decode(bytes, max_pixels).map(Some),
        ImageFormat::Tiff => tiff::decode(bytes, max_pixels).map(Some),
        ImageFormat::Pnm => pnm::decode(bytes, max_pixels).map(Some),
        ImageFormat::Ico => ico::decode(bytes, max_pixels).map(Some),
        other => Err(unsupported(other, "no decoder")),
    }));
    let decoded = decoded.unwrap_or_else(|panic| Err(panicked(format, &*panic)))?;
    let Some(Decoded { image, orientation }) = decoded else { return Ok(None) };
    if image.is_empty() {
        return Err(ImageError::empty());
    }
    Ok(Some(upright::turned(image, orientation)))
}

/// The lower-case name of a format, for messages.
fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::Gif => "GIF",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Pnm => "PNM",
        ImageFormat::Ico => "ICO",
        _ => "image",
    }
}

/// Checks an image's size before its pixels are allocated.
fn check_size(width: u64, height: u64, max_pixels: u64) -> Outcome<()> {
    if width == 0 || height == 0 {
        return Err(ImageError::empty());
    }
    match width.checked_mul(height) {
        // Asked for and given back: the decoders' own allocations would end the program where they fail.
        Some(pixels) if pixels <= max_pixels => Vec::<u8>::new()
            .try_reserve_exact(pixels.saturating_mul(BYTES_WHILE_DECODING).try_into().unwrap_or(usize::MAX))
            .map_err(|_| ImageError::no_memory()),
        _ => Err(ImageError::new(
            ErrorKind::TooLarge,
            format!("has {width}x{height} pixels, more than the {max_pixels} allowed (--max-pixels)"),
        )),
    }
}

/// What is said of compressed data that is none. The decoder's own words tell of its state.
const BROKEN: &str = "it cannot be decompressed";

fn damaged(format: ImageFormat, reason: impl std::fmt::Display) -> ImageError {
    ImageError::new(ErrorKind::Decode, format!("the {} data is damaged: {reason}", name(format)))
}

fn unsupported(format: ImageFormat, reason: impl std::fmt::Display) -> ImageError {
    ImageError::new(ErrorKind::Format, format!("this kind of {} is not supported: {reason}", name(format)))
}

fn panicked(format: ImageFormat, panic: &(dyn std::any::Any + Send)) -> ImageError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    damaged(format, text.unwrap_or("its decoder failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_counts_pixels() {
        assert!(check_size(1000, 1000, 1_000_000).is_ok());
        assert_eq!(check_size(1001, 1000, 1_000_000).unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(check_size(u64::MAX, 2, u64::MAX).unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(check_size(0, 2, 9).unwrap_err().kind, ErrorKind::Decode);
    }
}
