//! A loaded tower, and the one loader: what a [`TowerSpec`] describes, in the form that a backend holds weights in. Which
//! backend runs is chosen here and nowhere else.

use super::engine::Engine;
use super::parts::{Parts, Run};
use super::plan::Plan;
use super::rows::Prompt;
use super::spec::{BlockSpec, ImageStem, LinearSpec, TokenStem, TowerSpec};
use super::tensors::Tensors;
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

/// A tower and what runs it.
#[derive(Debug)]
pub enum Loaded<S: LoadStem> {
    /// candle's tensors.
    Tensors(Tensors, Box<Tower<Tensors, S::Stem<Tensors>>>),
    /// The CPU's kernels.
    Kernels(Engine, Box<Tower<Engine, S::Stem<Engine>>>),
}

impl<S: LoadStem> Loaded<S> {
    /// Loads the tower that `spec` describes for what `plan` runs.
    ///
    /// # Errors
    /// As [`TowerSpec::load`].
    pub fn load(spec: &TowerSpec<S>, weights: &Weights, plan: &Plan) -> Result<Self> {
        Ok(match plan.kernels() {
            Some((isa, element)) => {
                let engine = Engine::new(isa, element);
                let tower = spec.load(&engine, weights)?;
                Self::Kernels(engine, Box::new(tower))
            }
            None => {
                let tensors = Tensors::new(&plan.device);
                let tower = spec.load(&tensors, weights)?;
                Self::Tensors(tensors, Box::new(tower))
            }
        })
    }
}

impl Loaded<ImageStem> {
    /// Encodes images; see [`Run::images`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn images(&self, pixels: &[Pixels], normalizer: &Normalizer) -> Result<Vec<f32>> {
        match self {
            Self::Tensors(tensors, tower) => tensors.images(tower, pixels, normalizer),
            Self::Kernels(engine, tower) => engine.images(tower, pixels, normalizer),
        }
    }
}

impl Loaded<TokenStem> {
    /// Encodes prompts; see [`Run::prompts`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn prompts(&self, prompts: &[&Prompt]) -> Result<Vec<f32>> {
        match self {
            Self::Tensors(tensors, tower) => tensors.prompts(tower, prompts),
            Self::Kernels(engine, tower) => engine.prompts(tower, prompts),
        }
    }

    /// Returns batches of prompts, as indices; see [`Run::batches`].
    pub fn batches(&self, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        match self {
            Self::Tensors(tensors, tower) => tensors.batches(tower.spec.mask, prompts),
            Self::Kernels(engine, tower) => engine.batches(tower.spec.mask, prompts),
        }
    }
}
