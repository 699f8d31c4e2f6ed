//! The standard normal distribution without cancellation: tails, logarithms, intervals and truncated quantiles.
//!
//! Everything rests on the complementary error function of `libm` (FDLIBM, below one unit in the last place) and on
//! two expansions where it can't help: the asymptotic series of Mills' ratio in the far tail (Abramowitz and Stegun,
//! *Handbook of Mathematical Functions*, 26.2.12) and the Taylor series about the midpoint for narrow intervals. The
//! quantile is the rational approximation of Boost's `erfc_inv`, as ported by `statrs`.
//!
//! Cost: one or two `erfc` (about 10 ns each) and a logarithm per call.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

/// ln √(2π), minus the logarithm of the standard normal density at zero.
pub const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_7;

/// From here to the left Φ comes from Mills' ratio: its series of six terms is then exact to 2·10⁻¹⁴, and `erfc` is
/// still far from underflow (which starts at -37.5).
const FAR_TAIL: f64 = -30.0;

/// Interval widths below this (relative to the scale 1/|x| on which the density changes) use the midpoint series:
/// its first neglected term is then below 3·10⁻¹⁶, while the difference of two tails would lose two digits or more.
const NARROW: f64 = 0.02;

/// Beyond this, Φ is 1 to the last place: what is missing is below 2⁻⁵³.
const WHOLE: f64 = 8.3;

/// Φ(x), with full relative precision in the left tail; for the right tail take `cdf(-x)`.
pub fn cdf(x: f64) -> f64 {
    if x > WHOLE { 1.0 } else { 0.5 * libm::erfc(-x * FRAC_1_SQRT_2) }
}

/// ln Φ(x), for every x: down to -10¹⁵⁴, where x² overflows, and with full relative precision far to the right, where
/// it is minus the other tail.
pub fn log_cdf(x: f64) -> f64 {
    if x > 0.0 {
        (-cdf(-x)).ln_1p()
    } else if x > FAR_TAIL {
        cdf(x).ln()
    } else {
        let s = 1.0 / (x * x);
        // Φ(x) = φ(x)/|x| · (1 - 1/x² + 3/x⁴ - 15/x⁶ + 105/x⁸ - 945/x¹⁰ + …)
        let series = s * (-1.0 + s * (3.0 + s * (-15.0 + s * (105.0 - s * 945.0))));
        -0.5 * x * x - LN_SQRT_2PI - (-x).ln() + series.ln_1p()
    }
}

/// Φ(b) - Φ(a) without cancellation; zero unless a < b.
///
/// Underflows to zero for intervals beyond ±38; [`log_mass`] doesn't.
pub fn mass(a: f64, b: f64) -> f64 {
    if a > 0.0 {
        return mass(-b, -a);
    }
    if a.partial_cmp(&b) != Some(std::cmp::Ordering::Less) {
        return 0.0;
    }
    if b > 0.0 {
        // Both sides of zero add up, so nothing cancels.
        return 0.5 * (libm::erf(b * FRAC_1_SQRT_2) + libm::erf(-a * FRAC_1_SQRT_2));
    }
    if let Some((middle, shape)) = narrow(a, b) {
        return (b - a) * shape * (-0.5 * middle * middle).exp() / (2.0 * PI).sqrt();
    }
    cdf(b) - cdf(a)
}

/// ln(Φ(b) - Φ(a)) without cancellation and without underflow; minus infinity unless a < b.
///
/// Absolute error about 10⁻¹⁴ where the mass is not astronomically small, and |x²|·10⁻¹⁶ in the far tail (the value
/// itself is about -x²/2 there).
pub fn log_mass(a: f64, b: f64) -> f64 {
    if a > 0.0 {
        return log_mass(-b, -a);
    }
    if a.partial_cmp(&b) != Some(std::cmp::Ordering::Less) {
        return f64::NEG_INFINITY;
    }
    if b > 0.0 {
        // Where little is outside, count that. An interval narrower than 1 holds less than φ(0) = 0.4.
        let outside = if b - a < 1.0 { 1.0 } else { cdf(a) + cdf(-b) };
        return if outside < 0.5 { (-outside).ln_1p() } else { mass(a, b).ln() };
    }
    if let Some((middle, shape)) = narrow(a, b) {
        return -0.5 * middle * middle - LN_SQRT_2PI + ((b - a) * shape).ln();
    }
    if b > FAR_TAIL {
        return (cdf(b) - cdf(a)).ln();
    }
    let upper = log_cdf(b);
    if upper == f64::NEG_INFINITY {
        return upper;
    }
    upper + (-(log_cdf(a) - upper).exp()).ln_1p()
}

/// The midpoint m of an interval narrow enough for the Taylor series, and its mass over (b - a) φ(m).
fn narrow(a: f64, b: f64) -> Option<(f64, f64)> {
    let h = b - a;
    let m = 0.5 * (a + b);
    if h * m.abs().max(1.0) >= NARROW {
        return None;
    }
    let (m2, h2) = (m * m, h * h);
    // Σ He₂ₖ(m) (h/2)²ᵏ / (2k+1)!
    Some((m, 1.0 + h2 * ((m2 - 1.0) / 24.0 + h2 * ((m2 - 6.0) * m2 + 3.0) / 1920.0)))
}

/// Φ⁻¹(p); minus infinity at 0 and below, infinity at 1 and above.
pub fn quantile(p: f64) -> f64 {
    -SQRT_2 * statrs::function::erf::erfc_inv(2.0 * p)
}

/// What a standard normal has beyond an interval around zero: for many quantiles of one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tails {
    left: f64,
    right: f64,
}

impl Tails {
    /// Beyond [a, b] with a ≤ 0 ≤ b. Less than 2⁻⁵³ counts as nothing.
    pub fn beyond(a: f64, b: f64) -> Self {
        let tail = |x: f64| if x < -WHOLE { 0.0 } else { cdf(x) };
        Self { left: tail(a), right: tail(-b) }
    }

    /// What the interval has. The smaller it is, the fewer digits are right; [`mass`] loses none.
    pub fn between(self) -> f64 {
        1.0 - self.left - self.right
    }

    /// The q-quantile (0 ≤ q ≤ 1) of what the interval has: in the interval but for rounding, or infinite where q is 0 or 1
    /// and there is no tail.
    pub fn quantile(self, q: f64) -> f64 {
        let below = self.left + q * self.between();
        if below > 0.5 { -quantile(self.right + (1.0 - q) * self.between()) } else { quantile(below) }
    }
}

/// The q-quantile (0 ≤ q ≤ 1) of a standard normal truncated to [a, b]; either end may be infinite, both may lie in
/// the same far tail. Always inside [a, b].
pub fn truncated_quantile(q: f64, a: f64, b: f64) -> f64 {
    truncated_quantile_of(q, 1.0 - q, a, b)
}

/// [`truncated_quantile`] with q and 1 - q given apart, so that mirroring the interval loses no digit of q.
fn truncated_quantile_of(q: f64, rest: f64, a: f64, b: f64) -> f64 {
    if a + b > 0.0 {
        // Work where most of the interval is to the left of zero: there Φ keeps its relative precision.
        return -truncated_quantile_of(rest, q, -b, -a);
    }
    if q <= 0.0 || a >= b {
        return a;
    }
    if rest <= 0.0 {
        return b;
    }
    // Φ(b) and Φ(-b): the smaller is a tail, the greater what it leaves of 1. So, too, with a, which is below zero.
    let (to_b, beyond_b) = if b > 0.0 {
        let tail = tail_beside(rest, -b);
        (1.0 - tail, tail)
    } else {
        (cdf(b), 0.0)
    };
    let to_a = tail_beside(q * to_b, a);
    let p = q * to_b + rest * to_a;
    let x = if p > 0.5 {
        -quantile(rest * (1.0 - to_a) + q * beyond_b)
    } else if p > 1e-280 {
        quantile(p)
    } else {
        far_truncated_quantile(q, rest, a, b)
    };
    // Not `clamp`: a NaN must not turn into a panic.
    x.max(a).min(b)
}

/// Φ(x); nothing where it is too small to change `sum` if it is added to it: Φ(-9) = 1.1·10⁻¹⁹ is less than half of the
/// last place of 0.01.
fn tail_beside(sum: f64, x: f64) -> f64 {
    if x < -9.0 && sum >= 0.01 { 0.0 } else { cdf(x) }
}

/// [`truncated_quantile_of`] where the probability itself underflows: Newton's method on ln Φ, from the left.
///
/// ln Φ is concave, so that every step from the left stays on the left and the convergence is monotone and quadratic.
fn far_truncated_quantile(q: f64, rest: f64, a: f64, b: f64) -> f64 {
    let upper = log_cdf(b);
    let target = upper + (q + rest * (log_cdf(a) - upper).exp()).ln();
    if !target.is_finite() {
        return b;
    }
    let mut x = -(-2.0 * target).sqrt();
    for _ in 0..16 {
        // The slope φ(x)/Φ(x) of ln Φ, to 1/x³.
        let step = (target - log_cdf(x)) / (-x - 1.0 / x);
        x += step;
        if step.abs() <= 1e-14 * x.abs() {
            break;
        }
    }
    x
}
