//! A loaded tower, its loader (from a [`TowerSpec`]), and the trait that backends implement.

use super::attention_rows::Prompt;
use super::parts::Parts;
use super::positions;
use super::spec::{BlockSpec, HiddenAct, ImageStem, LinearSpec, Mask, Pool, TokenStem, TowerSpec};
use crate::Result;
use crate::checkpoint::{WeightScope, Weights};
use crate::preprocess::{Normalizer, Pixels};

/// A loaded tower. `Stem` is [`Patches`] or [`TokenEmbeddings`].
#[derive(Debug)]
pub struct Tower<P: Parts, Stem> {
    /// The description of the blocks.
    pub spec: BlockSpec,
    /// From items to rows.
    pub stem: Stem,
    /// A norm between the stem and the blocks.
    pub pre_norm: Option<P::Norm>,
    /// The blocks.
    pub blocks: Vec<Block<P>>,
    /// A norm after the blocks: of the rows that the pool sees, or of the pooled row.
    pub post_norm: Option<P::Norm>,
    /// How rows become one.
    pub pool: Pooling<P>,
    /// The products that the pooled row goes through, and the nonlinearities after them.
    pub head: Vec<(P::Linear, Option<HiddenAct>)>,
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
    /// The same values, if they are resized for images of other sizes.
    table: Option<Vec<f32>>,
    /// The sizes.
    pub spec: ImageStem,
}

impl<P: Parts> Patches<P> {
    /// Returns the positions [R, W] of an image whose patches form this grid, unless they are those of the table.
    pub fn resized(&self, grid: (usize, usize)) -> Option<Vec<f32>> {
        let (table, how) = (self.table.as_ref()?, self.spec.resize?);
        let (from, class) = (self.spec.table(), usize::from(self.spec.class));
        let width = table.len() / (class + from.0 * from.1);
        (grid != from).then(|| {
            let (class, patches) = table.split_at(class * width);
            [class, &positions::resize(patches, width, from, grid, how)].concat()
        })
    }
}

/// The stem of a text tower.
#[derive(Debug)]
pub struct TokenEmbeddings<P: Parts> {
    /// [V, W]
    pub tokens: P::Lookup,
    /// [T, W]
    pub positions: P::Table,
    /// The sizes.
    pub spec: TokenStem,
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

/// How the rows of an item become one.
#[derive(Debug)]
pub enum Pooling<P: Parts> {
    /// One of them.
    Row,
    /// Their mean; see [`Pool::Mean`].
    #[allow(missing_docs)]
    Mean { skip: usize, norm_first: bool },
    /// A query attends to them.
    Attention(Box<AttentionPool<P>>),
}

/// A query that attends to all rows of an item, and the MLP after it: `y + mlp(norm(y))`, where `y` is what it saw.
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
        let (rows, columns) = self.table();
        let shape = [usize::from(self.class) + rows * columns, width];
        let positions = embeddings.values("position_embedding.weight", &shape)?;
        Ok(Patches {
            class: class.transpose()?,
            kernel: parts.linear(embeddings, &kernel)?,
            table: self.resize.map(|_| positions.clone()),
            positions: parts.table(positions, width)?,
            spec: *self,
        })
    }
}

impl LoadStem for TokenStem {
    type Stem<P: Parts> = TokenEmbeddings<P>;

    fn load<P: Parts>(&self, parts: &P, embeddings: &WeightScope, width: usize) -> Result<TokenEmbeddings<P>> {
        let mut positions = embeddings.values("position_embedding.weight", &[self.positions, width])?;
        if self.types {
            let types = embeddings.rows_of("token_type_embedding.weight", width)?;
            let mut first = vec![0.0; width];
            types.read(0, &mut first)?;
            positions.chunks_exact_mut(width).flat_map(|row| row.iter_mut().zip(&first)).for_each(|(x, t)| *x += t);
        }
        Ok(TokenEmbeddings {
            tokens: parts.lookup(embeddings, "token_embedding.weight", [self.vocabulary, width])?,
            positions: parts.table(positions, width)?,
            spec: *self,
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
        let layers = model.pp("encoder").pp("layers");
        Ok(Tower {
            spec: self.blocks,
            stem: self.stem.load(parts, &model.pp("embeddings"), width)?,
            pre_norm: self.pre_norm.map(norm).transpose()?,
            blocks: (0..self.blocks.layers).map(|i| self.blocks.load(parts, &layers.pp(i))).collect::<Result<_>>()?,
            post_norm: self.post_norm.map(norm).transpose()?,
            pool: match self.pool {
                Pool::Row => Pooling::Row,
                Pool::Mean { skip, norm_first } => Pooling::Mean { skip, norm_first },
                Pool::Attention => Pooling::Attention(Box::new(self.blocks.load_pool(parts, &model.pp("head"))?)),
            },
            head: self.load_head(parts, &root)?,
            dim: self.dim,
        })
    }

    /// Loads the products of the head.
    fn load_head<P: Parts>(&self, parts: &P, root: &WeightScope) -> Result<Vec<(P::Linear, Option<HiddenAct>)>> {
        let mut input = self.blocks.width;
        let mut layers = Vec::with_capacity(self.head.len());
        for (index, head) in self.head.iter().enumerate() {
            let weight = format!("{}.weight", head.name);
            let is_last = index + 1 == self.head.len();
            let output = if is_last { self.dim } else { root.rows_of(&weight, input)?.count() };
            let shape = [output, input];
            layers.push((parts.linear(root, &LinearSpec::new(&[head.name], &shape, head.bias).exact())?, head.act));
            input = output;
        }
        Ok(layers)
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

    /// Loads the attention pool after the blocks.
    fn load_pool<P: Parts>(&self, parts: &P, weights: &WeightScope) -> Result<AttentionPool<P>> {
        let (w, mlp) = (self.width, self.mlp_width);
        let attention = weights.pp("attention");
        Ok(AttentionPool {
            query: parts.table(query(weights, w)?, w)?,
            in_proj: parts.linear(&attention, &LinearSpec::new(&["q_proj", "k_proj", "v_proj"], &[w, w], true))?,
            out_proj: parts.linear(&attention, &LinearSpec::new(&["out_proj"], &[w, w], true))?,
            layernorm: parts.norm(&weights.pp("layernorm"), w, self.eps)?,
            fc1: parts.linear(&weights.pp("mlp"), &LinearSpec::new(&["fc1"], &[mlp, w], true))?,
            fc2: parts.linear(&weights.pp("mlp"), &LinearSpec::new(&["fc2"], &[w, mlp], true))?,
        })
    }
}

/// Returns the query of an attention pool [W]: its probe, projected. It is the same for every item.
fn query(weights: &WeightScope, width: usize) -> Result<Vec<f32>> {
    let attention = weights.pp("attention");
    let probe = weights.values("probe", &[1, 1, width])?;
    let rows = attention.rows("q_proj.weight", &[width, width])?;
    let bias = attention.values("q_proj.bias", &[width])?;
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
