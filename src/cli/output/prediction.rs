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

/// An image's predictions, or its failure.
pub type RecordBody<'a> = std::result::Result<Vec<Prediction<'a>>, &'a ImageError>;
