//! A region of an image -> the rows of that region alone, cut out while the image is decoded.

use std::ops::Range;

use super::{ErrorKind, ImageError, RowSink};

/// How a box becomes a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CropShape {
    /// A square with the box's longer side around it, moved into the image at the left and at the top, and black where it is larger:
    /// the crop of MegaDetector's `crop_detections.py --square-crops`, whose arithmetic this is.
    Square,
    /// The box itself, as far as it is in the image.
    Tight,
}

/// A box in an image, in shares of its width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Its left, top, width and height.
    pub bounds: [f64; 4],
    /// Its shape.
    pub shape: CropShape,
    /// The most pixels of the crop, the black ones included.
    pub max_pixels: u64,
    /// The width and height of the image that the box was found in, if they are known.
    pub of: Option<[u32; 2]>,
}

/// How often a box may be as wide or as high as its image: no detector finds larger ones.
const MOST: f64 = 10.0;

/// A rectangle of pixels that may reach beyond the image: what is outside of `x` and `y` is black.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    left: i64,
    top: i64,
    width: usize,
    height: usize,
    /// The columns and rows of the image that are in it.
    x: Range<i64>,
    y: Range<i64>,
}

impl Region {
    /// Returns bytes that tell this region from all others.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (shape, of) = (self.shape as u8, self.of.unwrap_or_default());
        let sides = self.bounds.iter().flat_map(|side| side.to_le_bytes());
        sides.chain([shape]).chain(of.iter().flat_map(|side| side.to_le_bytes())).collect()
    }

    /// Finds the pixels in an image of `width` x `height`.
    ///
    /// # Errors
    /// If there are none, if the box was found in the image before it was turned, and if the crop would be too large.
    fn frame(&self, width: usize, height: usize) -> Result<Frame, ImageError> {
        if self.bounds[2..].iter().any(|share| *share > MOST) {
            let why = format!("the box is more than {MOST} times as wide or as high as the image");
            return Err(ImageError::new(ErrorKind::Decode, why));
        }
        if let Some([of_width, of_height]) = self.of.filter(|of| is_turned(*of, [width, height])) {
            let seen = format!("{of_width}x{of_height} pixels, and upright it has {width}x{height}");
            let advice = "find boxes in this image, turned as its EXIF orientation says";
            return Err(ImageError::new(ErrorKind::Decode, format!("the box is of an image of {seen}; {advice}")));
        }
        let none = || ImageError::new(ErrorKind::Decode, "the box has no pixels in the image");
        let frame = self.frame_of(width, height).ok_or_else(none)?;
        let pixels = frame.width as u64 * frame.height as u64; // each is at most ten times an image's side
        if pixels > self.max_pixels {
            let (width, height, most) = (frame.width, frame.height, self.max_pixels);
            let why = format!("the crop has {width}x{height} pixels, more than the {most} allowed (--max-pixels)");
            return Err(ImageError::new(ErrorKind::TooLarge, why));
        }
        Ok(frame)
    }

    fn frame_of(&self, width: usize, height: usize) -> Option<Frame> {
        let (image_width, image_height) = (i64::try_from(width).ok()?, i64::try_from(height).ok()?);
        let pixels = |share: f64, side: i64| (share * side as f64) as i64; // towards zero, as Python's int()
        let [left, top, w, h] = self.bounds;
        let (left, width) = (pixels(left, image_width), pixels(w, image_width));
        let (top, height) = (pixels(top, image_height), pixels(h, image_height));
        if width <= 0 || height <= 0 || width > 1 << 24 || height > 1 << 24 {
            return None;
        }
        let inside =
            |from: i64, length: i64, side: i64| from.clamp(0, side)..from.saturating_add(length).clamp(0, side);
        let (x, y) = (inside(left, width, image_width), inside(top, height, image_height));
        if x.is_empty() || y.is_empty() {
            return None;
        }
        let size = |range: &Range<i64>| (range.end - range.start) as usize;
        let frame = match self.shape {
            CropShape::Tight => Frame { left: x.start, top: y.start, width: size(&x), height: size(&y), x, y },
            CropShape::Square => {
                let side = width.max(height);
                let moved =
                    |from: i64, length: i64, whole: i64| (from - (side - length) / 2).min(whole - length).max(0);
                let (left, top) = (moved(left, width, image_width), moved(top, height, image_height));
                let (kept_width, kept_height) = (image_width.min(side), image_height.min(side));
                let (x, y) = (inside(left, kept_width, image_width), inside(top, kept_height, image_height));
                let is_whole = kept_width == kept_height;
                // The crop is put in the middle of the square, at a half rounded to even.
                let before =
                    |kept: i64| if is_whole { 0 } else { ((side - kept) as f64 * 0.5).round_ties_even() as i64 };
                let side = if is_whole { kept_width } else { side };
                let (left, top) = (left - before(kept_width), top - before(kept_height));
                Frame { left, top, width: side as usize, height: side as usize, x, y }
            }
        };
        Some(frame)
    }
}

/// Returns whether an image of the size `now` looks like one of the size `of` on its side.
fn is_turned(of: [u32; 2], now: [usize; 2]) -> bool {
    let ([of_width, of_height], [width, height]) = (of.map(f64::from), now.map(|side| side as f64));
    (of_width * height - of_height * width).abs() > (of_width * width - of_height * height).abs()
}

/// Passes on the rows of a region.
#[derive(Debug)]
pub struct RegionRows<'a, S> {
    region: Region,
    rows: &'a mut S,
    frame: Option<Frame>,
    /// Columns of the image.
    width: usize,
    /// The next row of the image.
    at: i64,
}

impl<'a, S: RowSink> RegionRows<'a, S> {
    /// Creates a receiver of a whole image, for `rows`.
    pub fn new(region: Region, rows: &'a mut S) -> Self {
        Self { region, rows, frame: None, width: 0, at: 0 }
    }

    fn black(&mut self, count: i64, width: usize) {
        let row = vec![0; 3 * width];
        (0..count).for_each(|_| self.rows.push(&row));
    }
}

impl<S: RowSink> RowSink for RegionRows<'_, S> {
    fn begin(&mut self, width: usize, height: usize) -> Result<(), ImageError> {
        let frame = self.region.frame(width, height)?;
        self.rows.begin(frame.width, frame.height)?;
        (self.frame, self.width, self.at) = (Some(frame), width, 0);
        Ok(())
    }

    fn push(&mut self, rows: &[u8]) {
        let Some(frame) = self.frame.clone() else { return };
        for row in rows.chunks_exact(3 * self.width.max(1)) {
            if frame.y.contains(&self.at) {
                if self.at == frame.y.start {
                    self.black(self.at - frame.top, frame.width);
                }
                let mut out = vec![0; 3 * frame.width];
                let kept = &row[3 * frame.x.start as usize..3 * frame.x.end as usize];
                let before = 3 * (frame.x.start - frame.left) as usize;
                out[before..before + kept.len()].copy_from_slice(kept);
                self.rows.push(&out);
                if self.at + 1 == frame.y.end {
                    self.black(frame.top + frame.height as i64 - frame.y.end, frame.width);
                }
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::ContentHash;
    use serde_json::Value;

    /// Gathers rows.
    #[derive(Default)]
    struct Gathered(usize, usize, Vec<u8>);

    impl RowSink for Gathered {
        fn begin(&mut self, width: usize, height: usize) -> Result<(), ImageError> {
            *self = Self(width, height, Vec::new());
            Ok(())
        }

        fn push(&mut self, rows: &[u8]) {
            self.2.extend(rows);
        }
    }

    #[test]
    fn crops_are_those_of_megadetector() {
        let text = include_str!("../../tests/fixtures/boxes/crops.json");
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        assert!(cases.len() > 80);
        for case in cases {
            let number = |value: &Value| value.as_u64().unwrap() as usize;
            let (width, height) = (number(&case["image"][0]), number(&case["image"][1]));
            let image: Vec<u8> = (0..width * height * 3).map(|n| (n * 7 % 251) as u8).collect();
            let bounds = std::array::from_fn(|at| case["bbox"][at].as_f64().unwrap());
            let shape = if case["square"] == true { CropShape::Square } else { CropShape::Tight };
            let mut gathered = Gathered::default();
            let mut rows = RegionRows::new(Region { bounds, shape, max_pixels: u64::MAX, of: None }, &mut gathered);
            let begun = rows.begin(width, height);
            image.chunks(3 * width * 5).for_each(|some| rows.push(some));
            if case["size"].is_null() {
                assert!(begun.is_err(), "{case}");
                continue;
            }
            begun.unwrap();
            let Gathered(width, height, pixels) = gathered;
            assert_eq!((width, height), (number(&case["size"][0]), number(&case["size"][1])), "{case}");
            assert_eq!(format!("{:?}", ContentHash::of(&pixels)), case["sha256"].as_str().unwrap(), "{case}");
        }
    }

    #[test]
    fn an_image_on_its_side_is_told() {
        for (of, now, expected) in [
            ([640, 480], [640, 480], false),
            ([640, 480], [480, 640], true),
            ([640, 480], [320, 240], false),
            ([4032, 3024], [302, 403], true),
            ([480, 480], [480, 480], false),
            ([101, 100], [100, 100], false),
        ] {
            assert_eq!(is_turned(of, now), expected, "{of:?} {now:?}");
        }
    }

    #[test]
    fn a_crop_has_a_limited_number_of_pixels() {
        let kind = |bounds, shape, max_pixels| {
            Region { bounds, shape, max_pixels, of: None }.frame(400, 300).map(|frame| frame.height).map_err(|e| e.kind)
        };
        let wide = [0.0, 0.0, 10.0, 0.5];
        assert_eq!(kind(wide, CropShape::Square, 16_000_000), Ok(4000));
        assert_eq!(kind(wide, CropShape::Square, 15_999_999), Err(ErrorKind::TooLarge));
        assert_eq!(kind(wide, CropShape::Tight, 60_000), Ok(150));
        for bounds in [[0.0, 0.0, 1000.0, 0.5], [0.0, 0.0, 0.5, 10.1]] {
            assert_eq!(kind(bounds, CropShape::Square, u64::MAX), Err(ErrorKind::Decode));
        }
    }
}
