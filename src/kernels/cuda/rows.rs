//! Operations on rows; see `rows.cuh`.

use cudarc::driver::{CudaSlice, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg};

use super::{ActivationFn, CudaResult, Form, Gpu, Matrix, Pointer, THREADS, failed, memory};

/// Weight and bias of a layer norm.
#[derive(Debug)]
pub struct Norm {
    weight: CudaSlice<f32>, // [W], in whole groups
    bias: CudaSlice<f32>,   // [W]
    columns: usize,
    eps: f32,
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

impl Gpu {
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
        run("layer_norm", launch, rows)
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
        run("convert", launch, rows)
    }

    /// Picks rows of x, f32.
    pub fn pick(&self, x: &Matrix, rows: &[usize], y: &mut Matrix) -> CudaResult<()> {
        y.shape(self, rows.len(), x.columns())?;
        let function = self.function("pick")?;
        let picked = self.upload(&rows.iter().map(|&row| row as i32).collect::<Vec<_>>())?;
        let (from, to, width) = (x.pointer(), y.pointer(), x.width() as i32);
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&from).arg(&picked).arg(&width).arg(&to);
        run("pick", launch, rows.len())
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
        run("mean", launch, items.len())
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
        self.upload.all(&self.stream, &bytes, |bytes| {
            let mut launch = self.stream.launch_builder(&function);
            launch.arg(bytes).arg(&pictures).arg(&of).arg(&table).arg(&patch).arg(&columns).arg(&width).arg(&to);
            run("patches", launch, count)
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
        run("add_positions", launch, rows)
    }
}

/// Starts a kernel with a block for each row.
fn run(name: &str, mut launch: LaunchArgs, rows: usize) -> CudaResult<()> {
    if rows > 0 {
        let config = LaunchConfig { grid_dim: (rows as u32, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the arguments are those of the kernel, of matrices with so many rows.
        unsafe { launch.launch(config) }.map_err(|e| failed(name, e))?;
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
