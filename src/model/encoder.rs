//! The transformer encoder that every tower shares, as data: its sizes, and the names of its weights. How it is computed
//! is in `tensors.rs` and `engine.rs`; what differs between towers (embeddings, pooling, projection) is in `tower.rs`.

use super::config::HiddenAct;
use super::tower::{LinearSpec, Parts};
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

/// A block's weights.
#[derive(Debug)]
#[allow(missing_docs)] // transformers' names
pub struct Block<P: Parts> {
    pub layer_norm1: P::Norm,
    /// Query, key and value in one product: [3 W, W].
    pub qkv_proj: P::Linear,
    pub out_proj: P::Linear,
    pub layer_norm2: P::Norm,
    pub fc1: P::Linear,
    pub fc2: P::Linear,
}

impl EncoderSpec {
    /// Loads `layers.0`, `layers.1`, ... below `weights`.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load<P: Parts>(&self, weights: &Scope, parts: &P) -> Result<Vec<Block<P>>> {
        let layers = weights.pp("layers");
        (0..self.layers).map(|i| self.block(&layers.pp(i), parts)).collect()
    }

    fn block<P: Parts>(&self, weights: &Scope, parts: &P) -> Result<Block<P>> {
        let (w, mlp) = (self.width, self.mlp_width);
        let linear = |below: &str, names: &[&str], shape: [usize; 2]| {
            let spec = LinearSpec { names, shape: &shape, bias: true, exact: false };
            parts.linear(&weights.pp(below), &spec)
        };
        Ok(Block {
            layer_norm1: parts.norm(&weights.pp("layer_norm1"), w, self.eps)?,
            qkv_proj: linear("self_attn", &["q_proj", "k_proj", "v_proj"], [w, w])?,
            out_proj: linear("self_attn", &["out_proj"], [w, w])?,
            layer_norm2: parts.norm(&weights.pp("layer_norm2"), w, self.eps)?,
            fc1: linear("mlp", &["fc1"], [mlp, w])?,
            fc2: linear("mlp", &["fc2"], [w, mlp])?,
        })
    }
}
