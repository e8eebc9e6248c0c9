//! The resampler: separable, antialiased, integer for integer what torchvision (0.29) or Pillow (12 and 13) compute on
//! 8-bit RGB. They round to bytes between the passes, so the order of the passes matters: the horizontal pass comes
//! first, except in Pillow 13 if the height shrinks most. Only the window that the crop keeps is computed. This file
//! has the weights and the order; `kernels/resample.rs` has the sums.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use crate::kernels::Isa;
use crate::kernels::resample::{self, Taps};

/// The filter, named as in Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    /// Returns the filter that a processor's `resample` number means.
    ///
    /// # Errors
    /// A line that names the number, if CLIP's processors do not use it.
    pub fn from_pillow(resample: u64) -> Result<Self, String> {
        match resample {
            2 => Ok(Self::Bilinear),
            3 => Ok(Self::Bicubic),
            other => Err(format!("resample {other} is not supported; zsic knows 2 (bilinear) and 3 (bicubic)")),
        }
    }

    /// Returns half of its width, in source pixels at scale one.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// The library whose rounding to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// torchvision on a CPU, which transformers 5 uses: weights of 16 bits, as precise as the largest allows.
    Torchvision,
    /// Pillow up to 12, which transformers 4 uses: weights with 22 fractional bits.
    Pillow,
    /// Pillow 13, which open_clip uses: the same weights, and the vertical pass first if the height shrinks most.
    Pillow13,
}

impl Arithmetic {
    /// Returns whether the vertical pass comes first (Pillow 13, Resample.c).
    fn is_vertical_first(self, columns: Axis, rows: Axis) -> bool {
        let shrinks = |axis: Axis| axis.from as i64 - axis.to as i64;
        self == Self::Pillow13 && shrinks(rows) > 0 && shrinks(rows) > 2 * shrinks(columns)
    }
}

/// One axis of a resize: `from` pixels become `to`, of which `length` are wanted, from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Source pixels.
    pub from: usize,
    /// Pixels of the whole result.
    pub to: usize,
    /// The first wanted pixel.
    pub start: usize,
    /// The number of wanted pixels.
    pub length: usize,
}

/// The part of one axis that a centre crop keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: usize,
    pub(super) kept: usize,
    shortfall: usize,
}

impl Window {
    /// Returns the centre `crop` of `size`; all of it if the crop is larger. What is left over is halved, and a half
    /// pixel is `rounded` to the even one or dropped.
    pub(super) fn centred(size: usize, crop: usize, rounded: bool) -> Self {
        let over = size.saturating_sub(crop);
        let start = if rounded { (over as f64 / 2.0).round_ties_even() as usize } else { over / 2 };
        Self { start, kept: size.min(crop), shortfall: crop.saturating_sub(size) }
    }

    /// Returns the number of filled pixels before the image if the crop is larger. The backends differ on an odd
    /// shortfall.
    pub(super) fn padding(&self, arithmetic: Arithmetic) -> usize {
        match arithmetic {
            Arithmetic::Torchvision | Arithmetic::Pillow13 => self.shortfall / 2,
            Arithmetic::Pillow => self.shortfall.div_ceil(2),
        }
    }
}

/// The number of axes whose weights a thread keeps: enough for both ways of holding a camera.
const KEPT: usize = 4;

/// Returns an axis's weights, kept for the next image of that size: for a small one they take as long as a pass.
fn taps(axis: Axis, filter: Filter, arithmetic: Arithmetic) -> Rc<Taps> {
    type KeptTaps = ((Axis, Filter, Arithmetic), Rc<Taps>);
    thread_local!(static RECENT: RefCell<Vec<KeptTaps>> = const { RefCell::new(Vec::new()) });
    let key = (axis, filter, arithmetic);
    RECENT.with_borrow_mut(|recent| {
        if let Some((_, taps)) = recent.iter().find(|(kept, _)| *kept == key) {
            return Rc::clone(taps);
        }
        recent.truncate(KEPT - 1);
        recent.insert(0, (key, Rc::new(computed_taps(axis, filter, arithmetic))));
        Rc::clone(&recent[0].1)
    })
}

/// Returns the weights of Pillow's `precompute_coeffs` (Resample.c), which torchvision shares, as integers.
fn computed_taps(axis: Axis, filter: Filter, arithmetic: Arithmetic) -> Taps {
    let scale = axis.from as f64 / axis.to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let run = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let low = (centre - support + 0.5).max(0.0) as usize;
        let high = ((centre + support + 0.5) as usize).min(axis.from);
        let mut weights: Vec<f64> = (low..high).map(|x| filter.at((x as f64 - centre + 0.5) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            weights.iter_mut().for_each(|w| *w /= sum);
        }
        (low, weights)
    };
    let runs: Vec<(usize, Vec<f64>)> = (axis.start..axis.start + axis.length).map(run).collect();
    let bits = match arithmetic {
        Arithmetic::Pillow | Arithmetic::Pillow13 => 22,
        Arithmetic::Torchvision => torchvision_bits(largest_weight(axis, &run, &runs)),
    };
    let whole = f64::from(1u32 << bits);
    let integer = |w: &f64| (w * whole + 0.5f64.copysign(*w)) as i32; // rounds half away from zero
    Taps::new(bits, runs.iter().map(|(low, weights)| (*low, weights.iter().map(integer).collect())))
}

/// Returns the largest weight of the whole axis, windows included or not: it sets the precision of all.
fn largest_weight(axis: Axis, run: &impl Fn(usize) -> (usize, Vec<f64>), wanted: &[(usize, Vec<f64>)]) -> f64 {
    let max = |weights: &[f64]| weights.iter().copied().fold(0.0, f64::max);
    if axis.length == axis.to {
        return wanted.iter().map(|(_, weights)| max(weights)).fold(0.0, f64::max);
    }
    // The phases of the source grid repeat, and only the edges, where weights outside are dropped, differ from the
    // middle: so one period and both edges hold the largest weight even of millions of pixels. None is larger than one.
    let period = axis.to / gcd(axis.from, axis.to);
    let edge = (3.0 * axis.to as f64 / axis.from as f64).ceil().max(3.0) as usize + 1;
    let head = (edge + period).min(axis.to);
    let tail = axis.to.saturating_sub(edge).max(head);
    let mut largest = 0.0;
    for i in (tail..axis.to).chain(0..head) {
        largest = max(&run(i).1).max(largest);
        if torchvision_bits(largest) == torchvision_bits(1.0) {
            break; // as coarse as it gets
        }
    }
    largest
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Returns the fractional bits at which the largest weight still fits 16 bits with its sign
/// (aten/src/ATen/native/cpu/UpSampleKernel.cpp).
fn torchvision_bits(largest: f64) -> u32 {
    let fits = |bits: u32| ((0.5 + largest * f64::from(1u32 << bits)) as i64) < 1 << 15;
    (0..22).find(|bits| !fits(bits + 1)).unwrap_or(22)
}

/// A resize under way: the source's rows go in from the top, and the wanted window of the result comes out.
#[derive(Debug)]
pub struct Resizer {
    columns: Axis,
    /// The weights of each pass; `None` if the size stays.
    across: Option<Rc<Taps>>,
    down: Option<Rc<Taps>>,
    /// The rows of the source that the vertical pass, or the window itself, will read.
    needed: Range<usize>,
    /// The number of rows received.
    rows: usize,
    /// Whether the vertical pass comes first.
    vertical_first: bool,
    /// The needed rows: after the horizontal pass, unless the vertical one comes first.
    kept: Vec<u8>,
    isa: Isa,
}

impl Resizer {
    /// Prepares the weights.
    pub fn new(columns: Axis, rows: Axis, filter: Filter, arithmetic: Arithmetic) -> Self {
        let weights = |axis: Axis| (axis.from != axis.to).then(|| taps(axis, filter, arithmetic));
        let (across, down) = (weights(columns), weights(rows));
        let needed = down.as_ref().map_or(rows.start..rows.start + rows.length, |taps| taps.reach());
        let vertical_first = arithmetic.is_vertical_first(columns, rows);
        let width = if vertical_first { columns.from } else { columns.length };
        let kept = Vec::with_capacity(needed.len() * width * 3);
        Self { columns, across, down, needed, rows: 0, vertical_first, kept, isa: Isa::best() }
    }

    /// Returns the bytes that a resize takes at its peak: the weights of both axes, and the rows between the passes.
    pub(super) fn bytes(columns: Axis, rows: Axis, arithmetic: Arithmetic) -> usize {
        /// Bytes of a pixel's weight, as computed and as kept, in each result that it is part of.
        const WEIGHTS: usize = 4 * (8 + 4);
        let scaled = |axis: Axis| (axis.from as u128 * axis.length as u128).div_ceil(axis.to.max(1) as u128) as usize;
        let weights = (scaled(columns) + scaled(rows)).saturating_mul(WEIGHTS);
        let width = if arithmetic.is_vertical_first(columns, rows) { columns.from } else { columns.length };
        scaled(rows).saturating_mul(width * 3).saturating_add(weights)
    }

    /// Takes the next rows, RGB bytes `[n, W, 3]`.
    ///
    /// # Panics
    /// If they are not whole.
    pub fn push(&mut self, rows: &[u8]) {
        let stride = self.columns.from * 3;
        let count = rows.len() / stride;
        assert_eq!(rows.len(), count * stride, "whole rows of the source image");
        let wanted = |row: usize| (row.clamp(self.rows, self.rows + count) - self.rows) * stride;
        let band = &rows[wanted(self.needed.start)..wanted(self.needed.end)];
        self.rows += count;
        if self.vertical_first {
            self.kept.extend_from_slice(band);
        } else {
            horizontal(self.isa, band, self.columns, self.across.as_deref(), &mut self.kept);
        }
    }

    /// Returns the window of the result.
    ///
    /// # Panics
    /// If rows of the source that it depends on are missing.
    pub fn finish(self) -> Vec<u8> {
        let stride = 3 * if self.vertical_first { self.columns.from } else { self.columns.length };
        assert_eq!(self.kept.len(), self.needed.len() * stride, "the rows of the source image");
        let rows = match self.down {
            Some(taps) => resample::vertical(self.isa, &self.kept, stride, self.needed.start, &taps),
            None => self.kept,
        };
        if !self.vertical_first {
            return rows;
        }
        let mut window = Vec::with_capacity(rows.len() / self.columns.from * self.columns.length);
        horizontal(self.isa, &rows, self.columns, self.across.as_deref(), &mut window);
        window
    }
}

/// Resizes whole rows along the axis, and appends the wanted columns to `out`.
fn horizontal(isa: Isa, rows: &[u8], columns: Axis, taps: Option<&Taps>, out: &mut Vec<u8>) {
    match taps {
        Some(taps) => resample::horizontal(isa, rows, columns.from, taps, out),
        None => {
            let kept = columns.start * 3..(columns.start + columns.length) * 3;
            rows.chunks_exact(columns.from * 3).for_each(|row| out.extend_from_slice(&row[kept.clone()]));
        }
    }
}

/// Resizes RGB bytes `[H, W, 3]` and returns the wanted window of the result.
///
/// # Panics
/// If `source` is not `columns.from` x `rows.from` pixels.
pub fn resize(source: &[u8], columns: Axis, rows: Axis, filter: Filter, arithmetic: Arithmetic) -> Vec<u8> {
    assert_eq!(source.len(), columns.from * rows.from * 3, "the bytes of the source image");
    let mut resizer = Resizer::new(columns, rows, filter, arithmetic);
    resizer.push(source);
    resizer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(from: usize, to: usize) -> Axis {
        Axis { from, to, start: 0, length: to }
    }

    fn noise(n: usize) -> Vec<u8> {
        let mut state = 12345u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn a_window_is_that_part_of_the_whole() {
        for (w, h, tw, th) in
            [(31, 17, 64, 48), (90, 70, 33, 40), (5, 200, 32, 1280), (640, 10, 640, 7), (33, 9, 1000, 9)]
        {
            let source = noise(w * h * 3);
            for arithmetic in [Arithmetic::Torchvision, Arithmetic::Pillow, Arithmetic::Pillow13] {
                for filter in [Filter::Bilinear, Filter::Bicubic] {
                    let all = resize(&source, whole(w, tw), whole(h, th), filter, arithmetic);
                    let (x, y, n, m) = (tw / 3, th / 2, tw / 4 + 1, th / 3);
                    let columns = Axis { from: w, to: tw, start: x, length: n };
                    let rows = Axis { from: h, to: th, start: y, length: m };
                    let part = resize(&source, columns, rows, filter, arithmetic);
                    let expected: Vec<u8> =
                        (y..y + m).flat_map(|r| all[(r * tw + x) * 3..][..n * 3].to_vec()).collect();
                    assert!(part == expected, "{w}x{h} to {tw}x{th}, {filter:?}, {arithmetic:?}");
                }
            }
        }
    }

    #[test]
    fn rows_may_come_in_parts() {
        let source = noise(50 * 40 * 3);
        let (columns, rows) =
            (Axis { from: 50, to: 20, start: 3, length: 9 }, Axis { from: 40, to: 60, start: 7, length: 30 });
        let mut resizer = Resizer::new(columns, rows, Filter::Bicubic, Arithmetic::Torchvision);
        source.chunks(3 * 50 * 3).for_each(|part| resizer.push(part));
        assert!(resizer.finish() == resize(&source, columns, rows, Filter::Bicubic, Arithmetic::Torchvision));
    }

    #[test]
    fn kept_weights_are_those_of_their_axis() {
        for n in [5, 9, 5, 6, 7, 8, 9, 5] {
            for arithmetic in [Arithmetic::Torchvision, Arithmetic::Pillow] {
                let axis = whole(n, 4);
                assert!(*taps(axis, Filter::Bicubic, arithmetic) == computed_taps(axis, Filter::Bicubic, arithmetic));
            }
        }
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        for arithmetic in [Arithmetic::Torchvision, Arithmetic::Pillow] {
            let out = resize(&[200; 7 * 5 * 3], whole(7, 100), whole(5, 3), Filter::Bicubic, arithmetic);
            assert!(out.iter().all(|&b| b == 200));
        }
    }

    #[test]
    fn precision_follows_the_largest_weight() {
        assert_eq!(torchvision_bits(1.0), 14);
        assert_eq!(torchvision_bits(0.5), 15);
        assert_eq!(torchvision_bits(1e-9), 22);
    }
}
