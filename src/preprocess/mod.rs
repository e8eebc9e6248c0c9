//! RGB -> the pixels a model takes: resize, centre crop, and the normalising that encoding does later. Settings come
//! from the checkpoint's own file ([`config`]); the resampler is in [`resize`].

pub mod config;
mod open_clip;
mod pixels;
pub mod resize;
mod resize_plan;

use image::RgbImage;
use serde_json::Value;

use crate::source::{self, Bytes, Limits, Region, RegionRows, RowSink};
use crate::{ImageError, Result};
pub use config::ProcessorClass;
use config::{Crop, ProcessorConfig, Size};
pub use pixels::Pixels;
pub use resize::{Arithmetic, Filter};
use resize_plan::Intake;

/// A reduced decode keeps at least this many times the side that it will be resized to.
const REDUCED_TO: usize = 2;

/// How JPEG and JPEG 2000 files are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    /// Every pixel.
    Exact,
    /// Pictures much larger than the model's input at a half, a quarter or an eighth of their size, if at least twice
    /// the size that they are resized to remains.
    Fast,
}

/// The steps of a checkpoint's image processor.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    config: ProcessorConfig,
}

impl Preprocessor {
    /// Reads the JSON of `preprocessor_config.json`. `default` is the processor's class if the file names none.
    ///
    /// # Errors
    /// One line: the value that cannot be followed.
    pub fn from_json(json: Value, default: ProcessorClass) -> std::result::Result<Self, String> {
        Ok(Self { config: ProcessorConfig::from_json(json, default)? })
    }

    /// Reads the `preprocess_cfg` of open_clip, for images of `side` pixels a side, whatever it says of their size.
    ///
    /// # Errors
    /// One line: the value that cannot be followed.
    pub fn open_clip(json: Option<&Value>, side: usize) -> std::result::Result<Self, String> {
        Ok(Self { config: open_clip::read(json, side)? })
    }

    /// Returns the same steps to images of `side` pixels a side.
    pub fn with_side(mut self, side: usize) -> Self {
        if let Some((size, _)) = &mut self.config.resize {
            *size = match size {
                Size::ShortestEdge(_) => Size::ShortestEdge(side),
                Size::LongestEdge(_) => Size::LongestEdge(side),
                _ => Size::Exact { width: side, height: side },
            };
        }
        self.config.crop = self.config.crop.map(|crop| Crop { width: side, height: side, ..crop });
        self
    }

    /// Returns the same steps with `most` patches at most.
    ///
    /// # Errors
    /// One line, for steps that make images of one size.
    pub fn with_max_patches(mut self, most: usize) -> std::result::Result<Self, String> {
        match &mut self.config.resize {
            Some((Size::Patches { most: own, .. }, _)) => *own = most,
            _ => return Err("makes all images the same size; a number of patches is for SigLIP 2 (NaFlex)".to_owned()),
        }
        Ok(self)
    }

    /// Returns the same steps with the rounding of another backend; the default is [`Arithmetic::Torchvision`], and
    /// [`Arithmetic::Pillow13`] for open_clip.
    pub fn with_arithmetic(mut self, arithmetic: Arithmetic) -> Self {
        self.config.arithmetic = arithmetic;
        self
    }

    /// Returns the width and height of every result, if they do not depend on the image.
    pub fn output_size(&self) -> Option<(usize, usize)> {
        match (self.config.crop, self.config.resize) {
            (Some(Crop { width, height, .. }), _) => Some((width, height)),
            (None, Some((Size::Exact { width, height }, _))) => Some((width, height)),
            _ => None,
        }
    }

    /// Returns whether an image of `width` x `height` has fewer pixels along its shorter side than the results.
    pub fn enlarges(&self, width: u64, height: u64) -> bool {
        let side = |side| usize::try_from(side).unwrap_or(usize::MAX).clamp(1, u32::MAX as usize);
        let (width, height) = (side(width), side(height));
        let shorter = |(width, height): (usize, usize)| width.min(height);
        let result = self.config.resize.map(|(size, _)| size.of(width, height)).or_else(|| self.output_size());
        result.is_some_and(|result| shorter((width, height)) < shorter(result))
    }

    /// Returns the mean and deviation for the values of the results.
    pub fn normalizer(&self) -> Normalizer {
        Normalizer::new(&self.config)
    }

    /// Resizes and crops. Only the window that the crop keeps is computed. If the crop is larger than the resized
    /// image, black surrounds it.
    ///
    /// # Errors
    /// [`ImageError`] for an image without pixels, or, if nothing is cropped, one too long to be resized.
    pub fn run(&self, image: &RgbImage) -> Result<Pixels> {
        let mut intake = Intake::new(&self.config);
        intake.begin(image.width() as usize, image.height() as usize)?;
        intake.push(image.as_raw());
        Ok(intake.finish()?)
    }

    /// Decodes a file's bytes, an image of at most `max_pixels`, and preprocesses its rows as they come: with
    /// [`Decoding::Exact`] the same bytes as decoding and then [`Self::run`] give.
    ///
    /// # Errors
    /// As [`source::decode`] and [`Self::run`].
    pub fn decode(&self, bytes: &[u8], max_pixels: u64, decoding: Decoding) -> std::result::Result<Pixels, ImageError> {
        let limits = Limits { max_pixels, ..Limits::default() };
        self.decode_rows(bytes, None, &limits, decoding)
    }

    /// Does the same within `limits`: an image that needs much memory waits until there is room for it.
    ///
    /// # Errors
    /// As [`Self::decode`]; [`ErrorKind::Memory`](crate::source::ErrorKind) for one that never has room.
    pub fn decode_within(
        &self,
        bytes: &Bytes,
        limits: &Limits,
        decoding: Decoding,
    ) -> std::result::Result<Pixels, ImageError> {
        self.decode_rows(bytes, bytes.spare(), limits, decoding)
    }

    /// Decodes a file's bytes in full, and preprocesses a region of the image as if it were the whole.
    ///
    /// # Errors
    /// As [`Self::decode_within`], and for a region without pixels.
    pub fn decode_region(
        &self,
        bytes: &Bytes,
        limits: &Limits,
        region: Region,
    ) -> std::result::Result<Pixels, ImageError> {
        let mut intake = Intake::new(&self.config);
        let options = source::Options { limits, spare: bytes.spare(), enough: None };
        source::decode_rows(bytes, &options, &mut RegionRows::new(region, &mut intake))?;
        intake.finish()
    }

    fn decode_rows(
        &self,
        bytes: &[u8],
        spare: Option<u64>,
        limits: &Limits,
        decoding: Decoding,
    ) -> std::result::Result<Pixels, ImageError> {
        let enough = match decoding {
            Decoding::Exact => None,
            Decoding::Fast => self.resized_side().map(|side| side * REDUCED_TO),
        };
        let mut intake = Intake::new(&self.config);
        source::decode_rows(bytes, &source::Options { limits, spare, enough }, &mut intake)?;
        intake.finish()
    }

    /// Returns the longest of the sides that every image is resized to, if there is such a step.
    fn resized_side(&self) -> Option<usize> {
        self.config.resize.map(|(size, _)| match size {
            Size::Exact { width, height } => width.max(height),
            Size::ShortestEdge(side) | Size::LongestEdge(side) => side,
            Size::Patches { side, most } => side * most, // a line of them
        })
    }
}

/// Byte -> the value that the model takes, per channel: rescaling and normalising in one table.
#[derive(Debug, Clone)]
pub struct Normalizer {
    table: Box<[[f32; 256]; 3]>,
}

impl Normalizer {
    /// Returns the table, in the f32 arithmetic of the torchvision backend: with both steps on, the mean and deviation
    /// are scaled to bytes first.
    fn new(config: &ProcessorConfig) -> Self {
        let mut table = Box::new([[0f32; 256]; 3]);
        for (channel, values) in table.iter_mut().enumerate() {
            for (byte, value) in values.iter_mut().enumerate() {
                let byte = byte as f32;
                *value = match (config.rescale, config.normalize) {
                    (None, None) => byte,
                    (Some(factor), None) => byte * factor as f32,
                    (None, Some((mean, std))) => (byte - mean[channel]) / std[channel],
                    (Some(factor), Some((mean, std))) => {
                        let scale = (1.0 / factor) as f32;
                        (byte - mean[channel] * scale) / (std[channel] * scale)
                    }
                };
            }
        }
        Self { table }
    }

    /// Returns the value of each byte in each channel.
    pub fn table(&self) -> &[[f32; 256]; 3] {
        &self.table
    }

    /// Returns the values of one pixel.
    pub fn pixel(&self, rgb: [u8; 3]) -> [f32; 3] {
        std::array::from_fn(|channel| self.table[channel][usize::from(rgb[channel])])
    }

    /// Returns values of square patches, in the order of a patch embedding's kernel: patch after patch, and in each [C,
    /// P, P]. Pixels left over at the right and bottom belong to no patch.
    pub fn patches<'a>(&'a self, pixels: &'a Pixels, patch: usize) -> impl Iterator<Item = f32> + 'a {
        let (columns, rows) = (pixels.width / patch, pixels.height / patch);
        let places = (0..rows * columns).map(move |n| (n / columns * patch, n % columns * patch));
        places.flat_map(move |(top, left)| {
            (0..3 * patch * patch).map(move |n| {
                let (channel, y, x) = (n / (patch * patch), n / patch % patch, n % patch);
                let byte = pixels.data[((top + y) * pixels.width + left + x) * 3 + channel];
                self.table[channel][usize::from(byte)]
            })
        })
    }

    /// Computes the values of the `n`-th square patch, in the order of [`Self::patches`].
    pub fn patch(&self, pixels: &Pixels, patch: usize, n: usize, out: &mut [f32]) {
        let columns = pixels.width / patch;
        let (top, left) = (n / columns * patch, n % columns * patch);
        for (channel, out) in out.chunks_exact_mut(patch * patch).enumerate() {
            for (y, out) in out.chunks_exact_mut(patch).enumerate() {
                let row = &pixels.data[((top + y) * pixels.width + left) * 3..][..3 * patch];
                for (out, rgb) in out.iter_mut().zip(row.chunks_exact(3)) {
                    *out = self.table[channel][usize::from(rgb[channel])];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_long_thin_picture_costs_nothing() {
        let preprocessor =
            Preprocessor::from_json(json!({"size": 224, "crop_size": 224}), ProcessorClass::Clip).unwrap();
        let image = RgbImage::from_pixel(1, 60_000, image::Rgb([9, 8, 7])); // 224 x 13,440,000 after resizing
        let pixels = preprocessor.run(&image).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (224, 224));
        assert!(pixels.data().chunks(3).all(|p| p == [9, 8, 7]));
    }

    #[test]
    fn patches_are_in_kernel_order() {
        let config = json!({"do_resize": false, "do_center_crop": false, "do_rescale": false, "do_normalize": false});
        let preprocessor = Preprocessor::from_json(config, ProcessorClass::Clip).unwrap();
        let image = RgbImage::from_fn(5, 4, |x, y| image::Rgb([(y * 5 + x) as u8, 100, 200]));
        let pixels = preprocessor.run(&image).unwrap();
        let patches: Vec<f32> = preprocessor.normalizer().patches(&pixels, 2).collect();
        assert_eq!(patches.len(), 4 * 12); // the fifth column belongs to no patch
        assert_eq!(patches[12..20], [2.0, 3.0, 7.0, 8.0, 100.0, 100.0, 100.0, 100.0]);
        let mut third = [0.0; 12];
        preprocessor.normalizer().patch(&pixels, 2, 2, &mut third);
        assert_eq!(third, patches[24..36]);
    }

    #[test]
    fn the_shorter_side_says_whether_an_image_is_enlarged() {
        let enlarges = |config, width, height| {
            Preprocessor::from_json(config, ProcessorClass::Clip).unwrap().enlarges(width, height)
        };
        let shortest = || json!({"size": 60, "crop_size": 60});
        assert!(enlarges(shortest(), 59, 900) && enlarges(shortest(), 900, 59) && !enlarges(shortest(), 60, 60));
        let cropped = || json!({"do_resize": false, "crop_size": 60});
        assert!(enlarges(cropped(), 59, 900) && !enlarges(cropped(), 60, 900));
        assert!(enlarges(shortest(), 0, u64::MAX));
    }

    #[test]
    fn an_image_without_pixels_is_an_error() {
        let preprocessor = Preprocessor::from_json(json!({}), ProcessorClass::Clip).unwrap();
        assert!(preprocessor.run(&RgbImage::new(0, 5)).is_err());
    }

    #[test]
    fn a_result_beyond_memory_is_an_error() {
        let preprocessor =
            Preprocessor::from_json(json!({"size": 16384, "do_center_crop": false}), ProcessorClass::Clip).unwrap();
        assert!(preprocessor.run(&RgbImage::new(1, 60_000)).unwrap_err().to_string().contains("resized"));
    }
}
