//! A product's task with AVX-512: f32, and bf16 pairs summed in f32.

#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};

use super::task::{Dot, Job, Single, Tile, run, tile};
use crate::kernels::lanes::{Avx512, Lanes};

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
    #[inline(always)]
    unsafe fn dot(sum: Avx512, a: Avx512, b: Avx512) -> Avx512 {
        // SAFETY: the caller's.
        unsafe { a.mul_add(b, sum) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    #[inline(never)]
    unsafe fn tile<const R: usize>(args: Tile) {
        // SAFETY: the caller's.
        unsafe { tile::<Avx512, Self, R>(args) }
    }
}

/// Words are two bf16.
struct Pairs;

impl Dot<Avx512> for Pairs {
    #[inline(always)]
    unsafe fn dot(sum: Avx512, a: Avx512, b: Avx512) -> Avx512 {
        // SAFETY: the caller's; both types are 64 bytes of anything.
        unsafe {
            let (a, b) = (std::mem::transmute::<__m512, __m512bh>(a.0), std::mem::transmute::<__m512, __m512bh>(b.0));
            Avx512(_mm512_dpbf16_ps(sum.0, a, b))
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    #[inline(never)]
    unsafe fn tile<const R: usize>(args: Tile) {
        // SAFETY: the caller's.
        unsafe { tile::<Avx512, Self, R>(args) }
    }
}

/// Runs a task of bf16.
///
/// # Safety
/// As [`run`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(super) unsafe fn bf16(job: &Job) {
    // SAFETY: the caller's.
    unsafe { run::<Avx512, Pairs>(job) }
}
