//! Where a loss curve is going, and when it does not say.
//!
//! The law is `y = floor + amplitude * x^-exponent` ([`Saturating`]), x tokens, steps, parameters or hours. How wrong it may
//! be is asked of the curve itself: the law through its earlier points says what the last one should have been, as many
//! times ahead as is asked now, and by how much it missed widens the interval of the residuals' bootstrap (Efron, 1979).
//! A curve that has too few earlier points for that test, or whose answer is as uncertain as all that it has fallen by, is
//! refused. Cost: O(points) for each of the resamples.

use kilter_numerics::Stream;
use kilter_numerics::compare::Interval;
use serde::Serialize;
use thiserror::Error;

use crate::limits::serialize_interval;
use crate::power_law::{FitError, Saturating, percentile_interval};

/// Points that tell three coefficients and leave one over.
const LEAST: usize = 4;

/// What a curve is going to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Extrapolation {
    /// The law through all points.
    pub law: Saturating,
    /// How many times the last x is asked for; at most 1 within the curve.
    pub ahead: f64,
    /// The value there with its 95 % interval.
    #[serde(serialize_with = "serialize_interval")]
    pub value: Interval,
    /// By how much the law through the earlier points missed the last one, as far ahead (predicted less measured); nothing
    /// within the curve.
    pub missed_by: Option<f64>,
}

/// Why a curve says nothing.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CurveError {
    /// The law cannot be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A number that is none.
    #[error("point {row}: {value} is no finite number")]
    NotFinite {
        /// The point, from 0.
        row: usize,
        /// What stands there.
        value: f64,
    },
    /// The place is impossible.
    #[error("{0} is no place on the curve; it must be finite and above 0")]
    Place(f64),
    /// Too far.
    #[error(
        "{ahead:.3} times the last point is too far: the curve was not seen early enough to test such a prediction on itself; \
         at most {most:.3} times, {furthest:.4e}, can be said"
    )]
    TooFar {
        /// How many times the last x was asked for.
        ahead: f64,
        /// How many times can be said.
        most: f64,
        /// That place.
        furthest: f64,
    },
    /// The curve does not determine it.
    #[error(
        "the answer may be anything from {low:.4} to {high:.4}, and the whole curve fell by {fallen:.4}: it does not say \
         where it goes; measure further, or ask nearer"
    )]
    Undetermined {
        /// Lower end of the interval.
        low: f64,
        /// Upper end.
        high: f64,
        /// First value less the last.
        fallen: f64,
    },
}

/// The value of the curve through the points (`x` above 0, in any order) at another place.
///
/// # Errors
/// Fewer than four points, points that are none, a place further ahead than the curve can be tested on, or an answer as
/// uncertain as all that the curve has fallen by.
pub fn extrapolate(x: &[f64], y: &[f64], at: f64, draws: usize, seed: u64) -> Result<Extrapolation, CurveError> {
    if !(at.is_finite() && at > 0.0) {
        return Err(CurveError::Place(at));
    }
    if let Some(row) = y.iter().position(|value| !value.is_finite()) {
        return Err(CurveError::NotFinite { row, value: y[row] });
    }
    let law = Saturating::fit(x, y)?;
    let mut points: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (last, fallen) = (points[points.len() - 1], points[0].1 - points[points.len() - 1].1);
    let ahead = at / last.0;
    let missed_by = if ahead > 1.0 { Some(hindsight(&points, ahead)?) } else { None };
    let mut stream = Stream::new(&[seed], "curve bootstrap");
    let residuals: Vec<f64> = points.iter().map(|(x, y)| y - law.at(*x)).collect();
    let xs: Vec<f64> = points.iter().map(|point| point.0).collect();
    let drawn = (0..draws).filter_map(|_| {
        let ys: Vec<f64> = xs.iter().map(|x| law.at(*x) + residuals[stream.index(residuals.len())]).collect();
        Saturating::fit(&xs, &ys).ok().map(|law| law.at(at))
    });
    let drawn: Vec<f64> = drawn.collect();
    let estimate = law.at(at);
    let alone = Interval { estimate, low: estimate, high: estimate };
    let bootstrapped = percentile_interval(estimate, drawn).unwrap_or(alone);
    let missed = missed_by.map_or(0.0, f64::abs);
    let value = Interval { estimate, low: bootstrapped.low - missed, high: bootstrapped.high + missed };
    if value.high - value.low > fallen.abs() {
        return Err(CurveError::Undetermined { low: value.low, high: value.high, fallen });
    }
    Ok(Extrapolation { law, ahead, value, missed_by })
}

/// By how much the law through the points up to `1/ahead` of the last one misses it.
fn hindsight(points: &[(f64, f64)], ahead: f64) -> Result<f64, CurveError> {
    let last = points[points.len() - 1];
    // Within rounding: a curve measured at 1, 2, 4, … may be asked for 8 times its last.
    let early: Vec<(f64, f64)> =
        points.iter().copied().filter(|point| point.0 * ahead <= last.0 * (1.0 + 1e-9)).collect();
    if early.len() < LEAST {
        let most = last.0 / points[LEAST - 1].0;
        return Err(CurveError::TooFar { ahead, most, furthest: most * last.0 });
    }
    let column = |of: fn(&(f64, f64)) -> f64| early.iter().map(of).collect::<Vec<f64>>();
    Ok(Saturating::fit(&column(|point| point.0), &column(|point| point.1))?.at(last.0) - last.1)
}
