//! The operations of towers on an NVIDIA GPU: products by cuBLASLt (`products.rs`), and kernels of our own for what lies
//! between them (`*.cuh`, which `build.rs` has nvcc compile). All work goes through one stream, in the order of the calls.
//!
//! The bits of a row do not depend on the other rows: a kernel's sums have one order, and a product of given sizes has one
//! algorithm, whatever the number of rows.

mod attention;
mod memory;
mod products;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::CudaDevice;
use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaFunction, CudaModule, CudaSlice, CudaStream, DeviceRepr, LaunchConfig, PushKernelArg, sys};

pub use attention::{Attending, heads_form};
pub use memory::{Form, Matrix, Upload};
pub use products::{Linear, Products};

use super::ActivationFn;

/// The kernels as machine code, for several kinds of GPU.
const MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));
/// Threads of a block, as in `rows.cuh`.
const THREADS: u32 = 128;
/// The oldest GPUs that the kernels run on, by compute capability.
const OLDEST: (i32, i32) = (8, 0);

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
            _ => Self::Failed(e.to_string()),
        }
    }
}

impl From<cudarc::cublaslt::result::CublasError> for CudaError {
    fn from(e: cudarc::cublaslt::result::CublasError) -> Self {
        match e.0 {
            cudarc::cublaslt::sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => Self::OutOfMemory,
            _ => Self::Failed(format!("cuBLASLt: {e}")),
        }
    }
}

/// Returns whether a GPU is new enough for the kernels.
pub fn runs_on(device: &CudaDevice) -> bool {
    device.cuda_stream().context().compute_capability().is_ok_and(|capability| capability >= OLDEST)
}

/// Returns the name of a GPU and the versions of what chooses its algorithms: on another one, sums may have another order.
///
/// # Errors
/// If the GPU does not answer.
pub fn identity(device: &CudaDevice) -> CudaResult<String> {
    let stream = device.cuda_stream();
    let context = stream.context();
    let (name, (major, minor)) = (context.name()?, context.compute_capability()?);
    // SAFETY: it only returns a number.
    let products = unsafe { cudarc::cublaslt::sys::cublasLtGetVersion() };
    Ok(format!("{name}, compute capability {major}.{minor}, cuBLASLt {products}"))
}

/// Weight and bias of a layer norm.
#[derive(Debug)]
pub struct Norm {
    weight: CudaSlice<f32>, // [W], in whole groups
    bias: CudaSlice<f32>,   // [W]
    columns: usize,
    eps: f32,
}

/// A GPU with its kernels.
pub struct Gpu {
    stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
    functions: Mutex<HashMap<String, CudaFunction>>,
    products: Products,
    upload: Mutex<Upload>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Gpu").finish_non_exhaustive()
    }
}

/// A matrix as kernels take it: its address and the values of a row.
type Pointer = sys::CUdeviceptr;

impl Gpu {
    /// Loads the kernels on a GPU that [`runs_on`] lets run them.
    ///
    /// # Errors
    /// If the GPU is out of memory.
    pub fn new(device: &CudaDevice) -> CudaResult<Self> {
        // SAFETY: there is one stream, and another one for copies, which `Upload` has wait for one another.
        unsafe { device.disable_event_tracking() };
        let stream = device.cuda_stream();
        let context = stream.context();
        memory::keep_freed(context)?;
        let module = context.load_module(cudarc::nvrtc::Ptx::from_binary(MODULE.to_vec()))?;
        let (products, upload) = (Products::new(&stream)?, Mutex::new(Upload::new(&stream)?));
        Ok(Self { stream, module, functions: Mutex::default(), products, upload })
    }

    /// Returns a kernel by name.
    fn function(&self, name: &str) -> CudaResult<CudaFunction> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let function = self.module.load_function(name)?;
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

    /// Loads a norm.
    pub fn norm(&self, weight: &[f32], bias: &[f32], eps: f64) -> CudaResult<Norm> {
        let columns = weight.len();
        let upload = |values: &[f32]| self.upload(&memory::padded(values, columns));
        Ok(Norm { weight: upload(weight)?, bias: upload(bias)?, columns, eps: eps as f32 })
    }

    /// Normalises the rows of x [R, W], f32, as y.
    pub fn layer_norm(&self, x: &Matrix, norm: &Norm, y: &mut Matrix) -> CudaResult<()> {
        y.shape(self, x.rows(), x.columns())?;
        self.norm_rows(x.pointer(), norm, x.rows(), y.width(), y.pointer(), y.form())
    }

    /// Normalises the rows of x [R, W], f32, in place.
    pub fn layer_norm_in_place(&self, x: &mut Matrix, norm: &Norm) -> CudaResult<()> {
        self.norm_rows(x.pointer(), norm, x.rows(), x.width(), x.pointer(), x.form())
    }

    fn norm_rows(&self, x: Pointer, norm: &Norm, rows: usize, width: usize, y: Pointer, form: Form) -> CudaResult<()> {
        let function = self.function(&format!("layer_norm_{}", form.name()))?;
        let (columns, width) = (norm.columns as i32, width as i32);
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&x).arg(&norm.weight).arg(&norm.bias).arg(&norm.eps).arg(&columns).arg(&width).arg(&y);
        run(launch, rows)
    }

    /// Writes x in y's form, through a nonlinearity.
    pub fn convert(&self, x: &Matrix, act: ActivationFn, y: &mut Matrix) -> CudaResult<()> {
        y.shape(self, x.rows(), x.columns())?;
        let rows = x.rows();
        self.convert_rows((x.pointer(), x.width(), x.form()), 1, act, x.columns(), y, rows)
    }

    /// Puts the only row of x [1, W] into the first third of the columns of `count` rows of y.
    pub fn repeat(&self, x: &Matrix, count: usize, y: &mut Matrix) -> CudaResult<()> {
        y.shape(self, count, 3 * x.columns())?;
        self.convert_rows((x.pointer(), x.width(), x.form()), 0, ActivationFn::None, x.columns(), y, count)
    }

    fn convert_rows(
        &self,
        (x, x_width, from): (Pointer, usize, Form),
        step: i32,
        act: ActivationFn,
        columns: usize,
        y: &mut Matrix,
        rows: usize,
    ) -> CudaResult<()> {
        let function = self.function(&format!("convert_{}_{}", from.name(), y.form().name()))?;
        let (x_width, act, columns, width) = (x_width as i32, number(act), columns as i32, y.width() as i32);
        let y = y.pointer();
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&x).arg(&x_width).arg(&step).arg(&act).arg(&columns).arg(&width).arg(&y);
        run(launch, rows)
    }

    /// Picks rows of x, f32.
    pub fn pick(&self, x: &Matrix, rows: &[usize], y: &mut Matrix) -> CudaResult<()> {
        y.shape(self, rows.len(), x.columns())?;
        let function = self.function("pick")?;
        let picked = self.upload(&rows.iter().map(|&row| row as i32).collect::<Vec<_>>())?;
        let (from, to, width) = (x.pointer(), y.pointer(), x.width() as i32);
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&from).arg(&picked).arg(&width).arg(&to);
        run(launch, rows.len())
    }

    /// Averages rows of x, f32, from `first` to before `last` of each item.
    pub fn mean(&self, x: &Matrix, items: &[(i32, i32)], y: &mut Matrix) -> CudaResult<()> {
        y.shape(self, items.len(), x.columns())?;
        let function = self.function("mean")?;
        let first = self.upload(&items.iter().map(|item| item.0).collect::<Vec<_>>())?;
        let last = self.upload(&items.iter().map(|item| item.1).collect::<Vec<_>>())?;
        let (from, to, width) = (x.pointer(), y.pointer(), x.width() as i32);
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&from).arg(&first).arg(&last).arg(&width).arg(&to);
        run(launch, items.len())
    }

    /// Normalises the patches of images and puts them into x, a row each. `images` have bytes [H, W, 3], W, H and patches,
    /// and `table` the value of each byte, [3, 256].
    pub fn patches(&self, images: &[Image], table: &[f32], patch: usize, x: &mut Matrix) -> CudaResult<()> {
        let count = images.iter().map(|image| image.patches).sum();
        let (mut offset, mut first, mut of) = (0, 0, Vec::with_capacity(count));
        let mut pictures = Vec::with_capacity(images.len());
        for (index, image) in images.iter().enumerate() {
            let (width, across) = (image.width as i32, (image.width / patch) as i32);
            pictures.push(Picture { offset, width, across, first, unused: 0 });
            of.extend(std::iter::repeat_n(index as i32, image.patches));
            offset += image.bytes.len() as u64;
            first += image.patches as i32;
        }
        x.shape(self, count, 3 * patch * patch)?;
        let function = self.function(&format!("patches_{}", x.form().name()))?;
        let bytes: Vec<&[u8]> = images.iter().map(|image| image.bytes).collect();
        let (pictures, of, table) = (self.upload(&pictures)?, self.upload(&of)?, self.upload(table)?);
        let (to, patch, columns, width) = (x.pointer(), patch as i32, x.columns() as i32, x.width() as i32);
        self.upload.lock().unwrap_or_else(PoisonError::into_inner).all(&self.stream, &bytes, |bytes| {
            let mut launch = self.stream.launch_builder(&function);
            launch.arg(bytes).arg(&pictures).arg(&of).arg(&table).arg(&patch).arg(&columns).arg(&width).arg(&to);
            run(launch, count)
        })
    }

    /// Sums values and positions as the rows of x. Row r has the value at row `from[r]` of `values`, or of `class` where that
    /// is -1, and the position at row `place[r]` of `positions`, which `resized` follows.
    pub fn add_positions(
        &self,
        values: &Matrix,
        class: Option<&Matrix>,
        (positions, resized): (&Matrix, &[f32]),
        (from, place): (&[i32], &[i32]),
        x: &mut Matrix,
    ) -> CudaResult<()> {
        x.shape(self, from.len(), values.columns())?;
        let function = self.function("add_positions")?;
        let mut more = Matrix::new(Form::F32);
        if !resized.is_empty() {
            self.put(resized, values.columns(), &mut more)?;
        }
        let class = class.map_or(0, Matrix::pointer);
        let (values, table, more_at) = (values.pointer(), positions.pointer(), more.pointer());
        let (count, width, to) = (positions.rows() as i32, x.width() as i32, x.pointer());
        let (rows, from, place) = (from.len(), self.upload(from)?, self.upload(place)?);
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&values).arg(&class).arg(&table).arg(&more_at).arg(&count).arg(&from).arg(&place);
        launch.arg(&width).arg(&to);
        run(launch, rows)
    }
}

/// An image on its way to the GPU.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// RGB, row after row.
    pub bytes: &'a [u8],
    /// Pixels in a row.
    pub width: usize,
    /// Whole patches.
    pub patches: usize,
}

/// `Picture` of `rows.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Picture {
    offset: u64,
    width: i32,
    across: i32,
    first: i32,
    unused: i32,
}

// SAFETY: plain numbers, laid out as in C.
unsafe impl DeviceRepr for Picture {}

/// Starts a kernel with a block for each row.
fn run(mut launch: cudarc::driver::LaunchArgs, rows: usize) -> CudaResult<()> {
    if rows > 0 {
        let config = LaunchConfig { grid_dim: (rows as u32, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the arguments are those of the kernel, of matrices with so many rows.
        unsafe { launch.launch(config) }?;
    }
    Ok(())
}

/// Returns the number of a nonlinearity in `rows.cuh`.
fn number(act: ActivationFn) -> i32 {
    match act {
        ActivationFn::None => 0,
        ActivationFn::QuickGelu => 1,
        ActivationFn::Gelu => 2,
        ActivationFn::GeluTanh => 3,
        ActivationFn::Relu => 4,
    }
}

#[cfg(test)]
mod tests;
