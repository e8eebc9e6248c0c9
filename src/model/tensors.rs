//! Towers on candle's tensors: Metal, any CPU, and the oracle of the CPU's kernels.

mod layers;

use candle_core::{Device, Tensor};
pub use layers::{LayerNorm, TensorLinear};

use super::attention_rows::Prompt;
use super::parts::Parts;
use super::spec::{BlockSpec, HiddenAct, LinearSpec, Mask, Order};
use super::tower::{AttentionPool, Block, Forward, Patches, Pooling, TokenEmbeddings, Tower};
use crate::Result;
use crate::checkpoint::WeightScope;
use crate::preprocess::{Normalizer, Pixels};

/// Prompts of one length encoded together.
const PROMPTS: usize = 32;

/// A device that holds tensors.
#[derive(Debug)]
pub struct Tensors {
    device: Device,
}

impl Tensors {
    /// Creates the backend of a device.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone() }
    }

    /// Runs the blocks on the rows `x` [B, T, W] of items: the features [B, D] of the rows at `pooled`, one an item. No row
    /// attends to the last one if that is `padded`.
    fn finish<S>(
        &self,
        tower: &Tower<Self, S>,
        mut x: Tensor,
        padded: bool,
        pooled: impl Iterator<Item = usize>,
    ) -> Result<Vec<f32>> {
        let length = x.dim(1)?;
        if let Some(norm) = &tower.pre_norm {
            x = norm.forward(&x)?;
        }
        let mask = mask(tower.spec.mask, length, padded, x.device())?;
        for block in &tower.blocks {
            x = forward(block, &tower.spec, &x, mask.as_ref())?;
        }
        let norm = |x: Tensor| tower.post_norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(&x));
        let mut x = match &tower.pool {
            Pooling::Attention(pool) => pool.forward(&tower.spec, &norm(x)?)?,
            Pooling::Mean { skip, norm_first } => {
                let mean = |x: Tensor| Ok::<_, crate::Error>(x.narrow(1, *skip, length - skip)?.mean(1)?);
                if *norm_first { mean(norm(x)?)? } else { norm(mean(x)?)? }
            }
            Pooling::Row => {
                let pooled: Vec<u32> = pooled.enumerate().map(|(item, at)| (item * length + at) as u32).collect();
                let pooled = Tensor::new(pooled, &self.device)?;
                norm(x.flatten(0, 1)?.index_select(&pooled, 0)?)?
            }
        }; // [B, W]
        for (product, act) in &tower.head {
            x = product.forward(&x)?;
            x = act.map_or_else(|| Ok(x.clone()), |act| activate(act, &x))?;
        }
        Ok(x.flatten_all()?.to_vec1()?) // [B, D]
    }
}

impl Parts for Tensors {
    type Table = Tensor;
    type Lookup = Tensor;
    type Norm = LayerNorm;
    type Linear = TensorLinear;

    fn table(&self, values: Vec<f32>, width: usize) -> Result<Tensor> {
        let rows = values.len() / width;
        Ok(Tensor::from_vec(values, (rows, width), &self.device)?)
    }

    fn lookup(&self, weights: &WeightScope, name: &str, shape: [usize; 2]) -> Result<Tensor> {
        weights.tensor(name, &shape, &self.device)
    }

    fn norm(&self, weights: &WeightScope, width: usize, eps: f64) -> Result<LayerNorm> {
        let weight = weights.tensor("weight", &[width], &self.device)?;
        Ok(LayerNorm { weight, bias: weights.tensor("bias", &[width], &self.device)?, eps })
    }

    fn linear(&self, weights: &WeightScope, spec: &LinearSpec) -> Result<TensorLinear> {
        let stacked = |names: &[String], shape: &[usize]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            weights.stacked(&names, shape, &self.device)
        };
        let weight = stacked(&spec.weights, spec.shape)?.reshape((spec.output(), spec.input()))?;
        let bias = if spec.biases.is_empty() { None } else { Some(stacked(&spec.biases, &spec.shape[..1])?) };
        Ok(TensorLinear { weight, bias })
    }
}

impl Forward for Tensors {
    fn images(
        &self,
        tower: &Tower<Self, Patches<Self>>,
        pixels: &[Pixels],
        normalizer: &Normalizer,
    ) -> Result<Vec<f32>> {
        let mut features = Vec::with_capacity(pixels.len() * tower.dim);
        let size = |p: &Pixels| (p.width(), p.height());
        for same in pixels.chunk_by(|a, b| size(a) == size(b)) {
            features.extend(self.images_of_a_size(tower, same, normalizer)?);
        }
        Ok(features)
    }

    fn prompts(&self, tower: &Tower<Self, TokenEmbeddings<Self>>, prompts: &[&Prompt]) -> Result<Vec<f32>> {
        let TokenEmbeddings { tokens, positions, spec } = &tower.stem;
        let (batch, length) = (prompts.len(), prompts.first().map_or(0, |p| p.ids.len()));
        let rows = |table: &Tensor, rows: Vec<u32>| {
            let rows = Tensor::from_vec(rows, batch * length, &self.device)?;
            table.index_select(&rows, 0)?.reshape((batch, length, ())) // [B, T, W]
        };
        let places = |prompt: &&Prompt| {
            let mut places = spec.positions_of(&prompt.ids);
            if prompt.padded {
                places[prompt.end] = prompt.place;
            }
            places.into_iter().map(|place| place as u32)
        };
        let ids = prompts.iter().flat_map(|prompt| prompt.ids.iter().copied()).collect();
        let x = (rows(tokens, ids)? + rows(positions, prompts.iter().flat_map(places).collect())?)?;
        let padded = prompts.first().is_some_and(|prompt| prompt.padded);
        self.finish(tower, x, padded, prompts.iter().map(|prompt| prompt.end))
    }

    /// Groups prompts of one length and one mask, so that no more padding is needed.
    fn batches(&self, _: Mask, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        let shape = |i: usize| (prompts[i].ids.len(), prompts[i].padded);
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by_key(|&i| shape(i));
        let same = order.chunk_by(|&a, &b| shape(a) == shape(b));
        same.flat_map(|same| same.chunks(PROMPTS).map(<[usize]>::to_vec)).collect()
    }
}

impl Tensors {
    /// Encodes images of one size: features [B, D].
    fn images_of_a_size(
        &self,
        tower: &Tower<Self, Patches<Self>>,
        pixels: &[Pixels],
        normalizer: &Normalizer,
    ) -> Result<Vec<f32>> {
        let Patches { class, kernel, positions, spec, .. } = &tower.stem;
        let (rows, columns) = spec.grid(&pixels[0]);
        let (batch, count, patch) = (pixels.len(), rows * columns, spec.patch);
        let patches: Vec<f32> = pixels.iter().flat_map(|p| normalizer.patches(p, patch)).collect();
        let patches = Tensor::from_vec(patches, (batch, count, 3 * patch * patch), &self.device)?;
        let patches = kernel.forward(&patches)?; // [B, N, W]
        let x = match class {
            None => patches,
            Some(class) => {
                let class = class.unsqueeze(0)?.broadcast_as((batch, 1, patches.dim(2)?))?;
                Tensor::cat(&[&class.contiguous()?, &patches], 1)? // [B, 1 + N, W]
            }
        };
        let resized = tower.stem.resized((rows, columns)).map(|values| self.table(values, x.dim(2)?)).transpose()?;
        let x = x.broadcast_add(resized.as_ref().unwrap_or(positions))?;
        self.finish(tower, x, false, pixels.iter().map(|_| 0)) // the class row
    }
}

/// Returns the mask [T, T]: zero where a position attends and minus infinity elsewhere; None if all attend to all. No
/// position attends to the last one if it is `padded`.
fn mask(mask: Mask, length: usize, padded: bool, device: &Device) -> Result<Option<Tensor>> {
    let causal = mask == Mask::Causal;
    if !causal && !padded {
        return Ok(None);
    }
    let hidden = |row, column| causal && column > row || padded && column + 1 == length;
    let cells = (0..length).flat_map(|row| (0..length).map(move |column| (row, column)));
    let values: Vec<f32> =
        cells.map(|(row, column)| if hidden(row, column) { f32::NEG_INFINITY } else { 0.0 }).collect();
    Ok(Some(Tensor::from_vec(values, (length, length), device)?))
}

/// Runs one block: [B, T, W] -> [B, T, W].
fn forward(block: &Block<Tensors>, spec: &BlockSpec, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let (norm1, norm2) = (&block.layer_norm1, &block.layer_norm2);
    let mlp = |x: &Tensor| mlp(&block.fc1, &block.fc2, spec, x);
    match spec.order {
        Order::PreNorm => {
            let x = (x + attention(block, spec, &norm1.forward(x)?, mask)?)?;
            Ok((&x + mlp(&norm2.forward(&x)?)?)?)
        }
        Order::PostNorm => {
            let x = norm1.forward(&(x + attention(block, spec, x, mask)?)?)?;
            norm2.forward(&(&x + mlp(&x)?)?)
        }
    }
}

fn attention(block: &Block<Tensors>, spec: &BlockSpec, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let qkv = heads(&block.qkv_proj.forward(x)?, spec.heads)?; // [3, B, H, T, d]
    block.out_proj.forward(&mix(&qkv.get(0)?, &qkv, mask)?)
}

/// Splits products [B, T, 3 W] into the heads of queries, keys and values: [3, B, H, T, d].
fn heads(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, width) = qkv.dims3()?;
    let qkv = qkv.reshape((batch, length, 3, heads, width / 3 / heads))?;
    Ok(qkv.permute((2, 0, 3, 1, 4))?.contiguous()?)
}

/// Returns what queries [B, H, Q, d] see of keys and values [3, B, H, T, d]: [B, Q, W].
fn mix(q: &Tensor, qkv: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let (batch, heads, queries, head) = q.dims4()?;
    let q = (q * (head as f64).powf(-0.5))?;
    let scores = q.matmul(&qkv.get(1)?.t()?)?; // [B, H, Q, T]
    let scores = match mask {
        Some(mask) => scores.broadcast_add(mask)?,
        None => scores,
    };
    let mixed = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&qkv.get(2)?)?; // [B, H, Q, d]
    Ok(mixed.transpose(1, 2)?.reshape((batch, queries, heads * head))?)
}

impl AttentionPool<Tensors> {
    /// Pools rows [B, T, W]: [B, W].
    fn forward(&self, spec: &BlockSpec, x: &Tensor) -> Result<Tensor> {
        let (batch, width) = (x.dim(0)?, spec.width);
        let qkv = heads(&self.in_proj.forward(x)?, spec.heads)?; // [3, B, H, T, d]
        let query = self.query.reshape((1, spec.heads, 1, width / spec.heads))?;
        let query = query.broadcast_as((batch, spec.heads, 1, width / spec.heads))?.contiguous()?;
        let y = self.out_proj.forward(&mix(&query, &qkv, None)?)?.squeeze(1)?; // [B, W]
        Ok((&y + mlp(&self.fc1, &self.fc2, spec, &self.layernorm.forward(&y)?)?)?)
    }
}

fn mlp(fc1: &TensorLinear, fc2: &TensorLinear, spec: &BlockSpec, x: &Tensor) -> Result<Tensor> {
    fc2.forward(&activate(spec.act, &fc1.forward(x)?)?) // [.., M] -> [.., W]
}

fn activate(act: HiddenAct, x: &Tensor) -> Result<Tensor> {
    Ok(match act {
        HiddenAct::QuickGelu => (x * candle_nn::ops::sigmoid(&(x * 1.702)?)?)?,
        HiddenAct::Gelu => x.gelu_erf()?,
        HiddenAct::GeluPytorchTanh => x.gelu()?,
        HiddenAct::Relu => x.relu()?,
    })
}
