//! exp, erf and tanh on lanes, to a few units in the last place, and erf in f64 as the oracle. `activation.rs` builds
//! nonlinearities from them.

use super::lanes::Lanes;

/// Returns `e^x`, within 2 units in the last place, with gradual underflow and infinity on overflow. NaN stays.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub unsafe fn exp<V: Lanes>(x: V) -> V {
    // Reduction and polynomial as in Cephes, expf.c.
    // SAFETY: the caller's.
    unsafe {
        let x = x.max(V::splat(-104.0)).min(V::splat(89.0));
        let n = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
        let r = n.mul_add(V::splat(-0.693359375), x);
        let r = n.mul_add(V::splat(2.12194440e-4), r);
        let p = V::splat(1.9875691500e-4);
        let p = p.mul_add(r, V::splat(1.3981999507e-3));
        let p = p.mul_add(r, V::splat(8.3334519073e-3));
        let p = p.mul_add(r, V::splat(4.1665795894e-2));
        let p = p.mul_add(r, V::splat(1.6666665459e-1));
        let p = p.mul_add(r, V::splat(5.0000001201e-1));
        let p = p.mul_add(r.mul(r), r).add(V::splat(1.0));
        // In two steps, since 2^n itself may be out of range.
        let half = n.mul(V::splat(0.5)).round();
        p.mul(half.exp2_whole()).mul(n.sub(half).exp2_whole())
    }
}

/// Returns the hyperbolic tangent, within 3 units in the last place.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub unsafe fn tanh<V: Lanes>(x: V) -> V {
    // As in Cephes, tanhf.c.
    // SAFETY: the caller's.
    unsafe {
        let one = V::splat(1.0);
        let far = one.sub(V::splat(2.0).div(exp(x.abs().mul(V::splat(2.0))).add(one)));
        let z = x.mul(x);
        let p = V::splat(-5.70498872745e-3);
        let p = p.mul_add(z, V::splat(2.06390887954e-2));
        let p = p.mul_add(z, V::splat(-5.37397155531e-2));
        let p = p.mul_add(z, V::splat(1.33314422036e-1));
        let p = p.mul_add(z, V::splat(-3.33332819422e-1));
        let near = p.mul(z).mul_add(x, x);
        x.abs().if_less(V::splat(0.625), near, far.with_sign_of(x))
    }
}

/// Returns the error function, within 3 units in the last place.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub unsafe fn erf<V: Lanes>(x: V) -> V {
    // Minimax polynomials by N. Juffa, https://stackoverflow.com/a/35148199.
    // SAFETY: the caller's.
    unsafe {
        let (t, s) = (x.abs(), x.mul(x));
        let r = V::splat(-1.72853470e-5).mul_add(t, V::splat(3.83197126e-4));
        let u = V::splat(-3.88396438e-3).mul_add(t, V::splat(2.42546219e-2));
        let r = r.mul_add(s, u);
        let r = r.mul_add(t, V::splat(-1.06777877e-1));
        let r = r.mul_add(t, V::splat(-6.34846687e-1));
        let r = r.mul_add(t, V::splat(-1.28717512e-1));
        let r = r.mul_add(t, V::splat(0.0).sub(t));
        // Beyond 4 the result is 1, and the polynomial does not apply.
        let far = V::splat(4.0).if_less(t, V::splat(1.0), V::splat(1.0).sub(exp(r)));
        let p = V::splat(-5.96761703e-4);
        let p = p.mul_add(s, V::splat(4.99119423e-3));
        let p = p.mul_add(s, V::splat(-2.67681349e-2));
        let p = p.mul_add(s, V::splat(1.12819925e-1));
        let p = p.mul_add(s, V::splat(-3.76125336e-1));
        let p = p.mul_add(s, V::splat(1.28379166e-1));
        let near = p.mul_add(x, x);
        t.if_less(V::splat(0.927734375), near, far.with_sign_of(x))
    }
}

/// Returns the error function in f64, by its series of positive terms: the plain version.
pub fn erf_plain(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return 1f64.copysign(x);
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{dispatch, testing};

    #[inline(always)]
    unsafe fn each<V: Lanes>(values: *mut f32, count: usize, function: usize) {
        for at in (0..count).step_by(V::N) {
            // SAFETY: the blocks are within `count` values.
            unsafe {
                let n = (count - at).min(V::N);
                let x = V::load_upto(values.add(at), n);
                let y = match function {
                    0 => exp(x),
                    1 => tanh(x),
                    _ => erf(x),
                };
                y.store_upto(values.add(at), n);
            }
        }
    }

    #[test]
    fn functions_are_within_a_few_units_in_the_last_place() {
        let oracles: [fn(f64) -> f64; 3] = [f64::exp, f64::tanh, erf_plain];
        for isa in testing::sets("exp, tanh, erf") {
            for (function, oracle) in oracles.into_iter().enumerate() {
                let x: Vec<f32> = (-200_000..200_001)
                    .map(|i| i as f32 * if function == 0 { 4.36e-4 } else { 4e-5 })
                    .chain([0.0, -0.0, 1e-40, -1e-40, 1e4, -1e4, 1e-20])
                    .collect();
                let mut y = x.clone();
                let (values, count) = (y.as_mut_ptr(), y.len());
                dispatch!(
                    isa,
                    y.iter_mut().for_each(|v| *v = oracle(f64::from(*v)) as f32),
                    each(values: *mut f32, count: usize, function: usize)
                );
                for (x, y) in x.iter().zip(&y) {
                    let want = oracle(f64::from(*x));
                    let ulp = f64::from((want as f32).abs().max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON);
                    let off = if want as f32 == *y { 0.0 } else { (f64::from(*y) - want).abs() / ulp };
                    assert!(off < 3.0, "{} {function}: f({x:e}) = {y:e}, not {want:e}: {off} ulp", isa.name());
                }
                let mut nan = [f32::NAN, 1.0];
                let (values, count) = (nan.as_mut_ptr(), 2);
                dispatch!(isa, (), each(values: *mut f32, count: usize, function: usize));
                assert!(nan[0].is_nan() && !nan[1].is_nan());
            }
        }
    }
}
