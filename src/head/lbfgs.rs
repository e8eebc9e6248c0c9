//! Minimises a smooth convex function: L-BFGS (Nocedal and Wright, *Numerical Optimization*, algorithm 7.5) in f64. Each sum
//! has one order, so the same function gives the same bits.

/// Steps whose changes describe the curvature.
const MEMORY: usize = 10;
/// The most steps.
const STEPS: usize = 200;
/// The share of the promised decrease that a step must bring.
const ENOUGH: f64 = 1e-4;
/// The most times that a step is shortened.
const SHORTENED: usize = 40;

/// A step, and what it changed in the gradient.
struct Change {
    step: Vec<f64>,
    gradient: Vec<f64>,
    /// The product of both.
    product: f64,
}

/// Moves `x` to where the gradient is at most `tolerance` long. `f` returns the value at a point, and writes the gradient.
/// Stops earlier where rounding hides any decrease, or after 200 steps.
pub(super) fn minimise(x: &mut Vec<f64>, tolerance: f64, mut f: impl FnMut(&[f64], &mut [f64]) -> f64) {
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(x, &mut gradient);
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..STEPS {
        if dot(&gradient, &gradient).sqrt() <= tolerance {
            return;
        }
        let direction = direction(&gradient, &changes);
        let slope = dot(&direction, &gradient);
        let rounding = 8.0 * f64::EPSILON * value.abs();
        let (mut length, mut next, mut its_gradient) = (1.0, Vec::new(), vec![0.0; x.len()]);
        let mut found = None;
        for _ in 0..SHORTENED {
            next = x.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let its_value = f(&next, &mut its_gradient);
            if its_value <= value + ENOUGH * length * slope + rounding {
                found = Some(its_value);
                break;
            }
            // The minimum of the parabola through both values and the slope.
            let parabola = -slope * length * length / (2.0 * (its_value - value - slope * length));
            length = if parabola.is_finite() { parabola.clamp(0.1 * length, 0.5 * length) } else { 0.1 * length };
        }
        let Some(its_value) = found else { return };
        let change = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
        let (step, of_gradient) = (change(&next, x), change(&its_gradient, &gradient));
        let product = dot(&step, &of_gradient);
        if product > f64::EPSILON * dot(&of_gradient, &of_gradient) {
            if changes.len() == MEMORY {
                changes.remove(0);
            }
            changes.push(Change { step, gradient: of_gradient, product });
        }
        (*x, gradient, value) = (next, its_gradient, its_value);
    }
}

/// Returns where to go: minus the gradient times the inverse curvature that the `changes` show.
fn direction(gradient: &[f64], changes: &[Change]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let Some(last) = changes.last() else {
        let length = dot(gradient, gradient).sqrt().max(1.0);
        direction.iter_mut().for_each(|d| *d /= length);
        return direction;
    };
    let mut shares = Vec::with_capacity(changes.len());
    for change in changes.iter().rev() {
        let share = dot(&change.step, &direction) / change.product;
        add(&mut direction, -share, &change.gradient);
        shares.push(share);
    }
    let scale = last.product / dot(&last.gradient, &last.gradient);
    direction.iter_mut().for_each(|d| *d *= scale);
    for (change, share) in changes.iter().zip(shares.into_iter().rev()) {
        let back = dot(&change.gradient, &direction) / change.product;
        add(&mut direction, share - back, &change.step);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], times: f64, what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += times * what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badly_scaled_function_ends_at_its_minimum() {
        // The scales of the twenty dimensions differ by a factor of 32.
        let scales: Vec<f64> = (0..20).map(|at| 1.2f64.powi(at)).collect();
        let mut calls = 0;
        let mut x = vec![0.0; 20];
        minimise(&mut x, 1e-10, |x, gradient| {
            calls += 1;
            let terms = x.iter().zip(&scales).zip(gradient).map(|((x, scale), gradient)| {
                let d = x - 1.0;
                *gradient = scale * (2.0 * d + 4.0 * d * d * d);
                scale * (d * d + d.powi(4))
            });
            terms.sum()
        });
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-10), "{x:?}");
        assert!(calls < 120, "{calls}");
    }
}
