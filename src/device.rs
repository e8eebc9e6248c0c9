//! Where and how precisely the models run. The only place besides Cargo.toml that knows which devices a build has.

use candle_core::Device;

use crate::{Error, Result};

/// The arithmetic of the encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The fastest arithmetic whose scores stay within 5e-5 of exact ones: today IEEE f32 on every device.
    #[default]
    Auto,
    /// Plain IEEE f32.
    F32,
    /// bfloat16 products.
    Bf16,
    /// Half-precision products.
    F16,
}

/// The device that runs the models, and its precision.
#[derive(Debug, Clone)]
pub struct Compute {
    /// candle's device.
    pub device: Device,
    /// The arithmetic asked for.
    pub precision: Precision,
}

impl Default for Compute {
    fn default() -> Self {
        Self { device: Device::Cpu, precision: Precision::Auto }
    }
}

impl Compute {
    /// Opens a device by name (`auto`, `cpu`, `cuda`, `cuda:N` or `metal`) for a precision.
    ///
    /// # Errors
    /// [`Error::Device`] when this build or this machine lacks the device or the precision; the message says how to
    /// get it.
    pub fn open(device: &str, precision: Precision) -> Result<Self> {
        if let Precision::Bf16 | Precision::F16 = precision {
            let name = if precision == Precision::Bf16 { "bf16" } else { "f16" };
            return Err(Error::Device(format!("this version has no {name} arithmetic; use --precision f32 or auto")));
        }
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
        Ok(Self { device, precision })
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
        assert!(Compute::open("cpu", Precision::Bf16).unwrap_err().to_string().contains("bf16"));
        assert_eq!(Compute::open("auto", Precision::F32).unwrap().precision, Precision::F32);
    }
}
