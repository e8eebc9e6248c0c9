//! Rows of f32, copied to matrices of any form.

use rayon::prelude::*;

use super::lanes::Lanes;
use super::matrix::{Matrix, Row, write};
use super::product::task::put;
use super::{Isa, dispatch};

/// Copies the f32 rows of `from`, rounded to the values of `to`, which takes its shape.
///
/// # Panics
/// If `from` is not f32, or this machine cannot run the instruction set.
pub fn copy(isa: Isa, from: &Matrix, to: &mut Matrix) {
    fill(isa, from.rows(), from.columns(), to, |row, values| values.copy_from_slice(from.row(row)));
}

/// Fills a matrix of that shape with rows of f32, rounded to its own values. `make` writes a row.
///
/// # Panics
/// If this machine cannot run the instruction set.
pub fn fill(isa: Isa, rows: usize, columns: usize, to: &mut Matrix, make: impl Fn(usize, &mut [f32]) + Sync) {
    assert!(isa.is_available());
    to.shape(rows, columns);
    let places = to.places_mut();
    (0..rows).into_par_iter().for_each_init(
        || vec![0f32; columns],
        |values, row| {
            make(row, values);
            let (values, row) = (&values[..], places.row(row));
            dispatch!(
                isa,
                // SAFETY: the row has every column, and no other task has the row.
                values.iter().enumerate().for_each(|(column, &value)| unsafe { write(row, column, value) }),
                fast(values: &[f32], row: Row)
            );
        },
    );
}

/// # Safety
/// The instruction set, and a row that has a column for each value.
#[inline(always)]
unsafe fn fast<V: Lanes>(values: &[f32], row: Row) {
    for (index, some) in values.chunks(V::N).enumerate() {
        // SAFETY: the caller's.
        unsafe { put(V::load_upto(some.as_ptr(), some.len()), row, index * V::N, some.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Element;
    use crate::kernels::testing::{SIZES, noise, sets};

    #[test]
    fn copies_are_the_plain_ones_in_any_form() {
        for isa in sets("copies") {
            for columns in SIZES {
                let from = Matrix::from_values(&noise(35 * columns, 1), columns);
                for element in [Element::F32, Element::Bf16, Element::Split] {
                    let forms = [Some(Matrix::new(element)), (element != Element::F32).then(|| Matrix::tiled(element))];
                    for mut to in forms.into_iter().flatten() {
                        let mut want = Matrix::new(element);
                        copy(isa, &from, &mut to);
                        copy(Isa::Plain, &from, &mut want);
                        assert_eq!(to.to_values(), want.to_values(), "{isa:?} {element:?} {columns}");
                        let off = |(a, b): (&f32, f32)| (a - b).abs() <= b.abs() * 2f32.powi(-8);
                        assert!(to.to_values().iter().zip(noise(35 * columns, 1)).all(off));
                    }
                }
            }
        }
    }
}
