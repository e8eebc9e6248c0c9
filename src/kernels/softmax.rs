//! Softmax of a row, not normalised: the caller divides by the returned sum.

use super::functions::exp;
use super::lanes::Lanes;

/// Replaces each of `n > 0` values by `e^(scale * (x - max))` and returns their sum.
///
/// # Safety
/// The instruction set of `V`, and `n` values at `row`.
#[inline(always)]
pub unsafe fn softmax<V: Lanes>(row: *mut f32, n: usize, scale: f32) -> f32 {
    // SAFETY: the caller's; blocks end at `n`.
    unsafe {
        let max = V::splat(largest::<V>(row, n));
        let scale = V::splat(scale);
        let whole = n - n % V::N;
        let mut sum = V::splat(0.0);
        for at in (0..whole).step_by(V::N) {
            let e = exp(V::load(row.add(at)).sub(max).mul(scale));
            e.store(row.add(at));
            sum = sum.add(e);
        }
        if whole < n {
            let e = exp(V::load_first(row.add(whole), n - whole).sub(max).mul(scale));
            e.store_first(row.add(whole), n - whole);
            sum = sum.add(V::load_first(row.add(whole), n - whole));
        }
        sum.sum()
    }
}

/// # Safety
/// As [`softmax`].
#[inline(always)]
unsafe fn largest<V: Lanes>(row: *const f32, n: usize) -> f32 {
    // SAFETY: the caller's; the last block overlaps the previous one.
    unsafe {
        if n < V::N {
            let mut largest = *row;
            for i in 1..n {
                largest = if *row.add(i) > largest { *row.add(i) } else { largest };
            }
            return largest;
        }
        let mut max = V::load(row.add(n - V::N));
        for at in (0..n - V::N).step_by(V::N) {
            max = V::load(row.add(at)).max(max);
        }
        max.largest()
    }
}

/// Computes the plain version.
pub fn softmax_plain(row: &mut [f32], scale: f32) -> f32 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = ((*x - max) * scale).exp());
    row.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::dispatch;
    use crate::kernels::testing::{SIZES, noise, sets};

    #[inline(always)]
    unsafe fn into<V: Lanes>(row: *mut f32, n: usize, sum: *mut f32) {
        // SAFETY: the test's.
        unsafe { *sum = softmax::<V>(row, n, 0.125) }
    }

    #[test]
    fn fast_softmax_is_the_plain_one() {
        for isa in sets("softmax") {
            for n in SIZES {
                for (factor, offset) in [(30.0, 0.0), (1.0, -1e4), (0.0, 0.0), (1e-40, 0.0), (1e4, 0.0)] {
                    let mut fast: Vec<f32> = noise(n, 7).iter().map(|v| v * factor + offset).collect();
                    let mut plain = fast.clone();
                    let want = softmax_plain(&mut plain, 0.125);
                    let mut got = 0f32;
                    let (row, sum) = (fast.as_mut_ptr(), &raw mut got);
                    dispatch!(
                        isa,
                        got = softmax_plain(&mut fast, 0.125),
                        into(row: *mut f32, n: usize, sum: *mut f32)
                    );
                    assert!((got / want - 1.0).abs() < 2e-6, "{isa:?} {n} {factor}: {got} for {want}");
                    assert!(fast.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 5e-7), "{isa:?} {n} {factor}");
                }
                let mut fast = noise(n, 7);
                fast[n / 2] = f32::NAN;
                let mut got = 0f32;
                let (row, sum) = (fast.as_mut_ptr(), &raw mut got);
                dispatch!(isa, got = softmax_plain(&mut fast, 0.125), into(row: *mut f32, n: usize, sum: *mut f32));
                assert!(got.is_nan());
            }
        }
    }
}
