//! Logits -> scores, in f64, rounded to f32 once. The bits are the same on every instruction set: all run the plain
//! version, which the compiler vectorizes without fusing operations.

#![allow(clippy::extra_unused_type_parameters)] // the lanes only name the instruction set

use super::lanes::Lanes;
use super::{Isa, dispatch};

/// The number of parallel partial sums of a softmax.
const SUMS: usize = 8;

/// Computes the softmax of L logits into as many `scores`.
///
/// # Panics
/// If the lengths differ, or the machine lacks the instruction set.
pub fn softmax(isa: Isa, logits: &[f32], scores: &mut [f32]) {
    assert!(isa.is_available(), "{isa:?} on a machine that lacks it");
    assert_eq!(logits.len(), scores.len());
    /// # Safety
    /// The instruction set.
    #[inline(always)]
    unsafe fn fast<V: Lanes>(logits: &[f32], scores: &mut [f32]) {
        plain_softmax(logits, scores);
    }
    dispatch!(isa, plain_softmax(logits, scores), fast(logits: &[f32], scores: &mut [f32]));
}

/// Returns the logarithm of the sum of L logits' exponentials, negative infinity for none.
///
/// # Panics
/// If the machine lacks the instruction set.
pub fn log_sum_exp(isa: Isa, logits: &[f64]) -> f64 {
    assert!(isa.is_available(), "{isa:?} on a machine that lacks it");
    /// # Safety
    /// The instruction set.
    #[inline(always)]
    unsafe fn fast<V: Lanes>(logits: &[f64], out: &mut f64) {
        plain_log_sum_exp(logits, out);
    }
    let mut sum = f64::NEG_INFINITY;
    if !logits.is_empty() {
        let out = &mut sum;
        dispatch!(isa, plain_log_sum_exp(logits, out), fast(logits: &[f64], out: &mut f64));
    }
    sum
}

/// Computes the sigmoid of L logits into as many `scores`.
///
/// # Panics
/// As [`softmax`].
pub fn sigmoid(isa: Isa, logits: &[f32], scores: &mut [f32]) {
    assert!(isa.is_available(), "{isa:?} on a machine that lacks it");
    assert_eq!(logits.len(), scores.len());
    /// # Safety
    /// The instruction set.
    #[inline(always)]
    unsafe fn fast<V: Lanes>(logits: &[f32], scores: &mut [f32]) {
        plain_sigmoid(logits, scores);
    }
    dispatch!(isa, plain_sigmoid(logits, scores), fast(logits: &[f32], scores: &mut [f32]));
}

#[inline(always)]
fn plain_softmax(logits: &[f32], scores: &mut [f32]) {
    let max = f64::from(logits.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max }));
    let mut powers = vec![0f64; logits.len()];
    powers.iter_mut().zip(logits).for_each(|(power, &x)| *power = exp(f64::from(x) - max));
    let sum = sum(&powers);
    scores.iter_mut().zip(&powers).for_each(|(score, x)| *score = (x / sum) as f32);
}

#[inline(always)]
fn plain_log_sum_exp(logits: &[f64], out: &mut f64) {
    let max = logits.iter().fold(f64::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    let mut powers = vec![0f64; logits.len()];
    powers.iter_mut().zip(logits).for_each(|(power, &x)| *power = exp(x - max));
    *out = max + sum(&powers).ln();
}

/// Returns the sum, in parallel partial sums.
#[inline(always)]
fn sum(values: &[f64]) -> f64 {
    let mut sums = [0f64; SUMS];
    let (whole, rest) = values.as_chunks::<SUMS>();
    for some in whole {
        sums.iter_mut().zip(some).for_each(|(sum, x)| *sum += x);
    }
    sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x);
    sums.iter().sum()
}

#[inline(always)]
fn plain_sigmoid(logits: &[f32], scores: &mut [f32]) {
    scores.iter_mut().zip(logits).for_each(|(score, &x)| *score = (1.0 / (1.0 + exp(-f64::from(x)))) as f32);
}

/// Returns `e^x`, within an ulp or two. For x outside the range of f64 exponents it returns the nearest possible power.
/// `x = n ln 2 + r`; the powers of e are Taylor sums, exact to 4e-18 for `|r| < ln 2 / 2`.
#[inline(always)]
fn exp(x: f64) -> f64 {
    /// A constant that, added to a number, leaves the nearest whole number in the last bits.
    const ROUND: f64 = 1.5 * (1u64 << 52) as f64;
    /// ln 2 in two parts. The first times a whole number is exact.
    const LN_2: [f64; 2] = [f64::from_bits(0x3fe6_2e42_fee0_0000), f64::from_bits(0x3dea_39ef_3579_3c76)];
    /// 1 / k!, from k = 13 down.
    const TAYLOR: [f64; 14] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        1.0 / 2.0,
        1.0,
        1.0,
    ];
    let x = x.clamp(-708.0, 709.0);
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let power = TAYLOR.iter().fold(0.0, |sum, term| sum * r + term);
    let two_to_n = f64::from_bits((rounded.to_bits() << 52).wrapping_add(1023 << 52));
    power * two_to_n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    #[test]
    fn powers_are_those_of_the_standard_library() {
        let steps = (-708_000..=709_000).map(|i| f64::from(i) / 1000.0);
        let worst = steps.map(|x| (exp(x) / x.exp() - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 5e-16, "{worst}");
        assert_eq!((exp(0.0), exp(-1e4), exp(1e4)), (1.0, exp(-708.0), exp(709.0)));
        assert!(exp(f64::NAN).is_nan());
        assert_eq!(log_sum_exp(Isa::Plain, &[]), f64::NEG_INFINITY);
    }

    #[test]
    fn scores_are_those_of_the_standard_library_on_each_instruction_set() {
        for n in [1, 2, 7, 8, 9, 17, 100, 1000] {
            let logits: Vec<f32> = noise(n, n as u64).iter().map(|x| 40.0 * x).collect();
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f64> = logits.iter().map(|x| (f64::from(*x) - f64::from(max)).exp()).collect();
            let sum: f64 = powers.iter().sum();
            let plain = |isa| {
                let (mut soft, mut sigmoids) = (vec![0f32; n], vec![0f32; n]);
                softmax(isa, &logits, &mut soft);
                sigmoid(isa, &logits, &mut sigmoids);
                [soft, sigmoids]
            };
            let expected = plain(Isa::Plain);
            for i in 0..n {
                let sigmoid = 1.0 / (1.0 + (-f64::from(logits[i])).exp());
                for (score, exact) in [(expected[0][i], powers[i] / sum), (expected[1][i], sigmoid)] {
                    assert!((f64::from(score) - exact).abs() <= 6e-8 * exact, "{score} for {exact}");
                }
            }
            let wide: Vec<f64> = logits.iter().copied().map(f64::from).collect();
            let whole = log_sum_exp(Isa::Plain, &wide);
            assert!((whole - f64::from(max) - sum.ln()).abs() < 1e-13 * whole.abs().max(1.0), "{n}");
            for isa in Isa::available() {
                assert_eq!(plain(isa), expected, "{isa:?}, {n}");
                assert_eq!(log_sum_exp(isa, &wide), whole, "{isa:?}, {n}");
            }
        }
    }
}
