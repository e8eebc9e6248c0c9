//! Where and how precisely the models run. The only place besides Cargo.toml that knows which devices a build has.

use candle_core::Device;

use crate::kernels::{Element, Isa};
use crate::{Error, Result};

/// The arithmetic of the encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The fastest arithmetic whose scores stay within 5e-5 of exact ones: on CPUs with AMX three bf16 products for each of
    /// f32, elsewhere, and for models with narrow embeddings, IEEE f32.
    #[default]
    Auto,
    /// Plain IEEE f32.
    F32,
    /// bfloat16 products in the blocks, summed in f32; everything else is f32. On the CPU, with AMX or AVX512-BF16.
    Bf16,
    /// Half-precision products: in no device yet.
    F16,
}

/// Values of an embedding from which on `auto` may split products. Each value has an error of its own, and the more there
/// are the more these cancel in a logit. Towers with fewer are small and lose little time in f32.
const SPLIT_FROM: usize = 512;

/// The device that runs the models, and its precision.
#[derive(Debug, Clone)]
pub struct Compute {
    /// candle's device.
    pub device: Device,
    /// The arithmetic asked for.
    pub precision: Precision,
    /// The vector instructions that the CPU's kernels may use. Plain: none of ours, candle's tensors run.
    pub isa: Isa,
}

impl Default for Compute {
    fn default() -> Self {
        Self { device: Device::Cpu, precision: Precision::Auto, isa: Isa::best() }
    }
}

impl Compute {
    /// Opens a device by name (`auto`, `cpu`, `cuda`, `cuda:N` or `metal`) for a precision, with the best vector
    /// instructions of the machine.
    ///
    /// # Errors
    /// [`Error::Device`] when this build or this machine lacks the device or the precision; the message says how to
    /// get it.
    pub fn open(device: &str, precision: Precision) -> Result<Self> {
        Self::open_with(device, precision, Isa::best())
    }

    /// As [`Self::open`], with the vector instructions `isa`.
    ///
    /// # Errors
    /// As [`Self::open`], and when the machine lacks the instructions.
    pub fn open_with(device: &str, precision: Precision, isa: Isa) -> Result<Self> {
        let device = match device.split_once(':').unwrap_or((device, "0")) {
            ("auto", "0") => best(),
            ("cpu", "0") => Device::Cpu,
            ("cuda", index) => cuda(index)?,
            ("metal", "0") => metal()?,
            _ => {
                let reason = format!("`{device}` is no device; use auto, cpu, cuda, cuda:N or metal");
                return Err(Error::Device(reason));
            }
        };
        let compute = Self { device, precision, isa };
        compute.check()?;
        Ok(compute)
    }

    /// Refuses what this machine cannot do.
    fn check(&self) -> Result<()> {
        let reason = match self.precision {
            _ if !self.isa.is_available() => {
                format!("this machine has no {}; it has {}", self.isa.name(), Isa::best().name())
            }
            Precision::Auto | Precision::F32 => return Ok(()),
            Precision::F16 => "this version has no f16 arithmetic; use --precision f32 or auto".to_owned(),
            Precision::Bf16 if !self.device.is_cpu() => {
                "this version has bf16 arithmetic on the CPU only; use --precision f32 or auto".to_owned()
            }
            Precision::Bf16 if self.isa.has_bf16() => return Ok(()),
            Precision::Bf16 if Isa::best().has_bf16() => {
                format!("there is no bf16 arithmetic in {}; use --precision f32 or auto", self.isa.name())
            }
            Precision::Bf16 => {
                "this CPU has no bf16 arithmetic (AMX or AVX512-BF16); use --precision f32 or auto".to_owned()
            }
        };
        Err(Error::Device(reason))
    }

    /// The same, for a model whose embeddings have `dim` values: `auto` stays where it is something of its own, and is
    /// f32 elsewhere.
    pub fn for_embeddings(&self, dim: usize) -> Self {
        let splits = self.device.is_cpu() && self.isa == Isa::Amx && dim >= SPLIT_FROM;
        let is_f32 = self.precision == Precision::Auto && !splits;
        Self { precision: if is_f32 { Precision::F32 } else { self.precision }, ..self.clone() }
    }

    /// The instruction set and the values of the CPU's kernels; none where candle's tensors run instead.
    pub(crate) fn kernels(&self) -> Option<(Isa, Element)> {
        let element = match self.precision {
            Precision::Bf16 => Element::Bf16,
            Precision::Auto if self.isa == Isa::Amx => Element::Split,
            _ => Element::F32,
        };
        (self.device.is_cpu() && self.isa != Isa::Plain).then_some((self.isa, element))
    }

    /// What does the arithmetic on the CPU: `amx-split`, `amx-bf16`, `avx512-bf16`, `avx512`, `avx2` or `plain`. None on
    /// other devices.
    pub fn instructions(&self) -> Option<&'static str> {
        match self.kernels() {
            _ if !self.device.is_cpu() => None,
            Some((Isa::Amx, Element::Split)) => Some("amx-split"),
            Some((Isa::Amx, Element::Bf16)) => Some("amx-bf16"),
            Some((Isa::Amx, Element::F32)) => Some(Isa::Avx512.name()),
            Some((_, Element::Bf16)) => Some("avx512-bf16"),
            _ => Some(self.isa.name()),
        }
    }

    /// The device's name: `cpu`, `cuda:0`, `metal`.
    pub fn name(&self) -> String {
        match self.device.location() {
            candle_core::DeviceLocation::Cpu => "cpu".to_owned(),
            candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
            candle_core::DeviceLocation::Metal { .. } => "metal".to_owned(),
        }
    }
}

/// The first GPU that answers, else the CPU.
fn best() -> Device {
    cuda("0").or_else(|_| metal()).unwrap_or(Device::Cpu)
}

fn cuda(index: &str) -> Result<Device> {
    let Ok(ordinal) = index.parse() else {
        return Err(Error::Device(format!("`cuda:{index}`: the index of a GPU is a number, as in cuda:0")));
    };
    if !candle_core::utils::cuda_is_available() {
        let reason = "this build has no CUDA; install one that has: cargo install --path . --features cuda";
        return Err(Error::Device(reason.to_owned()));
    }
    Device::new_cuda(ordinal).map_err(|e| Error::Device(format!("cuda:{index} does not answer: {e}")))
}

fn metal() -> Result<Device> {
    if !candle_core::utils::metal_is_available() {
        let reason = "this build has no Metal; install one that has, on macOS: cargo install --path . --features metal";
        return Err(Error::Device(reason.to_owned()));
    }
    Device::new_metal(0).map_err(|e| Error::Device(format!("metal does not answer: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_says_how_to_get_it() {
        let message = |name| Compute::open(name, Precision::Auto).unwrap_err().to_string();
        if !candle_core::utils::cuda_is_available() {
            assert!(message("cuda:1").contains("--features cuda"));
        }
        if !candle_core::utils::metal_is_available() {
            assert!(message("metal").contains("--features metal"));
        }
        assert!(message("gpu").contains("is no device"));
        assert!(message("cuda:x").contains("a number"));
    }

    #[test]
    fn a_missing_precision_is_an_error() {
        assert!(Compute::open("cpu", Precision::F16).unwrap_err().to_string().contains("f16"));
        assert_eq!(Compute::open("auto", Precision::F32).unwrap().precision, Precision::F32);
        let bf16 = |isa| Compute::open_with("cpu", Precision::Bf16, isa).map_err(|e| e.to_string());
        assert!(bf16(Isa::Plain).unwrap_err().contains("bf16"));
        match bf16(Isa::Avx512) {
            Ok(compute) => assert_eq!(compute.instructions(), Some("avx512-bf16")),
            Err(e) if !Isa::Avx512.is_available() => assert!(e.contains("this machine has no avx512; it has"), "{e}"),
            Err(e) => assert!(
                !Isa::Avx512.has_bf16() && e.contains(if Isa::best() > Isa::Avx512 { "avx512" } else { "CPU" }),
                "{e}"
            ),
        }
        assert_eq!(Compute::open_with("cpu", Precision::F32, Isa::Plain).unwrap().instructions(), Some("plain"));
        for (precision, name) in
            [(Precision::Auto, "amx-split"), (Precision::Bf16, "amx-bf16"), (Precision::F32, "avx512")]
        {
            match Compute::open_with("cpu", precision, Isa::Amx) {
                Ok(compute) => assert_eq!(compute.instructions(), Some(name)),
                Err(e) => assert!(e.to_string().contains("this machine has no amx; it has"), "{e}"),
            }
        }
    }

    #[test]
    fn auto_is_f32_but_for_wide_embeddings_on_amx() {
        for isa in Isa::ALL {
            let auto = Compute { precision: Precision::Auto, isa, ..Compute::default() };
            assert_eq!(auto.for_embeddings(511).precision, Precision::F32);
            let wide = if isa == Isa::Amx { Precision::Auto } else { Precision::F32 };
            assert_eq!(auto.for_embeddings(512).precision, wide);
            let bf16 = Compute { precision: Precision::Bf16, ..auto };
            assert_eq!(bf16.for_embeddings(16).precision, Precision::Bf16);
        }
    }
}
