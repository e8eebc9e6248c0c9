//! Attention of every (item, head): `softmax(q k^T / sqrt(d)) v`. Only the scores of one block of queries are stored at
//! a time. The projections around it are products.

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

/// Which rows attend to which: groups of queries in sequence, each with the rows whose keys and values it sees.
#[derive(Debug, Clone)]
pub struct Attends {
    causal: bool,
    queries: usize,
    groups: Vec<(Range<usize>, Range<usize>)>, // queries, and places in `keys`
    keys: Vec<u32>,
}

impl Attends {
    /// Creates an empty set of groups. If it is causal, a group's queries are the last of its keys, and each sees only
    /// keys up to its own.
    pub fn new(causal: bool) -> Self {
        Self { causal, queries: 0, groups: Vec::new(), keys: Vec::new() }
    }

    /// Adds a group: the next `queries` rows of queries, and the rows of keys and values in order.
    ///
    /// # Panics
    /// If it is causal and has more queries than keys.
    pub fn push(&mut self, queries: usize, keys: impl IntoIterator<Item = u32>) {
        let first = self.keys.len();
        self.keys.extend(keys);
        let keys = first..self.keys.len();
        assert!(!keys.is_empty() && (!self.causal || queries <= keys.len()));
        self.groups.push((self.queries..self.queries + queries, keys));
        self.queries += queries;
    }

    /// Returns the groups: their queries, and the rows of the keys that each sees.
    pub fn groups(&self) -> impl Iterator<Item = (Range<usize>, &[u32])> {
        self.groups.iter().map(|(queries, keys)| (queries.clone(), &self.keys[keys.clone()]))
    }

    /// Returns whether queries see only keys up to their own.
    pub fn is_causal(&self) -> bool {
        self.causal
    }

    /// Returns the number of queries.
    pub fn queries(&self) -> usize {
        self.queries
    }
}

/// A group's head.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    /// The first query.
    q: *const f32,
    q_stride: usize,
    queries: usize,
    /// The first row of all keys, and of all values.
    k: *const f32,
    v: *const f32,
    stride: usize,
    /// The rows that the group sees.
    keys: &'a [u32],
    dim: usize,
    causal: bool,
    out: *mut f32,
    out_stride: usize,
    element: Element,
    /// The column of `out` where the head begins.
    column: usize,
}

impl Head<'_> {
    /// Returns the number of keys that the last of these queries sees, the most of all.
    fn seen(&self, queries: &Range<usize>) -> usize {
        if self.causal { self.keys.len() - self.queries + queries.end } else { self.keys.len() }
    }
}

thread_local! {
    /// A head's packed keys and values and a block of scores.
    static SCRATCH: RefCell<Buffer> = RefCell::default();
}

/// Computes attention with `heads` heads of equal width. The queries are the first third of the columns of `q` `[Q, 3
/// W]`; keys and values are the other thirds of `kv` `[R, 3 W]`, which may be the same matrix. Both are f32. The result
/// has a row per query: `[Q, W]`.
///
/// # Panics
/// If the shapes do not fit, or this machine cannot run the instruction set.
pub fn attention(isa: Isa, heads: usize, q: &Matrix, kv: &Matrix, attends: &Attends, out: &mut Matrix) {
    let width = kv.columns() / 3;
    assert!(q.columns() == 3 * width && kv.columns() == 3 * width && width.is_multiple_of(heads) && isa.is_available());
    assert!(q.element() == Element::F32 && kv.element() == Element::F32);
    assert!(attends.queries <= q.rows() && attends.keys.iter().all(|&row| (row as usize) < kv.rows()));
    out.shape(attends.queries, width);
    let dim = width / heads;
    let (from, keys, to) = (Shared(q.as_ptr().cast_mut()), Shared(kv.as_ptr().cast_mut()), Shared(out.as_mut_ptr()));
    let (q_stride, stride, out_stride, element) = (q.stride(), kv.stride(), out.stride(), out.element());
    (0..attends.groups.len() * heads).into_par_iter().for_each(|index| {
        let (queries, seen) = &attends.groups[index / heads];
        let column = index % heads * dim;
        // SAFETY: the group's rows and the head's columns are within the matrices.
        let head = unsafe {
            Head {
                q: from.get().add(queries.start * q_stride + column),
                q_stride,
                queries: queries.len(),
                k: keys.get().add(width + column),
                v: keys.get().add(2 * width + column),
                stride,
                keys: &attends.keys[seen.clone()],
                dim,
                causal: attends.causal,
                out: to.get().add(queries.start * out_stride),
                out_stride,
                element,
                column,
            }
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let head = &head;
            dispatch!(
                isa,
                // SAFETY: the head is in bounds, and no other task writes its columns of the group's rows.
                unsafe { plain(head) },
                fast(head: &Head, scratch: &mut Buffer)
            );
        });
    });
}

/// # Safety
/// The instruction set, and a head whose pointers hold what its shapes say.
#[inline(always)]
unsafe fn fast<V: Lanes>(head: &Head, scratch: &mut Buffer)
where
    Single: Dot<V>,
{
    let width = 2 * V::N;
    let (length, dim) = (head.keys.len(), head.dim);
    let (keys, columns) = (length.next_multiple_of(width), dim.next_multiple_of(width));
    let stride = keys + 16; // of scores
    scratch.reserve(keys * dim + length * columns + QUERIES * stride + tile_rows::<V, Single>() * width);
    // SAFETY: the scratch has room for all four; the rest is the caller's.
    unsafe {
        let k = scratch.words_mut().as_mut_ptr();
        let v = k.add(keys * dim);
        let scores = v.add(length * columns);
        let tile = scores.add(QUERIES * stride);
        pack_keys::<V>(head, k);
        pack_values::<V>(head, v);
        for start in (0..head.queries).step_by(QUERIES) {
            let queries = start..(start + QUERIES).min(head.queries);
            let seen = head.seen(&queries);
            for panel in 0..seen.div_ceil(width) {
                for row in (queries.start..queries.end).step_by(tile_rows::<V, Single>()) {
                    let rows = (queries.end - row).min(tile_rows::<V, Single>());
                    multiply::<V, Single>(
                        rows,
                        Tile {
                            k: dim,
                            x: head.q.add(row * head.q_stride),
                            x_stride: head.q_stride,
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

/// Computes the softmax of a block's scores, and the values weighted by them.
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
    let seen = head.seen(&queries);
    // SAFETY: the caller's.
    unsafe {
        for query in queries.clone() {
            let row = scores.add((query - queries.start) * stride);
            let own = head.seen(&(query..query + 1));
            sums[query - queries.start] = softmax::<V>(row, own, scale);
            for at in own..seen {
                *row.add(at) = 0.0;
            }
        }
        for panel in 0..head.dim.div_ceil(width) {
            for row in (0..queries.len()).step_by(tile_rows::<V, Single>()) {
                let rows = (queries.len() - row).min(tile_rows::<V, Single>());
                let (x, panel_values) = (scores.add(row * stride), v.add(panel * head.keys.len() * width));
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

/// Packs keys as the panels of a product: [T / width][d][width]. Values after the last key are arbitrary: no query sees
/// them.
///
/// # Safety
/// As [`fast`].
#[inline(always)]
unsafe fn pack_keys<V: Lanes>(head: &Head, to: *mut f32) {
    let width = 2 * V::N;
    let whole = head.dim - head.dim % V::N;
    for first in (0..head.keys.len()).step_by(V::N) {
        // SAFETY: the caller's; there is room for whole panels.
        unsafe {
            let to = to.add(first / width * head.dim * width + first % width);
            let mut rows = [std::ptr::null(); 16];
            for (i, row) in rows[..V::N].iter_mut().enumerate() {
                let key = head.keys[(first + i).min(head.keys.len() - 1)];
                *row = head.k.add(key as usize * head.stride);
            }
            for at in (0..whole).step_by(V::N) {
                V::transpose(&rows.map(|row| row.wrapping_add(at)), to.add(at * width), width);
            }
            for at in whole..head.dim {
                for (i, row) in rows[..V::N].iter().enumerate() {
                    *to.add(at * width + i) = *row.add(at);
                }
            }
        }
    }
}

/// Packs values as the panels of a product: [d / width][T][width], with zeros after the last value.
///
/// # Safety
/// As [`fast`].
#[inline(always)]
unsafe fn pack_values<V: Lanes>(head: &Head, to: *mut f32) {
    for panel in 0..head.dim.div_ceil(2 * V::N) {
        for (key, &row) in head.keys.iter().enumerate() {
            for half in 0..2 {
                let column = (2 * panel + half) * V::N;
                // SAFETY: the caller's.
                unsafe {
                    let from = head.v.add(row as usize * head.stride + column);
                    let n = head.dim.saturating_sub(column);
                    let value = if n == 0 { V::splat(0.0) } else { V::load_upto(from, n) };
                    value.store(to.add(((panel * head.keys.len() + key) * 2 + half) * V::N));
                }
            }
        }
    }
}

/// Computes the plain version.
///
/// # Safety
/// A head whose pointers hold what its shapes say.
unsafe fn plain(head: &Head) {
    let scale = 1.0 / (head.dim as f32).sqrt();
    for query in 0..head.queries {
        let keys = &head.keys[..head.seen(&(query..query + 1))];
        // SAFETY: the caller's.
        unsafe {
            let q = |i: usize| *head.q.add(query * head.q_stride + i);
            let at = |from: *const f32, row: u32, i: usize| *from.add(row as usize * head.stride + i);
            let dot = |&row: &u32| (0..head.dim).map(|i| q(i) * at(head.k, row, i)).sum();
            let mut scores: Vec<f32> = keys.iter().map(dot).collect();
            let sum = softmax_plain(&mut scores, scale);
            for i in 0..head.dim {
                let mixed: f32 = scores.iter().zip(keys).map(|(s, &row)| s * at(head.v, row, i)).sum();
                write(head.out.add(query * head.out_stride), head.element, head.column + i, mixed / sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{SIZES, noise, sets};

    /// Items of one length, each of which attends to itself.
    fn items(count: usize, length: usize, causal: bool) -> Attends {
        let mut attends = Attends::new(causal);
        (0..count).for_each(|item| attends.push(length, (item * length) as u32..((item + 1) * length) as u32));
        attends
    }

    fn run(isa: Isa, qkv: &[f32], width: usize, heads: usize, attends: &Attends) -> Vec<f32> {
        let qkv = Matrix::from_values(qkv, 3 * width);
        let mut out = Matrix::new(Element::F32);
        attention(isa, heads, &qkv, &qkv, attends, &mut out);
        out.to_values()
    }

    #[test]
    fn fast_attention_is_the_plain_one() {
        for isa in sets("attention") {
            for length in SIZES {
                for (heads, dim, causal) in [(2, 64, false), (1, 80, true), (3, 7, true), (2, 33, false)] {
                    let width = heads * dim;
                    let qkv: Vec<f32> = noise(2 * length * 3 * width, 1).iter().map(|v| v * 3.0).collect();
                    let two = items(2, length, causal);
                    let (got, want) = (run(isa, &qkv, width, heads, &two), run(Isa::Plain, &qkv, width, heads, &two));
                    let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(off < 6e-6, "{isa:?} {length} {heads} {dim}: off by {off}");
                    // The second item on its own.
                    let alone = run(isa, &qkv[length * 3 * width..], width, heads, &items(1, length, causal));
                    assert!(alone == got[length * width..], "{isa:?} {length} {heads} {dim}: other bits alone");
                }
            }
        }
    }

    /// Queries of an item get the same bits with some of its rows as with all, even if the keys lie apart.
    #[test]
    fn the_bits_of_a_query_do_not_depend_on_where_rows_lie() {
        for isa in sets("attention of some queries") {
            for (length, causal) in [(9, true), (77, true), (50, false), (130, false), (130, true)] {
                let (heads, width) = (2, 2 * 64);
                let rows = noise(length * 3 * width, 1);
                let all = run(isa, &rows, width, heads, &items(1, length, causal));
                let order: Vec<usize> = (0..length).map(|row| row * 3 % length).collect(); // 3 divides no length but 9
                let order = if length == 9 { (0..9).rev().collect() } else { order };
                let mut apart = vec![0.0; rows.len()];
                for (row, &to) in order.iter().enumerate() {
                    apart[to * 3 * width..][..3 * width].copy_from_slice(&rows[row * 3 * width..][..3 * width]);
                }
                for last in [1, 4, length.min(60)] {
                    let mut attends = Attends::new(causal);
                    attends.push(last, order.iter().map(|&row| row as u32));
                    let q = Matrix::from_values(&rows[(length - last) * 3 * width..], 3 * width);
                    let mut out = Matrix::new(Element::F32);
                    attention(isa, heads, &q, &Matrix::from_values(&apart, 3 * width), &attends, &mut out);
                    assert!(out.to_values() == all[(length - last) * width..], "{isa:?} {length} {causal} {last}");
                }
            }
        }
    }

    #[test]
    fn split_results_are_split_f32_ones() {
        for isa in sets("attention, split") {
            for dim in [7, 33, 64, 80] {
                let (one, qkv) = (items(1, 20, false), noise(20 * 9 * dim, 2));
                let (mut out, mut want) = (Matrix::new(Element::Split), Matrix::new(Element::Split));
                let rows = Matrix::from_values(&qkv, 9 * dim);
                attention(isa, 3, &rows, &rows, &one, &mut out);
                let exact = run(isa, &qkv, 3 * dim, 3, &one);
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
            let one = items(1, 17, false);
            for value in [0.0, 1e-40, 1e4] {
                let y = run(isa, &vec![value; 17 * 3 * 16], 16, 1, &one);
                assert!(y.iter().all(|y| (y - value).abs() <= 1e-6 * value), "{isa:?} {value}");
            }
            let mut qkv = noise(17 * 3 * 16, 1);
            qkv[3 * 48] = f32::NAN; // in the fourth query
            let y = run(isa, &qkv, 16, 1, &one);
            assert!(y[3 * 16..4 * 16].iter().all(|y| y.is_nan()) && y.iter().filter(|y| y.is_nan()).count() == 16);
        }
    }
}
