//! Pictures as brightness and two colours, each a plane of samples, as video codecs store them. HEIC and AVIF convert
//! them to RGB in their own ways.

use std::borrow::Cow;

use super::DecodeResult;
use crate::source::{ErrorKind, ImageError};

/// The size of the colour planes beside the plane of brightness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chroma {
    /// No colours.
    Grey,
    /// 4:2:0, half as wide and half as high.
    Half,
    /// 4:2:2, half as wide.
    HalfWidth,
    /// 4:4:4.
    Full,
}

impl Chroma {
    /// Returns how often width and height are halved.
    pub(super) fn shifts(self) -> [usize; 2] {
        match self {
            Self::Half => [1, 1],
            Self::HalfWidth => [1, 0],
            Self::Full | Self::Grey => [0, 0],
        }
    }
}

/// How brightness and colours are coded, by the numbers of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) matrix: u16,
    pub(super) primaries: u16,
    /// Whether black is 0 and white the largest number.
    pub(super) full_range: bool,
}

/// The samples of a picture.
#[derive(Clone)]
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bits of a sample.
    pub(super) depth: u32,
    pub(super) chroma: Chroma,
    /// Brightness, blue and red [H, W]; the colours' planes are empty without colours.
    pub(super) samples: [Vec<u16>; 3],
}

impl Planes {
    /// Creates a picture of zeros.
    pub(super) fn new(width: usize, height: usize, depth: u32, chroma: Chroma) -> Self {
        let mut planes = Self { width, height, depth, chroma, samples: Default::default() };
        for plane in 0..3 {
            let [width, height] = planes.size(plane);
            planes.samples[plane] = vec![0; width * height];
        }
        planes
    }

    /// Returns width and height of a plane.
    pub(super) fn size(&self, plane: usize) -> [usize; 2] {
        let [x, y] = self.chroma.shifts();
        match (plane, self.chroma) {
            (0, _) => [self.width, self.height],
            (_, Chroma::Grey) => [0, 0],
            _ => [(self.width + x) >> x, (self.height + y) >> y],
        }
    }

    /// Returns a row of a plane.
    pub(super) fn row(&self, plane: usize, y: usize) -> &[u16] {
        let width = self.size(plane)[0];
        &self.samples[plane][y * width..(y + 1) * width]
    }

    /// Returns the same picture with samples of at most so many bits.
    pub(super) fn with_depth(&self, depth: u32) -> Cow<'_, Self> {
        if self.depth <= depth {
            return Cow::Borrowed(self);
        }
        let shift = self.depth - depth;
        let samples = self.samples.each_ref().map(|plane| plane.iter().map(|sample| sample >> shift).collect());
        Cow::Owned(Self { depth, samples, ..*self })
    }

    /// Puts a tile in its place and drops what reaches beyond the picture.
    ///
    /// # Errors
    /// `decode` if the tile has another kind of samples, or lies between samples of a colour.
    pub(super) fn put(&mut self, tile: &Self, left: usize, top: usize) -> DecodeResult<()> {
        let [x, y] = self.chroma.shifts();
        let between = !left.is_multiple_of(1 << x) || !top.is_multiple_of(1 << y);
        if (tile.depth, tile.chroma) != (self.depth, self.chroma) || between {
            return Err(ImageError::new(ErrorKind::Decode, "the tiles of the image do not fit together"));
        }
        for plane in 0..3 {
            let ([width, height], [own, _]) = (self.size(plane), tile.size(plane));
            let (left, top) = if plane == 0 { (left, top) } else { (left >> x, top >> y) };
            let count = own.min(width.saturating_sub(left));
            if count == 0 {
                continue;
            }
            for (row, line) in tile.samples[plane].chunks_exact(own).take(height.saturating_sub(top)).enumerate() {
                let start = (top + row) * width + left;
                self.samples[plane][start..start + count].copy_from_slice(&line[..count]);
            }
        }
        Ok(())
    }
}

impl Coding {
    /// Returns the weights of red and blue in brightness, or `None` if the matrix has none of its own.
    pub(super) fn weights(self) -> Option<[f32; 2]> {
        Some(match self.matrix {
            1 => [0.2126, 0.0722],
            4 => [0.30, 0.11],
            5 | 6 => [0.299, 0.114],
            7 => [0.212, 0.087],
            9 | 10 => [0.2627, 0.0593],
            12 | 13 => self.derived_weights()?,
            _ => return None,
        })
    }

    /// Computes the weights from the primaries' and white's coordinates (H.273, equations 32 to 37).
    fn derived_weights(self) -> Option<[f32; 2]> {
        const D65: [f32; 2] = [0.3127, 0.3290];
        const C: [f32; 2] = [0.310, 0.316];
        let [[rx, ry], [gx, gy], [bx, by], [wx, wy]] = match self.primaries {
            1 => [[0.640, 0.330], [0.300, 0.600], [0.150, 0.060], D65],
            4 => [[0.67, 0.33], [0.21, 0.71], [0.14, 0.08], C],
            5 => [[0.640, 0.330], [0.29, 0.60], [0.15, 0.06], D65],
            6 | 7 => [[0.630, 0.340], [0.310, 0.595], [0.155, 0.070], D65],
            8 => [[0.681, 0.319], [0.243, 0.692], [0.145, 0.049], C],
            9 => [[0.708, 0.292], [0.170, 0.797], [0.131, 0.046], D65],
            11 => [[0.680, 0.320], [0.265, 0.690], [0.150, 0.060], [0.314, 0.351]],
            12 => [[0.680, 0.320], [0.265, 0.690], [0.150, 0.060], D65],
            22 => [[0.630, 0.340], [0.295, 0.605], [0.155, 0.077], D65],
            _ => return None,
        };
        let [rz, gz, bz, wz] = [[rx, ry], [gx, gy], [bx, by], [wx, wy]].map(|[x, y]| 1.0 - (x + y));
        let all = wy * (rx * (gy * bz - by * gz) + gx * (by * rz - ry * bz) + bx * (ry * gz - gy * rz));
        let kr = ry * (wx * (gy * bz - by * gz) + wy * (bx * gz - gx * bz) + wz * (gx * by - bx * gy)) / all;
        let kb = by * (wx * (ry * gz - gy * rz) + wy * (gx * rz - rx * gz) + wz * (rx * gy - gx * ry)) / all;
        Some([kr, kb])
    }
}
