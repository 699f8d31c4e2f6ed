//! How wide the kernels of one parameter are, and what follows from that: see [`parzen`](super::parzen) for the rules.

use std::f64::consts::FRAC_1_SQRT_2;

use kilter_numerics::normal::Tails;

use super::dimension::Interval;
use super::parzen::ParzenOptions;

/// How a kernel of one parameter is evaluated and drawn from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// 1 / (σ √2)
    pub(super) scale: f64,
    /// What its density is divided by beside the constants of the domain.
    pub(super) divisor: f64,
    /// What it would have outside the domain.
    pub(super) tails: Tails,
}

impl Form {
    /// A normal kernel truncated to the interval, in which its mean lies.
    pub(super) fn new(interval: &Interval, mean: f64, sigma: f64) -> Self {
        let inverse_sigma = 1.0 / sigma;
        let tails = Tails::beyond((interval.low - mean) * inverse_sigma, (interval.high - mean) * inverse_sigma);
        // The density's constant is 1 / (σ √(2π) mass); the width keeps the product in range. The mass is 1/3 or more, for σ
        // is no larger than the domain.
        let mass = tails.between();
        let divisor = if interval.has_step() { mass } else { mass * (sigma * (1.0 / interval.width())) };
        Self { scale: FRAC_1_SQRT_2 * inverse_sigma, divisor, tails }
    }
}

/// How wide the kernels of one parameter are.
pub(super) struct Bandwidth<'a> {
    interval: &'a Interval,
    least: f64,
    least_steps: f64,
    count_ends: bool,
}

impl<'a> Bandwidth<'a> {
    /// With fewer observations than this the least σ depends on how many there are.
    pub(super) const SETTLED: usize = 98;

    pub(super) fn new(interval: &'a Interval, observed: usize, options: &ParzenOptions) -> Self {
        let width = interval.width();
        let least = if options.magic_clip {
            width / (observed as f64 + 2.0).min(100.0)
        } else {
            f64::max(1e-12, width * f64::EPSILON)
        };
        let count_ends = options.endpoints || observed < 2;
        Self { interval, least, least_steps: options.least_steps, count_ends }
    }

    /// σ of an observation between its neighbours in sorted order.
    pub(super) fn sigma(&self, left: Option<f64>, at: f64, right: Option<f64>) -> f64 {
        let below = at - left.unwrap_or(self.interval.low);
        let above = right.unwrap_or(self.interval.high) - at;
        let gap = match (left, right) {
            (None, _) if !self.count_ends => above,
            (_, None) if !self.count_ends => below,
            _ => below.max(above),
        };
        let least = if self.least_steps > 0.0 {
            self.least.max(self.least_steps * self.interval.step_at(at))
        } else {
            self.least
        };
        gap.max(least).min(self.interval.width())
    }
}
