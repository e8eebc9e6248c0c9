//! Towers on a processor's kernels: weights packed as they are read, a few matrices that are reused from block to block and
//! from batch to batch. How images and prompts become rows is in `stems.rs`, and what a processor does in `processor.rs`; the
//! arithmetic itself is in `kernels`.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod processor;
mod stems;

use std::sync::{Mutex, PoisonError};

pub use cpu::Cpu;
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
use processor::{Processor, Role, RowTable, STORE};

use super::attention_rows::{self, Prompt, Rows};
use super::parts::Parts;
use super::spec::{BlockSpec, HiddenAct, LinearSpec, Mask, Order};
use super::tower::{AttentionPool, Block, Forward, Patches, Pooling, TokenEmbeddings, Tower};
use crate::checkpoint::{WeightRows, WeightScope};
use crate::kernels::ActivationFn;
use crate::kernels::product::Then;
use crate::preprocess::{Normalizer, Pixels};
use crate::{Error, Result};

/// A processor, and the memory that towers work in on it.
#[derive(Debug)]
pub struct Engine<P: Processor> {
    on: P,
    spaces: Mutex<Vec<Workspace<P>>>,
}

/// The matrices that a tower works in.
#[derive(Debug)]
struct Workspace<P: Processor> {
    patches: P::Matrix,  // [N, 3 * P * P]
    embedded: P::Matrix, // [N, W]
    x: P::Matrix,        // [R, W]
    rows: P::Matrix,     // [R, W], as the next product reads them
    wide: P::Matrix,     // [R, 3 W]
    hidden: P::Matrix,   // [R, M]
    pooled: P::Matrix,   // [B, W]
    queries: P::Matrix,  // [B, 3 W], of which the first third is used
    features: P::Matrix, // [B, D]
}

/// Which rows attend to which, as a processor reads it.
struct Attending<'a, P: Processor> {
    all: P::Attending<'a>,
    pooled: P::Attending<'a>,
}

impl<P: Processor> Engine<P> {
    /// For towers on a processor.
    pub fn new(on: P) -> Self {
        Self { on, spaces: Mutex::default() }
    }

    /// Takes a space that no other thread uses.
    fn take(&self) -> Workspace<P> {
        let free = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let matrix = |role| self.on.matrix(role);
        free.unwrap_or_else(|| Workspace {
            patches: matrix(Role::Patches),
            embedded: matrix(Role::Values),
            x: matrix(Role::Values),
            rows: matrix(Role::Operands),
            wide: matrix(Role::Heads),
            hidden: matrix(Role::Operands),
            pooled: matrix(Role::Values),
            queries: matrix(Role::Heads),
            features: matrix(Role::Values),
        })
    }

    fn give_back(&self, space: Workspace<P>) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }

    /// One block on the rows of `space.x`. The last one leaves those that stand for items in `space.pooled`, and computes
    /// of the others only what those look at: keys and values.
    fn block(
        &self,
        block: &Block<Self>,
        spec: &BlockSpec,
        batch: &Rows,
        attending: &Attending<P>,
        last: bool,
        space: &mut Workspace<P>,
    ) -> Result<()> {
        let (on, Workspace { x, rows, wide, hidden, pooled, queries, .. }) = (&self.on, space);
        // What goes into a product, and what comes out of it and is added to `x`, by the place of the norms.
        let into = |x: &P::Matrix, norm: &P::Norm, rows: &mut P::Matrix| match spec.order {
            Order::PreNorm => on.layer_norm(x, norm, rows),
            Order::PostNorm => on.copy(x, rows),
        };
        let behind = |x: &mut P::Matrix, norm: &P::Norm| match spec.order {
            Order::PreNorm => Ok(()),
            Order::PostNorm => on.layer_norm_in_place(x, norm),
        };
        into(x, &block.layer_norm1, rows)?;
        let x = if last {
            on.product_columns(rows, &block.qkv_proj, spec.width..3 * spec.width, wide)?;
            on.pick(x, &batch.ends, pooled)?;
            into(pooled, &block.layer_norm1, rows)?;
            on.product_columns(rows, &block.qkv_proj, 0..spec.width, queries)?;
            on.attention(spec.heads, queries, wide, &attending.pooled, rows)?;
            pooled
        } else {
            on.product(rows, &block.qkv_proj, wide, STORE)?; // [R, 3 W]
            on.attention(spec.heads, wide, wide, &attending.all, rows)?;
            x
        };
        on.product(rows, &block.out_proj, x, Then::Add)?;
        behind(x, &block.layer_norm1)?;
        into(x, &block.layer_norm2, rows)?;
        on.product(rows, &block.fc1, hidden, Then::Store(activation(spec.act)))?; // [R, M]
        on.product(hidden, &block.fc2, x, Then::Add)?;
        behind(x, &block.layer_norm2)
    }

    /// Runs the blocks on the rows of `space.x`: the features [B, D] of the items.
    fn finish<S>(&self, tower: &Tower<Self, S>, batch: &Rows, space: &mut Workspace<P>) -> Result<P::Matrix> {
        if let Some(norm) = &tower.pre_norm {
            self.on.layer_norm_in_place(&mut space.x, norm)?;
        }
        let attending = |attends| self.on.attending(attends, &tower.spec);
        let attending = Attending { all: attending(&batch.all)?, pooled: attending(&batch.pooled)? };
        for (index, block) in tower.blocks.iter().enumerate() {
            let is_last = matches!(tower.pool, Pooling::Row) && index + 1 == tower.blocks.len();
            self.block(block, &tower.spec, batch, &attending, is_last, space)?;
        }
        self.pool(tower, batch, &attending, space)?;
        for (product, act) in &tower.head {
            let then = Then::Store(act.map_or(ActivationFn::None, activation));
            self.on.product(&space.pooled, product, &mut space.features, then)?; // [B, ..]
            std::mem::swap(&mut space.pooled, &mut space.features);
        }
        Ok(std::mem::replace(&mut space.pooled, self.on.matrix(Role::Values)))
    }

    /// Pools the rows of `space.x` into `space.pooled` [B, W], where the last block left the only row of each item already.
    fn pool<S>(
        &self,
        tower: &Tower<Self, S>,
        batch: &Rows,
        attending: &Attending<P>,
        space: &mut Workspace<P>,
    ) -> Result<()> {
        let norm = |x: &mut P::Matrix| tower.post_norm.iter().try_for_each(|norm| self.on.layer_norm_in_place(x, norm));
        match &tower.pool {
            Pooling::Row => norm(&mut space.pooled),
            Pooling::Mean { skip, norm_first } => {
                if *norm_first {
                    norm(&mut space.x)?;
                }
                self.on.mean(&space.x, &batch.items, *skip, &mut space.pooled)?;
                if *norm_first { Ok(()) } else { norm(&mut space.pooled) }
            }
            Pooling::Attention(pool) => {
                match &tower.post_norm {
                    Some(norm) => self.on.layer_norm(&space.x, norm, &mut space.rows)?,
                    None => self.on.copy(&space.x, &mut space.rows)?,
                }
                self.attend(pool, &tower.spec, batch, attending, space)
            }
        }
    }

    /// Lets a query attend to the rows of each item: from `space.rows` to `space.pooled`.
    fn attend(
        &self,
        pool: &AttentionPool<Self>,
        spec: &BlockSpec,
        batch: &Rows,
        attending: &Attending<P>,
        space: &mut Workspace<P>,
    ) -> Result<()> {
        let (on, Workspace { rows, wide, hidden, pooled, queries, .. }) = (&self.on, space);
        on.product_columns(rows, &pool.in_proj, spec.width..3 * spec.width, wide)?;
        on.repeat(&pool.query, batch.ends.len(), queries)?;
        on.attention(spec.heads, queries, wide, &attending.pooled, rows)?;
        on.product(rows, &pool.out_proj, pooled, STORE)?;
        on.layer_norm(pooled, &pool.layernorm, rows)?;
        on.product(rows, &pool.fc1, hidden, Then::Store(activation(spec.act)))?; // [B, M]
        on.product(hidden, &pool.fc2, pooled, Then::Add)
    }

    /// Encodes images, about `most` rows of them at a time.
    fn images_of(
        &self,
        tower: &Tower<Self, Patches<Self>>,
        pixels: &[Pixels],
        normalizer: &Normalizer,
        most: usize,
    ) -> Result<Vec<f32>> {
        let mut space = self.take();
        // Results are taken when all work is under way: a GPU need not wait for it.
        let encode = |some: &[Pixels]| {
            let batch = tower.stem.rows(&self.on, tower.spec.mask, some, normalizer, &mut space)?;
            self.finish(tower, &batch, &mut space)
        };
        let groups = stems::groups(&tower.stem.spec, pixels, most);
        let parts = groups.into_iter().map(encode).collect::<Result<Vec<_>>>()?;
        let mut features = Vec::with_capacity(pixels.len() * tower.dim);
        parts.iter().try_for_each(|part| self.on.take(part, &mut features))?;
        self.give_back(space);
        Ok(features)
    }

    /// Runs work on half as many rows again and again, while the device has too little memory for it.
    fn halving<T>(&self, mut work: impl FnMut(usize) -> Result<T>) -> Result<T> {
        let mut most = self.on.rows();
        loop {
            match work(most) {
                Err(Error::DeviceMemory) if most > 1 => {
                    self.spaces.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    most /= 2;
                }
                result => return result,
            }
        }
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

impl<P: Processor> Parts for Engine<P> {
    type Table = P::Table;
    type Lookup = WeightRows;
    type Norm = P::Norm;
    type Linear = P::Linear;

    fn table(&self, values: Vec<f32>, width: usize) -> Result<P::Table> {
        self.on.table(RowTable { values, width })
    }

    fn lookup(&self, weights: &WeightScope, name: &str, shape: [usize; 2]) -> Result<WeightRows> {
        weights.rows(name, &shape)
    }

    fn norm(&self, weights: &WeightScope, width: usize, eps: f64) -> Result<P::Norm> {
        let (weight, bias) = (weights.values("weight", &[width])?, weights.values("bias", &[width])?);
        self.on.norm(weight, bias, eps)
    }

    fn linear(&self, weights: &WeightScope, spec: &LinearSpec) -> Result<P::Linear> {
        // A weight that is missing is found before memory for the packed ones is asked for.
        let found: Vec<_> = spec.weights.iter().map(|name| weights.rows(name, spec.shape)).collect::<Result<_>>()?;
        let bias = |name: &String| weights.values(name, &spec.shape[..1]);
        self.on.linear(spec, &found, &spec.biases.iter().map(bias).collect::<Result<Vec<_>>>()?)
    }
}

impl<P: Processor> Forward for Engine<P> {
    fn images(
        &self,
        tower: &Tower<Self, Patches<Self>>,
        pixels: &[Pixels],
        normalizer: &Normalizer,
    ) -> Result<Vec<f32>> {
        self.halving(|most| self.images_of(tower, pixels, normalizer, most))
    }

    fn prompts(&self, tower: &Tower<Self, TokenEmbeddings<Self>>, prompts: &[&Prompt]) -> Result<Vec<f32>> {
        self.halving(|most| {
            let mut features = Vec::with_capacity(prompts.len() * tower.dim);
            let mut space = self.take();
            let parts = (self.on.rows() / most).clamp(1, prompts.len().max(1));
            for some in prompts.chunks(prompts.len().div_ceil(parts).max(1)) {
                let batch = tower.stem.rows(&self.on, tower.spec.mask, some, &mut space)?;
                let part = self.finish(tower, &batch, &mut space)?;
                self.on.take(&part, &mut features)?;
            }
            self.give_back(space);
            Ok(features)
        })
    }

    fn batches(&self, mask: Mask, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        attention_rows::batches(mask, prompts, self.on.rows(), P::SHARES_ROWS)
    }
}

#[cfg(test)]
mod tests;
