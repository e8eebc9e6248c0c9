//! Products by cuBLASLt, with the bias and the sum with old values in the same kernel.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublaslt::{result, sys};
use cudarc::driver::{CudaSlice, DevicePtr};
use half::{bf16, f16};

use super::cublaslt::{Call, Handle, Kind, Layouts, Preference};
use super::memory::{padded, width};
use super::{CudaError, CudaResult, Form, Gpu, Matrix, OpenGpu, Pointer};
use crate::kernels::ActivationFn;
use crate::kernels::product::Then;

/// Bytes that a product may use besides its operands, as NVIDIA advises for its newest GPUs.
const WORKSPACE: usize = 32 << 20;
/// Rows for which the algorithm of a product is chosen. It then has that for any number of rows.
const TYPICAL_ROWS: usize = 8192;

/// The power of two that addresses are multiples of, as the driver returns them and cuBLASLt expects them.
const ALIGNMENT: u32 = 8;
/// The addresses that may be less, where a product computes some columns.
const ALIGNED: [sys::cublasLtMatmulPreferenceAttributes_t; 3] = [
    sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
    sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
    sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
];

/// Weights [N, K] in the form of their operands, and a bias [N].
#[derive(Debug)]
pub struct Linear {
    form: Form,
    input: usize,
    output: usize,
    weight: CudaSlice<u8>,
    /// What the weights were multiplied by.
    scale: f32,
    bias: Option<Bias>,
}

/// A bias, for results in f32 and in the form's own halves.
#[derive(Debug)]
struct Bias {
    exact: CudaSlice<f32>,
    half: CudaSlice<u16>,
}

impl Linear {
    /// Returns N.
    pub fn output(&self) -> usize {
        self.output
    }
}

/// cuBLASLt, its workspace and the algorithms that were chosen.
#[derive(Debug)]
pub struct Products {
    handle: Arc<Handle>,
    workspace: CudaSlice<u8>,
    chosen: Mutex<HashMap<Kind, sys::cublasLtMatmulAlgo_t>>,
}

impl Products {
    pub(super) fn new(gpu: &OpenGpu) -> CudaResult<Self> {
        // SAFETY: nothing reads the workspace but what a product wrote there.
        let workspace = unsafe { gpu.stream.alloc(WORKSPACE) }?;
        Ok(Self { handle: Arc::clone(&gpu.cublaslt), workspace, chosen: Mutex::default() })
    }
}

impl Gpu {
    /// Loads weights [N, K], row after row, and a bias of none or N values.
    pub fn linear(&self, form: Form, input: usize, weights: &[f32], bias: &[f32]) -> CudaResult<Linear> {
        let output = weights.len() / input;
        let exact = padded(bias, bias.len().max(1));
        let halves: Vec<u16> = bias.iter().map(|&v| half_bits(form, v)).collect();
        let bias = if bias.is_empty() {
            None
        } else {
            Some(Bias { exact: self.upload(&exact)?, half: self.upload(&halves)? })
        };
        let scale = if form == Form::Split { scale(weights) } else { 1.0 };
        let weight = self.upload(&stored(form, input, weights, scale))?;
        Ok(Linear { form, input, output, weight, scale, bias })
    }

    /// Computes `y = act(x @ W^T + b)` or `y += x @ W^T + b`. When adding, y is f32.
    pub fn product(&self, x: &Matrix, linear: &Linear, y: &mut Matrix, then: Then) -> CudaResult<()> {
        let rows = x.rows();
        match then {
            Then::Add => self.multiply(x, linear, 0..linear.output, (y.pointer(), y.form(), y.width()), true),
            Then::Store(ActivationFn::None) if y.form() != Form::Split => {
                y.shape(self, rows, linear.output)?;
                self.multiply(x, linear, 0..linear.output, (y.pointer(), y.form(), y.width()), false)
            }
            Then::Store(act) => {
                let mut raw = Matrix::new(linear.form.of_products());
                raw.shape(self, rows, linear.output)?;
                self.multiply(x, linear, 0..linear.output, (raw.pointer(), raw.form(), raw.width()), false)?;
                self.convert(&raw, act, y)
            }
        }
    }

    /// Computes some columns of `y = x @ W^T + b`; the others are unspecified.
    pub fn product_columns(
        &self,
        x: &Matrix,
        linear: &Linear,
        columns: Range<usize>,
        y: &mut Matrix,
    ) -> CudaResult<()> {
        y.shape(self, x.rows(), linear.output)?;
        self.multiply(x, linear, columns, (y.pointer(), y.form(), y.width()), false)
    }

    /// Multiplies, with x in the form of the weights.
    fn multiply(
        &self,
        x: &Matrix,
        linear: &Linear,
        columns: Range<usize>,
        (y, result, stride): (Pointer, Form, usize),
        adds: bool,
    ) -> CudaResult<()> {
        if x.form() != linear.form {
            let mut operand = Matrix::new(linear.form);
            self.convert(x, ActivationFn::None, &mut operand)?;
            return self.multiply(&operand, linear, columns, (y, result, stride), adds);
        }
        assert!((x.columns(), columns.end <= linear.output) == (linear.input, true));
        if x.rows() == 0 || columns.is_empty() {
            return Ok(());
        }
        self.stream.context().bind_to_thread()?;
        let input_stride = width(linear.input) * if linear.form == Form::Split { 3 } else { 1 };
        // What lies behind the last value is zero in operands, but not in matrices of f32.
        let input = if linear.form == Form::F32 { linear.input } else { input_stride };
        let (output, bias) = (columns.len(), linear.bias.is_some());
        let row = width(linear.input) * linear.form.bytes();
        let offset = columns.start * (row | result.bytes());
        let alignment = 1 << offset.trailing_zeros().min(ALIGNMENT);
        let kind = Kind { form: linear.form, result, input, input_stride, output, stride, adds, bias, alignment };
        let at = |slice_at: Pointer, bytes: usize| slice_at + (columns.start * bytes) as u64;
        let weight = at(linear.weight.device_ptr(&self.stream).0, row);
        let bias = linear.bias.as_ref().map(|bias| match result {
            Form::F32 => at(bias.exact.device_ptr(&self.stream).0, 4),
            _ => at(bias.half.device_ptr(&self.stream).0, 2),
        });
        let call = Call::new(&kind, bias)?;
        let layouts = Layouts::new(&kind, x.rows())?;
        let algorithm = self.products.algorithm(&kind, &call)?;
        let (alpha, beta) = (1.0 / linear.scale, f32::from(u8::from(adds)));
        let y = at(y, result.bytes());
        // SAFETY: the layouts are those of matrices with so many rows, and the stream outlives the call.
        unsafe {
            result::matmul(
                self.products.handle.raw,
                call.0,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                weight as *const c_void,
                layouts.weight,
                x.pointer() as *const c_void,
                layouts.x,
                y as *const c_void,
                layouts.y,
                y as *mut c_void,
                layouts.y,
                &algorithm,
                self.products.workspace.device_ptr(&self.stream).0 as *mut c_void,
                WORKSPACE,
                self.stream.cu_stream().cast(),
            )
        }
        .map_err(|e| told(e, &kind, x.rows()))
    }
}

impl Products {
    /// Returns the algorithm of a kind of product: the first that cuBLASLt advises for many rows and that divides no sum.
    fn algorithm(&self, kind: &Kind, call: &Call) -> CudaResult<sys::cublasLtMatmulAlgo_t> {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(algorithm) = chosen.get(kind) {
            return Ok(*algorithm);
        }
        let layouts = Layouts::new(kind, TYPICAL_ROWS)?;
        let preference = Preference::new()?;
        preference
            .set(sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE)?;
        let no_reduction = 0u32;
        preference.set(
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
            &no_reduction,
        )?;
        for name in ALIGNED {
            preference.set(name, &kind.alignment)?;
        }
        // SAFETY: all of them live until the call returns.
        let found = unsafe {
            result::get_matmul_algo_heuristic(
                self.handle.raw,
                call.0,
                layouts.weight,
                layouts.x,
                layouts.y,
                layouts.y,
                preference.0,
            )
        }
        .map_err(|e| told(e, kind, TYPICAL_ROWS))?;
        chosen.insert(*kind, found.algo);
        Ok(found.algo)
    }
}

/// Names the product that failed.
fn told(e: result::CublasError, kind: &Kind, rows: usize) -> CudaError {
    match CudaError::from(e) {
        CudaError::Failed(reason) => {
            let Kind { form, input, output, .. } = kind;
            CudaError::Failed(format!("{reason} (a product of {rows} rows, {input} by {output}, {})", form.name()))
        }
        memory => memory,
    }
}

/// Returns the power of two that brings the largest weight to between 2^13 and 2^14: the low parts of small ones have all
/// their digits in f16 then.
fn scale(weights: &[f32]) -> f32 {
    let largest = weights.iter().fold(0f32, |largest, v| largest.max(v.abs()));
    if largest.is_normal() { (13.0 - largest.log2().floor()).min(100.0).exp2() } else { 1.0 }
}

/// Returns weights times `scale` as bytes, each row in whole groups.
fn stored(form: Form, input: usize, weights: &[f32], scale: f32) -> Vec<u8> {
    use rayon::prelude::*;
    let width = width(input);
    let mut bytes = vec![0; weights.len() / input * width * form.bytes()];
    let rows = bytes.par_chunks_exact_mut(width * form.bytes()).zip(weights.par_chunks_exact(input));
    rows.for_each(|(to, from)| match form {
        Form::F32 => to.chunks_exact_mut(4).zip(from).for_each(|(to, v)| to.copy_from_slice(&v.to_ne_bytes())),
        Form::Bf16 | Form::F16 => {
            let bits = |(to, v): (&mut [u8], &f32)| to.copy_from_slice(&half_bits(form, *v).to_ne_bytes());
            to.chunks_exact_mut(2).zip(from).for_each(bits);
        }
        Form::Split => {
            for (at, &v) in from.iter().enumerate() {
                let high = f16::from_f32(v * scale);
                let low = f16::from_f32(v * scale - high.to_f32());
                for (part, half) in [high, high, low].into_iter().enumerate() {
                    to[(part * width + at) * 2..][..2].copy_from_slice(&half.to_ne_bytes());
                }
            }
        }
    });
    bytes
}

fn half_bits(form: Form, value: f32) -> u16 {
    if form == Form::F16 { f16::from_f32(value).to_bits() } else { bf16::from_f32(value).to_bits() }
}
