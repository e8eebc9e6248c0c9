//! The transformer encoder that every tower shares: a description as data, and one implementation on candle's tensors.
//! What differs between towers (embeddings, pooling, projection) is not here.

use candle_core::{D, Device, Tensor};

use super::config::HiddenAct;
use crate::Result;
use crate::checkpoint::Scope;

/// Which positions a position attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// All.
    None,
    /// Itself and those before it.
    Causal,
}

/// A stack of blocks, as data. Each block is pre-norm: `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
#[derive(Debug, Clone, Copy)]
pub struct EncoderSpec {
    /// Values at a position.
    pub width: usize,
    /// Values between the two products of the MLP.
    pub mlp_width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks.
    pub layers: usize,
    /// The MLP's nonlinearity.
    pub act: HiddenAct,
    /// Added to the variance in layer norms.
    pub eps: f64,
    /// Which positions see which.
    pub mask: Mask,
}

/// Loaded blocks.
#[derive(Debug)]
pub struct Encoder {
    blocks: Vec<Block>,
    mask: Mask,
}

impl Encoder {
    /// Loads `layers.0`, `layers.1`, ... below `weights`.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load(spec: &EncoderSpec, weights: &Scope, device: &Device) -> Result<Self> {
        let layers = weights.pp("layers");
        let blocks = (0..spec.layers).map(|i| Block::load(spec, &layers.pp(i), device)).collect::<Result<_>>()?;
        Ok(Self { blocks, mask: spec.mask })
    }

    /// Runs every block.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mask = match self.mask {
            Mask::None => None,
            Mask::Causal => Some(causal_mask(x.dim(1)?, x.device())?), // [T, T]
        };
        let mut x = x.clone(); // [B, T, W]
        for block in &self.blocks {
            x = block.forward(&x, mask.as_ref())?;
        }
        Ok(x)
    }
}

/// Zero where a position may look, minus infinity ahead of it: [T, T].
fn causal_mask(length: usize, device: &Device) -> Result<Tensor> {
    let ahead = |row: usize| (0..length).map(move |column| if column > row { f32::NEG_INFINITY } else { 0.0 });
    let values: Vec<f32> = (0..length).flat_map(ahead).collect();
    Ok(Tensor::from_vec(values, (length, length), device)?)
}

#[derive(Debug)]
struct Block {
    layer_norm1: LayerNorm,
    self_attn: Attention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn load(spec: &EncoderSpec, weights: &Scope, device: &Device) -> Result<Self> {
        Ok(Self {
            layer_norm1: LayerNorm::load(spec.width, spec.eps, &weights.pp("layer_norm1"), device)?,
            self_attn: Attention::load(spec, &weights.pp("self_attn"), device)?,
            layer_norm2: LayerNorm::load(spec.width, spec.eps, &weights.pp("layer_norm2"), device)?,
            mlp: Mlp::load(spec, &weights.pp("mlp"), device)?,
        })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let x = (x + self.self_attn.forward(&self.layer_norm1.forward(x)?, mask)?)?; // [B, T, W]
        Ok((&x + self.mlp.forward(&self.layer_norm2.forward(&x)?)?)?) // [B, T, W]
    }
}

/// Layer norm with the variance in two passes.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor, // [W]
    bias: Tensor,   // [W]
    eps: f64,
}

impl LayerNorm {
    /// Loads `weight` and `bias`.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load(width: usize, eps: f64, weights: &Scope, device: &Device) -> Result<Self> {
        let weight = weights.tensor("weight", &[width], device)?;
        Ok(Self { weight, bias: weights.tensor("bias", &[width], device)?, eps })
    }

    /// Normalises the last dimension.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // candle takes the variance as a difference of sums, which loses digits where the mean is large. Centred
        // first, that difference is exact: the second pass.
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        Ok(candle_nn::ops::layer_norm(&centred, &self.weight, &self.bias, self.eps as f32)?)
    }
}

/// `x @ weight^T + bias`, with the weight as checkpoints hold it: [out, in].
#[derive(Debug)]
struct Linear {
    weight: Tensor, // [out, in]
    bias: Tensor,   // [out]
}

impl Linear {
    fn load(input: usize, output: usize, weights: &Scope, device: &Device) -> Result<Self> {
        let weight = weights.tensor("weight", &[output, input], device)?;
        Ok(Self { weight, bias: weights.tensor("bias", &[output], device)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(project(x, &self.weight)?.broadcast_add(&self.bias)?)
    }
}

/// `x @ weight^T` over the last dimension: [.., in] -> [.., out].
///
/// # Errors
/// When the device fails.
pub fn project(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (output, input) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    let rows = x.elem_count() / input;
    let x = x.reshape((rows, input))?;
    let padded = rows.max(fewest_rows(output));
    let x = if padded > rows { x.pad_with_zeros(0, 0, padded - rows)? } else { x };
    let y = x.matmul(&weight.t()?)?.narrow(0, 0, rows)?; // [rows, out]
    if let Some(last) = shape.last_mut() {
        *last = output;
    }
    Ok(y.reshape(shape)?)
}

/// The rows that a product must have for `gemm` to take the kernel that it takes for many: its kernels for small results
/// sum in another order, and an image's bits would depend on its batch. Widths of real models need two rows at most.
fn fewest_rows(output: usize) -> usize {
    if output <= 64 { 65 } else { 256 / output + 2 }
}

#[derive(Debug)]
struct Attention {
    qkv_proj: Linear, // query, key and value in one product: [3 W, W]
    out_proj: Linear,
    heads: usize,
}

impl Attention {
    fn load(spec: &EncoderSpec, weights: &Scope, device: &Device) -> Result<Self> {
        let w = spec.width;
        let weight = weights.stacked(&["q_proj.weight", "k_proj.weight", "v_proj.weight"], &[w, w], device)?;
        let bias = weights.stacked(&["q_proj.bias", "k_proj.bias", "v_proj.bias"], &[w], device)?;
        let out_proj = Linear::load(w, w, &weights.pp("out_proj"), device)?;
        Ok(Self { qkv_proj: Linear { weight, bias }, out_proj, heads: spec.heads })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, length, width) = x.dims3()?;
        let head = width / self.heads;
        let qkv = self.qkv_proj.forward(x)?.reshape((batch, length, 3, self.heads, head))?; // [B, T, 3, H, d]
        let qkv = qkv.permute((2, 0, 3, 1, 4))?.contiguous()?; // [3, B, H, T, d]
        let q = (qkv.get(0)? * (head as f64).powf(-0.5))?; // [B, H, T, d]
        let scores = q.matmul(&qkv.get(1)?.t()?)?; // [B, H, T, T]
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let mixed = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&qkv.get(2)?)?; // [B, H, T, d]
        let mixed = mixed.transpose(1, 2)?.reshape((batch, length, width))?; // [B, T, W]
        self.out_proj.forward(&mixed)
    }
}

#[derive(Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
    act: HiddenAct,
}

impl Mlp {
    fn load(spec: &EncoderSpec, weights: &Scope, device: &Device) -> Result<Self> {
        let fc1 = Linear::load(spec.width, spec.mlp_width, &weights.pp("fc1"), device)?;
        let fc2 = Linear::load(spec.mlp_width, spec.width, &weights.pp("fc2"), device)?;
        Ok(Self { fc1, fc2, act: spec.act })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.fc1.forward(x)?; // [B, T, M]
        let x = match self.act {
            HiddenAct::QuickGelu => (&x * candle_nn::ops::sigmoid(&(&x * 1.702)?)?)?,
            HiddenAct::Gelu => x.gelu_erf()?,
            HiddenAct::GeluPytorchTanh => x.gelu()?,
            HiddenAct::Relu => x.relu()?,
        };
        self.fc2.forward(&x) // [B, T, W]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layer norm in f64.
    fn oracle(x: &[f32], eps: f64) -> Vec<f64> {
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
        x.iter().map(|&v| (f64::from(v) - mean) / (variance + eps).sqrt()).collect()
    }

    #[test]
    fn layer_norm_holds_far_from_zero() {
        for offset in [0.0, 100.0, 10_000.0] {
            let x: Vec<f32> = (0..768).map(|i| offset + 0.29 * (i as f32 * 0.7).sin()).collect();
            let ones = Tensor::ones(768, candle_core::DType::F32, &Device::Cpu).unwrap();
            let norm = LayerNorm { weight: ones.clone(), bias: ones.zeros_like().unwrap(), eps: 1e-5 };
            let tensor = Tensor::from_slice(&x, (1, 768), &Device::Cpu).unwrap();
            let got = norm.forward(&tensor).unwrap().to_vec2::<f32>().unwrap();
            let worst = got[0].iter().zip(oracle(&x, 1e-5)).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
            // The mean is rounded to f32: at 1e4 that is 5e-4 beside a deviation of 0.2.
            assert!(worst < 1e-5 + f64::from(offset) * 6e-7, "{offset}: {worst}");
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_batch() {
        let weight = Tensor::randn(0f32, 1.0, (96, 640), &Device::Cpu).unwrap();
        let x = Tensor::randn(0f32, 1.0, (130, 640), &Device::Cpu).unwrap();
        let all = project(&x, &weight).unwrap().to_vec2::<f32>().unwrap();
        for (start, rows) in [(0, 1), (3, 1), (7, 2), (5, 50), (1, 129)] {
            let part = project(&x.narrow(0, start, rows).unwrap(), &weight).unwrap();
            assert_eq!(part.to_vec2::<f32>().unwrap(), all[start..start + rows], "{start} {rows}");
        }
    }
}
