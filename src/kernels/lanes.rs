//! Vectors of f32 in registers, by instruction set: the operations that the kernels use. Every method is inlined
//! into a function that has the instruction set.

#![allow(clippy::missing_safety_doc)] // one contract for all, stated on the trait

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A register of f32, or a pair of them.
///
/// # Safety
/// Every method needs the instruction set of its type. Methods with a pointer need [`Self::N`] values there, or `n` if
/// they take it.
#[allow(missing_docs)] // the names are clear
pub unsafe trait Lanes: Copy {
    const N: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Returns the first `n < N` values, then zeros.
    unsafe fn load_first(from: *const f32, n: usize) -> Self;
    /// Stores only the first `n < N` values.
    unsafe fn store_first(self, to: *mut f32, n: usize);
    /// Stores the first `n <= N` values as bf16, rounded to nearest, ties to even.
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16, n: usize) {
        let mut values = [0f32; 16];
        // SAFETY: there is room for the widest; the rest is the caller's.
        unsafe {
            self.store(values.as_mut_ptr());
            for (i, &value) in values[..n].iter().enumerate() {
                *to.add(i) = super::matrix::bf16_bits(value);
            }
        }
    }
    /// Stores the first `n <= N` values in two parts, as [`super::matrix::split`] makes them.
    #[inline(always)]
    unsafe fn store_split(self, high: *mut u16, low: *mut u16, n: usize) {
        let mut values = [0f32; 16];
        // SAFETY: there is room for the widest; the rest is the caller's.
        unsafe {
            self.store(values.as_mut_ptr());
            for (i, &value) in values[..n].iter().enumerate() {
                (*high.add(i), *low.add(i)) = super::matrix::split(value);
            }
        }
    }
    /// Adds each value to its f64.
    unsafe fn add_to(self, sums: *mut f64);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// Returns `self * by + plus`, rounded once.
    unsafe fn mul_add(self, by: Self, plus: Self) -> Self;
    /// Returns the larger; `self` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// Returns the smaller; `self` where either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    unsafe fn abs(self) -> Self;
    /// Returns `self` with the sign of `other`.
    unsafe fn with_sign_of(self, other: Self) -> Self;
    /// Returns the nearest whole number, ties to even.
    unsafe fn round(self) -> Self;
    /// Returns two to the power of whole numbers from -126 to 127.
    unsafe fn exp2_whole(self) -> Self;
    /// Returns `yes` where `self < than`, else `no`.
    unsafe fn if_less(self, than: Self, yes: Self, no: Self) -> Self;
    /// Transposes the first N values of N rows: N rows of N, `stride` apart.
    unsafe fn transpose(rows: &[*const f32; 16], to: *mut f32, stride: usize);

    /// Loads `n <= N` values, followed by zeros.
    #[inline(always)]
    unsafe fn load_upto(from: *const f32, n: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { if n >= Self::N { Self::load(from) } else { Self::load_first(from, n) } }
    }

    /// Stores the first `n <= N` values.
    #[inline(always)]
    unsafe fn store_upto(self, to: *mut f32, n: usize) {
        // SAFETY: the caller's.
        unsafe { if n >= Self::N { self.store(to) } else { self.store_first(to, n) } }
    }

    /// Returns the sum, halves first.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut values = [0f32; 16];
        // SAFETY: there is room for the widest.
        unsafe { self.store(values.as_mut_ptr()) };
        let mut half = Self::N / 2;
        while half > 0 {
            for i in 0..half {
                values[i] += values[i + half];
            }
            half /= 2;
        }
        values[0]
    }

    /// Returns the largest.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        let mut values = [f32::NEG_INFINITY; 16];
        // SAFETY: there is room for the widest.
        unsafe { self.store(values.as_mut_ptr()) };
        let mut largest = values[0];
        for &value in &values[1..Self::N] {
            largest = if value > largest { value } else { largest };
        }
        largest
    }
}

/// Sixteen lanes of AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct Avx512(pub __m512);

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY: each method is one or a few intrinsics of AVX-512, under the contract of the trait.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)] // all under the trait's contract
unsafe impl Lanes for Avx512 {
    const N: usize = 16;
    #[inline(always)] unsafe fn splat(value: f32) -> Self { unsafe { Self(_mm512_set1_ps(value)) } }
    #[inline(always)] unsafe fn load(from: *const f32) -> Self { unsafe { Self(_mm512_loadu_ps(from)) } }
    #[inline(always)] unsafe fn store(self, to: *mut f32) { unsafe { _mm512_storeu_ps(to, self.0) } }
    #[inline(always)] unsafe fn load_first(from: *const f32, n: usize) -> Self { unsafe { Self(_mm512_maskz_loadu_ps(first(n), from)) } }
    #[inline(always)] unsafe fn store_first(self, to: *mut f32, n: usize) { unsafe { _mm512_mask_storeu_ps(to, first(n), self.0) } }
    #[inline(always)] unsafe fn store_bf16(self, to: *mut u16, n: usize) { unsafe {
        let bits = _mm512_castps_si512(self.0);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
        let rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0_0000));
        let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
        _mm256_mask_storeu_epi16(to.cast(), first(n), halves);
    } }
    #[inline(always)] unsafe fn store_split(self, high: *mut u16, low: *mut u16, n: usize) { unsafe {
        let bits = _mm512_castps_si512(self.0);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        // 0x81: NaN; 0x18: infinity.
        let nan = _mm512_fpclass_ps_mask::<0x81>(self.0);
        let infinite = _mm512_fpclass_ps_mask::<0x18>(self.0);
        let above = _mm512_fpclass_ps_mask::<0x18>(_mm512_castsi512_ps(_mm512_and_si512(rounded, _mm512_set1_epi32(-0x1_0000))));
        let rounded = _mm512_mask_mov_epi32(rounded, above & !infinite, bits);
        let rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0_0000));
        let rounded = _mm512_and_si512(rounded, _mm512_set1_epi32(-0x1_0000));
        let rest = _mm512_maskz_sub_ps(!(nan | infinite), self.0, _mm512_castsi512_ps(rounded));
        _mm256_mask_storeu_epi16(high.cast(), first(n), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded)));
        Self(rest).store_bf16(low, n);
    } }
    #[inline(always)] unsafe fn add_to(self, sums: *mut f64) { unsafe {
        let halves = [_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0)];
        for (half, at) in halves.into_iter().zip([sums, sums.add(8)]) {
            _mm512_storeu_pd(at, _mm512_add_pd(_mm512_loadu_pd(at), _mm512_cvtps_pd(half)));
        }
    } }
    #[inline(always)] unsafe fn add(self, other: Self) -> Self { unsafe { Self(_mm512_add_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn sub(self, other: Self) -> Self { unsafe { Self(_mm512_sub_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn mul(self, other: Self) -> Self { unsafe { Self(_mm512_mul_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn div(self, other: Self) -> Self { unsafe { Self(_mm512_div_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn mul_add(self, by: Self, plus: Self) -> Self { unsafe { Self(_mm512_fmadd_ps(self.0, by.0, plus.0)) } }
    #[inline(always)] unsafe fn max(self, other: Self) -> Self { unsafe { Self(_mm512_max_ps(other.0, self.0)) } }
    #[inline(always)] unsafe fn min(self, other: Self) -> Self { unsafe { Self(_mm512_min_ps(other.0, self.0)) } }
    #[inline(always)] unsafe fn abs(self) -> Self { unsafe { Self(_mm512_abs_ps(self.0)) } }
    #[inline(always)] unsafe fn with_sign_of(self, other: Self) -> Self { unsafe {
        let sign = _mm512_set1_ps(-0.0);
        Self(_mm512_or_ps(_mm512_andnot_ps(sign, self.0), _mm512_and_ps(sign, other.0)))
    } }
    #[inline(always)] unsafe fn round(self) -> Self { unsafe { Self(_mm512_roundscale_ps::<8>(self.0)) } }
    #[inline(always)] unsafe fn exp2_whole(self) -> Self { unsafe {
        let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
        Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent)))
    } }
    #[inline(always)] unsafe fn if_less(self, than: Self, yes: Self, no: Self) -> Self { unsafe {
        Self(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, than.0), no.0, yes.0))
    } }
    #[inline(always)] unsafe fn transpose(rows: &[*const f32; 16], to: *mut f32, stride: usize) { unsafe {
        let mut r = [_mm512_setzero_ps(); 16];
        for i in 0..16 { r[i] = _mm512_loadu_ps(rows[i]); }
        let mut t = r;
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        // Now lane l of r[4 g + c] is column 4 l + c of the rows from 4 g on.
        for g in (0..16).step_by(4) {
            let pair = |i: usize, j: usize| (_mm512_castps_pd(t[g + i]), _mm512_castps_pd(t[g + j]));
            let ((a, b), (c, d)) = (pair(0, 2), pair(1, 3));
            r[g] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            r[g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            r[g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
            r[g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
        }
        for c in 0..4 {
            let even = (_mm512_shuffle_f32x4::<0x88>(r[c], r[4 + c]), _mm512_shuffle_f32x4::<0x88>(r[8 + c], r[12 + c]));
            let odd = (_mm512_shuffle_f32x4::<0xdd>(r[c], r[4 + c]), _mm512_shuffle_f32x4::<0xdd>(r[8 + c], r[12 + c]));
            _mm512_storeu_ps(to.add(c * stride), _mm512_shuffle_f32x4::<0x88>(even.0, even.1));
            _mm512_storeu_ps(to.add((4 + c) * stride), _mm512_shuffle_f32x4::<0x88>(odd.0, odd.1));
            _mm512_storeu_ps(to.add((8 + c) * stride), _mm512_shuffle_f32x4::<0xdd>(even.0, even.1));
            _mm512_storeu_ps(to.add((12 + c) * stride), _mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1));
        }
    } }
}

/// Eight lanes of AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct Avx2(pub __m256);

#[cfg(target_arch = "x86_64")]
static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY: each method is one or a few intrinsics of AVX2 and FMA, under the contract of the trait.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)] // all under the trait's contract
unsafe impl Lanes for Avx2 {
    const N: usize = 8;
    #[inline(always)] unsafe fn splat(value: f32) -> Self { unsafe { Self(_mm256_set1_ps(value)) } }
    #[inline(always)] unsafe fn load(from: *const f32) -> Self { unsafe { Self(_mm256_loadu_ps(from)) } }
    #[inline(always)] unsafe fn store(self, to: *mut f32) { unsafe { _mm256_storeu_ps(to, self.0) } }
    #[inline(always)] unsafe fn load_first(from: *const f32, n: usize) -> Self { unsafe {
        Self(_mm256_maskload_ps(from, _mm256_loadu_si256(FIRST.as_ptr().add(8 - n).cast())))
    } }
    #[inline(always)] unsafe fn store_first(self, to: *mut f32, n: usize) { unsafe {
        _mm256_maskstore_ps(to, _mm256_loadu_si256(FIRST.as_ptr().add(8 - n).cast()), self.0)
    } }
    #[inline(always)] unsafe fn add_to(self, sums: *mut f64) { unsafe {
        let halves = [_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0)];
        for (half, at) in halves.into_iter().zip([sums, sums.add(4)]) {
            _mm256_storeu_pd(at, _mm256_add_pd(_mm256_loadu_pd(at), _mm256_cvtps_pd(half)));
        }
    } }
    #[inline(always)] unsafe fn add(self, other: Self) -> Self { unsafe { Self(_mm256_add_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn sub(self, other: Self) -> Self { unsafe { Self(_mm256_sub_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn mul(self, other: Self) -> Self { unsafe { Self(_mm256_mul_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn div(self, other: Self) -> Self { unsafe { Self(_mm256_div_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn mul_add(self, by: Self, plus: Self) -> Self { unsafe { Self(_mm256_fmadd_ps(self.0, by.0, plus.0)) } }
    #[inline(always)] unsafe fn max(self, other: Self) -> Self { unsafe { Self(_mm256_max_ps(other.0, self.0)) } }
    #[inline(always)] unsafe fn min(self, other: Self) -> Self { unsafe { Self(_mm256_min_ps(other.0, self.0)) } }
    #[inline(always)] unsafe fn abs(self) -> Self { unsafe { Self(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0)) } }
    #[inline(always)] unsafe fn with_sign_of(self, other: Self) -> Self { unsafe {
        let sign = _mm256_set1_ps(-0.0);
        Self(_mm256_or_ps(_mm256_andnot_ps(sign, self.0), _mm256_and_ps(sign, other.0)))
    } }
    #[inline(always)] unsafe fn round(self) -> Self { unsafe { Self(_mm256_round_ps::<8>(self.0)) } }
    #[inline(always)] unsafe fn exp2_whole(self) -> Self { unsafe {
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
        Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
    } }
    #[inline(always)] unsafe fn if_less(self, than: Self, yes: Self, no: Self) -> Self { unsafe {
        Self(_mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, than.0)))
    } }
    #[inline(always)] unsafe fn transpose(rows: &[*const f32; 16], to: *mut f32, stride: usize) { unsafe {
        let mut r = [_mm256_setzero_ps(); 8];
        for i in 0..8 { r[i] = _mm256_loadu_ps(rows[i]); }
        let mut t = r;
        for i in 0..4 {
            t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        // Now lane l of r[4 g + c] is column 4 l + c of the rows from 4 g on.
        for g in [0, 4] {
            let pair = |i: usize, j: usize| (_mm256_castps_pd(t[g + i]), _mm256_castps_pd(t[g + j]));
            let ((a, b), (c, d)) = (pair(0, 2), pair(1, 3));
            r[g] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            r[g + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
            r[g + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
            r[g + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
        }
        for c in 0..4 {
            _mm256_storeu_ps(to.add(c * stride), _mm256_permute2f128_ps::<0x20>(r[c], r[4 + c]));
            _mm256_storeu_ps(to.add((4 + c) * stride), _mm256_permute2f128_ps::<0x31>(r[c], r[4 + c]));
        }
    } }
}

/// Eight lanes of NEON, in two registers. Adds in AVX2's order, so results have the same bits.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct Neon(pub float32x4_t, pub float32x4_t);

#[cfg(target_arch = "aarch64")]
impl Neon {
    #[inline(always)]
    fn map(self, of: impl Fn(float32x4_t) -> float32x4_t) -> Self {
        Self(of(self.0), of(self.1))
    }

    #[inline(always)]
    fn with(self, other: Self, of: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self(of(self.0, other.0), of(self.1, other.1))
    }
}

// SAFETY: each method is one or a few intrinsics of NEON, under the contract of the trait.
#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)] // all under the trait's contract
unsafe impl Lanes for Neon {
    const N: usize = 8;
    #[inline(always)] unsafe fn splat(value: f32) -> Self { unsafe { Self(vdupq_n_f32(value), vdupq_n_f32(value)) } }
    #[inline(always)] unsafe fn load(from: *const f32) -> Self { unsafe { Self(vld1q_f32(from), vld1q_f32(from.add(4))) } }
    #[inline(always)] unsafe fn store(self, to: *mut f32) { unsafe { vst1q_f32(to, self.0); vst1q_f32(to.add(4), self.1) } }
    #[inline(always)] unsafe fn load_first(from: *const f32, n: usize) -> Self { unsafe {
        let mut values = [0f32; 8];
        from.copy_to_nonoverlapping(values.as_mut_ptr(), n);
        Self::load(values.as_ptr())
    } }
    #[inline(always)] unsafe fn store_first(self, to: *mut f32, n: usize) { unsafe {
        let mut values = [0f32; 8];
        self.store(values.as_mut_ptr());
        to.copy_from_nonoverlapping(values.as_ptr(), n);
    } }
    #[inline(always)] unsafe fn add_to(self, sums: *mut f64) { unsafe {
        let pairs = [vget_low_f32(self.0), vget_high_f32(self.0), vget_low_f32(self.1), vget_high_f32(self.1)];
        for (i, pair) in pairs.into_iter().enumerate() {
            let at = sums.add(2 * i);
            vst1q_f64(at, vaddq_f64(vld1q_f64(at), vcvt_f64_f32(pair)));
        }
    } }
    #[inline(always)] unsafe fn add(self, other: Self) -> Self { self.with(other, |a, b| unsafe { vaddq_f32(a, b) }) }
    #[inline(always)] unsafe fn sub(self, other: Self) -> Self { self.with(other, |a, b| unsafe { vsubq_f32(a, b) }) }
    #[inline(always)] unsafe fn mul(self, other: Self) -> Self { self.with(other, |a, b| unsafe { vmulq_f32(a, b) }) }
    #[inline(always)] unsafe fn div(self, other: Self) -> Self { self.with(other, |a, b| unsafe { vdivq_f32(a, b) }) }
    #[inline(always)] unsafe fn mul_add(self, by: Self, plus: Self) -> Self { unsafe {
        Self(vfmaq_f32(plus.0, self.0, by.0), vfmaq_f32(plus.1, self.1, by.1))
    } }
    // NEON's own return NaN where either is NaN.
    #[inline(always)] unsafe fn max(self, other: Self) -> Self { self.with(other, |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), b, a) }) }
    #[inline(always)] unsafe fn min(self, other: Self) -> Self { self.with(other, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), b, a) }) }
    #[inline(always)] unsafe fn abs(self) -> Self { self.map(|a| unsafe { vabsq_f32(a) }) }
    #[inline(always)] unsafe fn with_sign_of(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe { vbslq_f32(vdupq_n_u32(1 << 31), b, a) })
    }
    #[inline(always)] unsafe fn round(self) -> Self { self.map(|a| unsafe { vrndnq_f32(a) }) }
    #[inline(always)] unsafe fn exp2_whole(self) -> Self { self.map(|a| unsafe {
        vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtq_s32_f32(a), vdupq_n_s32(127))))
    }) }
    #[inline(always)] unsafe fn if_less(self, than: Self, yes: Self, no: Self) -> Self { unsafe {
        Self(vbslq_f32(vcltq_f32(self.0, than.0), yes.0, no.0), vbslq_f32(vcltq_f32(self.1, than.1), yes.1, no.1))
    } }
    #[inline(always)] unsafe fn transpose(rows: &[*const f32; 16], to: *mut f32, stride: usize) { unsafe {
        for (row, column) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
            let r: [_; 4] = std::array::from_fn(|i| vld1q_f32(rows[row + i].add(column)));
            // Even and odd columns of two rows each, in turn.
            let (a, b) = (vtrnq_f32(r[0], r[1]), vtrnq_f32(r[2], r[3]));
            let columns = [
                vcombine_f32(vget_low_f32(a.0), vget_low_f32(b.0)),
                vcombine_f32(vget_low_f32(a.1), vget_low_f32(b.1)),
                vcombine_f32(vget_high_f32(a.0), vget_high_f32(b.0)),
                vcombine_f32(vget_high_f32(a.1), vget_high_f32(b.1)),
            ];
            for (i, values) in columns.into_iter().enumerate() {
                vst1q_f32(to.add((column + i) * stride + row), values);
            }
        }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::matrix::{bf16_bits, split};
    use crate::kernels::{dispatch, testing};

    #[inline(always)]
    unsafe fn parts<V: Lanes>(values: *const f32, count: usize, high: *mut u16, low: *mut u16, whole: *mut u16) {
        for at in (0..count).step_by(V::N) {
            let n = (count - at).min(V::N);
            // SAFETY: the test's arrays have `count` values.
            unsafe {
                let value = V::load_upto(values.add(at), n);
                value.store_split(high.add(at), low.add(at), n);
                value.store_bf16(whole.add(at), n);
            }
        }
    }

    #[test]
    fn parts_of_values_are_the_plain_ones() {
        let extremes = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            -f32::NAN,
            f32::MAX,
            f32::MIN,
            3.39e38,
            f32::MIN_POSITIVE,
            1e-40,
            f32::from_bits(1),
            f32::from_bits(0x7f80_0001),
            f32::from_bits(0x3f80_8000),
            f32::from_bits(0xbf81_8000),
        ];
        let values = [&extremes[..], &testing::noise(1000, 1)].concat();
        let count = values.len();
        for isa in testing::sets("parts of values") {
            let (mut highs, mut lows, mut wholes) = (vec![0u16; count], vec![0u16; count], vec![0u16; count]);
            let (values, high, low) = (values.as_ptr(), highs.as_mut_ptr(), lows.as_mut_ptr());
            let whole = wholes.as_mut_ptr();
            dispatch!(
                isa,
                continue,
                parts(values: *const f32, count: usize, high: *mut u16, low: *mut u16, whole: *mut u16)
            );
            for at in 0..count {
                // SAFETY: within the values.
                let value = unsafe { *values.add(at) };
                assert_eq!((highs[at], lows[at]), split(value), "{isa:?} {value:e}");
                assert_eq!(wholes[at], bf16_bits(value), "{isa:?} {value:e}");
            }
        }
    }
}
