//! Attention of every (item, head): `softmax(q k^T / sqrt(d)) v`. The scores of a block of queries are all that is
//! stored at a time. The projections before and after are products, and not here.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::lanes::Lanes;
use super::matrix::{Buffer, Matrix, write};
use super::product::task::{Dot, Single, Tile, multiply, put, tile_rows};
use super::softmax::{softmax, softmax_plain};
use super::{Element, Isa, Shared, dispatch};

/// Queries of a block: a multiple of every tile's rows.
const QUERIES: usize = 48;

/// How the rows of queries, keys and values are to be read.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Positions of an item.
    pub length: usize,
    /// Heads, which share the width equally.
    pub heads: usize,
    /// True if a position attends to itself and those before it only.
    pub causal: bool,
}

/// One item's head.
#[derive(Debug, Clone, Copy)]
struct Head {
    q: *const f32,
    k: *const f32,
    v: *const f32,
    stride: usize,
    length: usize,
    dim: usize,
    causal: bool,
    out: *mut f32,
    out_stride: usize,
    element: Element,
    /// Where in a row of `out` the head begins.
    column: usize,
}

thread_local! {
    /// A head's packed keys and values and a block of scores.
    static SCRATCH: RefCell<Buffer> = RefCell::default();
}

/// Attention over rows of [q, k, v], each as wide as the result: [B * T, 3 W] in f32 -> [B * T, W].
///
/// # Panics
/// If the shape does not fit, or this machine cannot run the instruction set.
pub fn attention(isa: Isa, qkv: &Matrix, heads: Heads, out: &mut Matrix) {
    let (rows, width) = (qkv.rows(), qkv.columns() / 3);
    assert!(qkv.element() == Element::F32 && qkv.columns() == 3 * width && isa.is_available());
    assert!(width.is_multiple_of(heads.heads) && rows.is_multiple_of(heads.length));
    out.shape(rows, width);
    let dim = width / heads.heads;
    let (from, to) = (Shared(qkv.as_ptr().cast_mut()), Shared(out.as_mut_ptr()));
    let (stride, out_stride, element) = (qkv.stride(), out.stride(), out.element());
    (0..rows / heads.length * heads.heads).into_par_iter().for_each(|index| {
        let (row, column) = (index / heads.heads * heads.length, index % heads.heads * dim);
        // SAFETY: the item's rows and the head's columns are within the matrices.
        let head = unsafe {
            let q = from.get().add(row * stride + column).cast_const();
            Head {
                q,
                k: q.add(width),
                v: q.add(2 * width),
                stride,
                length: heads.length,
                dim,
                causal: heads.causal,
                out: to.get().add(row * out_stride),
                out_stride,
                element,
                column,
            }
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let head = &head;
            dispatch!(
                isa,
                // SAFETY: the head is in bounds, and no other task writes its columns.
                unsafe { plain(head) },
                fast(head: &Head, scratch: &mut Buffer)
            );
        });
    });
}

/// Keys that some query of a block sees.
fn seen(head: &Head, queries: &Range<usize>) -> usize {
    if head.causal { queries.end } else { head.length }
}

/// # Safety
/// The instruction set, and a head whose pointers hold what its shapes say.
#[inline(always)]
unsafe fn fast<V: Lanes>(head: &Head, scratch: &mut Buffer)
where
    Single: Dot<V>,
{
    let width = 2 * V::N;
    let (length, dim) = (head.length, head.dim);
    let (keys, columns) = (length.next_multiple_of(width), dim.next_multiple_of(width));
    let stride = keys + 16; // of scores
    scratch.reserve(keys * dim + length * columns + QUERIES * stride + tile_rows::<V, Single>() * width);
    // SAFETY: the scratch has room for all four; the rest is the caller's.
    unsafe {
        let k = scratch.words_mut().as_mut_ptr();
        let v = k.add(keys * dim);
        let scores = v.add(length * columns);
        let tile = scores.add(QUERIES * stride);
        pack_keys(head, k, width);
        pack_values::<V>(head, v);
        for start in (0..length).step_by(QUERIES) {
            let queries = start..(start + QUERIES).min(length);
            let seen = seen(head, &queries);
            for panel in 0..seen.div_ceil(width) {
                for row in (queries.start..queries.end).step_by(tile_rows::<V, Single>()) {
                    let rows = (queries.end - row).min(tile_rows::<V, Single>());
                    multiply::<V, Single>(
                        rows,
                        Tile {
                            k: dim,
                            x: head.q.add(row * head.stride),
                            x_stride: head.stride,
                            panel: k.add(panel * dim * width),
                            sums: scores.add((row - start) * stride + panel * width),
                            sums_stride: stride,
                            first: true,
                        },
                    );
                }
            }
            mix::<V>(head, queries, (scores, stride), v, tile);
        }
    }
}

/// Softmax of a block's scores, and the values weighed by them.
///
/// # Safety
/// As [`fast`].
#[inline(always)]
unsafe fn mix<V: Lanes>(
    head: &Head,
    queries: Range<usize>,
    (scores, stride): (*mut f32, usize),
    v: *const f32,
    tile: *mut f32,
) where
    Single: Dot<V>,
{
    let width = 2 * V::N;
    let scale = 1.0 / (head.dim as f32).sqrt();
    let mut sums = [0f32; QUERIES];
    let seen = seen(head, &queries);
    // SAFETY: the caller's.
    unsafe {
        for query in queries.clone() {
            let row = scores.add((query - queries.start) * stride);
            let own = if head.causal { query + 1 } else { seen };
            sums[query - queries.start] = softmax::<V>(row, own, scale);
            for at in own..seen {
                *row.add(at) = 0.0;
            }
        }
        for panel in 0..head.dim.div_ceil(width) {
            for row in (0..queries.len()).step_by(tile_rows::<V, Single>()) {
                let rows = (queries.len() - row).min(tile_rows::<V, Single>());
                let (x, panel_values) = (scores.add(row * stride), v.add(panel * head.length * width));
                let product = Tile {
                    k: seen,
                    x,
                    x_stride: stride,
                    panel: panel_values,
                    sums: tile,
                    sums_stride: width,
                    first: true,
                };
                multiply::<V, Single>(rows, product);
                for i in 0..rows {
                    let to = head.out.add((queries.start + row + i) * head.out_stride);
                    let norm = V::splat(1.0 / sums[row + i]);
                    for half in [0, V::N] {
                        let column = panel * width + half;
                        if column < head.dim {
                            let value = V::load(tile.add(i * width + half)).mul(norm);
                            put(value, to, head.element, head.column + column, (head.dim - column).min(V::N));
                        }
                    }
                }
            }
        }
    }
}

/// Keys as the panels of a product: [T / width][d][width], zeros where there is no key.
///
/// # Safety
/// As [`fast`].
#[inline(always)]
unsafe fn pack_keys(head: &Head, to: *mut f32, width: usize) {
    for key in 0..head.length.next_multiple_of(width) {
        // SAFETY: the caller's.
        unsafe {
            let to = to.add(key / width * head.dim * width + key % width);
            for i in 0..head.dim {
                let value = if key < head.length { *head.k.add(key * head.stride + i) } else { 0.0 };
                *to.add(i * width) = value;
            }
        }
    }
}

/// Values as the panels of a product: [d / width][T][width], zeros where there is no value.
///
/// # Safety
/// As [`fast`].
#[inline(always)]
unsafe fn pack_values<V: Lanes>(head: &Head, to: *mut f32) {
    for panel in 0..head.dim.div_ceil(2 * V::N) {
        for key in 0..head.length {
            for half in 0..2 {
                let column = (2 * panel + half) * V::N;
                // SAFETY: the caller's.
                unsafe {
                    let n = head.dim.saturating_sub(column);
                    let value =
                        if n == 0 { V::splat(0.0) } else { V::load_upto(head.v.add(key * head.stride + column), n) };
                    value.store(to.add(((panel * head.length + key) * 2 + half) * V::N));
                }
            }
        }
    }
}

/// The plain version.
///
/// # Safety
/// A head whose pointers hold what its shapes say.
unsafe fn plain(head: &Head) {
    let scale = 1.0 / (head.dim as f32).sqrt();
    for query in 0..head.length {
        let seen = seen(head, &(query..query + 1));
        // SAFETY: the caller's.
        unsafe {
            let at = |from: *const f32, row: usize, i: usize| *from.add(row * head.stride + i);
            let dot = |key| (0..head.dim).map(|i| at(head.q, query, i) * at(head.k, key, i)).sum();
            let mut scores: Vec<f32> = (0..seen).map(dot).collect();
            let sum = softmax_plain(&mut scores, scale);
            for i in 0..head.dim {
                let mixed: f32 = scores.iter().enumerate().map(|(key, s)| s * at(head.v, key, i)).sum();
                write(head.out.add(query * head.out_stride), head.element, head.column + i, mixed / sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{SIZES, noise, sets};

    fn run(isa: Isa, qkv: &[f32], width: usize, heads: Heads) -> Vec<f32> {
        let mut out = Matrix::new(Element::F32);
        attention(isa, &Matrix::from_values(qkv, 3 * width), heads, &mut out);
        out.to_values()
    }

    #[test]
    fn fast_attention_is_the_plain_one() {
        for isa in sets("attention") {
            for length in SIZES {
                for (count, dim, causal) in [(2, 64, false), (1, 80, true), (3, 7, true), (2, 33, false)] {
                    let width = count * dim;
                    let heads = Heads { length, heads: count, causal };
                    let qkv: Vec<f32> = noise(2 * length * 3 * width, 1).iter().map(|v| v * 3.0).collect();
                    let (got, want) = (run(isa, &qkv, width, heads), run(Isa::Plain, &qkv, width, heads));
                    let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(off < 6e-6, "{isa:?} {heads:?} {dim}: off by {off}");
                    // The second item alone.
                    let alone = run(isa, &qkv[length * 3 * width..], width, heads);
                    assert!(alone == got[length * width..], "{isa:?} {heads:?} {dim}: other bits alone");
                }
            }
        }
    }

    #[test]
    fn split_results_are_split_f32_ones() {
        for isa in sets("attention, split") {
            for dim in [7, 33, 64, 80] {
                let heads = Heads { length: 20, heads: 3, causal: false };
                let qkv = noise(20 * 9 * dim, 2);
                let (mut out, mut want) = (Matrix::new(Element::Split), Matrix::new(Element::Split));
                attention(isa, &Matrix::from_values(&qkv, 9 * dim), heads, &mut out);
                let exact = run(isa, &qkv, 3 * dim, heads);
                want.shape(20, 3 * dim);
                let stride = want.stride();
                for (at, &value) in exact.iter().enumerate() {
                    let row = &mut want.words_mut()[at / (3 * dim) * stride..];
                    // SAFETY: the row has the column.
                    unsafe { write(row.as_mut_ptr(), Element::Split, at % (3 * dim), value) };
                }
                assert_eq!(out.to_values(), want.to_values(), "{isa:?} {dim}");
            }
        }
    }

    #[test]
    fn extreme_values_come_out_as_they_should() {
        for isa in sets("attention, extremes") {
            let heads = Heads { length: 17, heads: 1, causal: false };
            for value in [0.0, 1e-40, 1e4] {
                let y = run(isa, &vec![value; 17 * 3 * 16], 16, heads);
                assert!(y.iter().all(|y| (y - value).abs() <= 1e-6 * value), "{isa:?} {value}");
            }
            let mut qkv = noise(17 * 3 * 16, 1);
            qkv[3 * 48] = f32::NAN; // in the fourth query
            let y = run(isa, &qkv, 16, heads);
            assert!(y[3 * 16..4 * 16].iter().all(|y| y.is_nan()) && y.iter().filter(|y| y.is_nan()).count() == 16);
        }
    }
}
