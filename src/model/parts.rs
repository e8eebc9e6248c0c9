//! What runs towers: how it holds weights (`Parts`), and how it encodes (`Run`). There are two: candle's tensors
//! (`tensors.rs`) and the CPU's kernels (`engine.rs`).

use super::rows::Prompt;
use super::spec::{LinearSpec, Mask};
use super::tower::{Patches, Tokens, Tower};
use crate::Result;
use crate::checkpoint::Scope;
use crate::preprocess::{Normalizer, Pixels};

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

/// A backend. The bits of an item's features depend on no other item.
pub trait Run: Parts {
    /// Encodes images of the tower's size: features [B, D], row after row.
    ///
    /// # Errors
    /// When the device fails.
    fn images(
        &self,
        tower: &Tower<Self, Patches<Self>>,
        pixels: &[Pixels],
        normalizer: &Normalizer,
    ) -> Result<Vec<f32>>;

    /// Encodes prompts of one of [`Self::batches`]: features [B, D], row after row.
    ///
    /// # Errors
    /// When the device fails.
    fn prompts(&self, tower: &Tower<Self, Tokens<Self>>, prompts: &[&Prompt]) -> Result<Vec<f32>>;

    /// Returns batches of prompts to encode together, as indices.
    fn batches(&self, mask: Mask, prompts: &[Prompt]) -> Vec<Vec<usize>>;
}
