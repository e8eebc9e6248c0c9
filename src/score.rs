//! Logits -> scores -> the best of them, on plain slices.

use std::cmp::Reverse;

use crate::kernels::{Isa, probability};

/// Scores examined together for the highest.
const TOGETHER: usize = 16;

/// How logits become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The labels share a probability of 1.
    Softmax,
    /// Each label has its own probability.
    Sigmoid,
}

impl Activation {
    /// Computes the scores of `logits`, in their order, in f64 and rounded once.
    pub fn apply(self, logits: &[f32]) -> Vec<f32> {
        let mut scores = vec![0.0; logits.len()];
        match self {
            Self::Softmax => probability::softmax(Isa::best(), logits, &mut scores),
            Self::Sigmoid => probability::sigmoid(Isa::best(), logits, &mut scores),
        }
        scores
    }
}

/// How a checkpoint turns a cosine into a logit, and logits into scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Readout {
    /// The factor of a cosine: `exp` of the checkpoint's `logit_scale`.
    pub scale: f64,
    /// The bias added to that.
    pub bias: f64,
    /// The activation that the checkpoint was trained for.
    pub activation: Activation,
}

impl Readout {
    /// Returns the model's logit of a cosine.
    pub fn logit(&self, cosine: f64) -> f32 {
        (self.scale * cosine + self.bias) as f32
    }
}

/// The scores of one image against every label, in the labels' order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    logits: Vec<f32>,
    scores: Vec<f32>,
    verdict: Option<Verdict>,
}

/// What an image is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The accepted labels or groups, highest score first. None: the image is unknown.
    pub accepted: Vec<Ranked>,
    /// The background's share, 0 to 1, if there is a background.
    pub unknown: Option<f32>,
}

/// One label's place in the ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// The label's index.
    pub label: usize,
    /// Its score, 0 to 1.
    pub score: f32,
    /// The model's own logit, including scale and bias.
    pub logit: f32,
}

impl Scores {
    /// Creates scores from logits.
    pub fn new(logits: Vec<f32>, activation: Activation) -> Self {
        let scores = activation.apply(&logits);
        Self::from_parts(logits, scores)
    }

    /// Creates scores that were computed from logits.
    ///
    /// # Panics
    /// If the numbers differ.
    pub fn from_parts(logits: Vec<f32>, scores: Vec<f32>) -> Self {
        assert_eq!(logits.len(), scores.len(), "every logit has a score");
        Self { logits, scores, verdict: None }
    }

    /// Returns the same scores with the answer that they lead to.
    pub fn with_verdict(self, verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..self }
    }

    /// Returns the answer, if one was asked for.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Returns the scores in the labels' order.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Returns the logits in the labels' order.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Returns the best `k`, highest score first, ties in the order of the labels.
    pub fn top(&self, k: usize) -> Vec<Ranked> {
        // The bits of nonnegative numbers sort like the numbers.
        let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).fold(0, u32::max);
        let highest: Vec<u32> = self.scores.chunks(TOGETHER).map(bits).collect();
        // At least this many are as high or higher, so lower ones are not among the best.
        let floor = match k.checked_sub(1) {
            Some(last) if k < highest.len() => *highest.clone().select_nth_unstable_by(last, |a, b| b.cmp(a)).1,
            _ => 0,
        };
        let mut best = Vec::new();
        for (start, _) in (0..).step_by(TOGETHER).zip(&highest).filter(|(_, highest)| **highest >= floor) {
            let some = start..(start + TOGETHER).min(self.scores.len());
            best.extend(some.map(|label| (Reverse(self.scores[label].to_bits()), label)));
        }
        if k < best.len() {
            best.select_nth_unstable(k);
            best.truncate(k);
        }
        best.sort_unstable();
        let ranked = |(_, label)| Ranked { label, score: self.scores[label], logit: self.logits[label] };
        best.into_iter().map(ranked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_one_label_is_one() {
        assert_eq!(Activation::Softmax.apply(&[-3.5]), [1.0]);
    }

    #[test]
    fn softmax_holds_at_extremes() {
        let scores = Activation::Softmax.apply(&[1e4, -1e4, 1e4]);
        assert_eq!(scores, [0.5, 0.0, 0.5]);
        assert_eq!(Activation::Sigmoid.apply(&[-1e4, 0.0, 1e4]), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn top_keeps_ties_in_label_order() {
        let scores = Scores::new(vec![1.0, 2.0, 1.0, 2.0], Activation::Softmax);
        let order: Vec<usize> = scores.top(3).iter().map(|r| r.label).collect();
        assert_eq!(order, [1, 3, 0]);
        assert!(scores.top(0).is_empty() && scores.top(9).len() == 4);
        let many: Vec<f32> = (0..500).map(|i| (i * 7919 % 83) as f32 / 8.0).collect();
        let scores = Scores::new(many, Activation::Sigmoid);
        let all = scores.top(500);
        assert!(all.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.label < b.label)));
        for k in [1, 2, 5, 82, 84, 250, 499] {
            assert_eq!(scores.top(k), all[..k], "{k}");
        }
    }
}
