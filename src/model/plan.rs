//! Chooses what really runs: device, instruction set and precision, once, from what was asked for, the machine and
//! the checkpoint.

use crate::device::{Compute, Device, Precision, Threads};
use crate::kernels::{Element, Isa};
use crate::model::checkpoint::Checkpoint;
use crate::score::Activation;

/// The narrowest embedding for which `auto` may split products. Each value has its own error, and the more values there
/// are, the more their errors cancel in a logit. Narrower towers are small and lose little time in f32.
const SPLIT_FROM: usize = 512;

/// The device, instruction set and arithmetic that run a checkpoint's towers.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The device.
    pub device: Device,
    /// The arithmetic. Here `Auto` means split products and nothing else.
    pub precision: Precision,
    /// The vector instructions that the CPU's kernels may use. With `Plain`, candle's tensors run instead of our
    /// kernels.
    pub isa: Isa,
    /// The CPU's threads.
    pub threads: Threads,
}

impl Compute {
    /// Returns what runs `checkpoint`.
    pub fn plan(&self, checkpoint: &Checkpoint) -> Plan {
        let facts = checkpoint.family().facts();
        self.plan_for(facts.embedding, facts.activation)
    }

    /// Returns what runs a model whose embeddings have `dim` values. `auto` is f32 if products are not split. They are
    /// not split under a sigmoid: there an error of 2e-4 in a logit can become 5e-5 in a score, four times that of a
    /// softmax, and SigLIP's logits are steeper than CLIP's. A GPU splits values into f16, which keeps enough digits of
    /// narrow ones too.
    fn plan_for(&self, dim: usize, activation: Activation) -> Plan {
        let can_split = match self.device {
            Device::Cpu => self.isa == Isa::Amx && dim >= SPLIT_FROM,
            _ => self.device.has_halves(),
        };
        let splits = can_split && activation == Activation::Softmax;
        let is_f32 = self.precision == Precision::Auto && !splits;
        let precision = if is_f32 { Precision::F32 } else { self.precision };
        let Self { device, isa, threads, .. } = self.clone();
        Plan { device, precision, isa, threads }
    }
}

impl Plan {
    /// Returns the instruction set and the values of the CPU's kernels; none where candle's tensors run instead.
    pub(crate) fn kernels(&self) -> Option<(Isa, Element)> {
        let element = match self.precision {
            Precision::Bf16 => Element::Bf16,
            Precision::Auto if self.isa == Isa::Amx => Element::Split,
            _ => Element::F32,
        };
        (self.device.is_cpu() && self.isa != Isa::Plain).then_some((self.isa, element))
    }

    /// Returns what does the arithmetic: on the CPU `amx-split`, `amx-bf16`, `avx512-bf16`, `avx512`, `avx2`, `neon` or
    /// `plain`, and on an NVIDIA GPU `cuda-f32`, `cuda-bf16`, `cuda-f16` or `cuda-split`; none on other devices.
    pub fn instructions(&self) -> Option<&'static str> {
        match self.kernels() {
            _ if self.device.is_cuda() => Some(match self.precision {
                Precision::Auto => "cuda-split",
                Precision::F32 => "cuda-f32",
                Precision::Bf16 => "cuda-bf16",
                Precision::F16 => "cuda-f16",
            }),
            _ if !self.device.is_cpu() => None,
            Some((Isa::Amx, Element::Split)) => Some("amx-split"),
            Some((Isa::Amx, Element::Bf16)) => Some("amx-bf16"),
            Some((Isa::Amx, Element::F32)) => Some(Isa::Avx512.name()),
            Some((_, Element::Bf16)) => Some("avx512-bf16"),
            _ => Some(self.isa.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(precision: Precision, isa: Isa) -> Compute {
        Compute { precision, isa, ..Compute::default() }
    }

    #[test]
    fn auto_is_f32_but_for_wide_embeddings_on_amx() {
        for isa in Isa::ALL {
            let auto = compute(Precision::Auto, isa);
            assert_eq!(auto.plan_for(511, Activation::Softmax).precision, Precision::F32);
            let wide = if isa == Isa::Amx { Precision::Auto } else { Precision::F32 };
            assert_eq!(auto.plan_for(512, Activation::Softmax).precision, wide);
            assert_eq!(auto.plan_for(512, Activation::Sigmoid).precision, Precision::F32);
            assert_eq!(compute(Precision::Bf16, isa).plan_for(16, Activation::Sigmoid).precision, Precision::Bf16);
        }
    }

    #[test]
    fn each_arithmetic_has_a_name() {
        let name = |precision, isa| compute(precision, isa).plan_for(512, Activation::Softmax).instructions();
        assert_eq!(name(Precision::F32, Isa::Plain), Some("plain"));
        assert_eq!(name(Precision::Auto, Isa::Neon), Some("neon"));
        assert_eq!(name(Precision::Bf16, Isa::Avx512), Some("avx512-bf16"));
        assert_eq!(name(Precision::Auto, Isa::Avx512), Some("avx512"));
        assert_eq!(name(Precision::Auto, Isa::Amx), Some("amx-split"));
        assert_eq!(name(Precision::Bf16, Isa::Amx), Some("amx-bf16"));
        assert_eq!(name(Precision::F32, Isa::Amx), Some("avx512"));
    }
}
