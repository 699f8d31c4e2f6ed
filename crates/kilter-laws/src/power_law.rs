//! Straight lines in logarithms: least squares, what cannot be told from the rows, bootstrap, and a law that saturates.
//!
//! Shared by every scaling fit of this room. Least squares by Householder QR (faer), so that a column explained by the
//! columns before it shows as a vanishing diagonal entry of R. Bootstrap: Efron, *Bootstrap Methods: Another Look at the
//! Jackknife* (1979), percentile intervals. Cost: O(rows * columns²) per fit.

use faer::Mat;
use faer::linalg::solvers::SolveLstsq;
use kilter_numerics::Stream;
use kilter_numerics::compare::Interval;
use serde::Serialize;
use thiserror::Error;

/// A column whose part that earlier columns cannot explain is below this share of its length is not identifiable. Sums of
/// 1e5 rounded logarithms differ by 1e-11 of their size, and logarithms of sizes that differ by a thousandth by 1e-4.
const RANK_TOLERANCE: f64 = 1e-9;

/// Exponents that the saturating law tries before it refines the best: beyond them the curve is a step or a constant.
const EXPONENTS: (f64, f64) = (1e-3, 5.0);

/// Why a law could not be fitted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FitError {
    /// More coefficients than rows.
    #[error(
        "{rows} rows cannot determine {coefficients} coefficients; give at least {coefficients} different settings"
    )]
    TooFew {
        /// Rows given.
        rows: usize,
        /// Coefficients wanted.
        coefficients: usize,
    },
    /// Columns that are not the rows' columns.
    #[error("column {column} has {found} rows, the target has {rows}; every row needs every column")]
    Ragged {
        /// Which column.
        column: usize,
        /// Its rows.
        found: usize,
        /// Rows of the target.
        rows: usize,
    },
    /// Logarithms need positive numbers.
    #[error("row {row}: {value} has no logarithm; it must be finite and above 0")]
    NotPositive {
        /// The row, from 0.
        row: usize,
        /// What stands there.
        value: f64,
    },
    /// A column that the columns before it explain.
    #[error("column {column} is determined by the columns before it in every row; vary it on its own")]
    Unidentified {
        /// Which column, from 0 (the intercept).
        column: usize,
    },
}

/// `ln y = coefficients[0] + sum_j coefficients[j + 1] * ln x_j`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogLinear {
    /// Intercept, then one exponent per input.
    pub coefficients: Vec<f64>,
    /// Share of the variance of `ln y` that the line explains; 1 if `ln y` does not vary.
    pub r_squared: f64,
}

impl LogLinear {
    /// Fits `y` (`[rows]`) on the inputs (each `[rows]`), all positive.
    ///
    /// # Errors
    /// See [`FitError`].
    pub fn fit(inputs: &[&[f64]], y: &[f64]) -> Result<Self, FitError> {
        let ones = vec![1.0; y.len()];
        let ln_inputs = inputs.iter().map(|column| logarithms(column)).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<&[f64]> =
            std::iter::once(ones.as_slice()).chain(ln_inputs.iter().map(Vec::as_slice)).collect();
        let target = logarithms(y)?;
        let coefficients = least_squares(&columns, &target)?;
        let r_squared = r_squared(&columns, &coefficients, &target);
        Ok(Self { coefficients, r_squared })
    }

    /// The value at `inputs`, one per exponent.
    pub fn at(&self, inputs: &[f64]) -> f64 {
        let exponents = self.coefficients[1..].iter().zip(inputs);
        (self.coefficients[0] + exponents.map(|(c, x)| c * x.ln()).sum::<f64>()).exp()
    }
}

/// `y = floor + amplitude * x^-exponent`: a law that saturates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Saturating {
    /// Where it ends, in the unit of y.
    pub floor: f64,
    /// What is above the floor at x = 1.
    pub amplitude: f64,
    /// How fast it falls, within 1e-3 to 5.
    pub exponent: f64,
    /// Sum of squared residuals.
    pub squared_error: f64,
}

impl Saturating {
    /// Least squares over all three: for each exponent the other two are linear (variable projection; Golub and Pereyra,
    /// 1973), and the best exponent is found on a logarithmic grid and refined by golden section.
    ///
    /// # Errors
    /// Fewer than 4 rows, or an `x` that is not positive or does not vary.
    pub fn fit(x: &[f64], y: &[f64]) -> Result<Self, FitError> {
        if y.len() < 4 {
            return Err(FitError::TooFew { rows: y.len(), coefficients: 4 });
        }
        let ln_x = logarithms(x)?;
        let at = |ln_exponent: f64| Self::given_exponent(&ln_x, y, ln_exponent.exp());
        let (low, high) = (EXPONENTS.0.ln(), EXPONENTS.1.ln());
        let step = (high - low) / 200.0;
        let mut best = at(low)?;
        for i in 1..=200 {
            // An exponent so high that the powers underflow to equal columns is no candidate.
            if let Ok(found) = at(low + step * f64::from(i))
                && found.squared_error < best.squared_error
            {
                best = found;
            }
        }
        let shrink = (5.0_f64.sqrt() - 1.0) / 2.0;
        let (mut left, mut right) = (best.exponent.ln() - step, (best.exponent.ln() + step).min(high));
        while right - left > 1e-10 {
            let (a, b) = (right - shrink * (right - left), left + shrink * (right - left));
            if at(a)?.squared_error <= at(b)?.squared_error { right = b } else { left = a }
        }
        let refined = at(0.5 * (left + right))?;
        Ok(if refined.squared_error < best.squared_error { refined } else { best })
    }

    /// The value at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.floor + self.amplitude * x.powf(-self.exponent)
    }

    fn given_exponent(ln_x: &[f64], y: &[f64], exponent: f64) -> Result<Self, FitError> {
        let powers: Vec<f64> = ln_x.iter().map(|l| (-exponent * l).exp()).collect();
        // A line through (power, y), about their means.
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (mean_power, mean_y) = (mean(&powers), mean(y));
        let about = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            powers.iter().zip(y).map(|(p, y)| of(p - mean_power, y - mean_y)).sum()
        };
        let (spread, length) = (about(&|p, _| p * p), powers.iter().map(|p| p * p).sum::<f64>());
        if spread.sqrt().partial_cmp(&(RANK_TOLERANCE * length.sqrt())) != Some(std::cmp::Ordering::Greater) {
            return Err(FitError::Unidentified { column: 1 });
        }
        let amplitude = about(&|p, y| p * y) / spread;
        let found = [mean_y - amplitude * mean_power, amplitude];
        let residual = |(p, y): (&f64, &f64)| (y - found[0] - found[1] * p).powi(2);
        let squared_error = powers.iter().zip(y).map(residual).sum();
        Ok(Self { floor: found[0], amplitude: found[1], exponent, squared_error })
    }
}

/// The coefficients `c` (one per column) that minimise `|sum_j c_j columns[j] - target|²`.
///
/// # Errors
/// Ragged columns, fewer rows than columns, or a column that the columns before it explain.
pub fn least_squares(columns: &[&[f64]], target: &[f64]) -> Result<Vec<f64>, FitError> {
    let rows = target.len();
    if let Some((column, values)) = columns.iter().enumerate().find(|(_, values)| values.len() != rows) {
        return Err(FitError::Ragged { column, found: values.len(), rows });
    }
    if rows < columns.len() {
        return Err(FitError::TooFew { rows, coefficients: columns.len() });
    }
    let design = Mat::from_fn(rows, columns.len(), |i, j| columns[j][i]);
    let qr = design.qr();
    let r = qr.thin_R();
    for j in 0..columns.len() {
        let length = design.col(j).norm_l2();
        if r[(j, j)].abs().partial_cmp(&(RANK_TOLERANCE * length)) != Some(std::cmp::Ordering::Greater) {
            return Err(FitError::Unidentified { column: j });
        }
    }
    let solution = qr.solve_lstsq(Mat::from_fn(rows, 1, |i, _| target[i]));
    Ok((0..columns.len()).map(|j| solution[(j, 0)]).collect())
}

/// Calls `fit` with `draws` resamples (with replacement) of the row numbers `0..rows` and collects what it returns.
///
/// A resample in which `fit` finds nothing to fit is drawn again, at most ten times as often as asked for; so the result
/// may be shorter than `draws` where hardly any resample can be fitted.
pub fn bootstrap<T>(
    rows: usize,
    draws: usize,
    stream: &mut Stream,
    mut fit: impl FnMut(&[usize]) -> Option<T>,
) -> Vec<T> {
    let mut fits = Vec::with_capacity(draws);
    let mut sample = vec![0; rows];
    for _ in 0..draws.saturating_mul(10) {
        if fits.len() == draws {
            break;
        }
        sample.fill_with(|| stream.index(rows));
        fits.extend(fit(&sample));
    }
    fits
}

/// `estimate` with the 2.5 and 97.5 percentiles of `draws`; the interval is widened to contain the estimate.
///
/// `None` if no draw is finite.
pub fn percentile_interval(estimate: f64, draws: impl IntoIterator<Item = f64>) -> Option<Interval> {
    let mut draws: Vec<f64> = draws.into_iter().filter(|draw| draw.is_finite()).collect();
    draws.sort_by(f64::total_cmp);
    let (low, high) = (percentile(&draws, 0.025)?, percentile(&draws, 0.975)?);
    Some(Interval { estimate, low: low.min(estimate), high: high.max(estimate) })
}

/// The `q`-quantile of ascending values, linear between order statistics (type 7 of Hyndman and Fan, 1996: the default
/// of numpy and R). `None` without values.
pub fn percentile(ascending: &[f64], q: f64) -> Option<f64> {
    let last = ascending.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(ascending[below] + (place - below as f64) * (ascending[above] - ascending[below]))
}

fn logarithms(values: &[f64]) -> Result<Vec<f64>, FitError> {
    let logarithm = |(row, &value): (usize, &f64)| {
        if value.is_finite() && value > 0.0 { Ok(value.ln()) } else { Err(FitError::NotPositive { row, value }) }
    };
    values.iter().enumerate().map(logarithm).collect()
}

fn r_squared(columns: &[&[f64]], coefficients: &[f64], target: &[f64]) -> f64 {
    let mean = target.iter().sum::<f64>() / target.len() as f64;
    let total: f64 = target.iter().map(|y| (y - mean).powi(2)).sum();
    let residual = |(i, y): (usize, &f64)| {
        let fitted: f64 = columns.iter().zip(coefficients).map(|(column, c)| c * column[i]).sum();
        (y - fitted).powi(2)
    };
    let left: f64 = target.iter().enumerate().map(residual).sum();
    if total > 0.0 { 1.0 - left / total } else { 1.0 }
}
