//! A product's task with AVX-512: f32, and bf16 pairs summed in f32.

#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};

use super::task::{Dot, Job, Single, Tile, run, tile};
use crate::kernels::lanes::Avx512;

/// Runs a task of f32.
///
/// # Safety
/// As [`run`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn single(job: &Job) {
    // SAFETY: the caller's.
    unsafe { run::<Avx512, Single>(job) }
}

impl Dot<Avx512> for Single {
    const TILES: &'static [unsafe fn(Tile)] = &[
        single_tile::<1>,
        single_tile::<2>,
        single_tile::<3>,
        single_tile::<4>,
        single_tile::<5>,
        single_tile::<6>,
        single_tile::<7>,
        single_tile::<8>,
        single_tile::<9>,
        single_tile::<10>,
        single_tile::<11>,
        single_tile::<12>,
    ];
}

/// Multiplies words of two bf16.
struct Bf16Pairs;

impl Dot<Avx512> for Bf16Pairs {
    #[inline(always)]
    unsafe fn dot(sum: Avx512, a: Avx512, b: Avx512) -> Avx512 {
        // SAFETY: the caller's; both types are 64 bytes of anything.
        unsafe {
            let (a, b) = (std::mem::transmute::<__m512, __m512bh>(a.0), std::mem::transmute::<__m512, __m512bh>(b.0));
            Avx512(_mm512_dpbf16_ps(sum.0, a, b))
        }
    }

    const TILES: &'static [unsafe fn(Tile)] = &[
        bf16_tile::<1>,
        bf16_tile::<2>,
        bf16_tile::<3>,
        bf16_tile::<4>,
        bf16_tile::<5>,
        bf16_tile::<6>,
        bf16_tile::<7>,
        bf16_tile::<8>,
        bf16_tile::<9>,
        bf16_tile::<10>,
        bf16_tile::<11>,
        bf16_tile::<12>,
    ];
}

/// Runs a task of bf16.
///
/// # Safety
/// As [`run`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(super) unsafe fn bf16(job: &Job) {
    // SAFETY: the caller's.
    unsafe { run::<Avx512, Bf16Pairs>(job) }
}

/// Runs only multiplications of bf16.
///
/// # Safety
/// As [`super::peak::spin`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(super) unsafe fn spin(steps: usize, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe { super::peak::spin::<Avx512, Bf16Pairs>(steps, out) }
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn single_tile<const R: usize>(args: Tile) {
    // SAFETY: the caller's.
    unsafe { tile::<Avx512, Single, R>(args) }
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn bf16_tile<const R: usize>(args: Tile) {
    // SAFETY: the caller's.
    unsafe { tile::<Avx512, Bf16Pairs, R>(args) }
}
