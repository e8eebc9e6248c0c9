//! `y = act(x @ W^T + b)`, or `y += x @ W^T + b`, with the weights packed once. This file has the packed form, and
//! divides the work into tasks on threads. `task.rs` runs a task; other files have the code for one instruction set.
//!
//! Every value of the result is one accumulator over k, in an order fixed by k alone.

pub(crate) mod amx;
mod avx2;
mod avx512;
mod neon;
mod pack;
pub mod peak;
mod plain;
pub(crate) mod task;

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::matrix::{BLOCK, Buffer, bf16_bits, split};
use super::{ActivationFn, Element, Isa, Matrix, Shared};
use task::Job;

/// The most rows of a task: with one block of k they fill half of a second-level cache.
const ROWS: usize = 96;
/// The most panels of a task.
const PANELS: usize = 8;

/// Weights `[N, K]` and bias `[N]` in the form of one instruction set's kernels: panels of columns of the product, `[N
/// / width][K words][width]`.
#[derive(Debug)]
pub struct Linear {
    isa: Isa,
    element: Element,
    input: usize,
    output: usize,
    panels: Buffer,
    bias: Buffer,
}

impl Linear {
    /// Creates zeros, to be filled by [`Self::pack`] or [`Self::pack_rows`].
    ///
    /// # Panics
    /// If this machine cannot run the instruction set, or it cannot multiply that element.
    pub fn new(isa: Isa, element: Element, input: usize, output: usize) -> Self {
        assert!(isa.is_available(), "{isa:?} on a machine that lacks it");
        // AMX leaves f32 to AVX-512.
        let isa = if (isa, element) == (Isa::Amx, Element::F32) { Isa::Avx512 } else { isa };
        assert!(isa == Isa::Plain || isa.elements().contains(&element), "{isa:?} has no {element:?}");
        let (mut panels, mut bias) = (Buffer::default(), Buffer::default());
        let columns = output.next_multiple_of(width(isa));
        panels.reserve(columns * words(isa, element, input));
        bias.reserve(columns);
        Self { isa, element, input, output, panels, bias }
    }

    /// Sets the bias from row `first` on.
    pub fn set_bias(&mut self, first: usize, values: &[f32]) {
        self.bias.words_mut()[..self.output][first..first + values.len()].copy_from_slice(values);
    }

    /// Returns K.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Returns N.
    pub fn output(&self) -> usize {
        self.output
    }

    /// Returns the element that x must have.
    pub fn element(&self) -> Element {
        self.element
    }
}

/// Returns the number of columns of a panel.
pub(crate) fn width(isa: Isa) -> usize {
    match isa {
        Isa::Plain => 1,
        Isa::Neon | Isa::Avx2 => 16,
        Isa::Avx512 | Isa::Amx => 32,
    }
}

/// Returns the number of words of k in a panel.
fn words(isa: Isa, element: Element, input: usize) -> usize {
    element.words(if isa == Isa::Amx { input.next_multiple_of(BLOCK) } else { input })
}

/// Returns word `at` of a row.
fn word(row: &[f32], at: usize, element: Element) -> f32 {
    match element {
        Element::F32 => row[at],
        Element::Bf16 => {
            let half = |i: usize| row.get(i).map_or(0, |&v| u32::from(bf16_bits(v)));
            f32::from_bits(half(2 * at) | half(2 * at + 1) << 16)
        }
        Element::Split => {
            let (block, part, pair) = (at / BLOCK, at % BLOCK / 16, at % 16);
            let part_of = |&v: &f32| if part == 0 { split(v).0 } else { split(v).1 };
            let half = |i: usize| row.get(block * BLOCK + i).map_or(0, |v| u32::from(part_of(v)));
            f32::from_bits(half(2 * pair) | half(2 * pair + 1) << 16)
        }
    }
}

/// The last step of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Apply the activation, and replace the old values.
    Store(ActivationFn),
    /// Add the result to the old values, which are f32.
    Add,
}

thread_local! {
    /// A task's partial sums.
    static SUMS: RefCell<Buffer> = RefCell::default();
}

/// Computes `y = act(x @ W^T + b)` or `y += x @ W^T + b`: `[M, K] -> [M, N]`. When storing, `y` takes that shape; when
/// adding, it must have it.
///
/// # Panics
/// If shapes or elements do not fit.
pub fn product(x: &Matrix, linear: &Linear, y: &mut Matrix, then: Then) {
    product_columns(x, linear, 0..linear.output, y, then);
}

/// Computes [`product`] for some columns of the result, and for adjacent ones, as whole panels are computed. When
/// storing, the other values of `y` are unspecified; when adding, they stay.
///
/// # Panics
/// The panics of [`product`].
pub fn product_columns(x: &Matrix, linear: &Linear, columns: Range<usize>, y: &mut Matrix, then: Then) {
    assert!(columns.end <= linear.output);
    assert!((x.columns(), x.element()) == (linear.input, linear.element));
    let (rows, width) = (x.rows(), width(linear.isa));
    match then {
        Then::Store(_) => y.shape(rows, linear.output),
        Then::Add => assert!((y.rows(), y.columns(), y.element()) == (rows, linear.output, Element::F32)),
    }
    let first_panel = columns.start / width;
    let panels = columns.end.div_ceil(width) - first_panel;
    let k = words(linear.isa, linear.element, linear.input);
    let (row_blocks, panels_each) = divide(linear.isa, rows, panels, k);
    let unit = if linear.isa == Isa::Amx { width } else { 1 }; // whole tiles, but for the last
    let start = |block: usize| (block * rows.div_ceil(unit) / row_blocks * unit).min(rows);
    let job = Job {
        x: x.as_ptr(),
        x_stride: x.stride(),
        panels: linear.panels.words().as_ptr(),
        k,
        element: linear.element,
        bias: linear.bias.words().as_ptr(),
        y: Shared(y.as_mut_ptr()).get(),
        y_stride: y.stride(),
        y_element: y.element(),
        then,
        rows: 0..0,
        columns: 0..0,
        sums: std::ptr::null_mut(),
    };
    // Neighbouring tasks share columns, so that weights come from memory once.
    (0..row_blocks * panels.div_ceil(panels_each)).into_par_iter().for_each(|index| {
        let (block, first) = (index % row_blocks, first_panel + index / row_blocks * panels_each);
        let rows = start(block)..start(block + 1);
        let last = (first + panels_each).min(first_panel + panels);
        let columns = first * width..(last * width).min(linear.output);
        SUMS.with_borrow_mut(|sums| {
            // AMX has its sums in registers.
            sums.reserve(if linear.isa == Isa::Amx { 0 } else { rows.len() * panels_each * width });
            let sums = sums.words_mut().as_mut_ptr();
            run(linear.isa, &Job { rows, columns, sums, ..job.clone() });
        });
    });
}

/// Returns the blocks of rows and the panels of a task: small enough that every thread has several.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
fn divide(isa: Isa, rows: usize, panels: usize, k: usize) -> (usize, usize) {
    let threads = rayon::current_num_threads();
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx {
        return amx::divide(rows, panels, k, threads);
    }
    let blocks = rows.div_ceil(ROWS);
    let mut each = PANELS.min(panels.max(1));
    while each > 1 && blocks * panels.div_ceil(each) < 4 * threads {
        each = each.div_ceil(2);
    }
    (blocks, each)
}

fn run(isa: Isa, job: &Job) {
    match (isa, job.element) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Linear::new` checked that the machine has these; `product` checked the bounds.
        (Isa::Amx, _) => unsafe { amx::run(job) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Isa::Avx512, Element::F32) => unsafe { avx512::single(job) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Isa::Avx512, Element::Bf16) => unsafe { avx512::bf16(job) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Isa::Avx2, Element::F32) => unsafe { avx2::single(job) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        (Isa::Neon, Element::F32) => unsafe { neon::single(job) },
        // SAFETY: `product` checked the bounds.
        _ => unsafe { plain::run(job) },
    }
}

#[cfg(test)]
mod tests;
