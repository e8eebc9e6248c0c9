//! A loaded tower, the one loader, which makes it from a [`TowerSpec`], and what a backend does with it.

use super::parts::Parts;
use super::rows::Prompt;
use super::spec::{BlockSpec, ImageStem, LinearSpec, Mask, TokenStem, TowerSpec};
use crate::Result;
use crate::checkpoint::{Scope, Weights};
use crate::preprocess::{Normalizer, Pixels};

/// A loaded tower. `Stem` is [`Patches`] or [`Tokens`].
#[derive(Debug)]
pub struct Tower<P: Parts, Stem> {
    /// What the blocks are.
    pub spec: BlockSpec,
    /// From items to rows.
    pub stem: Stem,
    /// A norm between the stem and the blocks.
    pub pre_norm: Option<P::Norm>,
    /// The blocks.
    pub blocks: Vec<Block<P>>,
    /// The norm of the pooled row.
    pub post_norm: P::Norm,
    /// The projection of that row.
    pub projection: P::Linear,
}

/// The stem of an image tower.
#[derive(Debug)]
pub struct Patches<P: Parts> {
    /// [1, W]
    pub class: P::Table,
    /// [W, 3 * P * P]
    pub kernel: P::Linear,
    /// [1 + N, W]
    pub positions: P::Table,
    /// The sizes.
    pub spec: ImageStem,
}

/// The stem of a text tower.
#[derive(Debug)]
pub struct Tokens<P: Parts> {
    /// [V, W]
    pub tokens: P::Lookup,
    /// [T, W]
    pub positions: P::Table,
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

/// A stem's data, which knows how to load it.
pub trait LoadStem {
    /// The loaded stem.
    type Stem<P: Parts>: std::fmt::Debug;

    /// Loads the stem from `embeddings`, for rows of `width` values.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    fn load<P: Parts>(&self, parts: &P, embeddings: &Scope, width: usize) -> Result<Self::Stem<P>>;
}

impl LoadStem for ImageStem {
    type Stem<P: Parts> = Patches<P>;

    fn load<P: Parts>(&self, parts: &P, embeddings: &Scope, width: usize) -> Result<Patches<P>> {
        let shape = [width, 3, self.patch, self.patch];
        let kernel = LinearSpec { names: &["patch_embedding"], shape: &shape, bias: false, exact: true };
        let positions = [1 + self.patches(), width];
        Ok(Patches {
            class: parts.table(embeddings, "class_embedding", &[width], width)?,
            kernel: parts.linear(embeddings, &kernel)?,
            positions: parts.table(embeddings, "position_embedding.weight", &positions, width)?,
            spec: *self,
        })
    }
}

impl LoadStem for TokenStem {
    type Stem<P: Parts> = Tokens<P>;

    fn load<P: Parts>(&self, parts: &P, embeddings: &Scope, width: usize) -> Result<Tokens<P>> {
        Ok(Tokens {
            tokens: parts.lookup(embeddings, "token_embedding.weight", [self.vocabulary, width])?,
            positions: parts.table(embeddings, "position_embedding.weight", &[self.positions, width], width)?,
        })
    }
}

impl<S: LoadStem> TowerSpec<S> {
    /// Loads the tower.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load<P: Parts>(&self, parts: &P, weights: &Weights) -> Result<Tower<P, S::Stem<P>>> {
        let (root, model) = (weights.root(), weights.root().pp(self.root));
        let (width, eps) = (self.blocks.width, self.blocks.eps);
        let norm = |name| parts.norm(&model.pp(name), width, eps);
        let shape = [self.dim, width];
        let projection = LinearSpec { names: &[self.projection], shape: &shape, bias: false, exact: true };
        let layers = model.pp("encoder").pp("layers");
        Ok(Tower {
            spec: self.blocks,
            stem: self.stem.load(parts, &model.pp("embeddings"), width)?,
            pre_norm: self.pre_norm.map(norm).transpose()?,
            blocks: (0..self.blocks.layers).map(|i| self.blocks.load(parts, &layers.pp(i))).collect::<Result<_>>()?,
            post_norm: norm(self.post_norm)?,
            projection: parts.linear(&root, &projection)?,
        })
    }
}

impl BlockSpec {
    /// Loads one block.
    fn load<P: Parts>(&self, parts: &P, weights: &Scope) -> Result<Block<P>> {
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
