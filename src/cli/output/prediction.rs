//! What a record says about one image.

use zsic::score::Ranked;
use zsic::{ImageError, Scores};

use super::super::args::Output;

/// A label in a record.
pub struct Prediction<'a> {
    /// Its place among the labels.
    pub index: usize,
    pub label: &'a str,
    pub score: f32,
    /// Set if it is to be printed.
    pub logit: Option<f32>,
}

/// What an image is given.
pub struct Answer<'a> {
    /// Accepted labels, highest score first.
    pub accepted: Vec<&'a str>,
    /// Their places among all answers.
    pub places: Vec<usize>,
    /// The background's share, if there is a background.
    pub unknown: Option<f32>,
}

/// An image's labels, and its answer if one was asked for.
#[derive(Default)]
pub struct Predictions<'a> {
    /// Highest score first.
    pub ranked: Vec<Prediction<'a>>,
    pub answer: Option<Answer<'a>>,
    /// How far the answer is from another one, where that is asked for.
    pub margin: Option<f32>,
}

impl<'a> Predictions<'a> {
    /// Returns what the record of `scores` shows. An answer of a later rank comes before the labels that it is made of.
    pub fn of(output: &Output, columns: Columns, names: &'a [String], scores: &Scores) -> Self {
        let accepted = scores.verdict().filter(|_| columns.accepted).map_or(&[][..], |verdict| &verdict.accepted);
        let later = accepted.iter().copied().filter(|answer| answer.label >= scores.scores().len());
        let best = scores.top(output.top_k.unwrap_or(usize::MAX));
        let ranked = later.chain(best).filter(|ranked| ranked.score >= output.min_score);
        let ranked = ranked.take(output.top_k.unwrap_or(usize::MAX));
        let logit = |logit| output.logits.then_some(logit);
        let prediction =
            |r: Ranked| Prediction { index: r.label, label: &names[r.label], score: r.score, logit: logit(r.logit) };
        let answer = scores.verdict().filter(|_| columns.accepted).map(|verdict| Answer {
            accepted: verdict.accepted.iter().map(|answer| &*names[answer.label]).collect(),
            places: verdict.accepted.iter().map(|answer| answer.label).collect(),
            unknown: verdict.unknown,
        });
        Self { ranked: ranked.map(prediction).collect(), answer, margin: None }
    }

    /// Returns whether a label is accepted, if an answer was asked for.
    pub fn accepts(&self, prediction: &Prediction) -> Option<bool> {
        self.answer.as_ref().map(|answer| answer.places.contains(&prediction.index))
    }
}

/// An image's predictions, or its failure.
pub type RecordBody<'a> = std::result::Result<Predictions<'a>, &'a ImageError>;

/// The columns of CSV and Parquet that not every run has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns {
    pub logits: bool,
    pub accepted: bool,
}
