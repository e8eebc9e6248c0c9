//! What a record says about one image.

use zsic::ImageError;

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
