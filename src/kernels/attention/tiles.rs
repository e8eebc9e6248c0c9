//! Attention of bf16 or split values with AMX: scores and mixed values are products of tiles, and the softmax between them
//! is f32. The weights of values are rounded to bf16, or split, before they are divided by their sum.

use std::arch::x86_64::*;

use super::Head;
use crate::kernels::functions::exp;
use crate::kernels::lanes::{Avx512, Lanes};
use crate::kernels::matrix::{BLOCK, Buffer, Row};
use crate::kernels::product::amx::{SIDE, begin, configure, one, release, split_one, split_two, store, two};
use crate::kernels::product::task::put;

/// Words of a tile.
const TILE: usize = 256;
/// Words of two tiles: 32 rows of 32 values, or 32 pairs of keys or columns by 16 of the other.
const PAIR: usize = 2 * TILE;
/// Words of a line.
const LINE: usize = 16;
/// Words from the scores of 32 keys to the next: not a power of two, so that a row's are in different sets of the cache.
const SCORES: usize = SIDE * SIDE + 2 * LINE;

/// A line of each of 16 rows.
#[repr(C, align(64))]
struct Lines([[f32; LINE]; 16]);

/// Computes a head of bf16, for which `PARTS` is 1, or of split values, for which it is 2. Where there are two parts, a
/// pair of tiles has the high ones, and the next one the low ones.
///
/// # Safety
/// AMX and AVX-512, and a head of such values whose places are what its shapes say.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn run<const PARTS: usize>(head: &Head, scratch: &mut Buffer) {
    let (blocks, panels) = (head.dim.div_ceil(BLOCK), head.keys.len().div_ceil(SIDE));
    let pair = PAIR * PARTS;
    scratch.reserve(pair * (2 * blocks * panels + blocks + panels) + SCORES * panels + SIDE * SIDE);
    // SAFETY: the scratch has room for all; the rest is the caller's.
    unsafe {
        let keys = scratch.words_mut().as_mut_ptr();
        let values = keys.add(pair * blocks * panels);
        let queries = values.add(pair * blocks * panels);
        let weights = queries.add(pair * blocks);
        let mixed = weights.add(pair * panels);
        let scores = mixed.add(SIDE * SIDE);
        pack_keys::<PARTS>(head, keys);
        pack_values::<PARTS>(head, values);
        configure();
        for start in (0..head.queries).step_by(SIDE) {
            let some = start..(start + SIDE).min(head.queries);
            let multiply = |x, b| match (PARTS, some.len() > SIDE / 2) {
                (1, true) => two(x, b),
                (1, false) => one(x, b),
                (_, true) => split_two(x, b),
                (_, false) => split_one(x, b),
            };
            let seen = head.seen(&some).div_ceil(SIDE);
            for (index, query) in some.clone().enumerate() {
                for (block, part) in (0..blocks).flat_map(|block| (0..PARTS).map(move |part| (block, part))) {
                    let line = line(head.q.row(head.row + query), part, head.column, block * BLOCK, head.dim);
                    _mm512_store_si512(queries.add(pair * block + PAIR * part + LINE * index).cast(), line);
                }
            }
            for panel in 0..seen {
                begin();
                for block in 0..blocks {
                    multiply(queries.add(pair * block), keys.add(pair * (panel * blocks + block)));
                }
                store(scores.add(SCORES * panel));
            }
            let mut sums = [0f32; SIDE];
            for (index, query) in some.clone().enumerate() {
                let own = head.seen(&(query..query + 1));
                let (from, to) = (scores.add(SIDE * index), weights.add(LINE * index));
                sums[index] = softmax::<PARTS>(from, to, own, seen, 1.0 / (head.dim as f32).sqrt());
            }
            for block in 0..blocks {
                begin();
                for panel in 0..seen {
                    multiply(weights.add(pair * panel), values.add(pair * (block * panels + panel)));
                }
                store(mixed);
                for (index, query) in some.clone().enumerate() {
                    let norm = Avx512::splat(1.0 / sums[index]);
                    for at in [0, Avx512::N] {
                        let column = block * BLOCK + at;
                        if column < head.dim {
                            let value = Avx512::load(mixed.add(SIDE * index + at)).mul(norm);
                            let n = (head.dim - column).min(Avx512::N);
                            put(value, head.out.row(head.row + query), head.column + column, n);
                        }
                    }
                }
            }
        }
        release();
    }
}

/// Returns a part of 32 values of a head from its column `at` on, with zeros after the last one. The head begins at
/// column `first` of the row, and has `dim` columns.
///
/// # Safety
/// AVX-512, and a row with that part that has the head's columns.
#[inline(always)]
unsafe fn line(row: Row, part: usize, first: usize, at: usize, dim: usize) -> __m512i {
    let column = first + at;
    let (n, here) = ((dim - at).min(BLOCK), BLOCK - column % BLOCK);
    // SAFETY: the caller's; the two parts are in one block each.
    unsafe {
        let load = |column: usize, n: usize| {
            let (high, low) = row.halves(column);
            _mm512_maskz_loadu_epi16(first_of_32(n), if part == 0 { high } else { low }.cast())
        };
        if n <= here {
            return load(column, n);
        }
        let mut halves = [0u16; 2 * BLOCK];
        let to: *mut u16 = halves.as_mut_ptr();
        _mm512_storeu_si512(to.cast(), load(column, here));
        _mm512_storeu_si512(to.add(here).cast(), load(column + here, n - here));
        _mm512_loadu_si512(to.cast())
    }
}

/// Returns a mask of the first `n <= 32` of 32.
#[inline(always)]
fn first_of_32(n: usize) -> __mmask32 {
    ((1u64 << n) - 1) as __mmask32
}

/// Packs keys as a product's weights: `[keys / 32][columns / 32]`, pairs of columns by 16 keys, twice. Those after the
/// last key are arbitrary: no query sees them.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn pack_keys<const PARTS: usize>(head: &Head, to: *mut f32) {
    let blocks = head.dim.div_ceil(BLOCK);
    let mut lines = Lines([[0.0; LINE]; 16]);
    let rows: [*const f32; 16] = std::array::from_fn(|i| lines.0[i].as_ptr());
    for first in (0..head.keys.len()).step_by(16) {
        for (block, part) in (0..blocks).flat_map(|block| (0..PARTS).map(move |part| (block, part))) {
            // SAFETY: the caller's; there is room for whole panels.
            unsafe {
                for (i, line_of_key) in lines.0.iter_mut().enumerate() {
                    let row = head.kv.row(head.keys[(first + i).min(head.keys.len() - 1)] as usize);
                    let line = line(row, part, head.width + head.column, block * BLOCK, head.dim);
                    _mm512_store_si512(line_of_key.as_mut_ptr().cast(), line);
                }
                let pair = PAIR * (PARTS * (first / SIDE * blocks + block) + part);
                Avx512::transpose(&rows, to.add(pair + first % SIDE / 16 * TILE), LINE);
            }
        }
    }
}

/// Packs values as a product's weights: `[columns / 32][keys / 32]`, pairs of keys by 16 columns, twice. A pair is a key
/// and the sixteenth after it, as in the weights of [`softmax`]. There are zeros after the last key.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn pack_values<const PARTS: usize>(head: &Head, to: *mut f32) {
    let (blocks, panels) = (head.dim.div_ceil(BLOCK), head.keys.len().div_ceil(SIDE));
    for (block, panel) in (0..blocks).flat_map(|block| (0..panels).map(move |panel| (block, panel))) {
        for (part, i) in (0..PARTS).flat_map(|part| (0..16).map(move |i| (part, i))) {
            // SAFETY: the caller's; there is room for whole panels.
            unsafe {
                let line = |key: usize| match head.keys.get(key) {
                    Some(&row) => {
                        let row = head.kv.row(row as usize);
                        line(row, part, 2 * head.width + head.column, block * BLOCK, head.dim)
                    }
                    None => _mm512_setzero_si512(),
                };
                let (even, odd) = (line(panel * SIDE + i), line(panel * SIDE + i + 16));
                let pairs = |even: __m256i, odd: __m256i| {
                    let odd = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(odd));
                    _mm512_or_si512(_mm512_cvtepu16_epi32(even), odd)
                };
                let left = pairs(_mm512_castsi512_si256(even), _mm512_castsi512_si256(odd));
                let right = pairs(_mm512_extracti64x4_epi64::<1>(even), _mm512_extracti64x4_epi64::<1>(odd));
                let to = to.add(PAIR * (PARTS * (block * panels + panel) + part) + LINE * i);
                _mm512_store_si512(to.cast(), left);
                _mm512_store_si512(to.add(TILE).cast(), right);
            }
        }
    }
}

/// Writes `e^(scale * (x - max))` of the first `own` of a row's scores in parts, and zeros up to the end of the panels.
/// Returns the sum before they are rounded.
///
/// # Safety
/// AVX-512; a row of as many panels of [`SCORES`] at `scores`, and of pairs of tiles at `weights`.
#[inline(always)]
unsafe fn softmax<const PARTS: usize>(
    scores: *const f32,
    weights: *mut f32,
    own: usize,
    panels: usize,
    scale: f32,
) -> f32 {
    let seen = |at: usize| first_of_32(own.saturating_sub(at).min(16)) as __mmask16;
    // SAFETY: the caller's.
    unsafe {
        let mut max = _mm512_set1_ps(f32::NEG_INFINITY);
        for at in (0..own).step_by(16) {
            let from = scores.add(at / SIDE * SCORES + at % SIDE);
            max = _mm512_mask_max_ps(max, seen(at), max, _mm512_loadu_ps(from));
        }
        let max = Avx512::splat(Avx512(max).largest());
        let mut sum = Avx512::splat(0.0);
        for panel in 0..panels {
            let mut rest = [Avx512::splat(0.0); 2];
            for (half, rest) in rest.iter_mut().enumerate() {
                let score = Avx512::load(scores.add(panel * SCORES + half * 16)).sub(max);
                let weight = match PARTS {
                    1 => exp2(score.mul(Avx512::splat(scale * std::f32::consts::LOG2_E))),
                    _ => exp(score.mul(Avx512::splat(scale))),
                };
                *rest = Avx512(_mm512_maskz_mov_ps(seen(panel * SIDE + half * 16), weight.0));
                sum = sum.add(*rest);
            }
            for part in 0..PARTS {
                // The nearest bf16, ties to even, in the upper half of each word.
                let parts = rest.map(|rest| {
                    let bits = _mm512_castps_si512(rest.0);
                    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                    _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd)
                });
                let pairs = _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(parts[0]), parts[1]);
                _mm512_store_si512(weights.add(PAIR * (PARTS * panel + part)).cast(), pairs);
                for (rest, part) in rest.iter_mut().zip(parts) {
                    let part = _mm512_and_si512(part, _mm512_set1_epi32(-0x1_0000));
                    *rest = rest.sub(Avx512(_mm512_castsi512_ps(part)));
                }
            }
        }
        sum.sum()
    }
}

/// Returns `2^x` for `x` from -125 to 127, within 3e-6 of it: far less than the bf16 that it is rounded to. Below, it is
/// `2^-125`, so that nothing is subnormal. NaN stays.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn exp2(x: Avx512) -> Avx512 {
    // SAFETY: the caller's.
    unsafe {
        let x = x.max(Avx512::splat(-125.0));
        let n = x.round();
        let r = x.sub(n);
        // The minimax polynomial of relative error.
        let p = Avx512::splat(0.009_570_102);
        let p = p.mul_add(r, Avx512::splat(0.055_917_863));
        let p = p.mul_add(r, Avx512::splat(0.240_247_44));
        let p = p.mul_add(r, Avx512::splat(0.693_121_8));
        p.mul_add(r, Avx512::splat(0.999_999_3)).scale(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Isa;

    /// # Safety
    /// AVX-512.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn power(x: f32) -> f32 {
        let mut values = [0f32; 16];
        // SAFETY: the caller's.
        unsafe { exp2(Avx512::splat(x)).store(values.as_mut_ptr()) };
        values[0]
    }

    #[test]
    fn powers_of_two_are_as_close_as_is_said() {
        if !Isa::Avx512.is_available() {
            return println!("no AVX-512");
        }
        // SAFETY: the machine has it.
        let power = |x: f32| unsafe { power(x) };
        for x in (-124_999..1000).map(|i| i as f32 * 1e-3) {
            let (got, want) = (f64::from(power(x)), f64::from(x).exp2());
            assert!((got / want - 1.0).abs() < 3e-6, "2^{x} = {got}, not {want}");
        }
        assert_eq!((power(-126.5), power(-1e30)), (power(-125.0), power(-125.0)));
        assert!(power(f32::NAN).is_nan());
    }
}
