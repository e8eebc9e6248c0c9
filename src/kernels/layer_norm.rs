//! Layer norm of rows, with separate passes for the mean and the variance.

use rayon::prelude::*;

use super::lanes::Lanes;
use super::matrix::{Matrix, write};
use super::product::task::put;
use super::{Element, Isa, Shared, dispatch};

/// Rows of a task.
const ROWS: usize = 16;

/// A layer norm's parameters.
#[derive(Debug)]
pub struct Norm {
    isa: Isa,
    weight: Vec<f32>, // [W]
    bias: Vec<f32>,   // [W]
    eps: f32,
}

impl Norm {
    /// Creates it from the weight and bias.
    ///
    /// # Panics
    /// If they differ in length, or this machine cannot run the instruction set.
    pub fn new(isa: Isa, weight: Vec<f32>, bias: Vec<f32>, eps: f64) -> Self {
        assert!(weight.len() == bias.len() && isa.is_available());
        Self { isa, weight, bias, eps: eps as f32 }
    }
}

/// Normalises the f32 rows of `x` into `y`, which takes its shape.
///
/// # Panics
/// If the width differs, or `x` is not f32.
pub fn layer_norm(x: &Matrix, norm: &Norm, y: &mut Matrix) {
    y.shape(x.rows(), x.columns());
    assert!(x.element() == Element::F32);
    let (stride, element) = (y.stride(), y.element());
    run(norm, x.rows(), x.columns(), (x.as_ptr(), x.stride()), (y.as_mut_ptr(), stride), element);
}

/// Normalises the f32 rows of `x` in place.
///
/// # Panics
/// If the width differs, or `x` is not f32.
pub fn layer_norm_in_place(x: &mut Matrix, norm: &Norm) {
    assert!(x.element() == Element::F32);
    let (from, stride) = (x.as_mut_ptr(), x.stride());
    run(norm, x.rows(), x.columns(), (from, stride), (from, stride), Element::F32);
}

fn run(
    norm: &Norm,
    rows: usize,
    columns: usize,
    (x, x_stride): (*const f32, usize),
    (y, y_stride): (*mut f32, usize),
    element: Element,
) {
    assert!(columns == norm.weight.len());
    let (x, y) = (Shared(x.cast_mut()), Shared(y));
    (0..rows.div_ceil(ROWS)).into_par_iter().for_each(|block| {
        for row in block * ROWS..((block + 1) * ROWS).min(rows) {
            // SAFETY: the row is within both matrices, and no other task has it.
            let (x, y) = unsafe { (x.get().add(row * x_stride).cast_const(), y.get().add(row * y_stride)) };
            dispatch!(
                norm.isa,
                // SAFETY: as above.
                unsafe { plain(x, y, element, norm) },
                fast(x: *const f32, y: *mut f32, element: Element, norm: &Norm)
            );
        }
    });
}

/// # Safety
/// The instruction set; a row of the norm's width at `x` and room for one at `y`.
#[inline(always)]
unsafe fn fast<V: Lanes>(x: *const f32, y: *mut f32, element: Element, norm: &Norm) {
    let n = norm.weight.len();
    // SAFETY: the caller's; blocks end at the width.
    unsafe {
        let mut sum = V::splat(0.0);
        for at in (0..n).step_by(V::N) {
            sum = sum.add(V::load_upto(x.add(at), n - at));
        }
        let mean = sum.sum() / n as f32;
        // The second pass also corrects the mean's rounding error.
        let (mut rest, mut squares) = (V::splat(0.0), V::splat(0.0));
        let whole = n - n % V::N;
        for at in (0..whole).step_by(V::N) {
            let d = V::load(x.add(at)).sub(V::splat(mean));
            (rest, squares) = (rest.add(d), d.mul_add(d, squares));
        }
        let (mut rest, mut squares) = (rest.sum(), squares.sum());
        for at in whole..n {
            let d = *x.add(at) - mean;
            (rest, squares) = (rest + d, squares + d * d);
        }
        let rest = rest / n as f32;
        let scale = V::splat(1.0 / (squares / n as f32 - rest * rest + norm.eps).sqrt());
        for at in (0..n).step_by(V::N) {
            let left = n - at;
            let d = V::load_upto(x.add(at), left).sub(V::splat(mean)).sub(V::splat(rest)).mul(scale);
            let weight = V::load_upto(norm.weight.as_ptr().add(at), left);
            let value = d.mul_add(weight, V::load_upto(norm.bias.as_ptr().add(at), left));
            put(value, y, element, at, left.min(V::N));
        }
    }
}

/// Computes the plain version.
///
/// # Safety
/// A row of the norm's width at `x` and room for one at `y`.
unsafe fn plain(x: *const f32, y: *mut f32, element: Element, norm: &Norm) {
    let n = norm.weight.len();
    // SAFETY: the caller's.
    unsafe {
        let mean = (0..n).map(|i| *x.add(i)).sum::<f32>() / n as f32;
        let rest = (0..n).map(|i| *x.add(i) - mean).sum::<f32>() / n as f32;
        let variance = (0..n).map(|i| (*x.add(i) - mean - rest).powi(2)).sum::<f32>() / n as f32;
        let scale = 1.0 / (variance + norm.eps).sqrt();
        for i in 0..n {
            write(y, element, i, (*x.add(i) - mean - rest) * scale * norm.weight[i] + norm.bias[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{SIZES, noise, sets};

    /// Layer norm in f64.
    fn oracle(x: &[f32], norm: &Norm) -> Vec<f64> {
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let value = |(i, &v): (usize, &f32)| {
            (f64::from(v) - mean) / (variance + f64::from(norm.eps)).sqrt() * f64::from(norm.weight[i])
                + f64::from(norm.bias[i])
        };
        x.iter().enumerate().map(value).collect()
    }

    #[test]
    fn layer_norm_is_the_f64_one_at_any_width_and_offset() {
        for isa in sets("layer norm") {
            for width in SIZES.into_iter().chain([768, 1024]) {
                let norm = Norm::new(isa, noise(width, 1), noise(width, 2), 1e-5);
                for offset in [0.0, 100.0, 10_000.0] {
                    let x: Vec<f32> = noise(3 * width, 3).iter().map(|v| v + offset).collect();
                    let mut y = Matrix::new(Element::F32);
                    layer_norm(&Matrix::from_values(&x, width), &norm, &mut y);
                    let mut same = Matrix::from_values(&x, width);
                    layer_norm_in_place(&mut same, &norm);
                    assert_eq!(y.to_values(), same.to_values());
                    for (x, y) in x.chunks(width).zip(y.to_values().chunks(width)) {
                        let limit = if offset == 0.0 { 2e-6 } else { 1e-5 };
                        for (got, want) in y.iter().zip(oracle(x, &norm)) {
                            let off = (f64::from(*got) - want).abs();
                            assert!(off < limit, "{isa:?} {width} {offset}: {got} for {want}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn split_results_are_split_f32_ones() {
        for isa in sets("layer norm, split") {
            for width in SIZES {
                let norm = Norm::new(isa, noise(width, 1), noise(width, 2), 1e-5);
                let x = Matrix::from_values(&noise(3 * width, 3), width);
                let (mut exact, mut parts) = (Matrix::new(Element::F32), Matrix::new(Element::Split));
                layer_norm(&x, &norm, &mut exact);
                layer_norm(&x, &norm, &mut parts);
                for (exact, got) in exact.to_values().into_iter().zip(parts.to_values()) {
                    assert!((exact - got).abs() <= exact.abs() * 2f32.powi(-16), "{isa:?} {width}: {got} for {exact}");
                }
            }
        }
    }

    #[test]
    fn extreme_values_come_out_as_they_should() {
        for isa in sets("layer norm, extremes") {
            let norm = Norm::new(isa, vec![1.0; 50], vec![0.5; 50], 1e-5);
            for (value, nan) in [(0.0, false), (1e-40, false), (1e4, false), (f32::NAN, true)] {
                let mut x = Matrix::from_values(&[vec![value; 50], noise(50, 1)].concat(), 50);
                layer_norm_in_place(&mut x, &norm);
                let y = x.to_values();
                assert!(
                    y[..50].iter().all(|&y| if nan { y.is_nan() } else { (y - 0.5).abs() < 0.4 }),
                    "{value}: {y:?}"
                );
                assert!(y[50..].iter().all(|y| !y.is_nan()));
            }
        }
    }
}
