//! The trait through which a backend holds the parts of a tower: tables, norms and linear layers.

use super::spec::LinearSpec;
use crate::Result;
use crate::checkpoint::WeightScope;

/// The forms that a backend holds weights in.
pub trait Parts: Sized + std::fmt::Debug {
    /// Rows of values: embeddings.
    type Table: std::fmt::Debug;
    /// Many rows, of which a batch reads a few: embeddings of tokens.
    type Lookup: std::fmt::Debug;
    /// A layer norm's parameters.
    type Norm: std::fmt::Debug;
    /// A product's weights and bias.
    type Linear: std::fmt::Debug;

    /// Takes values as rows [n, width].
    ///
    /// # Errors
    /// When the device fails.
    fn table(&self, values: Vec<f32>, width: usize) -> Result<Self::Table>;

    /// Finds the weight `name` as rows [n, width].
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    fn lookup(&self, weights: &WeightScope, name: &str, shape: [usize; 2]) -> Result<Self::Lookup>;

    /// Loads `weight` and `bias`.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    fn norm(&self, weights: &WeightScope, width: usize, eps: f64) -> Result<Self::Norm>;

    /// Loads products that take the same input, concatenated.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    fn linear(&self, weights: &WeightScope, spec: &LinearSpec) -> Result<Self::Linear>;
}
