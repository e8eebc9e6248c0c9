//! An NVIDIA GPU's kernels.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::spec::{BlockSpec, LinearSpec};
use super::processor::{Place, Processor, Role, RowTable};
use crate::checkpoint::WeightRows;
use crate::device::Precision;
use crate::kernels::Attends;
use crate::kernels::cuda::{
    Attending, CudaError, CudaResult, Form, Gpu, Image, Linear, Matrix, Norm, OpenGpu, WIDEST_HEAD, heads_form,
};
use crate::kernels::product::Then;
use crate::preprocess::{Normalizer, Pixels};
use crate::{Error, Result};

/// Rows that go through the blocks together: enough to keep every multiprocessor busy, and no more, since the first images of
/// a batch are on their way while nothing is computed yet. Below 16384: tables of rows that are larger than 64 KB would wait
/// for the GPU on their way.
const ROWS: usize = 32 * 257;

/// A GPU and the form of what the blocks' products read.
#[derive(Debug)]
pub struct Cuda {
    gpu: Arc<Gpu>,
    form: Form,
    /// The form of queries, keys and values.
    heads: Form,
}

/// Rows on both sides.
#[derive(Debug)]
pub struct Table {
    rows: RowTable,
    matrix: Matrix,
}

impl Cuda {
    /// For towers of blocks like `spec` on a device.
    ///
    /// # Errors
    /// [`Error::Device`] if heads are too wide for the kernels, and the errors of [`Gpu::new`].
    pub fn new(gpu: &OpenGpu, precision: Precision, spec: &BlockSpec) -> Result<Self> {
        let head = spec.width / spec.heads;
        if head > WIDEST_HEAD {
            let reason = format!(
                "on NVIDIA GPUs attention has heads of up to {WIDEST_HEAD} values, and this model's have {head}; use --device cpu"
            );
            return Err(Error::Device(reason));
        }
        let form = match precision {
            Precision::Auto => Form::Split,
            Precision::F32 => Form::F32,
            Precision::Bf16 => Form::Bf16,
            Precision::F16 => Form::F16,
        };
        let gpu = Arc::new(told(Gpu::new(gpu))?);
        Ok(Self { gpu, form, heads: heads_form(form, head) })
    }

    /// Returns the form of what the products at a tower's ends read.
    fn exact(&self) -> Form {
        if self.form == Form::F32 { Form::F32 } else { Form::Split }
    }
}

fn told<T>(result: CudaResult<T>) -> Result<T> {
    result.map_err(|e| match e {
        CudaError::OutOfMemory => Error::DeviceMemory,
        CudaError::Failed(reason) => Error::Device(format!("the GPU failed: {reason}")),
    })
}

impl Processor for Cuda {
    type Matrix = Matrix;
    type Table = Table;
    type Norm = Norm;
    type Linear = Linear;
    type Attending<'a> = Attending;

    const SHARES_ROWS: bool = false;

    fn rows(&self) -> usize {
        ROWS
    }

    fn matrix(&self, role: Role) -> Matrix {
        Matrix::new(match role {
            Role::Values => Form::F32,
            Role::Operands => self.form,
            Role::Patches => self.exact(),
            Role::Heads => self.heads,
        })
    }

    fn table(&self, rows: RowTable) -> Result<Table> {
        let mut matrix = Matrix::new(Form::F32);
        told(self.gpu.put(&rows.values, rows.width, &mut matrix))?;
        Ok(Table { rows, matrix })
    }

    fn table_rows(table: &Table) -> &RowTable {
        &table.rows
    }

    fn norm(&self, weight: Vec<f32>, bias: Vec<f32>, eps: f64) -> Result<Norm> {
        told(self.gpu.norm(&weight, &bias, eps))
    }

    fn linear(&self, spec: &LinearSpec, weights: &[WeightRows], biases: &[Vec<f32>]) -> Result<Linear> {
        let (form, input) = (if spec.exact { self.exact() } else { self.form }, spec.input());
        let mut values = vec![0.0; spec.output() * input];
        for (all, rows) in values.chunks_exact_mut(spec.shape[0] * input).zip(weights) {
            let some = all.par_chunks_mut(64 * input).enumerate();
            some.map(|(at, some)| rows.read(at * 64, some)).collect::<Result<()>>()?;
        }
        told(self.gpu.linear(form, input, &values, &biases.concat()))
    }

    fn attending(&self, attends: &Attends, spec: &BlockSpec) -> Result<Attending> {
        told(self.gpu.attending(attends, self.form, spec.width / spec.heads))
    }

    fn put(&self, rows: &RowTable, x: &mut Matrix) -> Result<()> {
        told(self.gpu.put(&rows.values, rows.width, x))
    }

    fn take(&self, x: &Matrix, out: &mut Vec<f32>) -> Result<()> {
        told(self.gpu.take(x, out))
    }

    fn patches(
        &self,
        pixels: &[Pixels],
        places: &[Place],
        normalizer: &Normalizer,
        patch: usize,
        x: &mut Matrix,
    ) -> Result<()> {
        let counted = |p: &Pixels| (p.width() / patch) * (p.height() / patch);
        let image = |p| Image { bytes: Pixels::data(p), width: p.width(), patches: counted(p) };
        let images: Vec<Image> = pixels.iter().map(image).collect();
        debug_assert_eq!(images.iter().map(|image| image.patches).sum::<usize>(), places.len());
        told(self.gpu.patches(&images, normalizer.table().as_flattened(), patch, x))
    }

    fn add_positions(
        &self,
        patches: &Matrix,
        class: Option<&Table>,
        places: &[Place],
        (positions, resized): (&Table, &[Option<Vec<f32>>]),
        x: &mut Matrix,
    ) -> Result<()> {
        let width = positions.rows.width;
        let table = positions.matrix.rows();
        // Where each image's own positions begin.
        let mut next = table;
        let mut begin = |own: &Option<Vec<f32>>| {
            own.as_ref().map_or(0, |own| {
                next += own.len() / width;
                next - own.len() / width
            })
        };
        let begins: Vec<usize> = resized.iter().map(&mut begin).collect();
        let is_class = |at: usize| class.is_some() && at == 0;
        let mut patch = -1;
        let from = places.iter().map(|&(_, at)| {
            patch += i32::from(!is_class(at));
            if is_class(at) { -1 } else { patch }
        });
        let from: Vec<i32> = from.collect();
        let place: Vec<i32> = places.iter().map(|&(item, at)| (begins[item] + at) as i32).collect();
        let own: Vec<f32> = resized.iter().flatten().flatten().copied().collect();
        let class = class.map(|class| &class.matrix);
        told(self.gpu.add_positions(patches, class, (&positions.matrix, &own), (&from, &place), x))
    }

    fn product(&self, x: &Matrix, linear: &Linear, y: &mut Matrix, then: Then) -> Result<()> {
        told(self.gpu.product(x, linear, y, then))
    }

    fn product_columns(&self, x: &Matrix, linear: &Linear, columns: Range<usize>, y: &mut Matrix) -> Result<()> {
        told(self.gpu.product_columns(x, linear, columns, y))
    }

    fn layer_norm(&self, x: &Matrix, norm: &Norm, y: &mut Matrix) -> Result<()> {
        told(self.gpu.layer_norm(x, norm, y))
    }

    fn layer_norm_in_place(&self, x: &mut Matrix, norm: &Norm) -> Result<()> {
        told(self.gpu.layer_norm_in_place(x, norm))
    }

    fn attention(&self, heads: usize, q: &Matrix, kv: &Matrix, attending: &Attending, y: &mut Matrix) -> Result<()> {
        told(self.gpu.attention(heads, q, kv, attending, y))
    }

    fn pick(&self, x: &Matrix, rows: &[usize], y: &mut Matrix) -> Result<()> {
        told(self.gpu.pick(x, rows, y))
    }

    fn copy(&self, x: &Matrix, y: &mut Matrix) -> Result<()> {
        told(self.gpu.convert(x, crate::kernels::ActivationFn::None, y))
    }

    fn mean(&self, x: &Matrix, items: &[Range<usize>], skip: usize, y: &mut Matrix) -> Result<()> {
        let items: Vec<(i32, i32)> = items.iter().map(|rows| ((rows.start + skip) as i32, rows.end as i32)).collect();
        told(self.gpu.mean(x, &items, y))
    }

    fn repeat(&self, query: &Table, count: usize, y: &mut Matrix) -> Result<()> {
        told(self.gpu.repeat(&query.matrix, count, y))
    }
}
