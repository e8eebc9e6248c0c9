//! The operations of towers on an NVIDIA GPU: products by cuBLASLt (`products.rs`), and kernels of our own for what lies
//! between them (`*.cuh`, which `build.rs` has nvcc compile). All work but copies of images
//! goes through one stream, in the order of the calls.
//!
//! The bits of a row do not depend on the other rows: a kernel's sums have one order, and a product of given sizes has one
//! algorithm, whatever the number of rows.

mod attention;
mod cublaslt;
mod libraries;
mod memory;
mod open;
mod products;
mod rows;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaFunction, CudaModule, CudaSlice, CudaStream, DeviceRepr, sys};

pub use attention::{Attending, WIDEST_HEAD, heads_form};
pub use memory::{Form, Matrix, Upload};
pub use open::OpenGpu;
pub use products::{Linear, Products};
pub use rows::{Image, Norm};

use super::ActivationFn;

/// Threads of a block, as in `rows.cuh`.
const THREADS: u32 = 128;

/// A failure on the GPU.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CudaError {
    /// Less memory is free than was asked for.
    #[error("the GPU is out of memory")]
    OutOfMemory,
    /// A call failed.
    #[error("{0}")]
    Failed(String),
}

/// The result of work on the GPU.
pub type CudaResult<T> = Result<T, CudaError>;

impl From<cudarc::driver::DriverError> for CudaError {
    fn from(e: cudarc::driver::DriverError) -> Self {
        match e.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Self::OutOfMemory,
            _ => Self::Failed(words(e)),
        }
    }
}

/// Returns what the driver says of a failure.
fn words(e: cudarc::driver::DriverError) -> String {
    match (e.error_string(), e.error_name()) {
        (Ok(said), Ok(name)) => format!("{} ({})", said.to_string_lossy(), name.to_string_lossy()),
        _ => format!("{:?}", e.0),
    }
}

/// Returns the failure of a kernel.
fn failed(kernel: &str, e: cudarc::driver::DriverError) -> CudaError {
    match CudaError::from(e) {
        CudaError::Failed(reason) => CudaError::Failed(format!("{kernel}: {reason}")),
        memory => memory,
    }
}

impl From<cudarc::cublaslt::result::CublasError> for CudaError {
    fn from(e: cudarc::cublaslt::result::CublasError) -> Self {
        match e.0 {
            cudarc::cublaslt::sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => Self::OutOfMemory,
            _ => Self::Failed(format!("cuBLASLt: {:?}", e.0)),
        }
    }
}

/// What a tower works with on a GPU: the kernels, its own memory for products and for images on their way.
pub struct Gpu {
    stream: Arc<CudaStream>,
    kernels: Arc<CudaModule>,
    functions: Mutex<HashMap<String, CudaFunction>>,
    products: Products,
    upload: Upload,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Gpu").finish_non_exhaustive()
    }
}

/// The address of a matrix.
type Pointer = sys::CUdeviceptr;

impl Gpu {
    /// Makes ready for a tower.
    ///
    /// # Errors
    /// If the GPU is out of memory.
    pub fn new(gpu: &OpenGpu) -> CudaResult<Self> {
        let (products, upload) = (Products::new(gpu)?, Upload::new(&gpu.stream)?);
        let (stream, kernels) = (Arc::clone(&gpu.stream), Arc::clone(&gpu.kernels));
        Ok(Self { stream, kernels, functions: Mutex::default(), products, upload })
    }

    /// Returns a kernel by name.
    fn function(&self, name: &str) -> CudaResult<CudaFunction> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let function = self.kernels.load_function(name)?;
        functions.insert(name.to_owned(), function.clone());
        Ok(function)
    }

    /// Copies values to the GPU.
    pub(crate) fn upload<T: DeviceRepr>(&self, values: &[T]) -> CudaResult<CudaSlice<T>> {
        Ok(self.stream.clone_htod(values)?)
    }

    /// Copies rows of f32 to the GPU, each in whole groups of values.
    pub fn put(&self, rows: &[f32], columns: usize, x: &mut Matrix) -> CudaResult<()> {
        x.shape(self, rows.len() / columns, columns)?;
        let values = memory::padded(rows, columns);
        let mut bytes = x.bytes_mut();
        Ok(self.stream.memcpy_htod(bytemuck::cast_slice::<f32, u8>(&values), &mut bytes)?)
    }

    /// Waits for the values of an f32 matrix, and appends them to `out`.
    pub fn take(&self, x: &Matrix, out: &mut Vec<f32>) -> CudaResult<()> {
        let mut values = vec![0f32; x.rows() * x.width()];
        self.stream.memcpy_dtoh(&x.bytes(), bytemuck::cast_slice_mut::<f32, u8>(&mut values))?;
        self.stream.synchronize()?;
        values.chunks_exact(x.width().max(1)).for_each(|row| out.extend_from_slice(&row[..x.columns()]));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
