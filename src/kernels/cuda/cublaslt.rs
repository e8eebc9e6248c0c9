//! The objects that describe a product to cuBLASLt.

use std::sync::Arc;

use cudarc::cublaslt::{result, sys};
use cudarc::driver::CudaContext;

use super::{CudaResult, Form, Pointer};

/// A cuBLASLt handle, and the context that it belongs to.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) raw: sys::cublasLtHandle_t,
    context: Arc<CudaContext>,
}

// SAFETY: cuBLASLt's handle may be used by several threads.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(super) fn new(context: &Arc<CudaContext>) -> CudaResult<Self> {
        context.bind_to_thread()?;
        Ok(Self { raw: result::create_handle()?, context: Arc::clone(context) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // There is nobody to tell of a failure.
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: it was created by `new`, and nothing uses it any more.
            let _ = unsafe { result::destroy_handle(self.raw) };
        }
    }
}

/// What decides the algorithm of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) form: Form,
    pub(super) result: Form,
    /// Values that are summed.
    pub(super) input: usize,
    /// Values from one row of operands to the next.
    pub(super) input_stride: usize,
    pub(super) output: usize,
    pub(super) stride: usize,
    pub(super) adds: bool,
    pub(super) bias: bool,
    /// What the addresses of weights, bias and results are multiples of.
    pub(super) alignment: u32,
}

/// Returns how cuBLASLt calls a form's values.
fn data_type(form: Form) -> sys::cudaDataType {
    match form {
        Form::F32 => sys::cudaDataType::CUDA_R_32F,
        Form::F16 | Form::Split => sys::cudaDataType::CUDA_R_16F,
        Form::Bf16 => sys::cudaDataType::CUDA_R_16BF,
    }
}

/// What is computed. cuBLASLt has columns for rows: it computes `y^T = W x^T`.
pub(super) struct Call(pub(super) sys::cublasLtMatmulDesc_t);

impl Call {
    pub(super) fn new(kind: &Kind, bias: Option<Pointer>) -> CudaResult<Self> {
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let call = Self(result::create_matmul_desc(compute, sys::cudaDataType::CUDA_R_32F)?);
        call.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA, &1i32)?;
        if let Some(bias) = bias {
            let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
            call.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
            call.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
            let of = data_type(kind.result);
            call.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &of)?;
        }
        Ok(call)
    }

    fn set<T>(&self, name: sys::cublasLtMatmulDescAttributes_t, value: &T) -> CudaResult<()> {
        // SAFETY: the value has the size that it says.
        Ok(unsafe { result::set_matmul_desc_attribute(self.0, name, (&raw const *value).cast(), size_of::<T>()) }?)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: it was created by `new`.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// The layouts of a product's matrices.
pub(super) struct Layouts {
    pub(super) weight: sys::cublasLtMatrixLayout_t,
    pub(super) x: sys::cublasLtMatrixLayout_t,
    pub(super) y: sys::cublasLtMatrixLayout_t,
}

impl Layouts {
    pub(super) fn new(kind: &Kind, rows: usize) -> CudaResult<Self> {
        let Kind { form, result, input, input_stride, output, stride, .. } = *kind;
        let layout = |form, inner: usize, outer: usize, stride: usize| {
            result::create_matrix_layout(data_type(form), inner as u64, outer as u64, stride as i64)
        };
        Ok(Self {
            weight: layout(form, input, output, input_stride)?,
            x: layout(form, input, rows, input_stride)?,
            y: layout(result, output, rows, stride)?,
        })
    }
}

impl Drop for Layouts {
    fn drop(&mut self) {
        for layout in [self.weight, self.x, self.y] {
            // SAFETY: it was created by `new`.
            let _ = unsafe { result::destroy_matrix_layout(layout) };
        }
    }
}

/// What an algorithm may use.
pub(super) struct Preference(pub(super) sys::cublasLtMatmulPreference_t);

impl Preference {
    pub(super) fn new() -> CudaResult<Self> {
        Ok(Self(result::create_matmul_pref()?))
    }

    pub(super) fn set<T>(&self, name: sys::cublasLtMatmulPreferenceAttributes_t, value: &T) -> CudaResult<()> {
        // SAFETY: the value has the size that it says.
        Ok(unsafe { result::set_matmul_pref_attribute(self.0, name, (&raw const *value).cast(), size_of::<T>()) }?)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it was created by `new`.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}
