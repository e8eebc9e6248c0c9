//! Images from the highest score to the lowest, sorted once for all draws: average precision, AUROC and FPR95.

use std::ops::Range;

use crate::measure::draws::{Counts, Integers, LANES, Numbers};
use crate::measure::tally::ratio;

/// Images with one score, of which at least one is positive, and the negative ones since the last such step.
struct Step {
    /// Negative images with a higher score.
    before: Range<usize>,
    /// Negative images with the same score.
    tied: Range<usize>,
    positives: Range<usize>,
}

/// Positive and negative images, highest score first.
pub(super) struct Ranking {
    positives: Vec<u32>,
    negatives: Vec<u32>,
    steps: Vec<Step>,
}

/// Returns an integer whose order is the opposite of the score's, with the image in its lower half.
fn key(score: f32, image: u32) -> u64 {
    let bits = (score + 0.0).to_bits(); // -0.0 equals 0.0
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (u64::from(!ascending) << 32) | u64::from(image)
}

impl Ranking {
    /// Sorts images by score.
    pub(super) fn new(scores: impl Iterator<Item = f32>, is_positive: impl Fn(u32) -> bool) -> Self {
        let mut keys: Vec<u64> = (0..).zip(scores).map(|(image, score)| key(score, image)).collect();
        keys.sort_unstable();
        let mut ranking = Self { positives: Vec::new(), negatives: Vec::new(), steps: Vec::new() };
        let mut seen = 0;
        for group in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            let (higher, first) = (ranking.negatives.len(), ranking.positives.len());
            for image in group.iter().map(|key| *key as u32) {
                if is_positive(image) { &mut ranking.positives } else { &mut ranking.negatives }.push(image);
            }
            let (negatives, positives) = (ranking.negatives.len(), ranking.positives.len());
            if first < positives {
                ranking.steps.push(Step { before: seen..higher, tied: higher..negatives, positives: first..positives });
                seen = negatives;
            }
        }
        ranking
    }

    /// Returns the average precision: the precision at each step, weighted by the step's positive images. NaN without any.
    pub(super) fn average_precision(&self, counts: &Counts) -> Numbers {
        let (mut found, mut all, mut sum) = ([0; LANES], [0; LANES], [0.0; LANES]);
        for step in &self.steps {
            let negatives = counts.sum(&self.negatives[step.before.start..step.tied.end]);
            let positives = counts.sum(&self.positives[step.positives.clone()]);
            for lane in 0..LANES {
                found[lane] += positives[lane];
                all[lane] += positives[lane] + negatives[lane];
                sum[lane] += f64::from(positives[lane]) * f64::from(found[lane]) / f64::from(all[lane].max(1));
            }
        }
        ratio(&sum, &found)
    }

    /// Returns AUROC: the probability that a positive image has a higher score than a negative one. And FPR95: the share of
    /// negative images at or above the highest score that has 95 % of the positive ones at or above it.
    pub(super) fn separation(&self, counts: &Counts) -> [Numbers; 2] {
        let all: Integers = counts.sum(&self.positives);
        let others: Integers = counts.sum(&self.negatives);
        let (mut found, mut passed) = ([0; LANES], [0; LANES]);
        let (mut pairs, mut false_positives) = ([0; LANES], [None; LANES]);
        for step in &self.steps {
            let [before, tied] = [&step.before, &step.tied].map(|range| counts.sum(&self.negatives[range.clone()]));
            let positives = counts.sum(&self.positives[step.positives.clone()]);
            for lane in 0..LANES {
                found[lane] += positives[lane];
                passed[lane] += before[lane] + tied[lane];
                let lower = u64::from(others[lane] - passed[lane]);
                pairs[lane] += u64::from(positives[lane]) * (2 * lower + u64::from(tied[lane]));
                if false_positives[lane].is_none() && 20 * u64::from(found[lane]) >= 19 * u64::from(all[lane]) {
                    false_positives[lane] = Some(passed[lane]);
                }
            }
        }
        let of = |lane: usize| 2.0 * f64::from(all[lane]) * f64::from(others[lane]);
        // No positive image: 95 % of them have no place.
        let share = |lane: usize| match all[lane] {
            0 => f64::NAN,
            _ => f64::from(false_positives[lane].unwrap_or_default()) / f64::from(others[lane]),
        };
        [std::array::from_fn(|lane| pairs[lane] as f64 / of(lane)), std::array::from_fn(share)]
    }

    /// Returns an image with the score that is the best threshold, and F1 there. Of equals, the highest score wins. Images
    /// without scores come last, and theirs is no threshold.
    pub(super) fn best_f1(&self, has_scores: impl Fn(u32) -> bool) -> Option<(u32, f64)> {
        let mut best = None;
        for step in &self.steps {
            let image = self.positives[step.positives.start];
            let (right, answers) = (step.positives.end, step.positives.end + step.tied.end);
            let f1 = 2.0 * right as f64 / (self.positives.len() + answers) as f64;
            if has_scores(image) && best.is_none_or(|(_, highest)| f1 > highest) {
                best = Some((image, f1));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_zeros_are_equal() {
        let ranking = Ranking::new([0.0, -0.0].into_iter(), |image| image == 0);
        let once = Counts::all(2).next().unwrap();
        assert_eq!(ranking.separation(&once).map(|lanes| lanes[0]), [0.5, 1.0]);
        assert_eq!(ranking.average_precision(&once)[0], 0.5);
    }
}
