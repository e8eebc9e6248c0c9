//! An image's rows -> Pixels: the plan of resize and crop for its size, made when the size is known. Decoders push
//! rows into it.

use std::sync::Arc;

use super::config::{Crop, ProcessorConfig};
use super::pixels::Pixels;
use super::resize::{Axis, Filter, Resizer, Window};
use crate::ImageError;
use crate::source::{ErrorKind, RowSink};

/// The most pixels of a result: more than any model takes, and few enough for memory.
const MAX_PIXELS: usize = 1 << 26;
/// The most bytes that a resize may use. An ordinary picture takes some megabytes; only one that is a thin line takes
/// more.
const MAX_BYTES: usize = 1 << 28;

/// The steps for one image.
pub(super) struct Intake<'a> {
    config: &'a ProcessorConfig,
    plan: Option<ResizePlan>,
}

/// The computation, once the size is known.
struct ResizePlan {
    resizer: Resizer,
    columns: Window,
    rows: Window,
    crop: Crop,
}

impl<'a> Intake<'a> {
    /// Creates an intake that has taken no rows.
    pub(super) fn new(config: &'a ProcessorConfig) -> Self {
        Self { config, plan: None }
    }

    /// Returns the pixels, once all rows are there.
    pub(super) fn finish(self) -> Result<Pixels, ImageError> {
        let ResizePlan { resizer, columns, rows, crop: Crop { width, height, fill, .. } } =
            self.plan.ok_or_else(ImageError::empty)?;
        let kept = resizer.finish();
        let data = if (columns.kept, rows.kept) == (width, height) {
            kept
        } else {
            let pad = |w: &Window| w.padding(self.config.arithmetic);
            surround(&kept, (columns.kept, rows.kept), (pad(&columns), pad(&rows)), (width, height), fill)
        };
        Ok(Pixels { data: Arc::new(data), width, height })
    }
}

impl RowSink for Intake<'_> {
    fn begin(&mut self, width: usize, height: usize) -> Result<(), ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::empty());
        }
        let (resized_width, resized_height) =
            self.config.resize.map_or((width, height), |(size, _)| size.of(width, height));
        let filter = self.config.resize.map_or(Filter::Bicubic, |(_, filter)| filter);
        let crop = self.config.crop.unwrap_or_else(|| Crop::new(resized_width, resized_height));
        let arithmetic = self.config.arithmetic;
        if crop.width.checked_mul(crop.height).is_none_or(|pixels| pixels > MAX_PIXELS) {
            return Err(ImageError::new(ErrorKind::TooLarge, "would be resized to more pixels than any model takes"));
        }
        let window = |size, side| Window::centred(size, side, crop.rounded);
        let (columns, rows) = (window(resized_width, crop.width), window(resized_height, crop.height));
        let across = Axis { from: width, to: resized_width, start: columns.start, length: columns.kept };
        let down = Axis { from: height, to: resized_height, start: rows.start, length: rows.kept };
        if Resizer::bytes(across, down, arithmetic) > MAX_BYTES {
            return Err(ImageError::new(ErrorKind::TooLarge, "is too long and thin to be resized"));
        }
        let resizer = Resizer::new(across, down, filter, arithmetic);
        self.plan = Some(ResizePlan { resizer, columns, rows, crop });
        Ok(())
    }

    fn push(&mut self, rows: &[u8]) {
        if let Some(plan) = &mut self.plan {
            plan.resizer.push(rows);
        }
    }
}

/// Places an image at (left, top) on a canvas of one grey.
fn surround(
    image: &[u8],
    (w, h): (usize, usize),
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    fill: u8,
) -> Vec<u8> {
    let mut canvas = vec![fill; width * height * 3];
    for row in 0..h {
        let at = ((top + row) * width + left) * 3;
        canvas[at..at + w * 3].copy_from_slice(&image[row * w * 3..][..w * 3]);
    }
    canvas
}
