//! 95 % intervals.

/// The quantile of the normal distribution for 95 %, two-sided.
const Z: f64 = 1.959_963_984_540_054;

/// A number and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// Returns the proportion of `right` among `all` with Wilson's interval, without correction for continuity. A proportion of
/// nothing is undefined.
pub fn wilson(right: usize, all: usize) -> Option<Estimate> {
    if all == 0 {
        return None;
    }
    let (k, n) = (right as f64, all as f64);
    let centre = (k + Z * Z / 2.0) / (n + Z * Z);
    let half = Z / (n + Z * Z) * (k * (n - k) / n + Z * Z / 4.0).sqrt();
    // The ends are exact where nothing or everything is right.
    let low = if right == 0 { 0.0 } else { centre - half };
    let high = if right == all { 1.0 } else { centre + half };
    Some(Estimate { value: k / n, low, high })
}

/// Returns a number with the interval of its draws: their percentiles 2.5 and 97.5, between draws by line. Draws where the
/// number is undefined (NaN) are left out.
pub(super) fn bootstrapped(value: f64, draws: impl Iterator<Item = f64>) -> Option<Estimate> {
    let mut draws: Vec<f64> = draws.filter(|draw| !draw.is_nan()).collect();
    draws.sort_unstable_by(f64::total_cmp);
    let last = draws.len().checked_sub(1)?;
    let quantile = |share: f64| {
        let place = share * last as f64;
        let below = draws[place as usize];
        below + (draws[last.min(place as usize + 1)] - below) * place.fract()
    };
    Some(Estimate { value, low: quantile(0.025), high: quantile(0.975) })
}
