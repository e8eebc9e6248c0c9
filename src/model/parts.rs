//! The parts of a tower, in the forms that a backend holds weights in.

use super::spec::LinearSpec;
use crate::Result;
use crate::checkpoint::Scope;

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

    /// Loads the weight `name` as rows [n, width].
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    fn table(&self, weights: &Scope, name: &str, shape: &[usize], width: usize) -> Result<Self::Table>;

    /// Finds the weight `name` as rows [n, width].
    ///
    /// # Errors
    /// As [`Self::table`].
    fn lookup(&self, weights: &Scope, name: &str, shape: [usize; 2]) -> Result<Self::Lookup>;

    /// Loads `weight` and `bias`.
    ///
    /// # Errors
    /// As [`Self::table`].
    fn norm(&self, weights: &Scope, width: usize, eps: f64) -> Result<Self::Norm>;

    /// Loads products of one input, one after another.
    ///
    /// # Errors
    /// As [`Self::table`].
    fn linear(&self, weights: &Scope, spec: &LinearSpec) -> Result<Self::Linear>;
}
