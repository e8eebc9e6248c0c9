//! A product's task with NEON.

#![cfg(target_arch = "aarch64")]

use std::arch::aarch64::*;

use super::task::{Dot, Job, Single, Tile, run};
use crate::kernels::lanes::Neon;

/// Runs a task of f32.
///
/// # Safety
/// As [`run`].
pub(super) unsafe fn single(job: &Job) {
    // SAFETY: the caller's.
    unsafe { run::<Neon, Single>(job) }
}

impl Dot<Neon> for Single {
    // Five rows have 20 registers of sums, 5 of x and 4 of weights, of 32.
    const TILES: &'static [unsafe fn(Tile)] = &[tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>];
}

/// Runs the innermost loop: `R` rows by 16 columns. Four words of a row of x are in one register, since NEON multiplies by
/// one lane of a register.
///
/// # Safety
/// As [`super::task::multiply`].
unsafe fn tile<const R: usize>(tile: Tile) {
    let Tile { k, x, x_stride, panel, sums, sums_stride, first } = tile;
    // SAFETY: the caller's.
    unsafe {
        let mut acc = [[vdupq_n_f32(0.0); 4]; R];
        if !first {
            for (row, acc) in acc.iter_mut().enumerate() {
                *acc = load(sums.add(row * sums_stride));
            }
        }
        let whole = k - k % 4;
        for at in (0..whole).step_by(4) {
            let x: [_; R] = std::array::from_fn(|row| vld1q_f32(x.add(row * x_stride + at)));
            let panel = panel.add(at * 16);
            word::<R, 0>(&mut acc, &x, load(panel));
            word::<R, 1>(&mut acc, &x, load(panel.add(16)));
            word::<R, 2>(&mut acc, &x, load(panel.add(32)));
            word::<R, 3>(&mut acc, &x, load(panel.add(48)));
        }
        for at in whole..k {
            let x: [_; R] = std::array::from_fn(|row| vld1q_dup_f32(x.add(row * x_stride + at)));
            word::<R, 0>(&mut acc, &x, load(panel.add(at * 16)));
        }
        for (row, acc) in acc.iter().enumerate() {
            for (i, &value) in acc.iter().enumerate() {
                vst1q_f32(sums.add(row * sums_stride + 4 * i), value);
            }
        }
    }
}

/// Loads the 16 columns of a word.
///
/// # Safety
/// 16 values at `from`.
#[inline(always)]
unsafe fn load(from: *const f32) -> [float32x4_t; 4] {
    // SAFETY: the caller's.
    std::array::from_fn(|i| unsafe { vld1q_f32(from.add(4 * i)) })
}

/// Adds the products of one word: lane `LANE` of each row of x.
#[inline(always)]
fn word<const R: usize, const LANE: i32>(
    acc: &mut [[float32x4_t; 4]; R],
    x: &[float32x4_t; R],
    weights: [float32x4_t; 4],
) {
    for (acc, &x) in acc.iter_mut().zip(x) {
        for (sum, weights) in acc.iter_mut().zip(weights) {
            // SAFETY: every CPU of this kind has NEON.
            *sum = unsafe { vfmaq_laneq_f32::<LANE>(*sum, weights, x) };
        }
    }
}
