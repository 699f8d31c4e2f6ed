//! One parameter as the estimators see it, and the space in which they work.

/// The domain of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dimension {
    /// Numbers.
    Numeric {
        /// Smallest value; above 0 if `log` (above `step` / 2 if there is a step, too).
        low: f64,
        /// Largest value, not below `low`, a whole number of steps above it; `high - low` is finite.
        high: f64,
        /// Whether the estimators work on the logarithm.
        log: bool,
        /// Distance of neighbouring values; 1 for integers, none for a continuous parameter.
        step: Option<f64>,
    },
    /// Unordered choices, observed and suggested as their index in `0..choices`.
    Categorical {
        /// Number of choices, at least 1.
        choices: usize,
    },
}

/// The interval in which a numeric parameter is estimated: `[low, high]`, widened by half a step on both sides when
/// there is a step, so that every value of the grid has a cell of the same width; then its logarithm when `log`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
    first: f64,
    last: f64,
    log: bool,
    step: Option<f64>,
    /// ln of the width.
    pub(super) log_width: f64,
}

impl Interval {
    pub(super) fn new(low: f64, high: f64, log: bool, step: Option<f64>) -> Self {
        let half = 0.5 * step.unwrap_or(0.0);
        let mut interval = Self { low: 0.0, high: 0.0, first: low, last: high, log, step, log_width: 0.0 };
        interval.low = interval.inward(low - half);
        interval.high = interval.inward(high + half);
        interval.log_width = interval.width().ln();
        interval
    }

    /// The prior's mean, the middle of the interval (without overflow).
    pub(super) fn middle(&self) -> f64 {
        0.5 * self.low + 0.5 * self.high
    }

    pub(super) fn width(&self) -> f64 {
        self.high - self.low
    }

    /// Whether there is only one value.
    pub(super) fn is_point(&self) -> bool {
        self.width() <= 0.0
    }

    pub(super) fn has_step(&self) -> bool {
        self.step.is_some()
    }

    /// The width of the grid's cell around a position; 0 if there is no grid.
    pub(super) fn step_at(&self, position: f64) -> f64 {
        let Some(step) = self.step else { return 0.0 };
        if self.log { step / position.exp() } else { step }
    }

    /// A value of the parameter, moved into the domain, in the estimator's space.
    pub(super) fn position(&self, value: f64) -> f64 {
        self.inward(value.max(self.first).min(self.last))
    }

    /// The [`position`](Self::position) of each value.
    pub(super) fn positions(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        // One decision per column: inside the loop the compiler takes the logarithm in either case and drops it.
        let inside = values.map(|value| value.max(self.first).min(self.last));
        if self.log { inside.map(f64::ln).collect() } else { inside.collect() }
    }

    /// Whether a value lies in the domain.
    pub(super) fn contains(&self, value: f64) -> bool {
        self.first <= value && value <= self.last
    }

    /// The cell of a value of the grid, in the estimator's space.
    pub(super) fn cell(&self, value: f64) -> (f64, f64) {
        let half = 0.5 * self.step.unwrap_or(0.0);
        (self.inward(value - half).max(self.low), self.inward(value + half).min(self.high))
    }

    /// The value of the parameter at a position, on the grid if there is one.
    pub(super) fn value(&self, position: f64) -> f64 {
        let value = if self.log { position.exp() } else { position };
        let value = match self.step {
            Some(step) => self.first + step * ((value - self.first) / step).round(),
            None => value,
        };
        value.max(self.first).min(self.last)
    }

    fn inward(&self, value: f64) -> f64 {
        if self.log { value.ln() } else { value }
    }
}
