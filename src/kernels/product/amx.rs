//! A product's task with AMX: bf16, and f32 split into two bf16. A tile register holds 16 rows of 64 bytes: 16 rows of
//! 32 values of x, 16 pairs of k by 16 columns of the weights, or 16 by 16 sums. x comes in tiles, as whoever computed it
//! left it. This file packs the weights, divides the work into tasks, and runs a task; the assembler is in
//! `amx/tiles.rs`.
//!
//! A sum is one accumulator. Each block of k adds the sum of its even members and that of its odd members, in order,
//! whichever rows are beside it.

#![cfg(target_arch = "x86_64")]

mod available;
#[cfg(all(test, target_os = "linux"))]
mod emulated;
mod tiles;

use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use std::ops::Range;

use super::task::{Job, finish, put};
use crate::kernels::Element;
use crate::kernels::lanes::{Avx512, Lanes};
use crate::kernels::matrix::{BLOCK, GROUP, Row};

#[cfg(all(test, target_os = "linux"))]
pub(crate) use available::is_on_this_machine;
pub(crate) use available::{is_available, obstacle};
use tiles::resume;
pub(super) use tiles::spin;
pub(crate) use tiles::{begin, configure, one, release, split_one, split_two, store, two};

/// Rows and columns of the sums computed together: two tiles by two.
pub(crate) const SIDE: usize = 32;
/// Words of a tile.
const TILE: usize = 256;
/// Words of a cache line.
const LINE: usize = 16;
/// Bytes of x that a task reads repeatedly. CPUs with AMX have a second-level cache of 2 MB, but it is slower when more
/// than half of it is in use, and panels go through it too.
const KEPT: usize = 3 << 18;
/// Words of k that all squares of a task process before the next ones. With more, fewer rows are kept, and panels
/// arrive from the third-level cache more slowly than they are multiplied.
const DEPTH: usize = 1024;

const _: () = assert!(SIDE == GROUP, "a group of rows is two tiles");

/// Packs a row of W as one column of a panel: for each block of k two tiles of high parts, for the left and the right
/// columns, then two of low parts if there are any.
///
/// # Safety
/// AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn pack(row: &[f32], column: usize, element: Element, panel: &mut [f32]) {
    let parts = element.parts();
    for (block, words) in panel.chunks_exact_mut(2 * parts * TILE).enumerate() {
        let mut values = [0f32; BLOCK]; // as in a row of x: the words of the high parts, then of the low ones
        for at in [0, Avx512::N] {
            let from = block * BLOCK + at;
            let n = row.len().saturating_sub(from).min(Avx512::N);
            // SAFETY: reads are within the row, and a block's words are within `values`.
            unsafe {
                let value = if n == 0 { Avx512::splat(0.0) } else { Avx512::load_upto(row.as_ptr().add(from), n) };
                put(value, Row::new(values.as_mut_ptr(), element), at, Avx512::N);
            }
        }
        for part in 0..parts {
            let tile = &mut words[(2 * part + column / 16) * TILE..][..TILE];
            tile.iter_mut().skip(column % 16).step_by(16).zip(&values[16 * part..]).for_each(|(to, &word)| *to = word);
        }
    }
}

/// Returns the number of row blocks and the most panels of a task, for this many words of k in a row. Both are small
/// enough that every thread has several tasks, and near each other, since a task reads both.
pub(super) fn divide(rows: usize, panels: usize, k: usize, threads: usize) -> (usize, usize) {
    let blocks = rows.div_ceil(SIDE).max(1);
    let mut tall = (KEPT / (4 * k.min(DEPTH) * SIDE)).clamp(1, blocks);
    let most = if k > DEPTH { 8 } else { 16 }; // the sums of all squares are kept too
    let mut wide = panels.clamp(1, most);
    while (tall > 1 || wide > 1) && blocks.div_ceil(tall) * panels.div_ceil(wide) < 4 * threads {
        if tall >= wide {
            tall = tall.div_ceil(2);
        } else {
            wide = wide.div_ceil(2);
        }
    }
    (blocks.div_ceil(tall), wide)
}

/// A square of the result: up to [`SIDE`] rows of a panel's columns.
struct Square {
    sums: *mut f32,
    rows: Range<usize>,
    column: usize,
}

/// Runs a task: multiplies all its rows with one panel after the other. Between the multiplications for one square the
/// rows of the square before are finished, so that vector and matrix units work at the same time. If k is long, it is
/// cut in parts, and sums are stored and loaded between them, which changes no bits.
///
/// # Safety
/// AMX and AVX-512; a job of bf16 or split values in tiles, whose pointers hold what its shapes say and whose rows
/// begin with a group, blocks of k padded with zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn run(job: &Job) {
    if job.rows.is_empty() {
        return;
    }
    let words = 2 * job.element.parts() * TILE; // of a block of k
    let (blocks, squares) = (job.k * SIDE / words, job.rows.len().div_ceil(SIDE));
    let cuts = job.k.div_ceil(DEPTH);
    let mut before = Square { sums: job.sums, rows: 0..0, column: 0 };
    // SAFETY: rows and columns are within the job's ranges, which are within x, y and the panels, and groups of x are
    // whole; the tiles are configured.
    unsafe {
        configure();
        for cut in 0..cuts {
            let (first, end) = (cut * blocks / cuts, (cut + 1) * blocks / cuts);
            let (depth, is_last) = (end - first, cut + 1 == cuts);
            for (index, column) in job.columns.clone().step_by(SIDE).enumerate() {
                let panel = job.panels.add(column * job.k + first * words);
                // Each square prefetches a share of what comes next: a panel, the first one again but further in k, or the
                // first one of the task after this.
                let (after, is_end) = (column + SIDE, column + SIDE >= job.columns.end);
                let mut next = match (is_end, is_last) {
                    (false, _) => job.panels.wrapping_add(after * job.k + first * words),
                    (true, false) => job.panels.wrapping_add(job.columns.start * job.k + end * words),
                    (true, true) => job.panels.wrapping_add(after * job.k),
                };
                let lines = (words / LINE).div_ceil(squares);
                for (place, row) in job.rows.clone().step_by(SIDE).enumerate() {
                    // All rows of the square before are finished before these sums are stored.
                    let place = if cuts == 1 { 0 } else { index * squares + place };
                    let sums = job.sums.add(place * SIDE * SIDE);
                    let square = Square { sums, rows: row..(row + SIDE).min(job.rows.end), column };
                    let (mut x, mut b) = (job.x.add(row * job.x_stride + first * words), panel);
                    let mut between = 0;
                    if cut == 0 {
                        begin()
                    } else {
                        resume(sums)
                    }
                    for block in 0..depth {
                        match (job.element, square.rows.len() > SIDE / 2) {
                            (Element::Split, true) => split_two(x, b),
                            (Element::Split, false) => split_one(x, b),
                            (_, true) => two(x, b),
                            (_, false) => one(x, b),
                        }
                        (x, b) = (x.add(words), b.add(words));
                        for _ in 0..lines {
                            _mm_prefetch::<_MM_HINT_T1>(next.cast());
                            next = next.wrapping_add(LINE);
                        }
                        while is_last && between * depth < (block + 1) * SIDE {
                            finish_row(job, &before, between);
                            announce_row(job, &square, between);
                            between += 1;
                        }
                    }
                    store(sums);
                    if is_last {
                        before = square;
                    }
                }
            }
        }
        release();
        (0..SIDE).for_each(|index| finish_row(job, &before, index));
    }
}

/// Finishes a row of a square, if it has so many.
///
/// # Safety
/// As [`run`]; the square is one of the job's, with its sums.
#[inline(always)]
unsafe fn finish_row(job: &Job, square: &Square, index: usize) {
    let row = square.rows.start + index;
    if row < square.rows.end {
        // SAFETY: the caller's.
        unsafe { finish::<Avx512>(job, square.sums.add(index * SIDE), row..row + 1, square.column) };
    }
}

/// Fetches the lines that a row of a square will be written to, to be written.
///
/// # Safety
/// AVX-512: CPUs with it have PREFETCHW.
#[inline(always)]
unsafe fn announce_row(job: &Job, square: &Square, index: usize) {
    let row = square.rows.start + index;
    if row < square.rows.end {
        for line in job.y.row(row).lines(square.column) {
            // SAFETY: the caller's; nothing happens where no memory is.
            unsafe { asm!("prefetchw [{}]", in(reg) line, options(nostack, readonly, preserves_flags)) };
        }
    }
}
