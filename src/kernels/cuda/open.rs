//! Opening a GPU by its index: all that can be missing or not fit is found here.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaModule, CudaStream, sys};
use cudarc::{cublaslt, nvrtc};

use super::cublaslt::Handle;
use super::{CudaError, CudaResult, libraries, memory};

/// The kernels as machine code, for several kinds of GPU.
const KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// The oldest GPUs that the kernels run on, by compute capability.
const OLDEST: (i32, i32) = (7, 5);
/// The oldest whose matrix units do what the kernels for halves ask of them.
const OLDEST_WITH_HALVES: (i32, i32) = (8, 0);

/// A GPU that is ready for towers.
#[derive(Debug, Clone)]
pub struct OpenGpu {
    /// What all work but copies of images goes through.
    pub(super) stream: Arc<CudaStream>,
    pub(super) kernels: Arc<CudaModule>,
    pub(super) cublaslt: Arc<Handle>,
    capability: (i32, i32),
    identity: String,
}

impl OpenGpu {
    /// Opens a GPU.
    ///
    /// # Errors
    /// If NVIDIA's libraries are missing or do not fit together, or the GPU does not answer or is too old.
    pub fn open(index: usize) -> CudaResult<Self> {
        libraries::open()?;
        let context = CudaContext::new(index)?;
        let capability = context.compute_capability()?;
        let (name, (major, minor), (wanted, more)) = (context.name()?, capability, OLDEST);
        if capability < OLDEST {
            let reason = format!("{name} has compute capability {major}.{minor}; zsic needs {wanted}.{more} or later");
            return Err(CudaError::Failed(reason));
        }
        let processors = context.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        // SAFETY: it only returns a number.
        let version = unsafe { cublaslt::sys::cublasLtGetVersion() };
        let identity =
            format!("{name}, compute capability {major}.{minor}, {processors} multiprocessors, cuBLASLt {version}");
        memory::keep_freed(&context)?;
        let kernels = context.load_module(nvrtc::Ptx::from_binary(KERNELS.to_vec()));
        let kernels = kernels.map_err(|e| match CudaError::from(e) {
            CudaError::OutOfMemory => CudaError::OutOfMemory,
            CudaError::Failed(said) => CudaError::Failed(format!(
                "{said}: the driver does not take the kernels; update it, or build zsic with an older nvcc"
            )),
        })?;
        let handle = Handle::new(&context).map_err(|e| {
            CudaError::Failed(format!("{e}: cuBLASLt does not start; update the driver, or install an older cuBLASLt"))
        })?;
        let (stream, cublaslt) = (context.new_stream()?, Arc::new(handle));
        // SAFETY: what a tower works on is used by this stream alone, but for images on their way, and `Upload` has this
        // stream and its own wait for one another.
        unsafe { context.disable_event_tracking() };
        Ok(Self { stream, kernels, cublaslt, capability, identity })
    }

    /// Opens the first one, if this machine has one. With a GPU in `ZSIC_TEST_DEVICE` it must have one.
    #[cfg(test)]
    pub(crate) fn of_tests() -> Option<Self> {
        let opened = Self::open(0);
        let is_asked = std::env::var("ZSIC_TEST_DEVICE").is_ok_and(|device| device.starts_with("cuda"));
        assert!(opened.is_ok() || !is_asked, "{opened:?}");
        println!("{}", if opened.is_ok() { "ran on a GPU" } else { "no GPU" });
        opened.ok()
    }

    /// Returns its index.
    pub fn index(&self) -> usize {
        self.stream.context().ordinal()
    }

    /// Returns whether the kernels for bf16 and f16 run on it. Those for f32 always do.
    pub fn has_halves(&self) -> bool {
        self.capability >= OLDEST_WITH_HALVES
    }

    /// Returns its name and the versions of what chooses its algorithms: on another one, sums may have another order.
    pub fn identity(&self) -> &str {
        &self.identity
    }
}
