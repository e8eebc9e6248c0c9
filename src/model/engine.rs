//! Towers on the CPU's kernels: weights packed as they are read, a few matrices that are reused from block to block and
//! from batch to batch. How images and prompts become rows is in `stems.rs`, the arithmetic itself in `kernels`.

mod stems;

use std::sync::{Mutex, PoisonError};

use super::attention_rows::{self, Prompt, Rows};
use super::parts::Parts;
use super::spec::{BlockSpec, HiddenAct, LinearSpec, Mask, Order};
use super::tower::{AttentionPool, Block, Forward, Patches, Pooling, TokenEmbeddings, Tower};
use crate::Result;
use crate::checkpoint::{self as weights, WeightScope};
use crate::kernels::product::Then;
use crate::kernels::{ActivationFn, Element, Isa, Linear, Matrix, Norm};
use crate::kernels::{attention, layer_norm, layer_norm_in_place, product, product_columns};
use crate::preprocess::{Normalizer, Pixels};

/// Rows that go through the blocks together at most: with more, activations only grow out of the caches.
const ROWS: usize = 2400;

/// The CPU's kernels for one instruction set and precision, and the memory that they work in.
#[derive(Debug)]
pub struct Engine {
    isa: Isa,
    element: Element,
    spaces: Mutex<Vec<Workspace>>,
}

/// Rows of values [n, W].
#[derive(Debug)]
pub struct RowTable {
    values: Vec<f32>,
    width: usize,
}

impl RowTable {
    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

/// The matrices that a tower works in.
#[derive(Debug)]
struct Workspace {
    patches: Matrix,  // [B * N, 3 * P * P]
    x: Matrix,        // [R, W]
    rows: Matrix,     // [R, W], as the next product reads them
    wide: Matrix,     // [R, 3 W]
    hidden: Matrix,   // [R, M]
    pooled: Matrix,   // [B, W]
    queries: Matrix,  // [B, 3 W], of which the first third is used
    features: Matrix, // [B, D]
}

impl Engine {
    /// For products of `element` by the instruction set.
    pub fn new(isa: Isa, element: Element) -> Self {
        Self { isa, element, spaces: Mutex::default() }
    }

    /// Takes a space that no other thread uses.
    fn take(&self) -> Workspace {
        let free = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let exact = || Matrix::new(Element::F32);
        free.unwrap_or_else(|| Workspace {
            patches: exact(),
            x: exact(),
            rows: Matrix::new(self.element),
            wide: exact(),
            hidden: Matrix::new(self.element),
            pooled: exact(),
            queries: exact(),
            features: exact(),
        })
    }

    fn give_back(&self, space: Workspace) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }

    /// One block on the rows of `space.x`. The last one leaves those that stand for items in `space.pooled`, and computes
    /// of the others only what those look at: keys and values.
    fn block(&self, block: &Block<Self>, spec: &BlockSpec, batch: &Rows, last: bool, space: &mut Workspace) {
        let Workspace { x, rows, wide, hidden, pooled, queries, .. } = space;
        let store = Then::Store(ActivationFn::None);
        // What goes into a product, and what comes out of it and is added to `x`, by the place of the norms.
        let into = |x: &Matrix, norm: &Norm, rows: &mut Matrix| match spec.order {
            Order::PreNorm => layer_norm(x, norm, rows),
            Order::PostNorm => rows.copy(x),
        };
        let behind = |x: &mut Matrix, norm: &Norm| {
            if spec.order == Order::PostNorm {
                layer_norm_in_place(x, norm);
            }
        };
        into(x, &block.layer_norm1, rows);
        let x = if last {
            product_columns(rows, &block.qkv_proj, spec.width..3 * spec.width, wide, store);
            pooled.pick(x, &batch.ends);
            into(pooled, &block.layer_norm1, rows);
            product_columns(rows, &block.qkv_proj, 0..spec.width, queries, store);
            attention(self.isa, spec.heads, queries, wide, &batch.pooled, rows);
            pooled
        } else {
            product(rows, &block.qkv_proj, wide, store); // [R, 3 W]
            attention(self.isa, spec.heads, wide, wide, &batch.all, rows);
            x
        };
        product(rows, &block.out_proj, x, Then::Add);
        behind(x, &block.layer_norm1);
        into(x, &block.layer_norm2, rows);
        product(rows, &block.fc1, hidden, Then::Store(activation(spec.act))); // [R, M]
        product(hidden, &block.fc2, x, Then::Add);
        behind(x, &block.layer_norm2);
    }

    /// Runs the blocks on the rows of `space.x`, and appends the features of the items to `features`.
    fn finish<S>(&self, tower: &Tower<Self, S>, batch: &Rows, space: &mut Workspace, features: &mut Vec<f32>) {
        if let Some(norm) = &tower.pre_norm {
            layer_norm_in_place(&mut space.x, norm);
        }
        for (index, block) in tower.blocks.iter().enumerate() {
            let is_last = matches!(tower.pool, Pooling::Row) && index + 1 == tower.blocks.len();
            self.block(block, &tower.spec, batch, is_last, space);
        }
        self.pool(tower, batch, space);
        for (product_of, act) in &tower.head {
            let then = Then::Store(act.map_or(ActivationFn::None, activation));
            product(&space.pooled, product_of, &mut space.features, then); // [B, ..]
            std::mem::swap(&mut space.pooled, &mut space.features);
        }
        (0..batch.ends.len()).for_each(|item| features.extend_from_slice(space.pooled.row(item)));
    }

    /// Pools the rows of `space.x` into `space.pooled` [B, W], where the last block left the only row of each item already.
    fn pool<S>(&self, tower: &Tower<Self, S>, batch: &Rows, space: &mut Workspace) {
        let norm = |x: &mut Matrix| tower.post_norm.iter().for_each(|norm| layer_norm_in_place(x, norm));
        match &tower.pool {
            Pooling::Row => norm(&mut space.pooled),
            Pooling::Mean { skip, norm_first } => {
                if *norm_first {
                    norm(&mut space.x);
                }
                mean(&space.x, batch, *skip, &mut space.pooled);
                if !norm_first {
                    norm(&mut space.pooled);
                }
            }
            Pooling::Attention(pool) => {
                match &tower.post_norm {
                    Some(norm) => layer_norm(&space.x, norm, &mut space.rows),
                    None => space.rows.copy(&space.x),
                }
                self.attend(pool, &tower.spec, batch, space);
            }
        }
    }

    /// Lets a query attend to the rows of each item: from `space.rows` to `space.pooled`.
    fn attend(&self, pool: &AttentionPool<Self>, spec: &BlockSpec, batch: &Rows, space: &mut Workspace) {
        let Workspace { rows, wide, hidden, pooled, queries, .. } = space;
        let (width, store) = (spec.width, Then::Store(ActivationFn::None));
        product_columns(rows, &pool.in_proj, width..3 * width, wide, store);
        queries.shape(batch.ends.len(), 3 * width);
        (0..batch.ends.len()).for_each(|item| queries.row_mut(item)[..width].copy_from_slice(pool.query.row(0)));
        attention(self.isa, spec.heads, queries, wide, &batch.pooled, rows);
        product(rows, &pool.out_proj, pooled, store);
        layer_norm(pooled, &pool.layernorm, rows);
        product(rows, &pool.fc1, hidden, Then::Store(activation(spec.act))); // [B, M]
        product(hidden, &pool.fc2, pooled, Then::Add);
    }
}

/// Averages the rows of each item without the first `skip`: [R, W] -> [B, W].
fn mean(x: &Matrix, batch: &Rows, skip: usize, pooled: &mut Matrix) {
    pooled.shape(batch.items.len(), x.columns());
    for (item, rows) in batch.items.iter().enumerate() {
        let out = pooled.row_mut(item);
        out.fill(0.0);
        rows.clone().skip(skip).for_each(|row| out.iter_mut().zip(x.row(row)).for_each(|(sum, x)| *sum += x));
        let count = (rows.len() - skip) as f32;
        out.iter_mut().for_each(|sum| *sum /= count);
    }
}

fn activation(act: HiddenAct) -> ActivationFn {
    match act {
        HiddenAct::QuickGelu => ActivationFn::QuickGelu,
        HiddenAct::Gelu => ActivationFn::Gelu,
        HiddenAct::GeluPytorchTanh => ActivationFn::GeluTanh,
        HiddenAct::Relu => ActivationFn::Relu,
    }
}

impl Parts for Engine {
    type Table = RowTable;
    type Lookup = weights::WeightRows;
    type Norm = Norm;
    type Linear = Linear;

    fn table(&self, values: Vec<f32>, width: usize) -> Result<RowTable> {
        Ok(RowTable { values, width })
    }

    fn lookup(&self, weights: &WeightScope, name: &str, shape: [usize; 2]) -> Result<weights::WeightRows> {
        weights.rows(name, &shape)
    }

    fn norm(&self, weights: &WeightScope, width: usize, eps: f64) -> Result<Norm> {
        let (weight, bias) = (weights.values("weight", &[width])?, weights.values("bias", &[width])?);
        Ok(Norm::new(self.isa, weight, bias, eps))
    }

    fn linear(&self, weights: &WeightScope, spec: &LinearSpec) -> Result<Linear> {
        let element = if spec.exact { Element::F32 } else { self.element };
        // A weight that is missing is found before memory for the packed ones is asked for.
        let found: Vec<_> = spec.weights.iter().map(|name| weights.rows(name, spec.shape)).collect::<Result<_>>()?;
        let mut linear = Linear::new(self.isa, element, spec.input(), spec.output());
        for (index, rows) in found.iter().enumerate() {
            linear.pack(index * spec.shape[0], spec.shape[0], |row, values| rows.read(row, values))?;
        }
        for (index, name) in spec.biases.iter().enumerate() {
            linear.set_bias(index * spec.shape[0], &weights.values(name, &spec.shape[..1])?);
        }
        Ok(linear)
    }
}

impl Forward for Engine {
    fn images(
        &self,
        tower: &Tower<Self, Patches<Self>>,
        pixels: &[Pixels],
        normalizer: &Normalizer,
    ) -> Result<Vec<f32>> {
        let mut features = Vec::with_capacity(pixels.len() * tower.dim);
        let mut space = self.take();
        for some in stems::groups(&tower.stem.spec, pixels) {
            let batch = tower.stem.rows(tower.spec.mask, some, normalizer, &mut space);
            self.finish(tower, &batch, &mut space, &mut features);
        }
        self.give_back(space);
        Ok(features)
    }

    fn prompts(&self, tower: &Tower<Self, TokenEmbeddings<Self>>, prompts: &[&Prompt]) -> Result<Vec<f32>> {
        let mut features = Vec::with_capacity(prompts.len() * tower.dim);
        let mut space = self.take();
        let batch = tower.stem.rows(tower.spec.mask, prompts, &mut space)?;
        self.finish(tower, &batch, &mut space, &mut features);
        self.give_back(space);
        Ok(features)
    }

    fn batches(&self, mask: Mask, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        attention_rows::batches(mask, prompts, ROWS)
    }
}
