//! Where and how precisely the models run.

use std::str::FromStr;
use std::sync::Arc;

use rayon::ThreadPool;

use crate::kernels::Isa;
#[cfg(feature = "cuda")]
use crate::kernels::cuda;
use crate::{Error, Result};

/// The arithmetic of the encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The fastest arithmetic whose scores stay within 5e-5 of exact ones: on CPUs with AMX three bf16 products in
    /// place of each f32 product, on NVIDIA GPUs three f16 products; elsewhere, and if errors weigh more, IEEE f32.
    #[default]
    Auto,
    /// Plain IEEE f32.
    F32,
    /// bfloat16 products in the blocks, summed in f32; the rest is f32. On CPUs with AMX or AVX512-BF16, and NVIDIA GPUs.
    Bf16,
    /// Half-precision products in the blocks, summed in f32; the rest is f32. On NVIDIA GPUs.
    F16,
}

impl Precision {
    /// Every arithmetic.
    pub const ALL: [Self; 4] = [Self::Auto, Self::F32, Self::Bf16, Self::F16];

    /// Returns its name: `auto`, `f32`, `bf16`, `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

impl FromStr for Precision {
    type Err = &'static str;

    /// Parses a name.
    fn from_str(name: &str) -> std::result::Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or("use auto, f32, bf16 or f16")
    }
}

/// The threads that arithmetic on the CPU runs on: rayon's global pool, or a pool of the caller's.
#[derive(Debug, Clone, Default)]
pub struct Threads(Option<Arc<ThreadPool>>);

impl Threads {
    /// Runs work whose parallel parts use these threads.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            None => work(),
            Some(pool) => pool.install(work),
        }
    }
}

/// What runs the models.
#[derive(Debug, Clone)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda(cuda::OpenGpu),
    /// An Apple GPU, through candle.
    Metal(candle_core::Device),
}

impl Device {
    /// Returns whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu)
    }

    /// Returns whether it is an NVIDIA GPU.
    pub fn is_cuda(&self) -> bool {
        !matches!(self, Self::Cpu | Self::Metal(_))
    }

    /// Returns its name: `cpu`, `cuda:0`, `metal`.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => "cpu".to_owned(),
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => format!("cuda:{}", gpu.index()),
            Self::Metal(_) => "metal".to_owned(),
        }
    }

    /// Returns whether it is an NVIDIA GPU whose matrix units take bf16 and f16.
    pub(crate) fn has_halves(&self) -> bool {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.has_halves(),
            _ => false,
        }
    }
}

/// The device that runs the models, its precision and its threads.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// The requested arithmetic.
    pub precision: Precision,
    /// The vector instructions that the CPU's kernels may use. With `Plain`, candle's tensors run instead.
    pub isa: Isa,
    /// The CPU's threads.
    pub threads: Threads,
    /// Why `auto` chose the CPU, in a build for GPUs.
    pub without_gpu: Option<String>,
}

impl Default for Compute {
    fn default() -> Self {
        let (precision, threads) = (Precision::Auto, Threads::default());
        Self { device: Device::Cpu, precision, isa: Isa::best(), threads, without_gpu: None }
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

    /// Does the same as [`Self::open`], with the vector instructions `isa`.
    ///
    /// # Errors
    /// The errors of [`Self::open`], and one if the machine lacks the instructions.
    pub fn open_with(device: &str, precision: Precision, isa: Isa) -> Result<Self> {
        let mut without_gpu = None;
        let device = match device.split_once(':').unwrap_or((device, "0")) {
            ("auto", "0") => best(&mut without_gpu),
            ("cpu", "0") => Device::Cpu,
            ("cuda", index) => cuda(index)?,
            ("metal", "0") => metal()?,
            _ => {
                let reason = format!("`{device}` is not a device; use auto, cpu, cuda, cuda:N or metal");
                return Err(Error::Device(reason));
            }
        };
        let compute = Self { device, precision, isa, threads: Threads::default(), without_gpu };
        compute.check()?;
        Ok(compute)
    }

    /// Returns the same, on the threads of `pool` instead of rayon's global ones. Loading, encoding and
    /// [`Classifier`](crate::Classifier) use them. Results have the same bits on any number of threads.
    pub fn with_pool(self, pool: Arc<ThreadPool>) -> Self {
        Self { threads: Threads(Some(pool)), ..self }
    }

    /// Refuses a combination that this machine cannot run.
    fn check(&self) -> Result<()> {
        let reason = match self.precision {
            _ if !self.isa.is_available() => {
                format!("this machine has no {}; it has {}", self.isa.name(), Isa::best().name())
            }
            Precision::Auto | Precision::F32 => return Ok(()),
            Precision::F16 | Precision::Bf16 if self.device.has_halves() => return Ok(()),
            precision if self.device.is_cuda() => {
                let name = precision.name();
                format!("{name} needs a GPU of compute capability 8.0 or later; use --precision f32 or auto")
            }
            Precision::F16 => "f16 arithmetic is for NVIDIA GPUs; use --precision f32 or auto".to_owned(),
            Precision::Bf16 if !self.device.is_cpu() => {
                "bf16 arithmetic is for CPUs and NVIDIA GPUs; use --precision f32 or auto".to_owned()
            }
            Precision::Bf16 if self.isa.has_bf16() => return Ok(()),
            Precision::Bf16 if Isa::best().has_bf16() => {
                format!("{} has no bf16 arithmetic; use --precision f32 or auto", self.isa.name())
            }
            Precision::Bf16 => {
                "this CPU has no bf16 arithmetic (AMX or AVX512-BF16); use --precision f32 or auto".to_owned()
            }
        };
        Err(Error::Device(match &self.without_gpu {
            Some(why) => format!("{reason}; {why}"),
            None => reason,
        }))
    }
}

/// Returns the first available GPU, else the CPU, and why a build for GPUs found none.
fn best(without_gpu: &mut Option<String>) -> Device {
    let found = if cfg!(feature = "metal") { metal() } else { cuda("0") };
    found.unwrap_or_else(|e| {
        *without_gpu = cfg!(any(feature = "cuda", feature = "metal")).then(|| e.to_string());
        Device::Cpu
    })
}

fn cuda(index: &str) -> Result<Device> {
    let Ok(index) = index.parse::<u16>() else {
        return Err(Error::Device(format!("`cuda:{index}`: the index of a GPU is a number, as in cuda:0")));
    };
    open_cuda(index.into())
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    let opened = cuda::OpenGpu::open(index).map(Device::Cuda);
    opened.map_err(|e| Error::Device(format!("cuda:{index} cannot be used: {e}")))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize) -> Result<Device> {
    let reason = "this build has no CUDA; install one that has: cargo install --path . --features cuda";
    Err(Error::Device(reason.to_owned()))
}

fn metal() -> Result<Device> {
    if cfg!(not(feature = "metal")) {
        let reason = "this build has no Metal; install one that has, on macOS: cargo install --path . --features metal";
        return Err(Error::Device(reason.to_owned()));
    }
    let opened = candle_core::Device::new_metal(0).map(Device::Metal);
    opened.map_err(|e| Error::Device(format!("metal does not answer: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_the_pool_that_was_given() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).thread_name(|n| format!("own {n}")).build().unwrap();
        let name = || std::thread::current().name().map(str::to_owned);
        let own = Compute::default().with_pool(Arc::new(pool)).threads;
        assert_eq!(own.run(rayon::current_num_threads), 3);
        assert!(own.run(name).unwrap().starts_with("own "));
        assert_eq!(Threads::default().run(name), name());
    }

    #[test]
    fn a_missing_device_says_how_to_get_it() {
        let message = |name| Compute::open(name, Precision::Auto).unwrap_err().to_string();
        if cfg!(not(feature = "cuda")) {
            assert!(message("cuda:1").contains("--features cuda"));
        }
        if cfg!(not(feature = "metal")) {
            assert!(message("metal").contains("--features metal"));
        }
        assert!(message("gpu").contains("is not a device"));
        assert!(message("cuda:x").contains("a number"));
    }

    #[test]
    fn a_missing_precision_is_an_error() {
        assert!(Compute::open("cpu", Precision::F16).unwrap_err().to_string().contains("f16"));
        assert_eq!(Compute::open("auto", Precision::F32).unwrap().precision, Precision::F32);
        let bf16 = |isa| Compute::open_with("cpu", Precision::Bf16, isa).map_err(|e| e.to_string());
        assert!(bf16(Isa::Plain).unwrap_err().contains("bf16"));
        match bf16(Isa::Avx512) {
            Ok(compute) => assert_eq!(compute.precision, Precision::Bf16),
            Err(e) if !Isa::Avx512.is_available() => assert!(e.contains("this machine has no avx512; it has"), "{e}"),
            Err(e) => assert!(
                !Isa::Avx512.has_bf16() && e.contains(if Isa::best() > Isa::Avx512 { "avx512" } else { "CPU" }),
                "{e}"
            ),
        }
        if let Err(e) = Compute::open_with("cpu", Precision::Auto, Isa::Amx) {
            assert!(e.to_string().contains("this machine has no amx; it has"), "{e}");
        }
    }
}
