//! Resizes a table of positions to the grid of an image's patches, as torch's `interpolate` does it in float32.

use super::spec::PositionResize;

/// The parameter of the cubic kernel.
const CUBIC: f64 = -0.75;

/// The entries of a line that make one result, and their shares.
struct Taps {
    at: Vec<usize>,
    share: Vec<f32>,
}

/// Resizes positions [R * C, W], `from` rows and columns of them, to the rows and columns of `to`.
pub fn resize(table: &[f32], width: usize, from: (usize, usize), to: (usize, usize), how: PositionResize) -> Vec<f32> {
    let (down, across) = (taps(from.0, to.0, how), taps(from.1, to.1, how));
    let row = |y: usize, x: usize| &table[(y * from.1 + x) * width..][..width];
    let mut out = Vec::with_capacity(to.0 * to.1 * width);
    // Resize across first, as torch does, for every row of the table.
    let lines: Vec<Vec<f32>> =
        (0..from.0).map(|y| across.iter().flat_map(|taps| blend(taps, width, |x| row(y, x))).collect()).collect();
    // torch 2.15 repeats the first row if there is one column. That is a bug of torch, and scores follow it.
    let repeats = how == PositionResize::BilinearAntialiased && to.1 == 1 && from.0 != to.0;
    for taps in down.iter().map(|taps| if repeats { &down[0] } else { taps }) {
        for x in 0..to.1 {
            out.extend(blend(taps, width, |y| &lines[y][x * width..][..width]));
        }
    }
    out
}

/// Sums values by their shares.
fn blend<'a>(taps: &Taps, width: usize, values: impl Fn(usize) -> &'a [f32]) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    for (&at, &share) in taps.at.iter().zip(&taps.share) {
        sum.iter_mut().zip(values(at)).for_each(|(sum, value)| *sum += share * value);
    }
    sum
}

fn taps(from: usize, to: usize, how: PositionResize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    (0..to).map(|i| tap((i as f64 + 0.5) * scale, scale, from, how)).collect()
}

/// Returns the entries that make the result centred at `centre` in a line of `from` entries, and their shares.
fn tap(centre: f64, scale: f64, from: usize, how: PositionResize) -> Taps {
    match how {
        PositionResize::Bicubic => {
            let place = centre - 0.5;
            let (first, t) = (place.floor(), place - place.floor());
            let at = |n: i64| (first as i64 + n).clamp(0, from as i64 - 1) as usize;
            let shares = [t + 1.0, t, 1.0 - t, 2.0 - t].map(|distance| cubic(distance) as f32);
            Taps { at: (-1..3).map(at).collect(), share: shares.to_vec() }
        }
        PositionResize::BilinearAntialiased => {
            let support = scale.max(1.0);
            let low = (centre - support + 0.5).max(0.0) as usize;
            let high = ((centre + support + 0.5) as usize).min(from);
            let weight = |x: usize| (1.0 - ((x as f64 - centre + 0.5) / support).abs()).max(0.0);
            let sum: f64 = (low..high).map(weight).sum();
            Taps { at: (low..high).collect(), share: (low..high).map(|x| (weight(x) / sum) as f32).collect() }
        }
    }
}

fn cubic(x: f64) -> f64 {
    if x <= 1.0 {
        ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
    } else {
        ((CUBIC * x - 5.0 * CUBIC) * x + 8.0 * CUBIC) * x - 4.0 * CUBIC
    }
}
