//! Towers on the CPU's kernels: weights packed as they are read, a few matrices that are reused from block to block and
//! from batch to batch. The arithmetic itself is in `kernels`.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::config::HiddenAct;
use super::encoder::{Block, EncoderSpec};
use super::rows::{self, Prompt, Rows};
use super::tower::{Items, LinearSpec, Parts, Stem, Tower};
use crate::Result;
use crate::checkpoint::{self as weights, Scope};
use crate::kernels::product::Then;
use crate::kernels::{Activation, Element, Isa, Linear, Matrix, Norm};
use crate::kernels::{attention, layer_norm, layer_norm_in_place, product, product_columns};

/// Rows that go through the blocks together at most: with more, activations only grow out of the caches.
const ROWS: usize = 2400;

/// The CPU's kernels for one instruction set and precision, and the memory that they work in.
#[derive(Debug)]
pub struct Engine {
    isa: Isa,
    element: Element,
    spaces: Mutex<Vec<Space>>,
}

/// Rows of values [n, W].
#[derive(Debug)]
pub struct Table {
    values: Vec<f32>,
    width: usize,
}

impl Table {
    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

/// The matrices that a tower works in.
#[derive(Debug)]
struct Space {
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

    /// A space that no other thread uses.
    fn take(&self) -> Space {
        let free = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let exact = || Matrix::new(Element::F32);
        free.unwrap_or_else(|| Space {
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

    fn give_back(&self, space: Space) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }

    /// One block on the rows of `space.x`. The last one leaves those that stand for items in `space.pooled`, and computes
    /// of the others only what those look at: keys and values.
    fn block(&self, block: &Block<Self>, spec: &EncoderSpec, batch: &Rows, last: bool, space: &mut Space) {
        let Space { x, rows, wide, hidden, pooled, queries, .. } = space;
        let store = Then::Store(Activation::None);
        layer_norm(x, &block.layer_norm1, rows);
        let x = if last {
            product_columns(rows, &block.qkv_proj, spec.width..3 * spec.width, wide, store);
            pooled.pick(x, &batch.ends);
            layer_norm(pooled, &block.layer_norm1, rows);
            product_columns(rows, &block.qkv_proj, 0..spec.width, queries, store);
            attention(self.isa, spec.heads, queries, wide, &batch.pooled, rows);
            pooled
        } else {
            product(rows, &block.qkv_proj, wide, store); // [R, 3 W]
            attention(self.isa, spec.heads, wide, wide, &batch.all, rows);
            x
        };
        product(rows, &block.out_proj, x, Then::Add);
        layer_norm(x, &block.layer_norm2, rows);
        product(rows, &block.fc1, hidden, Then::Store(activation(spec.act))); // [R, M]
        product(hidden, &block.fc2, x, Then::Add);
    }

    /// Features of items whose rows fit together.
    fn encode_group(
        &self,
        tower: &Tower<Self>,
        items: Items,
        space: &mut Space,
        features: &mut Vec<f32>,
    ) -> Result<()> {
        let batch = stem(&tower.stem, tower.spec.width, items, space)?;
        if let Some(norm) = &tower.pre_norm {
            layer_norm_in_place(&mut space.x, norm);
        }
        for (index, block) in tower.blocks.iter().enumerate() {
            self.block(block, &tower.spec, &batch, index + 1 == tower.blocks.len(), space);
        }
        layer_norm_in_place(&mut space.pooled, &tower.post_norm);
        product(&space.pooled, &tower.projection, &mut space.features, Then::Store(Activation::None)); // [B, D]
        (0..items.count()).for_each(|item| features.extend_from_slice(space.features.row(item)));
        Ok(())
    }
}

/// Rows of items into `space.x` [R, W].
fn stem(stem: &Stem<Engine>, width: usize, items: Items, space: &mut Space) -> Result<Rows> {
    match (stem, items) {
        (Stem::Patches { class, kernel, positions, patch }, Items::Images(pixels, normalizer)) => {
            let count = positions.values.len() / width - 1;
            let Space { patches, x, wide, .. } = space;
            patches.shape(pixels.len() * count, kernel.input());
            let stride = patches.stride();
            patches.words_mut().par_chunks_mut(stride).enumerate().for_each(|(row, out)| {
                normalizer.patch(&pixels[row / count], *patch, row % count, &mut out[..kernel.input()]);
            });
            product(patches, kernel, wide, Then::Store(Activation::None)); // [B * N, W]
            x.shape(pixels.len() * (1 + count), width);
            let stride = x.stride();
            x.words_mut().par_chunks_mut(stride).enumerate().for_each(|(row, out)| {
                let (item, at) = (row / (1 + count), row % (1 + count));
                let value = if at == 0 { class.row(0) } else { wide.row(item * count + at - 1) };
                sum(value, positions.row(at), out);
            });
            Ok(Rows::images(pixels.len(), 1 + count))
        }
        (Stem::Tokens { tokens, positions }, Items::Prompts(prompts)) => {
            let rows = Rows::prompts(prompts);
            space.x.shape(rows.tokens.len(), width);
            for (row, &(id, position)) in rows.tokens.iter().enumerate() {
                let x = space.x.row_mut(row);
                tokens.read(id as usize, x)?;
                x.iter_mut().zip(positions.row(position)).for_each(|(x, position)| *x += position);
            }
            Ok(rows)
        }
        _ => unreachable!("images go to image towers, and prompts to text towers"),
    }
}

fn sum(a: &[f32], b: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a + b);
}

fn activation(act: HiddenAct) -> Activation {
    match act {
        HiddenAct::QuickGelu => Activation::QuickGelu,
        HiddenAct::Gelu => Activation::Gelu,
        HiddenAct::GeluPytorchTanh => Activation::GeluTanh,
        HiddenAct::Relu => Activation::Relu,
    }
}

impl Parts for Engine {
    type Table = Table;
    type Lookup = weights::Rows;
    type Norm = Norm;
    type Linear = Linear;

    fn table(&self, weights: &Scope, name: &str, shape: &[usize], width: usize) -> Result<Table> {
        Ok(Table { values: weights.values(name, shape)?, width })
    }

    fn lookup(&self, weights: &Scope, name: &str, shape: [usize; 2]) -> Result<weights::Rows> {
        weights.rows(name, &shape)
    }

    fn norm(&self, weights: &Scope, width: usize, eps: f64) -> Result<Norm> {
        let (weight, bias) = (weights.values("weight", &[width])?, weights.values("bias", &[width])?);
        Ok(Norm::new(self.isa, weight, bias, eps))
    }

    fn linear(&self, weights: &Scope, spec: &LinearSpec) -> Result<Linear> {
        let element = if spec.exact { Element::F32 } else { self.element };
        // A weight that is missing is found before memory for the packed ones is asked for.
        let found = |name: &&str| weights.rows(&format!("{name}.weight"), spec.shape);
        let found: Vec<_> = spec.names.iter().map(found).collect::<Result<_>>()?;
        let mut linear = Linear::new(self.isa, element, spec.input(), spec.output());
        for (index, (name, rows)) in spec.names.iter().zip(found).enumerate() {
            let first = index * spec.shape[0];
            linear.pack(first, spec.shape[0], |row, values| rows.read(row, values))?;
            if spec.bias {
                linear.set_bias(first, &weights.values(&format!("{name}.bias"), &spec.shape[..1])?);
            }
        }
        Ok(linear)
    }

    fn batches(&self, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        rows::batches(prompts, ROWS)
    }

    fn encode(&self, tower: &Tower<Self>, items: Items) -> Result<Vec<f32>> {
        let count = items.count();
        let groups = match &tower.stem {
            Stem::Patches { positions, .. } => {
                let length = positions.values.len() / positions.width;
                (count * length).div_ceil(ROWS.max(length))
            }
            Stem::Tokens { .. } => 1,
        };
        let mut features = Vec::with_capacity(count * tower.projection.output());
        let mut space = self.take();
        for group in 0..groups {
            let range = group * count / groups..(group + 1) * count / groups;
            if !range.is_empty() {
                self.encode_group(tower, items.slice(range), &mut space, &mut features)?;
            }
        }
        self.give_back(space);
        Ok(features)
    }
}
