//! The CPU's fast path: one file per operation, each with its plain version beside the fast ones. This file chooses the
//! instruction set.
//!
//! On one instruction set the bits of a row never depend on the other rows or on the number of threads: every sum has
//! one order, fixed by the row's own length.

#![allow(unsafe_code)]

pub mod activation;
pub mod attention;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod doubles;
pub mod functions;
pub mod lanes;
pub mod layer_norm;
pub mod matrix;
mod memory;
pub mod probability;
pub mod product;
pub mod resample;
mod shared;
pub mod similarity;
pub mod softmax;

pub use activation::ActivationFn;
pub use attention::{Attends, attention};
pub use layer_norm::{Norm, layer_norm, layer_norm_in_place};
pub use matrix::{Element, Matrix};
pub use product::{Linear, product, product_columns};
pub(crate) use shared::Shared;

/// The version of the resulting bits: of embeddings, whichever step from bytes and texts to them changes (decoding,
/// resizing, tokenizing, kernels, candle). Raise it with every such change, so that the cache does not return
/// embeddings of an older version. `tests/integration/bits.rs` fails if that was forgotten.
pub const BITS_VERSION: u32 = 2;

/// The vector instructions that the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// The plain versions, as the compiler vectorizes them.
    Plain,
    /// NEON, of 64-bit ARM. It ran on an emulator only, so [`Isa::best`] leaves it out.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL).
    Avx512,
    /// AMX's tiles for products of bf16, and AVX-512 for the rest.
    Amx,
}

impl Isa {
    /// Every instruction set, least first.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Neon, Self::Avx2, Self::Avx512, Self::Amx];

    /// Returns the best instruction set of this machine. Leaves out NEON.
    pub fn best() -> Self {
        Self::available().filter(|&isa| isa != Self::Neon).last().unwrap_or(Self::Plain)
    }

    /// Returns the instruction sets of this machine, least first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Returns whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            Self::Neon => cfg!(target_arch = "aarch64"), // every such CPU has it
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Self::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::Avx512.is_available() && product::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Returns what keeps this process from using [`Isa::Amx`], if anything.
    pub fn amx_obstacle() -> Option<&'static str> {
        #[cfg(target_arch = "x86_64")]
        return product::amx::obstacle();
        #[cfg(not(target_arch = "x86_64"))]
        Some("the CPU is not an x86-64 one")
    }

    /// Returns whether it multiplies bf16 on this machine.
    pub fn has_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Self::Amx || self == Self::Avx512 && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Returns the elements that it multiplies natively on this machine. (The plain version multiplies everything, for
    /// comparison, and AMX leaves f32 to AVX-512.)
    pub fn elements(self) -> &'static [Element] {
        match self {
            Self::Amx => &[Element::Bf16, Element::Split],
            _ if self.has_bf16() => &[Element::F32, Element::Bf16],
            _ => &[Element::F32],
        }
    }

    /// Returns its name: `plain`, `neon`, `avx2`, `avx512`, `amx`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }
}

/// Runs the generic function `$run::<V>` with the lanes of an instruction set, or `$plain` for [`Isa::Plain`]. The
/// generic function is inlined into a function that has the instruction set, so that its intrinsics are too.
macro_rules! dispatch {
    ($isa:expr, $plain:expr, $run:ident($($name:ident: $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn avx512($($name: $type),*) {
            // SAFETY: the caller's; this function has the instruction set.
            unsafe { $run::<$crate::kernels::lanes::Avx512>($($name),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($name: $type),*) {
            // SAFETY: the caller's; this function has the instruction set.
            unsafe { $run::<$crate::kernels::lanes::Avx2>($($name),*) }
        }
        match $isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the arguments are in bounds, as at the call; the caller has an `Isa` that is available.
            $crate::kernels::Isa::Avx512 | $crate::kernels::Isa::Amx => unsafe { avx512($($name),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::kernels::Isa::Avx2 => unsafe { avx2($($name),*) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above; every function has NEON.
            $crate::kernels::Isa::Neon => unsafe { $run::<$crate::kernels::lanes::Neon>($($name),*) },
            _ => $plain,
        }
    }};
}
pub(crate) use dispatch;

#[cfg(test)]
pub(crate) mod testing {
    //! Numbers for the tests.

    use super::Isa;

    /// Sizes that no block divides.
    pub(crate) const SIZES: [usize; 11] = [1, 7, 15, 16, 17, 31, 33, 50, 77, 257, 577];

    /// Returns the instruction sets to test, printed.
    pub(crate) fn sets(what: &str) -> Vec<Isa> {
        let sets: Vec<Isa> = Isa::available().collect();
        let names: Vec<&str> = sets.iter().map(|isa| isa.name()).collect();
        println!("{what}: ran on {}{}", names.join(", "), if amx_is_emulated() { " (emulated)" } else { "" });
        sets
    }

    /// Returns whether AMX runs on the tests' emulator here.
    pub(crate) fn amx_is_emulated() -> bool {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        return Isa::Amx.is_available() && !super::product::amx::is_on_this_machine();
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        false
    }

    /// Returns numbers in [-1, 1) that look random and are the same in every run.
    pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }
}
