//! A product's task with AMX: bf16, and f32 split into two bf16. A tile register holds 16 rows of 64 bytes: 16 rows of
//! 32 values of x, 16 pairs of k by 16 columns of the weights, or 16 by 16 sums. This file packs the weights, divides
//! the work into tasks, and runs a task; the assembler is in `amx/tiles.rs`.
//!
//! A sum is one accumulator. Each block of k adds the sum of its even members and that of its odd members, in order,
//! whichever rows are beside it.

#![cfg(target_arch = "x86_64")]

mod available;
#[cfg(all(test, target_os = "linux"))]
mod emulated;
mod tiles;

use std::mem::MaybeUninit;

use super::task::{Job, finish, put};
use crate::kernels::Element;
use crate::kernels::lanes::{Avx512, Lanes};
use crate::kernels::matrix::BLOCK;

#[cfg(all(test, target_os = "linux"))]
pub(crate) use available::is_on_this_machine;
pub(crate) use available::{is_available, obstacle};
pub(super) use tiles::spin;
use tiles::{Tiles, configure, one, release, split_one, split_two, two};

/// Rows and columns of the sums computed together: two tiles by two.
pub(super) const SIDE: usize = 32;
/// Words of a tile.
const TILE: usize = 256;
/// Words of a cache line.
const LINE: usize = 16;
/// Bytes of x that a task reads repeatedly: half of the second-level cache of CPUs with AMX.
const KEPT: usize = 1 << 20;

/// The number of bf16 parts of a value.
pub(super) fn parts(element: Element) -> usize {
    if element == Element::Split { 2 } else { 1 }
}

/// Packs a row of W as one column of a panel: for each block of k two tiles of high parts, for the left and the right
/// columns, then two of low parts if there are any.
///
/// # Safety
/// AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn pack(row: &[f32], column: usize, element: Element, panel: &mut [f32]) {
    let parts = parts(element);
    for (block, words) in panel.chunks_exact_mut(2 * parts * TILE).enumerate() {
        let mut values = [0f32; BLOCK]; // as in a row of x: the words of the high parts, then of the low ones
        for at in [0, Avx512::N] {
            let from = block * BLOCK + at;
            let n = row.len().saturating_sub(from).min(Avx512::N);
            // SAFETY: reads are within the row, and a block's words are within `values`.
            unsafe {
                let value = if n == 0 { Avx512::splat(0.0) } else { Avx512::load_upto(row.as_ptr().add(from), n) };
                put(value, values.as_mut_ptr(), element, at, Avx512::N);
            }
        }
        for part in 0..parts {
            let tile = &mut words[(2 * part + column / 16) * TILE..][..TILE];
            tile.iter_mut().skip(column % 16).step_by(16).zip(&values[16 * part..]).for_each(|(to, &word)| *to = word);
        }
    }
}

/// Returns the most blocks of [`SIDE`] rows and the most panels of a task, for this many words of k in a row. Both are
/// small enough that every thread has several tasks, and near each other, since a task reads both.
pub(super) fn divide(rows: usize, panels: usize, k: usize, threads: usize) -> (usize, usize) {
    let blocks = rows.div_ceil(SIDE).max(1);
    let mut tall = (KEPT / (4 * k.max(1) * SIDE)).clamp(1, blocks);
    let mut wide = panels.clamp(1, 16);
    while (tall > 1 || wide > 1) && blocks.div_ceil(tall) * panels.div_ceil(wide) < 4 * threads {
        if tall >= wide {
            tall = tall.div_ceil(2);
        } else {
            wide = wide.div_ceil(2);
        }
    }
    (blocks.div_ceil(tall), wide)
}

/// Sums of two tiles by two.
#[repr(align(64))]
struct Sums(MaybeUninit<[f32; SIDE * SIDE]>);

/// Runs a task: multiplies all its rows with one panel after the other. All tiles have one height, so that they are
/// configured once. If the rows do not divide into that height, the last ones are computed twice and used once.
///
/// # Safety
/// AMX and AVX-512, and a job of bf16 or split values whose pointers hold what its shapes say, blocks of k padded with
/// zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn run(job: &Job) {
    if job.rows.is_empty() {
        return;
    }
    let mut sums = Sums(MaybeUninit::uninit());
    let sums = sums.0.as_mut_ptr().cast::<f32>();
    let parts = parts(job.element);
    let (panel, blocks) = (job.k * SIDE, job.k / (BLOCK / 2 * parts));
    let times = job.rows.len().div_ceil(SIDE);
    let height = job.rows.len().div_ceil(times);
    // SAFETY: rows and columns are within the job's ranges, which are within x, y and the panels; a share of the next panel
    // is only fetched.
    unsafe {
        configure(height);
        for column in job.columns.clone().step_by(SIDE) {
            let b = job.panels.add(column / SIDE * panel);
            // Each pass of the rows over a panel prefetches a share of the next one.
            let last = column + SIDE >= job.columns.end;
            let lines = if last { 0 } else { (2 * parts * TILE / LINE).div_ceil(times) };
            for time in 0..times {
                let rows = job.rows.start + time * height..(job.rows.start + (time + 1) * height).min(job.rows.end);
                let first = rows.end - height;
                let upper = job.x.add(first * job.x_stride);
                let tiles = Tiles {
                    upper,
                    lower: if height > 16 { upper.add(16 * job.x_stride) } else { upper },
                    stride: 4 * job.x_stride,
                    b,
                    blocks,
                    next: b.wrapping_add(panel + time * lines * blocks * LINE),
                    lines,
                    sums,
                };
                match (job.element, height > 16) {
                    (Element::Split, true) => split_two(tiles),
                    (Element::Split, false) => split_one(tiles),
                    (_, true) => two(tiles),
                    (_, false) => one(tiles),
                }
                finish::<Avx512>(job, sums.add((rows.start - first) * SIDE), rows, column);
            }
        }
        release();
    }
}
