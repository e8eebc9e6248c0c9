//! Logits -> scores -> the best of them. Plain slices: no tensor, no model.

/// How logits become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The labels share a probability of 1.
    Softmax,
    /// Each label has a probability of its own.
    Sigmoid,
}

impl Activation {
    /// Scores of `logits`, in their order, computed in f64 and rounded once.
    pub fn apply(self, logits: &[f32]) -> Vec<f32> {
        match self {
            Self::Softmax => {
                let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exp: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).collect();
                let sum: f64 = exp.iter().sum();
                exp.iter().map(|x| (x / sum) as f32).collect()
            }
            Self::Sigmoid => logits.iter().map(|&x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32).collect(),
        }
    }
}

/// How a checkpoint turns a cosine into a logit, and logits into scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Readout {
    /// What a cosine is multiplied with: `exp` of the checkpoint's `logit_scale`.
    pub scale: f64,
    /// What the checkpoint was trained for.
    pub activation: Activation,
}

impl Readout {
    /// The model's logit of a cosine.
    pub fn logit(&self, cosine: f64) -> f32 {
        (self.scale * cosine) as f32
    }
}

/// What one image scored against every label, in the labels' order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    logits: Vec<f32>,
    scores: Vec<f32>,
}

/// One label's place in the ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// The label's index.
    pub label: usize,
    /// Its score, 0 to 1.
    pub score: f32,
    /// The model's own logit, scale and bias in.
    pub logit: f32,
}

impl Scores {
    /// Scores from logits.
    pub fn new(logits: Vec<f32>, activation: Activation) -> Self {
        Self { scores: activation.apply(&logits), logits }
    }

    /// The scores in the labels' order.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The logits in the labels' order.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The best `k`, highest score first, ties in the order of the labels.
    pub fn top(&self, k: usize) -> Vec<Ranked> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        // The indices too: ties in the order of the labels.
        let best_first = |a: &usize, b: &usize| self.scores[*b].total_cmp(&self.scores[*a]).then(a.cmp(b));
        if (1..order.len()).contains(&k) {
            order.select_nth_unstable_by(k - 1, best_first);
            order.truncate(k);
        }
        order.sort_unstable_by(best_first);
        let ranked = |label| Ranked { label, score: self.scores[label], logit: self.logits[label] };
        order.into_iter().take(k).map(ranked).collect()
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
    }
}
