//! The plain version of a product's task: three loops.

use super::Then;
use super::task::{Job, activation};
use crate::kernels::Element;
use crate::kernels::matrix::write;

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
                let mut sum = 0f32;
                for at in 0..job.k {
                    sum = step(sum, *x.add(at), *w.add(at), job.element);
                }
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

fn step(sum: f32, x: f32, w: f32, element: Element) -> f32 {
    let low = |v: f32| f32::from_bits(v.to_bits() << 16);
    let high = |v: f32| f32::from_bits(v.to_bits() & 0xffff_0000);
    match element {
        Element::F32 => sum + x * w,
        Element::Bf16 => sum + low(x) * low(w) + high(x) * high(w),
    }
}
