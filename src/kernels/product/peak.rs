//! Measures the machine's own rate of multiplication, to compare products with: only multiplications, in registers.

use rayon::prelude::*;

use super::task::{Dot, Single};
use crate::kernels::lanes::Lanes;
use crate::kernels::{Element, Isa, dispatch};

/// Independent sums: enough to hide a multiplication's latency on any core.
const SUMS: usize = 12;

/// Multiplies `steps` times a dozen registers on every thread of the pool, and returns the number of floating-point
/// operations, or None if the instruction set cannot multiply such elements.
pub fn multiply_in_registers(isa: Isa, element: Element, steps: usize) -> usize {
    let threads = rayon::current_num_threads();
    let each = |_| {
        let mut total = 0f32;
        let out = &raw mut total;
        match element {
            Element::F32 => dispatch!(isa, (), single(steps: usize, out: *mut f32)),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the machine has the instructions, as asserted; `out` is a value of this function.
            Element::Bf16 if isa == Isa::Avx512 && isa.has_bf16() => unsafe { super::avx512::spin(steps, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Element::Bf16 | Element::Split if isa == Isa::Amx => unsafe { super::amx::spin(steps) },
            Element::Bf16 | Element::Split => {}
        }
        std::hint::black_box(total);
    };
    assert!(isa.is_available());
    (0..threads).into_par_iter().with_max_len(1).for_each(each);
    let operations = match (isa, element) {
        (Isa::Neon | Isa::Avx2, Element::F32) => SUMS * 16,
        (Isa::Avx512 | Isa::Amx, Element::F32) => SUMS * 32,
        (Isa::Avx512, Element::Bf16) => SUMS * 64,
        (Isa::Amx, Element::Bf16) => SUMS * 16 * 16 * 64,
        (Isa::Amx, Element::Split) => SUMS / 3 * 16 * 16 * 64, // three products of bf16 are one
        (Isa::Plain | Isa::Neon | Isa::Avx2, _) | (Isa::Avx512, Element::Split) => 0,
    };
    threads * steps * operations
}

/// # Safety
/// As [`spin`].
#[inline(always)]
unsafe fn single<V: Lanes>(steps: usize, out: *mut f32)
where
    Single: Dot<V>,
{
    // SAFETY: the caller's.
    unsafe { spin::<V, Single>(steps, out) }
}

/// # Safety
/// The instruction set of `V` and `D`; a value to write at `out`.
#[inline(always)]
pub(super) unsafe fn spin<V: Lanes, D: Dot<V>>(steps: usize, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let one = V::splat(1.0);
        let mut sums = [one; SUMS];
        for (start, sum) in sums.iter_mut().enumerate() {
            *sum = V::splat(start as f32); // distinct, so that the compiler does not merge them
        }
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = D::dot(*sum, one, one);
            }
        }
        for sum in sums {
            *out += sum.sum();
        }
    }
}
