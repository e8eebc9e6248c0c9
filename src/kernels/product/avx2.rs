//! A product's task with AVX2 and FMA.

#![cfg(target_arch = "x86_64")]

use super::task::{Dot, Job, Single, Tile, run, tile};
use crate::kernels::lanes::Avx2;

/// Runs a task of f32.
///
/// # Safety
/// As [`run`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn single(job: &Job) {
    // SAFETY: the caller's.
    unsafe { run::<Avx2, Single>(job) }
}

impl Dot<Avx2> for Single {
    const TILES: &'static [unsafe fn(Tile)] =
        &[single_tile::<1>, single_tile::<2>, single_tile::<3>, single_tile::<4>, single_tile::<5>, single_tile::<6>];
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx2,fma")]
unsafe fn single_tile<const R: usize>(args: Tile) {
    // SAFETY: the caller's.
    unsafe { tile::<Avx2, Single, R>(args) }
}
