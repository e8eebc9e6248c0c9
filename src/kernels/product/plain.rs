//! The plain version of a product's task: three loops.

use std::slice;

use super::Then;
use super::task::{Job, activation};
use crate::kernels::Element;
use crate::kernels::matrix::{BLOCK, half, write};

/// Runs a task.
///
/// # Safety
/// A job whose pointers hold what its shapes say.
pub(super) unsafe fn run(job: &Job) {
    for row in job.rows.clone() {
        for column in job.columns.clone() {
            // SAFETY: row and column are within the job's ranges.
            unsafe {
                let (x, w) = (job.x.add(row * job.x_stride), job.panels.add(column * job.k));
                let (x, w) = (slice::from_raw_parts(x, job.k), slice::from_raw_parts(w, job.k));
                let sum = (0..job.k).fold(0f32, |sum, at| step(sum, x, w, at, job.element));
                let y = job.y.add(row * job.y_stride);
                let value = activation(job.then).plain(sum + *job.bias.add(column));
                match job.then {
                    Then::Add => *y.add(column) += value,
                    Then::Store(_) => write(y, job.y_element, column, value),
                }
            }
        }
    }
}

/// Adds the product of word `at` of both.
fn step(sum: f32, x: &[f32], w: &[f32], at: usize, element: Element) -> f32 {
    let (first, second) = (2 * at, 2 * at + 1);
    let product = |i: usize, j: usize| half(x, i) * half(w, j);
    match element {
        Element::F32 => sum + x[at] * w[at],
        Element::Bf16 => sum + product(first, first) + product(second, second),
        Element::Split => {
            // The first half of a block's words are its high parts.
            let (block, pair) = (at / BLOCK * 2 * BLOCK, at % BLOCK);
            let (high, low) = (block + pair, block + BLOCK + pair);
            sum + product(low, high) + product(high, high) + product(high, low)
        }
    }
}
