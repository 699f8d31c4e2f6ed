//! Ranges of numbers: real and whole, plain, logarithmic or on a grid.

use serde::{Deserialize, Serialize};

use super::DomainError;
use crate::value::Value;

/// A range of real numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "FloatParts", into = "FloatParts")]
pub struct Float {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) log: bool,
    pub(super) step: Option<f64>,
    pub(super) grid: Grid,
}

/// Where a grid was declared, so that a part of it keeps its points to the last bit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    pub low: f64,
    pub high: f64,
    /// How many of its points lie below the part's first.
    pub before: f64,
}

/// A range of whole numbers, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IntParts", into = "IntParts")]
pub struct Int {
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) log: bool,
    pub(super) step: u64,
}

impl Float {
    /// The range `[low, high]`.
    ///
    /// # Errors
    /// If an end is not finite or `low` is not below `high`.
    pub fn new(low: f64, high: f64) -> Result<Self, DomainError> {
        if !(low.is_finite() && high.is_finite() && (high - low).is_finite()) {
            return Err(DomainError::NotFinite { low, high });
        }
        if low == high {
            return Err(DomainError::OnePoint(low.into()));
        }
        if low > high {
            return Err(DomainError::Swapped { low: low.into(), high: high.into() });
        }
        Ok(Self { low, high, log: false, step: None, grid: Grid { low, high, before: 0.0 } })
    }

    /// The range `[low, high]`, searched by its logarithm.
    ///
    /// # Errors
    /// As [`Float::new`], and if `low` is not above zero.
    pub fn log(low: f64, high: f64) -> Result<Self, DomainError> {
        let range = Self::new(low, high)?;
        if low <= 0.0 {
            let suggestion = if high > 1e-6 { 1e-6 } else { high / 1e3 };
            return Err(DomainError::LogOfNonPositive { low: low.into(), suggestion: suggestion.into() });
        }
        Ok(Self { log: true, ..range })
    }

    /// The same range on the grid `low, low + step, …` (the last point is the last that does not pass `high`).
    ///
    /// # Errors
    /// If the step is not positive, longer than the range, or too short, or the range is logarithmic.
    pub fn step(self, step: f64) -> Result<Self, DomainError> {
        if self.log {
            return Err(DomainError::LogWithStep);
        }
        if !(step.is_finite() && step > 0.0) {
            return Err(DomainError::BadStep(step.into()));
        }
        if step > (self.high - self.low) * (1.0 + GRID_SLACK) {
            return Err(DomainError::LongStep { step: step.into(), low: self.low.into(), high: self.high.into() });
        }
        if step < self.magnitude() * SHORTEST_STEP {
            return Err(DomainError::TinyStep { step: step.into(), low: self.low.into(), high: self.high.into() });
        }
        Ok(Self { step: Some(step), ..self })
    }

    /// Lower end.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// Upper end; with a step, the last point of the grid.
    pub fn high(&self) -> f64 {
        match self.step {
            Some(_) => self.at((self.points().unwrap_or(1) - 1) as f64),
            None => self.high,
        }
    }

    /// Upper end as declared; a grid may end below it.
    pub(crate) fn declared_high(&self) -> f64 {
        self.high
    }

    /// Is the range searched by its logarithm?
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// Distance of neighbouring points, if the range is a grid.
    pub fn step_width(&self) -> Option<f64> {
        self.step
    }

    /// Number of points, if the range is a grid.
    pub(super) fn points(&self) -> Option<u128> {
        // The ends and the step are each off by half a unit in the last place, the quotient by as much again.
        let slack = |step: f64| GRID_SLACK.max(4.0 * f64::EPSILON * self.magnitude() / step);
        self.step.map(|step| ((self.high - self.low) / step + slack(step)).floor() as u128 + 1)
    }

    /// The larger declared end by size.
    pub(super) fn magnitude(&self) -> f64 {
        self.grid.low.abs().max(self.grid.high.abs())
    }

    /// The grid's point `k`, never above the declared upper end.
    pub(super) fn at(&self, k: f64) -> f64 {
        let step = self.step.unwrap_or(0.0);
        let k = k + self.grid.before;
        if k == 0.0 {
            return self.grid.low + 0.0; // adding zero turns -0.0 into 0.0, here and below
        }
        // Decimal steps are not exact in binary: 3 * 0.1 gives 0.30000000000000004. Twelve digits of the larger of step
        // and offset recover the decimal that was meant. No point moves by more than its rounding error: half a unit in
        // the last place each from low, from the sum, and (k-fold) from the step.
        let exact = k.mul_add(step, self.grid.low);
        let scale = 10_f64.powi(12 - step.max(exact.abs()).log10().ceil().clamp(-290.0, 290.0) as i32);
        let rounded = (exact * scale).round() / scale;
        let error = 2.0 * f64::EPSILON * self.magnitude();
        let point = if rounded.is_finite() && (rounded - exact).abs() <= error { rounded } else { exact };
        point.clamp(self.grid.low, self.grid.high) + 0.0
    }

    /// The allowed number nearest to `x`.
    pub fn nearest(&self, x: f64) -> f64 {
        let x = x.clamp(self.low, self.high);
        match self.step {
            Some(step) => {
                let last = (self.points().unwrap_or(1) - 1) as f64;
                self.at(((x - self.low) / step).round().clamp(0.0, last))
            }
            None => x,
        }
    }
}

/// How much of a step a grid's last point may lie beyond the range by rounding alone: (0.3 - 0.0) / 0.1 is a little
/// below 3.
const GRID_SLACK: f64 = 1e-10;

/// The shortest step as a share of the range's larger end. With 44 of a float's 53 bits at most 1/64 of a step is lost
/// by rounding, so points stay apart and each is found again from its value.
const SHORTEST_STEP: f64 = 1.0 / (1_u64 << 44) as f64;

impl Int {
    /// The whole numbers `low..=high`.
    ///
    /// # Errors
    /// If `low` is not below `high`.
    pub fn new(low: i64, high: i64) -> Result<Self, DomainError> {
        match low.cmp(&high) {
            std::cmp::Ordering::Less => Ok(Self { low, high, log: false, step: 1 }),
            std::cmp::Ordering::Equal => Err(DomainError::OnePoint(low.into())),
            std::cmp::Ordering::Greater => Err(DomainError::Swapped { low: low.into(), high: high.into() }),
        }
    }

    /// The whole numbers `low..=high`, searched by their logarithm.
    ///
    /// # Errors
    /// As [`Int::new`], and if `low` is below one.
    pub fn log(low: i64, high: i64) -> Result<Self, DomainError> {
        let range = Self::new(low, high)?;
        if low < 1 {
            return Err(DomainError::LogOfNonPositive { low: low.into(), suggestion: 1_i64.into() });
        }
        Ok(Self { log: true, ..range })
    }

    /// Only every `step`-th number, beginning with `low`.
    ///
    /// # Errors
    /// If the step is zero, longer than the range, or the range is logarithmic.
    pub fn step(self, step: u64) -> Result<Self, DomainError> {
        if step == 0 {
            return Err(DomainError::BadStep(0_i64.into()));
        }
        if self.log && step > 1 {
            return Err(DomainError::LogWithStep);
        }
        if u128::from(step) > self.width() {
            let step = Value::Text(step.to_string().into());
            return Err(DomainError::LongStep { step, low: self.low.into(), high: self.high.into() });
        }
        Ok(Self { step, ..self })
    }

    /// Lower end.
    pub fn low(&self) -> i64 {
        self.low
    }

    /// Upper end; with a step, the last number that can be chosen.
    pub fn high(&self) -> i64 {
        self.at(self.points() - 1)
    }

    /// Upper end as declared; with a step, the last number may lie below it.
    pub(crate) fn declared_high(&self) -> i64 {
        self.high
    }

    /// Is the range searched by its logarithm?
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// Distance of neighbouring numbers.
    pub fn step_width(&self) -> u64 {
        self.step
    }

    pub(super) fn width(&self) -> u128 {
        (i128::from(self.high) - i128::from(self.low)).unsigned_abs()
    }

    /// How many numbers there are (up to 2⁶⁴).
    pub fn points(&self) -> u128 {
        self.width() / u128::from(self.step) + 1
    }

    /// The `k`-th number, counting from zero; the last one if there are fewer.
    pub fn at(&self, k: u128) -> i64 {
        let k = k.min(self.width() / u128::from(self.step));
        (i128::from(self.low) + (k * u128::from(self.step)) as i128) as i64
    }

    /// The allowed number nearest to `x`.
    pub fn nearest(&self, x: f64) -> i64 {
        let k = ((x - self.low as f64) / self.step as f64).round().max(0.0);
        self.at(k as u128)
    }
}

/// How a float range is written in JSON and TOML.
#[derive(Serialize, Deserialize)]
struct FloatParts {
    low: f64,
    high: f64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    log: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<f64>,
}

impl TryFrom<FloatParts> for Float {
    type Error = DomainError;
    fn try_from(p: FloatParts) -> Result<Self, DomainError> {
        let range = if p.log { Self::log(p.low, p.high)? } else { Self::new(p.low, p.high)? };
        p.step.map_or(Ok(range.clone()), |step| range.step(step))
    }
}

impl From<Float> for FloatParts {
    fn from(r: Float) -> Self {
        Self { low: r.low, high: r.high, log: r.log, step: r.step }
    }
}

/// How an integer range is written in JSON and TOML.
#[derive(Serialize, Deserialize)]
struct IntParts {
    low: i64,
    high: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    log: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
}

impl TryFrom<IntParts> for Int {
    type Error = DomainError;
    fn try_from(p: IntParts) -> Result<Self, DomainError> {
        let range = if p.log { Self::log(p.low, p.high)? } else { Self::new(p.low, p.high)? };
        p.step.map_or(Ok(range.clone()), |step| range.step(step))
    }
}

impl From<Int> for IntParts {
    fn from(r: Int) -> Self {
        Self { low: r.low, high: r.high, log: r.log, step: (r.step > 1).then_some(r.step) }
    }
}
