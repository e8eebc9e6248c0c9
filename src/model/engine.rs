//! Towers on the CPU's kernels: weights packed as they are read, a few matrices that are reused from block to block and
//! from batch to batch. The arithmetic itself is in `kernels`.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::config::HiddenAct;
use super::encoder::{Block, EncoderSpec, Mask};
use super::tower::{Items, LinearSpec, Parts, Stem, Tower};
use crate::Result;
use crate::checkpoint::Scope;
use crate::kernels::product::Then;
use crate::kernels::{Activation, Element, Heads, Isa, Linear, Matrix, Norm};
use crate::kernels::{attention, layer_norm, layer_norm_in_place, product};

/// Rows that go through the blocks together at most: with more, activations only grow out of the caches.
const ROWS: usize = 2400;

/// The CPU's kernels for one instruction set and precision, and the memory that they work in.
#[derive(Debug)]
pub struct Engine {
    isa: Isa,
    element: Element,
    spaces: Mutex<Vec<Space>>,
    /// A weight as it is read, on its way to its packed form. Emptied by [`Self::loaded`].
    staging: Mutex<Vec<f32>>,
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
    x: Matrix,        // [B * T, W]
    rows: Matrix,     // [B * T, W], as the next product reads them
    wide: Matrix,     // [B * T, 3 W]
    hidden: Matrix,   // [B * T, M]
    pooled: Matrix,   // [B, W]
    features: Matrix, // [B, D]
}

impl Engine {
    /// For products of `element` by the instruction set.
    pub fn new(isa: Isa, element: Element) -> Self {
        Self { isa, element, spaces: Mutex::default(), staging: Mutex::default() }
    }

    /// Gives back what only loading needed.
    pub fn loaded(&self) {
        *self.staging.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
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
            features: exact(),
        })
    }

    fn give_back(&self, space: Space) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }

    /// One block on the rows of `space.x`.
    fn block(&self, block: &Block<Self>, spec: &EncoderSpec, length: usize, space: &mut Space) {
        let Space { x, rows, wide, hidden, .. } = space;
        let heads = Heads { length, heads: spec.heads, causal: spec.mask == Mask::Causal };
        layer_norm(x, &block.layer_norm1, rows);
        product(rows, &block.qkv_proj, wide, Then::Store(Activation::None)); // [B * T, 3 W]
        attention(self.isa, wide, heads, rows);
        product(rows, &block.out_proj, x, Then::Add);
        layer_norm(x, &block.layer_norm2, rows);
        product(rows, &block.fc1, hidden, Then::Store(activation(spec.act))); // [B * T, M]
        product(hidden, &block.fc2, x, Then::Add);
    }

    /// Features of items whose rows fit together.
    fn encode_group(&self, tower: &Tower<Self>, items: Items, space: &mut Space, features: &mut Vec<f32>) {
        let length = stem(&tower.stem, tower.spec.width, items, space);
        if let Some(norm) = &tower.pre_norm {
            layer_norm_in_place(&mut space.x, norm);
        }
        for block in &tower.blocks {
            self.block(block, &tower.spec, length, space);
        }
        space.pooled.shape(items.count(), tower.spec.width);
        for item in 0..items.count() {
            space.pooled.row_mut(item).copy_from_slice(space.x.row(item * length + items.pooled(item)));
        }
        layer_norm_in_place(&mut space.pooled, &tower.post_norm);
        product(&space.pooled, &tower.projection, &mut space.features, Then::Store(Activation::None)); // [B, D]
        (0..items.count()).for_each(|item| features.extend_from_slice(space.features.row(item)));
    }
}

/// Rows of items into `space.x` [B * T, W]; returns T.
fn stem(stem: &Stem<Engine>, width: usize, items: Items, space: &mut Space) -> usize {
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
            1 + count
        }
        (Stem::Tokens { tokens, positions }, Items::Prompts(prompts, _)) => {
            let length = prompts.first().map_or(0, |p| p.len());
            space.x.shape(prompts.len() * length, width);
            for (row, &id) in prompts.iter().flat_map(|p| p.iter()).enumerate() {
                sum(tokens.row(id as usize), positions.row(row % length), space.x.row_mut(row));
            }
            length
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
    type Norm = Norm;
    type Linear = Linear;

    fn table(&self, weights: &Scope, name: &str, shape: &[usize], width: usize) -> Result<Table> {
        Ok(Table { values: weights.values(name, shape)?, width })
    }

    fn norm(&self, weights: &Scope, width: usize, eps: f64) -> Result<Norm> {
        let (weight, bias) = (weights.values("weight", &[width])?, weights.values("bias", &[width])?);
        Ok(Norm::new(self.isa, weight, bias, eps))
    }

    fn linear(&self, weights: &Scope, spec: &LinearSpec) -> Result<Linear> {
        let element = if spec.exact { Element::F32 } else { self.element };
        let mut values = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        // A weight that is missing is found before memory for the packed ones is asked for.
        weights.values_in(&format!("{}.weight", spec.names[0]), spec.shape, &mut values)?;
        let mut linear = Linear::new(self.isa, element, spec.input(), spec.output());
        linear.pack_rows(0, &values);
        for (index, name) in spec.names.iter().enumerate() {
            let row = index * spec.shape[0];
            if index > 0 {
                weights.values_in(&format!("{name}.weight"), spec.shape, &mut values)?;
                linear.pack_rows(row, &values);
            }
            if spec.bias {
                linear.set_bias(row, &weights.values(&format!("{name}.bias"), &spec.shape[..1])?);
            }
        }
        Ok(linear)
    }

    fn encode(&self, tower: &Tower<Self>, items: Items) -> Result<Vec<f32>> {
        let length = match (&tower.stem, items) {
            (Stem::Patches { positions, .. }, _) => positions.values.len() / positions.width,
            (_, Items::Prompts(prompts, _)) => prompts.first().map_or(0, |p| p.len()),
            _ => 0,
        };
        let count = items.count();
        let groups = (count * length).div_ceil(ROWS.max(length)).max(1);
        let mut features = Vec::with_capacity(count * tower.projection.output());
        let mut space = self.take();
        for group in 0..groups {
            let range = group * count / groups..(group + 1) * count / groups;
            if !range.is_empty() {
                self.encode_group(tower, items.slice(range), &mut space, &mut features);
            }
        }
        self.give_back(space);
        Ok(features)
    }
}
