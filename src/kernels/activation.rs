//! The nonlinearities of an MLP. A product applies them in its epilogue, without a pass of their own.

use super::functions::{erf, erf_plain, exp, tanh};
use super::lanes::Lanes;

/// The function applied to each value of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationFn {
    /// Nothing.
    None,
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// `x * Phi(x)`, by the error function
    Gelu,
    /// `x * Phi(x)`, by the tanh approximation
    GeluTanh,
    /// `max(x, 0)`
    Relu,
}

const SQRT_2_OVER_PI: f32 = 0.797_884_560_8;

impl ActivationFn {
    /// All functions.
    pub const ALL: [Self; 5] = [Self::None, Self::QuickGelu, Self::Gelu, Self::GeluTanh, Self::Relu];

    /// Applies it to one value: the plain version.
    pub fn plain(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Self::Gelu => {
                let x = f64::from(x);
                (0.5 * x * (1.0 + erf_plain(x * std::f64::consts::FRAC_1_SQRT_2))) as f32
            }
            Self::GeluTanh => 0.5 * x * (1.0 + (SQRT_2_OVER_PI * x * (1.0 + 0.044715 * x * x)).tanh()),
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
        }
    }

    /// Applies it to a register.
    ///
    /// # Safety
    /// The instruction set of `V`.
    #[inline(always)]
    pub unsafe fn apply<V: Lanes>(self, x: V) -> V {
        // SAFETY: the caller's.
        unsafe {
            let one = V::splat(1.0);
            match self {
                Self::None => x,
                Self::QuickGelu => x.div(one.add(exp(x.mul(V::splat(-1.702))))),
                Self::Gelu => {
                    let phi = erf(x.mul(V::splat(std::f32::consts::FRAC_1_SQRT_2))).add(one);
                    x.mul(V::splat(0.5)).mul(phi)
                }
                Self::GeluTanh => {
                    let cubic = x.mul(x).mul_add(V::splat(0.044715), one);
                    let phi = tanh(x.mul(V::splat(SQRT_2_OVER_PI)).mul(cubic)).add(one);
                    x.mul(V::splat(0.5)).mul(phi)
                }
                Self::Relu => x.max(V::splat(0.0)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{dispatch, testing};

    #[inline(always)]
    unsafe fn each<V: Lanes>(values: *mut f32, count: usize, act: ActivationFn) {
        for at in (0..count).step_by(V::N) {
            // SAFETY: the blocks are within `count` values.
            unsafe {
                let n = (count - at).min(V::N);
                act.apply(V::load_upto(values.add(at), n)).store_upto(values.add(at), n);
            }
        }
    }

    #[test]
    fn fast_ones_are_the_plain_ones() {
        let extremes = [0.0, -0.0, 1e-40, -1e-40, 1e4, -1e4, f32::NAN];
        let x: Vec<f32> = (-4000..4000).map(|i| i as f32 * 4e-3).chain(extremes).collect();
        for isa in testing::sets("activations") {
            for act in ActivationFn::ALL {
                let mut y = x.clone();
                let (values, count) = (y.as_mut_ptr(), y.len());
                dispatch!(
                    isa,
                    y.iter_mut().for_each(|v| *v = act.plain(*v)),
                    each(values: *mut f32, count: usize, act: ActivationFn)
                );
                for (&x, &y) in x.iter().zip(&y) {
                    let want = act.plain(x);
                    // Near -5, GELU is a difference of values close to 1.
                    let near = (y - want).abs() <= 4e-7 * x.abs().max(want.abs());
                    assert!(near || (want.is_nan() && y.is_nan()), "{} {act:?}: {x} gives {y}, not {want}", isa.name());
                }
            }
        }
    }
}
