//! A loaded tower, its loader (from a [`TowerSpec`]), and the trait that backends implement.

use super::attention_rows::Prompt;
use super::parts::Parts;
use super::spec::{BlockSpec, ImageStem, LinearSpec, Mask, Pool, TokenStem, TowerSpec};
use crate::Result;
use crate::checkpoint::{WeightScope, Weights};
use crate::preprocess::{Normalizer, Pixels};

/// A loaded tower. `Stem` is [`Patches`] or [`TokenEmbeddings`].
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
    /// The norm after the blocks: of the row that is pooled, or of all rows that the pool attends to.
    pub post_norm: P::Norm,
    /// The pool, unless it is one row.
    pub pool: Option<AttentionPool<P>>,
    /// The projection of the pooled row.
    pub head: Option<P::Linear>,
    /// Values in an embedding.
    pub dim: usize,
}

/// The stem of an image tower.
#[derive(Debug)]
pub struct Patches<P: Parts> {
    /// [1, W]
    pub class: Option<P::Table>,
    /// [W, 3 * P * P]
    pub kernel: P::Linear,
    /// [R, W]: of the class row, if there is one, and of the patches.
    pub positions: P::Table,
    /// The sizes.
    pub spec: ImageStem,
}

/// The stem of a text tower.
#[derive(Debug)]
pub struct TokenEmbeddings<P: Parts> {
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

/// A query that attends to all rows of an item, and the MLP behind it: `y + mlp(norm(y))` of what it saw, `y`.
#[derive(Debug)]
#[allow(missing_docs)] // transformers' names
pub struct AttentionPool<P: Parts> {
    /// The query, projected: [1, W].
    pub query: P::Table,
    /// Query, key and value in one product, of which the first third is not used: [3 W, W].
    pub in_proj: P::Linear,
    pub out_proj: P::Linear,
    pub layernorm: P::Norm,
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
    fn load<P: Parts>(&self, parts: &P, embeddings: &WeightScope, width: usize) -> Result<Self::Stem<P>>;
}

impl LoadStem for ImageStem {
    type Stem<P: Parts> = Patches<P>;

    fn load<P: Parts>(&self, parts: &P, embeddings: &WeightScope, width: usize) -> Result<Patches<P>> {
        let shape = [width, 3, self.patch, self.patch];
        let kernel = LinearSpec::new(&["patch_embedding"], &shape, self.bias).exact();
        let table = |name: &str, shape: &[usize]| parts.table(embeddings.values(name, shape)?, width);
        let class = self.class.then(|| table("class_embedding", &[width]));
        let positions = [self.rows(), width];
        Ok(Patches {
            class: class.transpose()?,
            kernel: parts.linear(embeddings, &kernel)?,
            positions: table("position_embedding.weight", &positions)?,
            spec: *self,
        })
    }
}

impl LoadStem for TokenStem {
    type Stem<P: Parts> = TokenEmbeddings<P>;

    fn load<P: Parts>(&self, parts: &P, embeddings: &WeightScope, width: usize) -> Result<TokenEmbeddings<P>> {
        let positions = embeddings.values("position_embedding.weight", &[self.positions, width])?;
        Ok(TokenEmbeddings {
            tokens: parts.lookup(embeddings, "token_embedding.weight", [self.vocabulary, width])?,
            positions: parts.table(positions, width)?,
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
        let head = self.head.map(|head| LinearSpec::new(&[head.name], &shape, head.bias).exact());
        let layers = model.pp("encoder").pp("layers");
        Ok(Tower {
            spec: self.blocks,
            stem: self.stem.load(parts, &model.pp("embeddings"), width)?,
            pre_norm: self.pre_norm.map(norm).transpose()?,
            blocks: (0..self.blocks.layers).map(|i| self.blocks.load(parts, &layers.pp(i))).collect::<Result<_>>()?,
            post_norm: norm(self.post_norm)?,
            pool: match self.pool {
                Pool::Row => None,
                Pool::Attention => Some(self.blocks.load_pool(parts, &model.pp("head"))?),
            },
            head: head.map(|head| parts.linear(&root, &head)).transpose()?,
            dim: self.dim,
        })
    }
}

impl BlockSpec {
    /// Loads one block.
    fn load<P: Parts>(&self, parts: &P, weights: &WeightScope) -> Result<Block<P>> {
        let (w, mlp) = (self.width, self.mlp_width);
        let linear = |below: &str, names: &[&str], shape: [usize; 2]| {
            parts.linear(&weights.pp(below), &LinearSpec::new(names, &shape, true))
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

    /// Loads the attention pool behind the blocks.
    fn load_pool<P: Parts>(&self, parts: &P, weights: &WeightScope) -> Result<AttentionPool<P>> {
        let (w, mlp) = (self.width, self.mlp_width);
        let attention = weights.pp("attention");
        let in_proj = LinearSpec {
            weights: vec!["in_proj_weight".to_owned()],
            biases: vec!["in_proj_bias".to_owned()],
            shape: &[3 * w, w],
            exact: false,
        };
        Ok(AttentionPool {
            query: parts.table(query(weights, w)?, w)?,
            in_proj: parts.linear(&attention, &in_proj)?,
            out_proj: parts.linear(&attention, &LinearSpec::new(&["out_proj"], &[w, w], true))?,
            layernorm: parts.norm(&weights.pp("layernorm"), w, self.eps)?,
            fc1: parts.linear(&weights.pp("mlp"), &LinearSpec::new(&["fc1"], &[mlp, w], true))?,
            fc2: parts.linear(&weights.pp("mlp"), &LinearSpec::new(&["fc2"], &[w, mlp], true))?,
        })
    }
}

/// The query of an attention pool [W]: its probe times the first third of `in_proj_weight`. It is the same for every item.
fn query(weights: &WeightScope, width: usize) -> Result<Vec<f32>> {
    let attention = weights.pp("attention");
    let probe = weights.values("probe", &[1, 1, width])?;
    let rows = attention.rows("in_proj_weight", &[3 * width, width])?;
    let bias = attention.values("in_proj_bias", &[3 * width])?;
    let mut row = vec![0.0; width];
    let value = |at: usize| {
        rows.read(at, &mut row)?;
        let product: f64 = row.iter().zip(&probe).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        Ok((product + f64::from(bias[at])) as f32)
    };
    (0..width).map(value).collect()
}

/// A backend. The bits of an item's features depend on no other item.
pub trait Forward: Parts {
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
    fn prompts(&self, tower: &Tower<Self, TokenEmbeddings<Self>>, prompts: &[&Prompt]) -> Result<Vec<f32>>;

    /// Returns batches of prompts to encode together, as indices.
    fn batches(&self, mask: Mask, prompts: &[Prompt]) -> Vec<Vec<usize>>;
}
