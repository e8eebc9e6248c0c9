//! Products of f64 matrices, by the crate gemm. One thread computes each part of a result, and parts have one size, so the
//! bits do not depend on the number of threads.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

/// Rows of a result that one thread computes together.
const TOGETHER: usize = 64;

/// A matrix in memory: its values, and the steps from one row and from one column to the next.
#[derive(Clone, Copy)]
struct Strided<'a> {
    values: &'a [f64],
    row: usize,
    column: usize,
}

/// Computes `a` [M, K] times the transpose of `b` [N, K], as [M, N] into `out`.
///
/// # Panics
/// If the sizes disagree.
pub fn times_transposed(a: &[f64], b: &[f64], k: usize, out: &mut [f64]) {
    let (m, n) = (a.len() / k.max(1), b.len() / k.max(1));
    let a = Strided { values: a, row: k, column: 1 };
    product([m, n, k], a, Strided { values: b, row: 1, column: k }, out);
}

/// Computes the transpose of `a` [K, M] times `b` [K, N], as [M, N] into `out`.
///
/// # Panics
/// If the sizes disagree.
pub fn transposed_times(a: &[f64], b: &[f64], k: usize, out: &mut [f64]) {
    let (m, n) = (a.len() / k.max(1), b.len() / k.max(1));
    let a = Strided { values: a, row: 1, column: m };
    product([m, n, k], a, Strided { values: b, row: n, column: 1 }, out);
}

/// Computes `a` [M, K] times `b` [K, N].
fn product([m, n, k]: [usize; 3], a: Strided, b: Strided, out: &mut [f64]) {
    assert_eq!(
        (a.values.len(), b.values.len(), out.len()),
        (m * k, k * n, m * n),
        "matrices of [{m}, {k}] and [{k}, {n}]"
    );
    if m * n * k == 0 {
        return out.fill(0.0);
    }
    out.par_chunks_mut(TOGETHER * n).enumerate().for_each(|(part, out)| {
        let first = part * TOGETHER;
        let step = |step: usize| step as isize;
        // SAFETY: the assertion: every element that the sizes and steps reach is in its slice. `out` is this thread's alone.
        unsafe {
            gemm(
                out.len() / n,
                n,
                k,
                out.as_mut_ptr(),
                1,
                step(n),
                false,
                a.values.as_ptr().add(first * a.row),
                step(a.column),
                step(a.row),
                b.values.as_ptr(),
                step(b.column),
                step(b.row),
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    #[test]
    fn products_are_those_of_plain_loops() {
        for [m, n, k] in [[1, 1, 1], [3, 5, 7], [64, 10, 130], [65, 1, 33], [200, 70, 64], [0, 3, 2], [3, 0, 2]] {
            let values = |count, seed| noise(count, seed).into_iter().map(f64::from).collect::<Vec<_>>();
            let (a, b) = (values(m * k, 1), values(n * k, 2));
            let mut expected = vec![0.0; m * n];
            for (at, sum) in expected.iter_mut().enumerate() {
                let (i, j) = (at / n, at % n);
                *sum = (0..k).map(|p| a[i * k + p] * b[j * k + p]).sum();
            }
            let transposed = |values: &[f64], rows: usize| -> Vec<f64> {
                (0..values.len()).map(|at| values[at % rows * k + at / rows]).collect()
            };
            let (mut plain, mut turned) = (vec![9.0; m * n], vec![9.0; m * n]);
            times_transposed(&a, &b, k, &mut plain);
            if m * n > 0 {
                transposed_times(&transposed(&a, m), &transposed(&b, n), k, &mut turned);
            } else {
                turned.fill(0.0);
            }
            for (out, expected) in plain.iter().zip(&turned).zip(&expected) {
                assert!((out.0 - expected).abs() < 1e-12 && (out.1 - expected).abs() < 1e-12, "{out:?} {expected}");
            }
        }
    }
}
