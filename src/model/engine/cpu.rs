//! The CPU's kernels.

use std::ops::Range;

use rayon::prelude::*;

use super::super::spec::{BlockSpec, LinearSpec};
use super::processor::{Place, Processor, Role, RowTable, STORE};
use crate::Result;
use crate::checkpoint::WeightRows;
use crate::kernels::product::Then;
use crate::kernels::{self, Attends, Element, Isa, Linear, Matrix, Norm};
use crate::preprocess::{Normalizer, Pixels};

/// Rows that go through the blocks together at most: with more, activations only grow out of the caches.
const ROWS: usize = 2400;

/// One instruction set and precision.
#[derive(Debug)]
pub struct Cpu {
    isa: Isa,
    element: Element,
}

impl Cpu {
    /// For products of `element` by the instruction set.
    pub fn new(isa: Isa, element: Element) -> Self {
        Self { isa, element }
    }
}

impl Processor for Cpu {
    type Matrix = Matrix;
    type Table = RowTable;
    type Norm = Norm;
    type Linear = Linear;
    type Attending<'a> = &'a Attends;

    const SHARES_ROWS: bool = true;

    fn rows(&self) -> usize {
        ROWS
    }

    fn matrix(&self, role: Role) -> Matrix {
        Matrix::new(if role == Role::Operands { self.element } else { Element::F32 })
    }

    fn table(&self, table: RowTable) -> Result<RowTable> {
        Ok(table)
    }

    fn table_rows(table: &RowTable) -> &RowTable {
        table
    }

    fn norm(&self, weight: Vec<f32>, bias: Vec<f32>, eps: f64) -> Result<Norm> {
        Ok(Norm::new(self.isa, weight, bias, eps))
    }

    fn linear(&self, spec: &LinearSpec, weights: &[WeightRows], biases: &[Vec<f32>]) -> Result<Linear> {
        let (element, each) = (if spec.exact { Element::F32 } else { self.element }, spec.shape[0]);
        let mut linear = Linear::new(self.isa, element, spec.input(), spec.output());
        for (index, rows) in weights.iter().enumerate() {
            linear.pack(index * each, each, |row, values| rows.read(row, values))?;
        }
        biases.iter().enumerate().for_each(|(index, bias)| linear.set_bias(index * each, bias));
        Ok(linear)
    }

    fn attending<'a>(&self, attends: &'a Attends, _: &BlockSpec) -> Result<&'a Attends> {
        Ok(attends)
    }

    fn put(&self, rows: &RowTable, x: &mut Matrix) -> Result<()> {
        x.shape(rows.values.len() / rows.width, rows.width);
        (0..x.rows()).for_each(|row| x.row_mut(row).copy_from_slice(rows.row(row)));
        Ok(())
    }

    fn take(&self, x: &Matrix, out: &mut Vec<f32>) -> Result<()> {
        (0..x.rows()).for_each(|row| out.extend_from_slice(x.row(row)));
        Ok(())
    }

    fn patches(
        &self,
        pixels: &[Pixels],
        places: &[Place],
        normalizer: &Normalizer,
        patch: usize,
        x: &mut Matrix,
    ) -> Result<()> {
        let columns = 3 * patch * patch;
        x.shape(places.len(), columns);
        let stride = x.stride();
        x.words_mut().par_chunks_mut(stride).zip(places).for_each(|(out, &(item, at))| {
            normalizer.patch(&pixels[item], patch, at, &mut out[..columns]);
        });
        Ok(())
    }

    fn add_positions(
        &self,
        patches: &Matrix,
        class: Option<&RowTable>,
        places: &[Place],
        (positions, resized): (&RowTable, &[Option<Vec<f32>>]),
        x: &mut Matrix,
    ) -> Result<()> {
        let width = positions.width;
        x.shape(places.len(), width);
        let stride = x.stride();
        x.words_mut().par_chunks_mut(stride).enumerate().for_each(|(row, out)| {
            let (item, at) = places[row];
            let value = match class {
                Some(class) if at == 0 => class.row(0),
                Some(_) => patches.row(row - item - 1),
                None => patches.row(row),
            };
            let position = resized[item].as_ref().map_or_else(|| positions.row(at), |p| &p[at * width..][..width]);
            out.iter_mut().zip(value.iter().zip(position)).for_each(|(out, (a, b))| *out = a + b);
        });
        Ok(())
    }

    fn product(&self, x: &Matrix, linear: &Linear, y: &mut Matrix, then: Then) -> Result<()> {
        kernels::product(x, linear, y, then);
        Ok(())
    }

    fn product_columns(&self, x: &Matrix, linear: &Linear, columns: Range<usize>, y: &mut Matrix) -> Result<()> {
        kernels::product_columns(x, linear, columns, y, STORE);
        Ok(())
    }

    fn layer_norm(&self, x: &Matrix, norm: &Norm, y: &mut Matrix) -> Result<()> {
        kernels::layer_norm(x, norm, y);
        Ok(())
    }

    fn layer_norm_in_place(&self, x: &mut Matrix, norm: &Norm) -> Result<()> {
        kernels::layer_norm_in_place(x, norm);
        Ok(())
    }

    fn attention(&self, heads: usize, q: &Matrix, kv: &Matrix, attends: &&Attends, y: &mut Matrix) -> Result<()> {
        kernels::attention(self.isa, heads, q, kv, attends, y);
        Ok(())
    }

    fn pick(&self, x: &Matrix, rows: &[usize], y: &mut Matrix) -> Result<()> {
        y.pick(x, rows);
        Ok(())
    }

    fn copy(&self, x: &Matrix, y: &mut Matrix) -> Result<()> {
        y.copy(x);
        Ok(())
    }

    fn mean(&self, x: &Matrix, items: &[Range<usize>], skip: usize, y: &mut Matrix) -> Result<()> {
        y.shape(items.len(), x.columns());
        for (item, rows) in items.iter().enumerate() {
            let out = y.row_mut(item);
            out.fill(0.0);
            rows.clone().skip(skip).for_each(|row| out.iter_mut().zip(x.row(row)).for_each(|(sum, x)| *sum += x));
            let count = (rows.len() - skip) as f32;
            out.iter_mut().for_each(|sum| *sum /= count);
        }
        Ok(())
    }

    fn repeat(&self, query: &RowTable, count: usize, y: &mut Matrix) -> Result<()> {
        y.shape(count, 3 * query.width);
        (0..count).for_each(|item| y.row_mut(item)[..query.width].copy_from_slice(query.row(0)));
        Ok(())
    }
}
