//! Learning-rate schedules: a factor of the peak rate as a function of how much has been trained, in any unit (steps or
//! tokens) as long as it is the same everywhere. Pure, so that a resumed training takes the same rates.

use std::f64::consts::PI;

pub use kilter_numerics::Fall;
use serde::{Deserialize, Serialize};

/// How the rate moves after its warm-up. `t` is what has been trained, `total` all that will be; both without warm-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Shape {
    /// The peak rate throughout.
    #[default]
    Constant,
    /// A straight line from 1 to `floor`.
    Linear {
        /// Factor at the end, 0 to 1.
        floor: f64,
    },
    /// Half a cosine from 1 to `floor` (Loshchilov and Hutter, *SGDR*, 2017).
    Cosine {
        /// Factor at the end, 0 to 1.
        floor: f64,
    },
    /// A power of half a cosine: `floor + (1 - floor)·((1 + cos πx)/2)^power`.
    CosinePower {
        /// Factor at the end, 0 to 1.
        floor: f64,
        /// Above 0; 1 is the cosine.
        power: f64,
    },
    /// Up from `1/start` to 1 over the first `rise` share and down to `1/(start·end)`, both by half a cosine (Smith and
    /// Topin, *Super-Convergence*, 2018).
    OneCycle {
        /// Share of the rise, 0 to 1.
        rise: f64,
        /// The peak over the first rate, above 1.
        start: f64,
        /// The first rate over the last, above 1.
        end: f64,
    },
    /// `√(reach / t)` beyond `reach` (Vaswani et al. 2017; `reach` is usually the warm-up's length).
    InverseSquareRoot {
        /// Where the fall begins, above 0.
        reach: f64,
    },
    /// `(t / reach)^exponent` beyond `reach`, with an exponent below 0: the stable part of the power scheduler (Shen et
    /// al., *Power Scheduler*, 2024). `t` counts from the beginning, warm-up included.
    Power {
        /// Where the fall begins, above 0.
        reach: f64,
        /// Below 0.
        exponent: f64,
    },
    /// Straight lines through points (share of the whole, factor), in the order of shares; level before the first and
    /// after the last.
    Piecewise {
        /// The points, at least one.
        points: Vec<(f64, f64)>,
    },
    /// A factor for every equal part of the whole, as another run recorded or learnt it.
    Stored {
        /// The factors, at least one.
        factors: Vec<f64>,
    },
}

/// The last decay (Hu et al., *MiniCPM*, 2024): the rate falls from what it is where the decay begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// What is trained before it begins.
    pub start: f64,
    /// How long it lasts.
    pub length: f64,
    /// How the rate falls.
    pub fall: Fall,
}

/// A schedule: linear warm-up, then a shape, and a decay at the end where one is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// How much is trained while the rate rises in a straight line, in the unit of `total`.
    pub warmup: f64,
    /// How the rate moves afterwards.
    #[serde(flatten)]
    pub shape: Shape,
    /// The last decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// Why a schedule cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A figure is out of its range.
    #[error("schedule: {what} is {got}, and must be {range}")]
    Range {
        /// Which figure.
        what: &'static str,
        /// What it is.
        got: f64,
        /// What it must be.
        range: &'static str,
    },
    /// A list is empty or out of order.
    #[error("schedule: {0}")]
    List(&'static str),
}

fn within(what: &'static str, got: f64, ok: bool, range: &'static str) -> Result<(), ScheduleError> {
    if ok { Ok(()) } else { Err(ScheduleError::Range { what, got, range }) }
}

fn half_cosine(x: f64) -> f64 {
    0.5 * (1.0 + (PI * x).cos())
}

impl Schedule {
    /// A shape without warm-up and without a decay.
    pub fn of(shape: Shape) -> Self {
        Self { shape, ..Self::default() }
    }

    /// Checks every figure.
    ///
    /// # Errors
    /// The first that is out of its range.
    pub fn check(&self) -> Result<(), ScheduleError> {
        let share = |what, x: f64| within(what, x, (0.0..=1.0).contains(&x), "from 0 to 1");
        let above = |what, x: f64, least: f64, range| within(what, x, x.is_finite() && x > least, range);
        within("warmup", self.warmup, self.warmup.is_finite() && self.warmup >= 0.0, "at least 0")?;
        if let Some(Ending { start, length, .. }) = self.ending {
            let ok = start.is_finite() && start >= self.warmup;
            within("the start of the decay", start, ok, "at least the length of the warm-up")?;
            within("the length of the decay", length, length.is_finite() && length >= 0.0, "at least 0")?;
        }
        match &self.shape {
            Shape::Constant => Ok(()),
            Shape::Linear { floor } | Shape::Cosine { floor } => share("floor", *floor),
            Shape::CosinePower { floor, power } => {
                share("floor", *floor)?;
                above("power", *power, 0.0, "above 0")
            }
            Shape::OneCycle { rise, start, end } => {
                share("rise", *rise)?;
                above("start", *start, 1.0, "above 1")?;
                above("end", *end, 1.0, "above 1")
            }
            Shape::InverseSquareRoot { reach } => above("reach", *reach, 0.0, "above 0"),
            Shape::Power { reach, exponent } => {
                above("reach", *reach, 0.0, "above 0")?;
                within("exponent", *exponent, *exponent < 0.0, "below 0: the rate would grow")
            }
            Shape::Piecewise { points } => {
                let ordered = points.windows(2).all(|pair| pair[0].0 <= pair[1].0);
                if points.is_empty() || !ordered {
                    return Err(ScheduleError::List(
                        "the points of a piecewise schedule go in the order of their shares",
                    ));
                }
                points.iter().try_for_each(|&(x, factor)| {
                    share("a point's share", x)?;
                    within("a point's factor", factor, factor.is_finite() && factor >= 0.0, "at least 0")
                })
            }
            Shape::Stored { factors } if factors.is_empty() => {
                Err(ScheduleError::List("a stored schedule needs at least one factor"))
            }
            Shape::Stored { factors } => factors.iter().try_for_each(|&factor| {
                within("a stored factor", factor, factor.is_finite() && factor >= 0.0, "at least 0")
            }),
        }
    }

    /// The factor of the peak rate once `done` of `total` is trained. Past the end it stays what it was there.
    pub fn factor(&self, done: f64, total: f64) -> f64 {
        if done < self.warmup {
            // Up to where the shape begins, which need not be the peak.
            return done / self.warmup * self.course(self.warmup, total);
        }
        match self.ending {
            Some(Ending { start, length, fall }) if done > start => {
                // A decay over nothing is over at once.
                let x = if length > 0.0 { (done - start) / length } else { 1.0 };
                fall.factor(x) * self.course(start, total)
            }
            _ => self.course(done, total),
        }
    }

    /// What the shape alone says.
    fn course(&self, done: f64, total: f64) -> f64 {
        let (t, rest) = (done - self.warmup, total - self.warmup);
        let x = if rest > 0.0 { (t / rest).min(1.0) } else { 1.0 };
        match &self.shape {
            Shape::Constant => 1.0,
            Shape::Linear { floor } => 1.0 + (floor - 1.0) * x,
            Shape::Cosine { floor } => floor + (1.0 - floor) * half_cosine(x),
            Shape::CosinePower { floor, power } => floor + (1.0 - floor) * half_cosine(x).powf(*power),
            Shape::OneCycle { rise, start, end } => {
                let (first, last) = (1.0 / start, 1.0 / (start * end));
                if x < *rise {
                    1.0 + (first - 1.0) * half_cosine(x / rise)
                } else {
                    let down = if *rise < 1.0 { (x - rise) / (1.0 - rise) } else { 1.0 };
                    last + (1.0 - last) * half_cosine(down)
                }
            }
            Shape::InverseSquareRoot { reach } => (reach / done.max(*reach)).sqrt(),
            Shape::Power { reach, exponent } => (done.max(*reach) / reach).powf(*exponent),
            Shape::Piecewise { points } => {
                let after = points.partition_point(|point| point.0 <= x);
                match (after.checked_sub(1).map(|before| points[before]), points.get(after)) {
                    (Some((x0, y0)), Some(&(x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
                    (Some((_, y)), None) => y,
                    (None, Some(&(_, y))) => y,
                    (None, None) => 1.0,
                }
            }
            Shape::Stored { factors } => {
                let at = (x * factors.len() as f64) as usize;
                factors.get(at.min(factors.len().saturating_sub(1))).copied().unwrap_or(1.0)
            }
        }
    }
}
