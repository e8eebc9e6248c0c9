//! A tower as data: an embedding, blocks, a norm and a projection, in the form that one implementation holds weights in.
//! Which implementation runs is chosen here and nowhere else: candle's tensors (`tensors.rs`) or the CPU's kernels
//! (`engine.rs`). What a family calls its weights is in the family's file.

use super::encoder::{Block, EncoderSpec};
use super::engine::Engine;
use super::rows::Prompt;
use super::tensors::Tensors;
use crate::checkpoint::Scope;
use crate::preprocess::Normalizer;
use crate::{Compute, Pixels, Result};

/// An implementation of towers: how it holds weights, and how it runs them.
pub trait Parts: Sized {
    /// Rows of values: embeddings.
    type Table: std::fmt::Debug;
    /// Many rows, of which a batch reads a few: embeddings of tokens.
    type Lookup: std::fmt::Debug;
    /// A layer norm's parameters.
    type Norm: std::fmt::Debug;
    /// A product's weights and bias.
    type Linear: std::fmt::Debug;

    /// Loads the weight `name` as rows [n, width].
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    fn table(&self, weights: &Scope, name: &str, shape: &[usize], width: usize) -> Result<Self::Table>;

    /// Finds the weight `name` as rows [n, width].
    ///
    /// # Errors
    /// As [`Self::table`].
    fn lookup(&self, weights: &Scope, name: &str, shape: [usize; 2]) -> Result<Self::Lookup>;

    /// Loads `weight` and `bias`.
    ///
    /// # Errors
    /// As [`Self::table`].
    fn norm(&self, weights: &Scope, width: usize, eps: f64) -> Result<Self::Norm>;

    /// Loads products of one input, one after another.
    ///
    /// # Errors
    /// As [`Self::table`].
    fn linear(&self, weights: &Scope, spec: &LinearSpec) -> Result<Self::Linear>;

    /// Prompts in batches that are to be encoded together, as indices.
    fn batches(&self, prompts: &[Prompt]) -> Vec<Vec<usize>>;

    /// Runs a tower: the features [B, D] of each item, row after row.
    ///
    /// # Errors
    /// When the device fails.
    fn encode(&self, tower: &Tower<Self>, items: Items) -> Result<Vec<f32>>;
}

/// Products of one input: `name.weight` `[output, ..]`, all of one shape, and perhaps `name.bias` `[output]`.
#[derive(Debug, Clone, Copy)]
pub struct LinearSpec<'a> {
    /// Their names; their outputs follow one another.
    pub names: &'a [&'a str],
    /// The shape of each weight, output first; the rest is the input.
    pub shape: &'a [usize],
    /// True if there are biases.
    pub bias: bool,
    /// True if it stays f32 in every precision: at the towers' ends that costs next to nothing.
    pub exact: bool,
}

impl LinearSpec<'_> {
    /// Values that go in.
    pub fn input(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Values that come out.
    pub fn output(&self) -> usize {
        self.names.len() * self.shape[0]
    }
}

/// A loaded tower.
#[derive(Debug)]
pub struct Tower<P: Parts> {
    /// What it is made of.
    pub spec: EncoderSpec,
    /// From items to rows.
    pub stem: Stem<P>,
    /// A norm before the blocks.
    pub pre_norm: Option<P::Norm>,
    /// The blocks.
    pub blocks: Vec<Block<P>>,
    /// The norm of the row that stands for an item.
    pub post_norm: P::Norm,
    /// That row's projection, without a bias.
    pub projection: P::Linear,
}

/// From items to rows.
#[derive(Debug)]
pub enum Stem<P: Parts> {
    /// A class row, then the image's patches; positions are added to both.
    Patches {
        /// [1, W]
        class: P::Table,
        /// [W, 3 * P * P]
        kernel: P::Linear,
        /// [1 + N, W]
        positions: P::Table,
        /// A patch's side in pixels.
        patch: usize,
    },
    /// Embeddings of tokens; positions are added.
    Tokens {
        /// [V, W]
        tokens: P::Lookup,
        /// [T, W]
        positions: P::Table,
    },
}

/// What a tower encodes.
#[derive(Debug, Clone, Copy)]
pub enum Items<'a> {
    /// Pixels of the tower's size.
    Images(&'a [Pixels], &'a Normalizer),
    /// One of [`Parts::batches`].
    Prompts(&'a [&'a Prompt]),
}

impl<'a> Items<'a> {
    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Self::Images(pixels, _) => pixels.len(),
            Self::Prompts(prompts) => prompts.len(),
        }
    }

    /// Some of them.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Items<'a> {
        match self {
            Self::Images(pixels, normalizer) => Items::Images(&pixels[range], normalizer),
            Self::Prompts(prompts) => Items::Prompts(&prompts[range]),
        }
    }
}

/// How a family loads a tower, whatever holds the weights.
pub trait Load {
    /// Loads it.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    fn load<P: Parts>(&self, parts: &P) -> Result<Tower<P>>;
}

/// A tower and what runs it.
#[derive(Debug)]
pub enum Loaded {
    /// candle's tensors.
    Tensors(Tensors, Box<Tower<Tensors>>),
    /// The CPU's kernels.
    Kernels(Engine, Box<Tower<Engine>>),
}

impl Loaded {
    /// Loads a tower for the device, precision and instruction set asked for.
    ///
    /// # Errors
    /// As [`Load::load`].
    pub fn load(family: &impl Load, compute: &Compute) -> Result<Self> {
        Ok(match compute.kernels() {
            Some((isa, element)) => {
                let engine = Engine::new(isa, element);
                let tower = family.load(&engine)?;
                Self::Kernels(engine, Box::new(tower))
            }
            None => {
                let tensors = Tensors::new(&compute.device);
                let tower = family.load(&tensors)?;
                Self::Tensors(tensors, Box::new(tower))
            }
        })
    }

    /// As [`Parts::batches`].
    pub fn batches(&self, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        match self {
            Self::Tensors(tensors, _) => tensors.batches(prompts),
            Self::Kernels(engine, _) => engine.batches(prompts),
        }
    }

    /// Features [B, D] of each item, row after row, not yet unit length.
    ///
    /// # Errors
    /// When the device fails.
    pub fn encode(&self, items: Items) -> Result<Vec<f32>> {
        match self {
            Self::Tensors(tensors, tower) => tensors.encode(tower, items),
            Self::Kernels(engine, tower) => engine.encode(tower, items),
        }
    }
}
