//! What a processor does for a tower: the operations between weights and features, on matrices of its own.

use std::fmt::Debug;
use std::ops::Range;

use super::super::spec::{BlockSpec, LinearSpec};
use crate::Result;
use crate::checkpoint::WeightRows;
use crate::kernels::product::Then;
use crate::kernels::{ActivationFn, Attends};
use crate::preprocess::{Normalizer, Pixels};

/// What a matrix is for, which decides the form of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// f32, which results are added to.
    Values,
    /// What products of the blocks read.
    Operands,
    /// What the patches' product reads.
    Patches,
    /// Queries, keys and values, side by side.
    Heads,
}

/// Rows of values [n, W] in the CPU's memory.
#[derive(Debug)]
pub struct RowTable {
    /// Row after row.
    pub values: Vec<f32>,
    /// Values in a row.
    pub width: usize,
}

impl RowTable {
    /// Returns a row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

/// An image of a batch, and which of its rows a row is.
pub type Place = (usize, usize);

/// A processor: the CPU, or a GPU. Results are in the order of the calls; those on a GPU may still be computed when a call
/// returns. Each method fails when the device does.
#[allow(missing_docs)] // the operations are those of `kernels`
pub trait Processor: Debug + Sized + Send + Sync {
    type Matrix: Debug + Send;
    type Table: Debug + Send + Sync;
    type Norm: Debug + Send + Sync;
    type Linear: Debug + Send + Sync;
    /// Which rows attend to which, as attention reads it.
    type Attending<'a>;

    /// Whether prompts share the rows of a common beginning.
    const SHARES_ROWS: bool;

    /// Returns the most rows that go through the blocks together.
    fn rows(&self) -> usize;
    /// Makes an empty matrix.
    fn matrix(&self, role: Role) -> Self::Matrix;
    /// Puts rows [n, W] into its memory.
    fn table(&self, table: RowTable) -> Result<Self::Table>;
    /// Returns the rows of a table.
    fn table_rows(table: &Self::Table) -> &RowTable;
    fn norm(&self, weight: Vec<f32>, bias: Vec<f32>, eps: f64) -> Result<Self::Norm>;
    /// Takes products of one input, one after another. Without biases there are none.
    fn linear(&self, spec: &LinearSpec, weights: &[WeightRows], biases: &[Vec<f32>]) -> Result<Self::Linear>;
    fn attending<'a>(&self, attends: &'a Attends, spec: &BlockSpec) -> Result<Self::Attending<'a>>;

    /// Puts rows [n, W] into x.
    fn put(&self, rows: &RowTable, x: &mut Self::Matrix) -> Result<()>;
    /// Appends the values of x to `out`, row after row.
    fn take(&self, x: &Self::Matrix, out: &mut Vec<f32>) -> Result<()>;
    /// Puts patches into x, a row for each of `places`, which count an image's patches from 0.
    fn patches(
        &self,
        pixels: &[Pixels],
        places: &[Place],
        normalizer: &Normalizer,
        patch: usize,
        x: &mut Self::Matrix,
    ) -> Result<()>;
    /// Sums the rows of images, a row for each of `places`: a patch's value, or the class row's where there is one, and its
    /// position. `resized` has the positions of images that need other ones than the table's.
    fn add_positions(
        &self,
        patches: &Self::Matrix,
        class: Option<&Self::Table>,
        places: &[Place],
        positions: (&Self::Table, &[Option<Vec<f32>>]),
        x: &mut Self::Matrix,
    ) -> Result<()>;

    fn product(&self, x: &Self::Matrix, linear: &Self::Linear, y: &mut Self::Matrix, then: Then) -> Result<()>;
    /// Computes some columns of a product. When storing, the other values of y are unspecified.
    fn product_columns(
        &self,
        x: &Self::Matrix,
        linear: &Self::Linear,
        columns: Range<usize>,
        y: &mut Self::Matrix,
    ) -> Result<()>;
    fn layer_norm(&self, x: &Self::Matrix, norm: &Self::Norm, y: &mut Self::Matrix) -> Result<()>;
    fn layer_norm_in_place(&self, x: &mut Self::Matrix, norm: &Self::Norm) -> Result<()>;
    /// Computes attention of the queries in the first third of `q` to the keys and values in the others of `kv`.
    fn attention(
        &self,
        heads: usize,
        q: &Self::Matrix,
        kv: &Self::Matrix,
        attending: &Self::Attending<'_>,
        y: &mut Self::Matrix,
    ) -> Result<()>;
    /// Picks rows of x.
    fn pick(&self, x: &Self::Matrix, rows: &[usize], y: &mut Self::Matrix) -> Result<()>;
    /// Copies x as operands.
    fn copy(&self, x: &Self::Matrix, y: &mut Self::Matrix) -> Result<()>;
    /// Averages the rows of each item without the first `skip`.
    fn mean(&self, x: &Self::Matrix, items: &[Range<usize>], skip: usize, y: &mut Self::Matrix) -> Result<()>;
    /// Puts the only row of a table into the queries of `count` items.
    fn repeat(&self, query: &Self::Table, count: usize, y: &mut Self::Matrix) -> Result<()>;
}

/// A product without a nonlinearity.
pub const STORE: Then = Then::Store(ActivationFn::None);
