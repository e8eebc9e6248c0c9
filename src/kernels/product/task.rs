//! One task of a product, for any lanes: blocks of k, panels, tiles of rows, and the epilogue of a tile. Threads are
//! elsewhere.

use std::ops::Range;

use super::Then;
use crate::kernels::lanes::Lanes;
use crate::kernels::matrix::{BLOCK, split_at, write};
use crate::kernels::{ActivationFn, Element};

/// Words of k that all rows of a task process before the next ones.
const DEPTH: usize = 1024;

/// A task, and its product.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(super) x: *const f32,
    pub(super) x_stride: usize,
    pub(super) panels: *const f32,
    /// Words of k.
    pub(super) k: usize,
    pub(super) element: Element,
    pub(super) bias: *const f32,
    pub(super) y: *mut f32,
    pub(super) y_stride: usize,
    pub(super) y_element: Element,
    pub(super) then: Then,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    /// MemoryBudget for the task's partial sums, whole panels.
    pub(super) sums: *mut f32,
}

// SAFETY: data that a job only reads is not written while the product runs, and no two jobs of a product share a place
// of `y` or `sums`.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

/// Multiplies words of x and the weights, on the lanes of `V`.
pub(crate) trait Dot<V: Lanes> {
    /// Returns `sum + a * b`, rounded once; a word may hold several values instead of one.
    ///
    /// # Safety
    /// The instruction set of `V` and of the product.
    #[inline(always)]
    unsafe fn dot(sum: V, a: V, b: V) -> V {
        // SAFETY: the caller's.
        unsafe { a.mul_add(b, sum) }
    }

    /// [`tile`] for 1, 2, ... rows, as many as there are registers for. They are called through pointers: if the loop
    /// were inlined, it would share registers with its caller and spill.
    const TILES: &'static [unsafe fn(Tile)];
}

/// Words are f32.
pub(crate) struct Single;

/// The operands of [`multiply`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// Words of k.
    pub(crate) k: usize,
    pub(crate) x: *const f32,
    pub(crate) x_stride: usize,
    /// One panel, from its first word in use.
    pub(crate) panel: *const f32,
    pub(crate) sums: *mut f32,
    pub(crate) sums_stride: usize,
    /// Whether the sums begin here or continue.
    pub(crate) first: bool,
}

/// Returns the most rows of a tile.
pub(crate) const fn tile_rows<V: Lanes, D: Dot<V>>() -> usize {
    D::TILES.len()
}

/// Runs a task.
///
/// # Safety
/// The instruction set of `V` and `D`, and a job whose pointers hold what its shapes say.
#[inline(always)]
pub(super) unsafe fn run<V: Lanes, D: Dot<V>>(job: &Job) {
    let (width, rows) = (2 * V::N, job.rows.len());
    let (panels, tiles) = (job.columns.len().div_ceil(width), rows.div_ceil(tile_rows::<V, D>()));
    let mut k = 0;
    while k < job.k {
        let depth = (job.k - k).min(DEPTH);
        for panel in 0..panels {
            let column = job.columns.start + panel * width;
            for tile in 0..tiles {
                let (from, to) = (tile * rows / tiles, (tile + 1) * rows / tiles);
                // SAFETY: row and column are within the job's ranges, which are within x, y and the panels.
                unsafe {
                    let x = job.x.add((job.rows.start + from) * job.x_stride + k);
                    let weights = job.panels.add(column * job.k + k * width);
                    let sums = job.sums.add((panel * rows + from) * width);
                    let (x_stride, first) = (job.x_stride, k == 0);
                    let tile = Tile { k: depth, x, x_stride, panel: weights, sums, sums_stride: width, first };
                    multiply::<V, D>(to - from, tile);
                    if k + depth == job.k {
                        finish::<V>(job, sums, job.rows.start + from..job.rows.start + to, column);
                    }
                }
            }
        }
        k += depth;
    }
}

/// Computes `sums (+)= x @ panel` for up to [`tile_rows`] rows.
///
/// # Safety
/// The instruction set; `rows` rows of `k` words at `x`, `k` times a panel's width at `panel`, `rows` rows at `sums`.
#[inline(always)]
pub(crate) unsafe fn multiply<V: Lanes, D: Dot<V>>(rows: usize, tile: Tile) {
    // SAFETY: the caller's.
    unsafe { D::TILES[rows - 1](tile) }
}

/// Runs the innermost loop: `R` rows by two registers.
///
/// # Safety
/// As [`multiply`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn tile<V: Lanes, D: Dot<V>, const R: usize>(tile: Tile) {
    let Tile { k, x, x_stride, panel, sums, sums_stride, first } = tile;
    // SAFETY: the caller's.
    unsafe {
        let mut acc = [[V::splat(0.0); 2]; R];
        if !first {
            for (row, acc) in acc.iter_mut().enumerate() {
                let from = sums.add(row * sums_stride);
                *acc = [V::load(from), V::load(from.add(V::N))];
            }
        }
        for at in 0..k {
            let b = panel.add(at * 2 * V::N);
            let b = [V::load(b), V::load(b.add(V::N))];
            for (row, acc) in acc.iter_mut().enumerate() {
                let a = V::splat(*x.add(row * x_stride + at));
                acc[0] = D::dot(acc[0], a, b[0]);
                acc[1] = D::dot(acc[1], a, b[1]);
            }
        }
        for (row, acc) in acc.iter().enumerate() {
            let to = sums.add(row * sums_stride);
            acc[0].store(to);
            acc[1].store(to.add(V::N));
        }
    }
}

/// Adds the bias, applies the activation, and stores or adds a finished tile, whose rows are a panel's width apart.
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(super) unsafe fn finish<V: Lanes>(job: &Job, sums: *const f32, rows: Range<usize>, column: usize) {
    let width = 2 * V::N;
    for (index, row) in rows.enumerate() {
        for half in [0, V::N] {
            if column + half >= job.columns.end {
                break;
            }
            let (column, n) = (column + half, (job.columns.end - column - half).min(V::N));
            // SAFETY: the caller's; the bias is padded to whole panels.
            unsafe {
                let value = V::load(sums.add(index * width + half)).add(V::load(job.bias.add(column)));
                let y = job.y.add(row * job.y_stride);
                match job.then {
                    Then::Add => value.add(V::load_upto(y.add(column), n)).store_upto(y.add(column), n),
                    Then::Store(act) => put(act.apply(value), y, job.y_element, column, n),
                }
            }
        }
    }
}

/// Stores `n` values from column `column` of a row.
///
/// # Safety
/// The instruction set, and a row that has those columns.
#[inline(always)]
pub(crate) unsafe fn put<V: Lanes>(value: V, row: *mut f32, element: Element, column: usize, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        match element {
            Element::F32 => value.store_upto(row.add(column), n),
            Element::Bf16 => value.store_bf16(row.cast::<u16>().add(column), n),
            Element::Split if column % BLOCK + n <= BLOCK => {
                let (high, low) = split_at(row, column);
                value.store_split(high, low, n);
            }
            Element::Split => {
                let mut values = [0f32; 16];
                value.store(values.as_mut_ptr());
                values[..n].iter().enumerate().for_each(|(i, &v)| write(row, element, column + i, v));
            }
        }
    }
}

/// Returns the activation, for the plain version.
pub(super) fn activation(then: Then) -> ActivationFn {
    match then {
        Then::Store(act) => act,
        Then::Add => ActivationFn::None,
    }
}
