//! Norms and products on candle's tensors.

use candle_core::{D, Tensor};

use crate::Result;

/// Layer norm with the variance in two passes.
#[derive(Debug)]
pub struct LayerNorm {
    pub(super) weight: Tensor, // [W]
    pub(super) bias: Tensor,   // [W]
    pub(super) eps: f64,
}

impl LayerNorm {
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
pub struct TensorLinear {
    pub(super) weight: Tensor,       // [out, in]
    pub(super) bias: Option<Tensor>, // [out]
}

impl TensorLinear {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = project(x, &self.weight)?;
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}

/// Returns `x @ weight^T` over the last dimension: [.., in] -> [.., out].
fn project(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
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

/// Returns the number of rows that a product needs for `gemm` to choose its kernel for many rows. Its kernels for small
/// results sum in another order, so an image's bits would depend on its batch. Widths of real models need two rows at
/// most.
fn fewest_rows(output: usize) -> usize {
    if output <= 64 { 65 } else { 256 / output + 2 }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Computes a layer norm in f64.
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
            // The mean is rounded to f32: at 1e4 that costs 5e-4, against a deviation of 0.2.
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
