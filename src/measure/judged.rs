//! One image's scores against its truth, reduced to what the metrics need; and which labels are taken for which.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// An image with at most one truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The label that the image shows, or none of them.
    pub truth: Option<usize>,
    /// What its scores say. An image that failed has none.
    pub scored: Option<Scored>,
}

/// What one image's scores say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The label with the highest score, the first of equals.
    pub top: usize,
    /// Its score.
    pub score: f32,
    /// The labels ranked before the truth; all of them if no label is true.
    pub rank: usize,
    /// The truth's score; 0 if no label is true.
    pub truth_score: f32,
    /// The sum of squared differences between the scores and 1 for the truth, 0 for other labels.
    pub squares: f64,
    /// How much speaks for an image of none of the labels. Only the order among images matters.
    pub unknown: f32,
    /// The label that the image is given, the top one unless rules say otherwise. None: it was rejected.
    pub answer: Option<usize>,
}

impl Judged {
    /// Judges one image by its scores, in the labels' order. The lower its top score is, the more unknown it is.
    ///
    /// # Panics
    ///
    /// If there are no scores, or the truth is not among the labels.
    pub fn of(scores: &[f32], truth: Option<usize>) -> Self {
        let best = |best, label| if scores[label] > scores[best] { label } else { best };
        let top = (1..scores.len()).fold(0, best);
        let truth_score = truth.map_or(0.0, |truth| scores[truth]);
        let is_before =
            |(label, score): (usize, f32)| score > truth_score || (score == truth_score && Some(label) < truth);
        let rank = match truth {
            Some(_) => scores.iter().copied().enumerate().filter(|scored| is_before(*scored)).count(),
            None => scores.len(),
        };
        let target = |label| if Some(label) == truth { 1.0 } else { 0.0 };
        let squares = scores.iter().enumerate().map(|(label, score)| (f64::from(*score) - target(label)).powi(2)).sum();
        let score = scores[top];
        let scored = Scored { top, score, rank, truth_score, squares, unknown: -score, answer: Some(top) };
        Self { truth, scored: Some(scored) }
    }

    /// Judges an image that failed.
    pub fn failed(truth: Option<usize>) -> Self {
        Self { truth, scored: None }
    }

    /// Replaces how unknown the image is, and what it is given: nothing if it was rejected.
    pub fn with_answer(mut self, unknown: f32, answer: Option<usize>) -> Self {
        self.scored = self.scored.map(|scored| Scored { unknown, answer, ..scored });
        self
    }

    /// Returns the answer: none if the image failed or was rejected.
    pub fn answer(&self) -> Option<usize> {
        self.scored.and_then(|scored| scored.answer)
    }

    /// Returns whether the answer is the label that the image shows.
    pub fn is_right(&self) -> bool {
        self.truth.is_some() && self.answer() == self.truth
    }

    /// Returns whether the label that the image shows is among the best `k` of an image that was not rejected.
    pub(super) fn is_among(&self, k: usize) -> bool {
        self.truth.is_some() && self.scored.is_some_and(|scored| scored.answer.is_some() && scored.rank < k)
    }
}

/// Images of one truth with one wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confusion {
    /// The label that they show, or none of them.
    pub truth: Option<usize>,
    /// The label that they were taken for, or none if they were rejected.
    pub answer: Option<usize>,
    /// How many there are.
    pub images: usize,
}

/// Counts wrong answers, the most frequent first, then in the order of truths and answers. Failed images are left out.
pub fn confusions(images: &[Judged]) -> Vec<Confusion> {
    let mut counts = BTreeMap::new();
    for image in images.iter().filter(|image| image.scored.is_some() && image.answer() != image.truth) {
        *counts.entry((image.truth, image.answer())).or_default() += 1;
    }
    let confusion = |((truth, answer), images)| Confusion { truth, answer, images };
    let mut confusions: Vec<Confusion> = counts.into_iter().map(confusion).collect();
    confusions.sort_by_key(|confusion| Reverse(confusion.images));
    confusions
}
