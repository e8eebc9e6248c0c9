//! Which backend runs a tower: candle's tensors (`tensors.rs`) or zsic's own kernels (`engine.rs`). It is chosen here and
//! nowhere else.

use super::attention_rows::Prompt;
#[cfg(feature = "cuda")]
use super::engine::Cuda;
use super::engine::{Cpu, Engine};
use super::plan::Plan;
use super::spec::{ImageStem, TokenStem, TowerSpec};
use super::tensors::Tensors;
use super::tower::{Forward, LoadStem, Tower};
use crate::Result;
use crate::checkpoint::Weights;
use crate::device::Device;
use crate::preprocess::{Normalizer, Pixels};

/// A tower as an engine holds it.
type On<P, S> = Box<Tower<Engine<P>, <S as LoadStem>::Stem<Engine<P>>>>;

/// A tower and what runs it.
#[derive(Debug)]
pub enum Loaded<S: LoadStem> {
    /// candle's tensors.
    Tensors(Tensors, Box<Tower<Tensors, S::Stem<Tensors>>>),
    /// The CPU's kernels.
    Kernels(Engine<Cpu>, On<Cpu, S>),
    /// An NVIDIA GPU's kernels.
    #[cfg(feature = "cuda")]
    Cuda(Engine<Cuda>, On<Cuda, S>),
}

impl<S: LoadStem> Loaded<S> {
    /// Loads the tower that `spec` describes for what `plan` runs.
    ///
    /// # Errors
    /// As [`TowerSpec::load`].
    pub fn load(spec: &TowerSpec<S>, weights: &Weights, plan: &Plan) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &plan.device {
            let engine = Engine::new(Cuda::new(device, plan.precision, &spec.blocks)?);
            let tower = spec.load(&engine, weights)?;
            return Ok(Self::Cuda(engine, Box::new(tower)));
        }
        Ok(match plan.kernels() {
            Some((isa, element)) => {
                let engine = Engine::new(Cpu::new(isa, element));
                let tower = spec.load(&engine, weights)?;
                Self::Kernels(engine, Box::new(tower))
            }
            None => {
                let tensors = Tensors::new(match &plan.device {
                    Device::Metal(device) => device,
                    _ => &candle_core::Device::Cpu,
                });
                let tower = spec.load(&tensors, weights)?;
                Self::Tensors(tensors, Box::new(tower))
            }
        })
    }
}

impl Loaded<ImageStem> {
    /// Encodes images; see [`Forward::images`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn images(&self, pixels: &[Pixels], normalizer: &Normalizer) -> Result<Vec<f32>> {
        match self {
            Self::Tensors(tensors, tower) => tensors.images(tower, pixels, normalizer),
            Self::Kernels(engine, tower) => engine.images(tower, pixels, normalizer),
            #[cfg(feature = "cuda")]
            Self::Cuda(engine, tower) => engine.images(tower, pixels, normalizer),
        }
    }
}

impl Loaded<TokenStem> {
    /// Encodes prompts; see [`Forward::prompts`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn prompts(&self, prompts: &[&Prompt]) -> Result<Vec<f32>> {
        match self {
            Self::Tensors(tensors, tower) => tensors.prompts(tower, prompts),
            Self::Kernels(engine, tower) => engine.prompts(tower, prompts),
            #[cfg(feature = "cuda")]
            Self::Cuda(engine, tower) => engine.prompts(tower, prompts),
        }
    }

    /// Returns batches of prompts, as indices; see [`Forward::batches`].
    pub fn batches(&self, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        match self {
            Self::Tensors(tensors, tower) => tensors.batches(tower.spec.mask, prompts),
            Self::Kernels(engine, tower) => engine.batches(tower.spec.mask, prompts),
            #[cfg(feature = "cuda")]
            Self::Cuda(engine, tower) => engine.batches(tower.spec.mask, prompts),
        }
    }
}
