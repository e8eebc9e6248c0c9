//! Image bytes -> upright RGB, as Pillow's `convert("RGB")` gives it: the format told by content, the pixel cap checked
//! before anything is allocated, EXIF orientation applied, alpha dropped and its colour kept. One deliberate
//! difference: 16-bit grey is scaled to 8 bits, where Pillow clips it to white.

mod bmp;
mod bounds;
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
mod scans;
mod signature;
mod strips;
mod tiff;
mod upright;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{ImageFormat, RgbImage};

use bounds::Bounds;
pub use preview::small_preview;
pub(super) use signature::{check_format, ending, is_video};
pub use signature::{explained, is_image, is_image_name, is_raw_name};

use super::{ErrorKind, ImageError, Limits};

type Outcome<T> = Result<T, ImageError>;

/// An image as it lies in its file, and how to turn it.
struct Decoded {
    image: RgbImage,
    orientation: Orientation,
}

/// Bytes that most decoders take for each pixel, at its height: four samples as they are stored, and RGB.
const BYTES_OF_PIXEL: u64 = 7;

/// What is wanted of an image.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The most pixels that it may have as it is stored, and the memory to decode it in.
    pub limits: &'a Limits,
    /// The memory that is left beside its bytes, where it goes alone; see [`Bytes::spare`](super::Bytes::spare).
    pub spare: Option<u64>,
    /// The shorter side that is enough. A JPEG file much larger is decoded at 1/2, 1/4 or 1/8 of its size, never to less
    /// than this; `None` decodes it all.
    pub enough: Option<usize>,
}

/// Whoever takes an image's rows as they are decoded.
pub trait Rows {
    /// Hears the size, before the first row, and again where the decoder starts again from the top.
    ///
    /// # Errors
    /// Why an image of that size cannot be taken; the decoder stops there.
    fn begin(&mut self, width: usize, height: usize) -> Result<(), ImageError>;
    /// Takes the next rows from the top, RGB bytes `[n, W, 3]`.
    fn push(&mut self, rows: &[u8]);
}

/// Rows on their way to whoever takes them, a few at a time: few enough to stay in the cache.
struct Strip<'r> {
    rows: &'r mut dyn Rows,
    gathered: Vec<u8>,
    full: usize,
}

impl<'r> Strip<'r> {
    /// Rows gathered at most, and the bytes of more than one.
    const ROWS: usize = 16;
    const BYTES: usize = 1 << 20;

    /// The strip of an image of so many pixels across.
    fn new(rows: &'r mut dyn Rows, width: usize) -> Self {
        let full = 3 * width * Self::rows(width);
        Self { rows, gathered: Vec::with_capacity(full), full }
    }

    fn rows(width: usize) -> usize {
        (Self::BYTES / (3 * width.max(1))).clamp(1, Self::ROWS)
    }

    /// Takes the row that `append` puts behind the others.
    fn row(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.gathered);
        if self.gathered.len() >= self.full {
            self.hand_on();
        }
    }

    /// Hands on what is gathered, which is whole rows.
    fn hand_on(&mut self) {
        if !self.gathered.is_empty() {
            self.rows.push(&self.gathered);
            self.gathered.clear();
        }
    }
}

/// Decodes an image of at most `max_pixels`.
///
/// # Errors
/// [`ImageError`] of kind `format`, `decode` or `too_large`. A decoder that panics is a `decode` error of its file.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Outcome<RgbImage> {
    let limits = Limits { max_pixels, ..Limits::default() };
    let options = Options { limits: &limits, spare: None, enough: None };
    run(bytes, &options, &Bounds::new(&options), None)?.ok_or_else(ImageError::empty)
}

/// Decodes an image into the hands of `rows`: the same pixels as [`decode`]'s, where nothing less is enough, but those
/// of an upright JPEG, PNG or BMP file come as they are decoded, and no whole image is ever in memory.
///
/// # Errors
/// As [`decode`], and what `rows` says; `memory` for one that no run of this room can hold. Rows that came before an error
/// count for nothing.
pub fn decode_rows(bytes: &[u8], options: &Options, rows: &mut dyn Rows) -> Outcome<()> {
    let bounds = Bounds::new(options);
    if let Some(image) = run(bytes, options, &bounds, Some(&mut *rows))? {
        rows.begin(image.width() as usize, image.height() as usize)?;
        rows.push(image.as_raw());
    }
    Ok(())
}

/// The image, unless its rows were handed on.
fn run(bytes: &[u8], options: &Options, bounds: &Bounds, rows: Option<&mut dyn Rows>) -> Outcome<Option<RgbImage>> {
    let format = signature::format(bytes)?;
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, bounds, options.enough, rows),
        ImageFormat::Png => png::decode(bytes, bounds, rows),
        ImageFormat::WebP => webp::decode(bytes, bounds).map(Some),
        ImageFormat::Gif => gif::decode(bytes, bounds).map(Some),
        ImageFormat::Bmp => bmp::decode(bytes, bounds, rows),
        ImageFormat::Tiff => tiff::decode(bytes, bounds).map(Some),
        ImageFormat::Pnm => pnm::decode(bytes, bounds).map(Some),
        ImageFormat::Ico => ico::decode(bytes, bounds).map(Some),
        other => Err(unsupported(other, "no decoder")),
    }));
    let decoded = decoded.unwrap_or_else(|panic| Err(panicked(format, &*panic)));
    let decoded = decoded.map_err(|e| signature::explained_text(bytes, e))?;
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
    if text.is_some_and(|text| text.starts_with("Insufficient memory")) {
        return ImageError::no_memory(); // libjpeg's words for it
    }
    damaged(format, text.unwrap_or("its decoder failed"))
}
