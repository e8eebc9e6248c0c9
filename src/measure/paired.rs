//! Two runs on the same images, in pairs.

use crate::measure::interval::{self, Estimate};
use crate::measure::metric::Measured;

/// Returns `b` minus `a` with its interval. Both were measured on the same images in the same order, so a draw has the same
/// images in both.
///
/// # Panics
///
/// If the metrics or the numbers of images differ.
pub fn difference(a: &Measured, b: &Measured) -> Option<Estimate> {
    assert_eq!((a.metric, a.images), (b.metric, b.images), "these cannot be compared in pairs");
    let draws = a.draws.iter().zip(&b.draws).map(|(a, b)| b - a);
    interval::bootstrapped(b.estimate.value - a.estimate.value, draws)
}

/// How two runs disagree about which images are right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagreement {
    /// Images that only the first got right.
    pub only_a: usize,
    /// Images that only the second got right.
    pub only_b: usize,
    /// The probability that runs of equal merit disagree so unevenly, either way.
    pub p: f64,
}

/// Compares whether each image is right in one run and in the other, by McNemar's exact test, two-sided.
pub fn mcnemar(right: impl IntoIterator<Item = (bool, bool)>) -> Disagreement {
    let (mut only_a, mut only_b) = (0, 0);
    for (a, b) in right {
        only_a += usize::from(a && !b);
        only_b += usize::from(b && !a);
    }
    Disagreement { only_a, only_b, p: two_sided(only_a.min(only_b), only_a + only_b) }
}

/// Returns the probability of at most `few` or at least `all - few` heads of `all` coins.
fn two_sided(few: usize, all: usize) -> f64 {
    // all! / few! / (all - few)! / 2^all as a factor and a power of two, since each may leave the range of f64.
    let (mut factor, mut exponent) = (1.0, -(all as f64));
    for i in 1..=few {
        factor *= (all - few + i) as f64 / i as f64;
        if factor > 2_f64.powi(500) {
            factor *= 2_f64.powi(-500);
            exponent += 500.0;
        }
    }
    // The probabilities of fewer heads, as shares of that one.
    let (mut share, mut sum) = (1.0, 1.0);
    for heads in (1..=few).rev() {
        share *= heads as f64 / (all - heads + 1) as f64;
        sum += share;
    }
    let half = (exponent / 2.0).floor();
    (2.0 * sum * factor * half.exp2() * (exponent - half).exp2()).min(1.0)
}
