//! Logits -> an answer: which labels an image is given, and whether it shows none of them, on plain slices.
//!
//! The rule is the same for softmax and sigmoid. A background competes with the labels: its logit is the logarithm of the sum of
//! its rows' exponentials. An image is unknown if the background's logit is above the best label's, or if the best label's
//! score is under its threshold.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::embeddings::Embeddings;
use crate::kernels::similarity::Panels;
use crate::kernels::{Isa, probability};
use crate::score::{Activation, Ranked, Scores, Verdict};

/// A threshold that no score reaches: a label with it is never accepted.
pub const NEVER: f32 = 2.0;

/// Rules that turn logits into answers. The default changes no score and accepts the best label.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What logits are divided by before the activation.
    pub temperature: f64,
    /// The offset of each background row's logit: `[B]`. The rows stand behind the labels' rows.
    pub background: Vec<f64>,
    /// The least score of each answer, or nothing for 0: `[G]`.
    pub thresholds: Vec<f32>,
    /// Each label competes with the background alone, so that an image may have several answers.
    pub independent: bool,
    /// Ranks of labels whose scores are added up, such as species, then genera. The first rank is reported; a later one has
    /// the answer if no member of the ranks before it is accepted.
    pub ranks: Vec<Groups>,
}

impl Default for Decision {
    fn default() -> Self {
        Self { temperature: 1.0, background: Vec::new(), thresholds: Vec::new(), independent: false, ranks: Vec::new() }
    }
}

/// Labels, or groups of the rank before, that add up to one answer. Compiled classifiers hold them as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The name of each group: `[G]`.
    pub names: Vec<String>,
    /// The group of each label: `[L]`.
    pub of: Vec<usize>,
}

impl Groups {
    /// Joins the logits of each group: scores add up under softmax, and the largest counts under sigmoid.
    fn join(&self, logits: &[f32], activation: Activation) -> Vec<f32> {
        assert_eq!(self.of.len(), logits.len(), "every label has a group");
        let members = || self.of.iter().zip(logits.iter().map(|&logit| f64::from(logit)));
        let mut largest = vec![f64::NEG_INFINITY; self.names.len()];
        members().for_each(|(&group, logit)| largest[group] = largest[group].max(logit));
        let mut sums = vec![0f64; self.names.len()];
        match activation {
            Activation::Sigmoid => sums.fill(1.0),
            Activation::Softmax => {
                members().for_each(|(&group, logit)| sums[group] += (logit - largest[group]).exp());
            }
        }
        largest.iter().zip(sums).map(|(largest, sum)| (largest + sum.ln()) as f32).collect()
    }
}

impl Decision {
    /// Returns the scores of labels or groups `[G]`, and the answer. `logits` are those of L labels and of the B rows of the
    /// background behind them. Answers are numbered through all ranks.
    ///
    /// # Panics
    /// If there are fewer logits than background rows, or other numbers of labels or answers than the groups and thresholds.
    pub fn judge(&self, logits: &[f32], activation: Activation) -> Scores {
        let (labels, background) = logits.split_at(logits.len() - self.background.len());
        let finest = |logits: Vec<f32>| match self.ranks.first() {
            Some(groups) => groups.join(&logits, activation),
            None => logits,
        };
        let mut own = finest(labels.to_vec()); // [G], the model's own
        let cool = |&logit: &f32| (f64::from(logit) / self.temperature) as f32;
        let is_cooled = self.temperature != 1.0;
        let mut cooled = if is_cooled { finest(labels.iter().map(cool).collect()) } else { own.clone() };
        let background = self.background_logit(background);
        let (scores, share) = self.scores(cooled.clone(), background, activation);
        let scores = Scores::from_parts(own.clone(), scores);
        let mut accepted = self.accepted(0, &scores, &cooled, background);
        let mut first = cooled.len();
        for groups in self.ranks.iter().skip(1) {
            if !accepted.is_empty() {
                break;
            }
            own = groups.join(&own, activation);
            cooled = groups.join(&cooled, activation);
            let joined = Scores::from_parts(own.clone(), self.scores(cooled.clone(), background, activation).0);
            accepted = self.accepted(first, &joined, &cooled, background);
            first += cooled.len();
        }
        scores.with_verdict(Verdict { accepted, unknown: share })
    }

    /// Returns the logarithm of the sum of the rows' exponentials, if there are rows.
    fn background_logit(&self, rows: &[f32]) -> Option<f32> {
        let own = |(&logit, offset): (&f32, &f64)| f64::from(logit) / self.temperature + offset;
        let cooled: Vec<f64> = rows.iter().zip(&self.background).map(own).collect();
        (!rows.is_empty()).then(|| probability::log_sum_exp(Isa::best(), &cooled) as f32)
    }

    /// Returns the scores [G] of logits [G], and the background's share.
    fn scores(&self, mut logits: Vec<f32>, background: Option<f32>, activation: Activation) -> (Vec<f32>, Option<f32>) {
        let Some(background) = background else { return (activation.apply(&logits), None) };
        if self.independent {
            let against = |logit: &f32| (f64::from(*logit) - f64::from(background)) as f32;
            let scores = Activation::Sigmoid.apply(&logits.iter().map(against).collect::<Vec<_>>());
            let share = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let share = Activation::Sigmoid.apply(&[(f64::from(background) - f64::from(share)) as f32])[0];
            return (scores, Some(share));
        }
        let own = (activation == Activation::Sigmoid).then(|| activation.apply(&logits));
        logits.push(background);
        let mut shares = Activation::Softmax.apply(&logits);
        let share = shares.pop();
        (own.unwrap_or(shares), share)
    }

    /// Returns the accepted answers of a rank, highest score first. `first` is the number of its first answer.
    fn accepted(&self, first: usize, scores: &Scores, logits: &[f32], background: Option<f32>) -> Vec<Ranked> {
        let is_enough = |ranked: &Ranked| {
            background.is_none_or(|background| logits[ranked.label] >= background)
                && self.thresholds.get(first + ranked.label).is_none_or(|least| ranked.score >= *least)
        };
        // Scores may be equal where logits are not: two that are near 1.
        let mut best: Vec<usize> = (0..logits.len()).collect();
        if self.independent {
            best.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        } else {
            best = best.into_iter().reduce(|a, b| if logits[b] > logits[a] { b } else { a }).into_iter().collect();
        }
        let ranked = |label| Ranked { label, score: scores.scores()[label], logit: scores.logits()[label] };
        let accepted = best.into_iter().map(ranked).filter(is_enough);
        accepted.map(|ranked| Ranked { label: first + ranked.label, ..ranked }).collect()
    }
}

/// Returns the entries of a background `list` [N, D] that are apart from the `labels` [L, D]: those that have another entry
/// nearer to them than every label is. Ranks carry over from one checkpoint to another, and cosines do not.
///
/// # Panics
/// If the dimensions differ.
pub fn apart(labels: &Embeddings, list: &Embeddings) -> Vec<usize> {
    assert_eq!(labels.dim(), list.dim(), "embeddings of one model");
    let [labels, entries] = [labels, list].map(|rows| Panels::new(rows.values(), rows.dim()));
    let nearest = |panels: &Panels, row: &[f32], but: Option<usize>| {
        let mut cosines = Vec::new();
        panels.cosines(Isa::best(), row, &mut cosines);
        let others = cosines.into_iter().enumerate().filter(|(at, _)| Some(*at) != but);
        others.map(|(_, cosine)| cosine).fold(f64::NEG_INFINITY, f64::max)
    };
    let is_apart = |entry: &usize| {
        let row = list.row(*entry);
        nearest(&entries, row, Some(*entry)) > nearest(&labels, row, None)
    };
    (0..list.len()).into_par_iter().filter(is_apart).collect()
}

/// Returns the offset of a row of a background list of `entries`: together they weigh as much as the `labels`, as if an image
/// were as likely to show something else as one of the labels, and each entry as likely as the next. A list shorter than that
/// has no offset.
pub fn list_offset(labels: usize, entries: usize) -> f64 {
    (labels as f64 / entries.max(1) as f64).ln().min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [3.0, 1.0, 2.0, 2.5, -1.0]; // two of them background

    fn with_background() -> Decision {
        Decision { background: vec![0.0, 0.0], ..Decision::default() }
    }

    fn answers(judged: &Scores) -> Vec<usize> {
        judged.verdict().unwrap().accepted.iter().map(|ranked| ranked.label).collect()
    }

    fn close(a: f32, b: f64) {
        assert!((f64::from(a) - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn no_rule_gives_the_scores_of_the_activation() {
        for activation in [Activation::Softmax, Activation::Sigmoid] {
            let judged = Decision::default().judge(&LOGITS, activation);
            assert_eq!(judged.scores(), Scores::new(LOGITS.to_vec(), activation).scores());
            assert_eq!((answers(&judged), judged.verdict().unwrap().unknown), (vec![0], None));
        }
    }

    #[test]
    fn the_background_takes_its_share() {
        let judged = with_background().judge(&LOGITS, Activation::Softmax);
        let sum: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
        close(judged.scores()[0], 3f64.exp() / sum);
        let verdict = judged.verdict().unwrap();
        close(verdict.unknown.unwrap(), (2.5f64.exp() + (-1f64).exp()) / sum);
        assert_eq!(answers(&judged), [0]);
        // An offset of 1 lifts the background above the best label.
        let lifted = Decision { background: vec![1.0, 1.0], ..Decision::default() };
        for activation in [Activation::Softmax, Activation::Sigmoid] {
            assert!(answers(&lifted.judge(&LOGITS, activation)).is_empty());
        }
    }

    #[test]
    fn a_sigmoid_score_does_not_change_beside_a_background() {
        let judged = with_background().judge(&LOGITS, Activation::Sigmoid);
        assert_eq!(judged.scores(), Activation::Sigmoid.apply(&LOGITS[..3]));
        assert_eq!(answers(&judged), [0]);
    }

    #[test]
    fn independent_labels_compete_with_the_background_alone() {
        let independent = Decision { independent: true, background: vec![0.0], ..Decision::default() };
        let judged = independent.judge(&[3.0, 1.0, 2.5, 2.0], Activation::Softmax);
        close(judged.scores()[1], 1.0 / (1.0 + 1f64.exp()));
        let verdict = judged.verdict().unwrap();
        assert_eq!(answers(&judged), [0, 2]);
        close(verdict.unknown.unwrap(), 1.0 / (1.0 + 1f64.exp()));
    }

    #[test]
    fn answers_are_ordered_by_logits_where_scores_are_equal() {
        let sharp = Decision { independent: true, temperature: 0.01, background: vec![0.0], ..Decision::default() };
        let judged = sharp.judge(&[7.0, 9.0, 8.0, 1.0], Activation::Softmax);
        assert_eq!((judged.scores(), answers(&judged)), (&[1.0; 3][..], vec![1, 2, 0]));
    }

    #[test]
    fn scores_of_a_group_add_up() {
        let groups = Groups { names: vec!["cat".into(), "dog".into()], of: vec![0, 1, 0] };
        let grouped = Decision { ranks: vec![groups], ..Decision::default() };
        let logits = [1.0, 1.5, 1.2];
        let single = Activation::Softmax.apply(&logits);
        let judged = grouped.judge(&logits, Activation::Softmax);
        close(judged.scores()[0], f64::from(single[0]) + f64::from(single[2]));
        close(judged.logits()[0], (1f64.exp() + 1.2f64.exp()).ln());
        assert_eq!(answers(&judged), [0], "the sum counts, not the best label");
        let judged = grouped.judge(&logits, Activation::Sigmoid);
        assert_eq!((judged.scores().len(), judged.logits()), (2, &[1.2, 1.5][..]));
    }

    #[test]
    fn the_finest_rank_that_is_sure_has_the_answer() {
        let genus = Groups { names: vec!["Canis".into(), "Felis".into()], of: vec![0, 0, 1] };
        let species = Groups { names: vec!["wolf".into(), "dog".into(), "cat".into()], of: vec![0, 1, 2] };
        let ranks = vec![species, genus];
        let logits = [2.0, 1.9, 0.0];
        let answer = |least: [f32; 5]| {
            let decision = Decision { ranks: ranks.clone(), thresholds: least.to_vec(), ..Decision::default() };
            decision.judge(&logits, Activation::Softmax)
        };
        let single = Activation::Softmax.apply(&logits); // 0.49, 0.44, 0.07
        assert_eq!(answers(&answer([0.4; 5])), [0]);
        let joined = answer([0.6; 5]);
        assert_eq!(answers(&joined), [3], "Canis, behind the three species");
        close(joined.verdict().unwrap().accepted[0].score, f64::from(single[0]) + f64::from(single[1]));
        assert_eq!((joined.scores().len(), answers(&answer([1.0; 5]))), (3, vec![]));
    }

    #[test]
    fn a_temperature_divides_logits_and_leaves_the_model_s_own() {
        let hot = Decision { temperature: 2.0, ..with_background() };
        let judged = hot.judge(&LOGITS, Activation::Softmax);
        assert_eq!(judged.logits(), &LOGITS[..3]);
        let halves: Vec<f32> = LOGITS.iter().map(|x| x / 2.0).collect();
        let expected = with_background().judge(&halves, Activation::Softmax);
        assert_eq!((judged.scores(), answers(&judged)), (expected.scores(), answers(&expected)));
        assert_eq!(judged.verdict().unwrap().unknown, expected.verdict().unwrap().unknown);
    }

    #[test]
    fn higher_thresholds_accept_less() {
        for independent in [false, true] {
            let mut before = usize::MAX;
            for step in 0..=20 {
                let thresholds = vec![step as f32 / 20.0; 3];
                let decision = Decision { thresholds, independent, ..with_background() };
                let accepted = answers(&decision.judge(&LOGITS, Activation::Softmax)).len();
                assert!(accepted <= before);
                before = accepted;
            }
            assert_eq!(before, 0, "no score is 1 beside a background");
        }
    }
}
