//! A GPU by its index.

use std::sync::Arc;

use cudarc::cublaslt;
use cudarc::driver::{CudaContext, CudaStream, sys};

use super::{CudaError, CudaResult, libraries};

/// The oldest GPUs that the kernels run on, by compute capability.
const OLDEST: (i32, i32) = (7, 5);
/// The oldest whose matrix units do what the kernels for halves ask of them.
const OLDEST_WITH_HALVES: (i32, i32) = (8, 0);

/// A GPU: the stream that all its work but copies of images goes through.
#[derive(Debug, Clone)]
pub struct Device(pub(super) Arc<CudaStream>);

impl Device {
    /// Opens a GPU.
    ///
    /// # Errors
    /// If NVIDIA's libraries are missing, or the GPU does not answer or is too old for the kernels.
    pub fn open(index: usize) -> CudaResult<Self> {
        libraries::open()?;
        let context = CudaContext::new(index)?;
        let device = Self(context.new_stream()?);
        // SAFETY: there is one stream, and another one for copies, which `Upload` has wait for one another.
        unsafe { context.disable_event_tracking() };
        match device.capability()? {
            (major, minor) if (major, minor) < OLDEST => Err(CudaError::Failed(format!(
                "{} has compute capability {major}.{minor}; zsic needs {}.{}",
                context.name()?,
                OLDEST.0,
                OLDEST.1
            ))),
            _ => Ok(device),
        }
    }

    /// Returns its index.
    pub fn index(&self) -> usize {
        self.0.context().ordinal()
    }

    fn capability(&self) -> CudaResult<(i32, i32)> {
        Ok(self.0.context().compute_capability()?)
    }

    /// Returns whether the kernels for bf16 and f16 run on it. Those for f32 always do.
    pub fn has_halves(&self) -> bool {
        self.capability().is_ok_and(|capability| capability >= OLDEST_WITH_HALVES)
    }

    /// Returns its name and the versions of what chooses its algorithms: on another one, sums may have another order.
    ///
    /// # Errors
    /// If the GPU does not answer.
    pub fn identity(&self) -> CudaResult<String> {
        let (context, (major, minor)) = (self.0.context(), self.capability()?);
        let processors = context.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        // SAFETY: it only returns a number.
        let products = unsafe { cublaslt::sys::cublasLtGetVersion() };
        let name = context.name()?;
        Ok(format!("{name}, compute capability {major}.{minor}, {processors} multiprocessors, cuBLASLt {products}"))
    }
}
