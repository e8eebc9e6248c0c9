//! Image bytes -> upright RGB, as Pillow's `convert("RGB")` returns it: detects the format by content, checks the pixel
//! cap before it allocates, applies EXIF orientation, and drops alpha but keeps its colour. Two deliberate differences:
//! 16-bit grey is scaled to 8 bits, while Pillow clips it to white; and EXIF that cannot be read states no orientation,
//! while Pillow refuses a PNG or WebP file for it.

#[cfg(feature = "avif")]
mod av1;
#[cfg(feature = "avif")]
mod avif;
mod bmp;
mod bounds;
#[cfg(any(feature = "avif", feature = "heic", feature = "jpeg2000"))]
mod boxes;
mod chunks;
mod cursor;
mod fax;
mod format;
mod gif;
#[cfg(feature = "heic")]
mod heic;
#[cfg(any(feature = "avif", feature = "heic"))]
mod heif;
#[cfg(any(feature = "avif", feature = "heic"))]
mod heif_boxes;
mod ico;
mod ifd;
#[cfg(feature = "jpeg2000")]
mod j2k;
#[cfg(feature = "jpeg2000")]
mod jp2;
mod jpeg;
#[cfg(feature = "jxl")]
mod jxl;
mod png;
mod pnm;
mod preview;
mod raw;
mod rgb;
mod scans;
mod signature;
mod strips;
mod tiff;
mod upright;
mod webp;
mod xz;
#[cfg(any(feature = "avif", feature = "heic"))]
mod yuv;
mod zstd;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;
use image::metadata::Orientation;

use bounds::Bounds;
use format::Format;
pub use preview::{preview, preview_in_file};
pub(super) use signature::{check_format, ending, is_video};
pub use signature::{explained, is_image, is_image_name, is_raw_name};

use super::{ErrorKind, ImageError, Limits};

type DecodeResult<T> = Result<T, ImageError>;

/// An image as stored in its file, and its orientation.
struct Decoded {
    image: RgbImage,
    orientation: Orientation,
}

/// Bytes that most decoders take per pixel at their peak: four stored samples, and RGB.
const BYTES_OF_PIXEL: u64 = 7;

/// Options for decoding.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The cap on stored pixels, and the memory to decode in.
    pub limits: &'a Limits,
    /// The memory left beside its bytes, if it goes alone; see [`Bytes::spare`](super::Bytes::spare).
    pub spare: Option<u64>,
    /// The shorter side that is needed. A much larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size, and a JPEG 2000
    /// at a lower resolution, but never smaller than this. `None` decodes it in full.
    pub enough: Option<usize>,
}

/// Receives an image's rows while they are decoded.
pub trait RowSink {
    /// Receives the size before the first row, and again if the decoder starts over.
    ///
    /// # Errors
    /// The reason why an image of this size is refused. The decoder stops there.
    fn begin(&mut self, width: usize, height: usize) -> Result<(), ImageError>;
    /// Receives the next rows from the top, RGB bytes `[n, W, 3]`.
    fn push(&mut self, rows: &[u8]);
}

/// Gathers rows for a receiver, a few at a time: few enough to stay in the cache.
struct Strip<'r> {
    rows: &'r mut dyn RowSink,
    gathered: Vec<u8>,
    full: usize,
}

impl<'r> Strip<'r> {
    /// The most rows gathered, and the most bytes if there is more than one row.
    const ROWS: usize = 16;
    const BYTES: usize = 1 << 20;

    /// Creates the strip of an image with this width.
    fn new(rows: &'r mut dyn RowSink, width: usize) -> Self {
        let full = 3 * width * Self::rows(width);
        Self { rows, gathered: Vec::with_capacity(full), full }
    }

    fn rows(width: usize) -> usize {
        (Self::BYTES / (3 * width.max(1))).clamp(1, Self::ROWS)
    }

    /// Adds the row that `append` writes.
    fn row(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.gathered);
        if self.gathered.len() >= self.full {
            self.hand_on();
        }
    }

    /// Passes on the gathered rows.
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
/// [`ImageError`] of kind `format`, `decode` or `too_large`. A panic in a decoder becomes a `decode` error.
pub fn decode(bytes: &[u8], max_pixels: u64) -> DecodeResult<RgbImage> {
    let limits = Limits { max_pixels, ..Limits::default() };
    let options = Options { limits: &limits, spare: None, enough: None };
    run(bytes, &options, &Bounds::new(&options), None)?.ok_or_else(ImageError::empty)
}

/// Decodes an image and passes its rows to `rows`. The pixels equal those of [`decode`], unless a smaller size is
/// enough. The rows of an upright JPEG, PNG or BMP file are passed on while they are decoded, without a whole image in
/// memory.
///
/// # Errors
/// The errors of [`decode`] and of `rows`, and `memory` if the image never fits in this room. Rows received before an
/// error are void.
pub fn decode_rows(bytes: &[u8], options: &Options, rows: &mut dyn RowSink) -> DecodeResult<()> {
    let bounds = Bounds::new(options);
    if let Some(image) = run(bytes, options, &bounds, Some(&mut *rows))? {
        rows.begin(image.width() as usize, image.height() as usize)?;
        rows.push(image.as_raw());
    }
    Ok(())
}

/// Returns the image, unless its rows were passed on.
fn run(
    bytes: &[u8],
    options: &Options,
    bounds: &Bounds,
    rows: Option<&mut dyn RowSink>,
) -> DecodeResult<Option<RgbImage>> {
    let mut format = signature::format(bytes)?;
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, bounds, options.enough, None, rows),
        Format::Png => png::decode(bytes, bounds, rows),
        Format::WebP => webp::decode(bytes, bounds).map(Some),
        Format::Gif => gif::decode(bytes, bounds).map(Some),
        Format::Bmp => bmp::decode(bytes, bounds, rows),
        Format::Tiff | Format::Raw => match raw::preview(bytes) {
            Some(preview) => {
                format = Format::Raw;
                preview?.decode(bounds, options.enough, rows)
            }
            None => tiff::decode(bytes, bounds).map(Some),
        },
        Format::Pnm => pnm::decode(bytes, bounds).map(Some),
        Format::Ico => ico::decode(bytes, bounds).map(Some),
        #[cfg(any(feature = "avif", feature = "heic"))]
        Format::Avif | Format::Heic => heif::decode(bytes, bounds, format).map(Some),
        #[cfg(feature = "jxl")]
        Format::JpegXl => jxl::decode(bytes, bounds).map(Some),
        #[cfg(feature = "jpeg2000")]
        Format::Jpeg2000 => jp2::decode(bytes, bounds, options.enough).map(Some),
        #[allow(unreachable_patterns)] // in a build with all formats
        _ => format.readable().and(Err(ImageError::empty())),
    }));
    let decoded = decoded.unwrap_or_else(|panic| Err(panicked(format, &*panic)));
    let decoded = decoded.map_err(|e| signature::explained_text(bytes, e))?;
    let Some(Decoded { image, orientation }) = decoded else { return Ok(None) };
    if image.is_empty() {
        return Err(ImageError::empty());
    }
    Ok(Some(upright::turned(image, orientation)))
}

/// The reason for damaged compressed data. The decoder's own messages describe only its state.
const BROKEN: &str = "it cannot be decompressed";

fn damaged(format: Format, reason: impl std::fmt::Display) -> ImageError {
    ImageError::new(ErrorKind::Decode, format!("the {} data is damaged: {reason}", format.name()))
}

fn unsupported(format: Format, reason: impl std::fmt::Display) -> ImageError {
    let name = format.name();
    let reason = format!("this kind of {name} is not supported: {reason}; convert it to jpeg or png");
    ImageError::new(ErrorKind::Format, reason)
}

fn panicked(format: Format, panic: &(dyn std::any::Any + Send)) -> ImageError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    if text.is_some_and(|text| text.starts_with("Insufficient memory")) {
        return ImageError::no_memory(); // libjpeg's message
    }
    damaged(format, text.unwrap_or("its decoder failed"))
}
