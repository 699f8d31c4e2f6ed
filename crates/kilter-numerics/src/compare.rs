//! Statistics of comparison: an estimate with its interval, and whether two methods differ over the same seeds.
//!
//! Wilson's score interval (*Probable Inference, the Law of Succession, and Statistical Inference*, 1927, without
//! continuity correction) for a proportion; Student's t (*The Probable Error of a Mean*, 1908) for a mean and for the
//! mean of paired differences. Cost: one pass for the mean, one for the deviation. Where values are far from normal, the
//! percentile bootstrap (Efron, *Bootstrap Methods: Another Look at the Jackknife*, 1979): one pass per resample.

use std::fmt;

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::stream::Stream;

/// The standard normal's 97.5 % point: the `z` of a two-sided 95 % interval.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// An estimate and the ends of its interval, in the unit of what was estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate itself.
    pub estimate: f64,
    /// Lower end, at most `estimate`.
    pub low: f64,
    /// Upper end, at least `estimate`.
    pub high: f64,
}

/// The mean of `a[i] - b[i]` and how surprising it would be if the true mean were zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedDifference {
    /// Mean difference (`a` minus `b`) with its t interval.
    pub difference: Interval,
    /// Sample deviation of the differences over `sqrt(pairs)`.
    pub standard_error: f64,
    /// Two-sided p of the paired t test. Where all differences are equal the test's limit stands: 0 for a difference
    /// other than zero, 1 for none.
    pub p_value: f64,
    /// Number of pairs.
    pub pairs: usize,
}

/// Why a comparison has no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CompareError {
    /// A deviation needs at least two values.
    TooFew {
        /// Values given.
        given: usize,
    },
    /// The two samples are not pairs.
    Unpaired {
        /// Length of the first sample.
        first: usize,
        /// Length of the second sample.
        second: usize,
    },
    /// A value is infinite or not a number.
    NotFinite {
        /// Its place in the sample.
        index: usize,
    },
    /// The confidence is not inside (0, 1).
    Confidence(f64),
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { given } => {
                write!(f, "sample of {given}: an interval of the mean needs at least 2 values; run more seeds")
            }
            Self::Unpaired { first, second } => {
                write!(f, "samples of {first} and {second} values are not pairs; compare the same seeds on both sides")
            }
            Self::NotFinite { index } => {
                write!(f, "value {index} of the sample is not finite; leave failed runs out on both sides")
            }
            Self::Confidence(given) => {
                write!(f, "confidence {given} must be between 0 and 1 (both excluded), for example 0.95")
            }
        }
    }
}

impl std::error::Error for CompareError {}

/// Wilson's score interval of the proportion `successes / trials`; `z` is the normal quantile ([`Z_95`] for 95 %).
///
/// `None` where there is no proportion: no trials, more successes than trials, or a `z` that is negative or not finite.
pub fn wilson(successes: u64, trials: u64, z: f64) -> Option<Interval> {
    if trials == 0 || successes > trials || !z.is_finite() || z < 0.0 {
        return None;
    }
    let n = trials as f64;
    let p = successes as f64 / n;
    let denominator = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / denominator;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / denominator;
    // At p = 0 and p = 1 one end equals p exactly, which rounding must not push past it.
    Some(Interval { estimate: p, low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0) })
}

/// The mean of `values` with its two-sided t interval (`confidence` in (0, 1), usually 0.95).
///
/// # Errors
/// Fewer than two values, a value that is not finite, or a confidence outside (0, 1).
pub fn mean_interval(values: &[f64], confidence: f64) -> Result<Interval, CompareError> {
    let (mean, standard_error) = mean_and_standard_error(values)?;
    t_interval(mean, standard_error, values.len(), confidence)
}

/// Compares two methods over the same seeds: the mean of `a[i] - b[i]`, its t interval, and the paired t test's p.
///
/// # Errors
/// Samples of different lengths, fewer than two pairs, a difference that is not finite, or a confidence outside (0, 1).
pub fn paired_difference(a: &[f64], b: &[f64], confidence: f64) -> Result<PairedDifference, CompareError> {
    if a.len() != b.len() {
        return Err(CompareError::Unpaired { first: a.len(), second: b.len() });
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let (mean, standard_error) = mean_and_standard_error(&differences)?;
    let difference = t_interval(mean, standard_error, differences.len(), confidence)?;
    let p_value = if standard_error > 0.0 {
        // The lower tail, doubled: 1 - cdf would lose every digit of a small p.
        (2.0 * student(differences.len())?.cdf(-(mean / standard_error).abs())).min(1.0)
    } else if mean == 0.0 {
        1.0
    } else {
        0.0
    };
    Ok(PairedDifference { difference, standard_error, p_value, pairs: differences.len() })
}

/// The mean of the groups' means with its percentile-bootstrap interval: each resample draws every group anew, with
/// replacement, from itself. One group: the bootstrap of a mean.
///
/// # Errors
/// No group, an empty group, no resample, a value that is not finite, or a confidence outside (0, 1).
pub fn bootstrap_mean(
    groups: &[&[f64]],
    confidence: f64,
    resamples: usize,
    stream: &mut Stream,
) -> Result<Interval, CompareError> {
    if groups.is_empty() || resamples == 0 || groups.iter().any(|group| group.is_empty()) {
        return Err(CompareError::TooFew { given: 0 });
    }
    if let Some(index) = groups.iter().find_map(|group| group.iter().position(|v| !v.is_finite())) {
        return Err(CompareError::NotFinite { index });
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(CompareError::Confidence(confidence));
    }
    let mean_of = |pick: &mut dyn FnMut(&[f64], usize) -> f64| {
        let group_mean = |group: &&[f64]| (0..group.len()).map(|at| pick(group, at)).sum::<f64>() / group.len() as f64;
        groups.iter().map(group_mean).sum::<f64>() / groups.len() as f64
    };
    let estimate = mean_of(&mut |group, at| group[at]);
    let mut means: Vec<f64> =
        (0..resamples).map(|_| mean_of(&mut |group, _| group[stream.index(group.len())])).collect();
    Ok(percentile_interval(estimate, &mut means, confidence))
}

/// Percentile-bootstrap intervals of several statistics of `rows` rows at once: each resample draws the rows anew, with
/// replacement, and `statistics` is given their numbers. A resample counts for those statistics that are finite there; one
/// that is not finite for the rows themselves has no interval.
///
/// # Errors
/// No row, no resample, or a confidence outside (0, 1).
pub fn bootstrap(
    rows: usize,
    confidence: f64,
    resamples: usize,
    stream: &mut Stream,
    statistics: &mut dyn FnMut(&[usize]) -> Vec<f64>,
) -> Result<Vec<Option<Interval>>, CompareError> {
    if rows == 0 || resamples == 0 {
        return Err(CompareError::TooFew { given: 0 });
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(CompareError::Confidence(confidence));
    }
    let estimates = statistics(&(0..rows).collect::<Vec<_>>());
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); estimates.len()];
    let mut picked = vec![0; rows];
    for _ in 0..resamples {
        picked.fill_with(|| stream.index(rows));
        for (all, value) in drawn.iter_mut().zip(statistics(&picked)) {
            all.extend(Some(value).filter(|value| value.is_finite()));
        }
    }
    let interval = |(estimate, mut all): (f64, Vec<f64>)| {
        (estimate.is_finite() && !all.is_empty()).then(|| percentile_interval(estimate, &mut all, confidence))
    };
    Ok(estimates.into_iter().zip(drawn).map(interval).collect())
}

/// The percentiles of what a bootstrap drew.
fn percentile_interval(estimate: f64, drawn: &mut [f64], confidence: f64) -> Interval {
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn[((share * drawn.len() as f64) as usize).min(drawn.len() - 1)];
    let tail = (1.0 - confidence) / 2.0;
    // A skewed sample's percentiles may leave the estimate out; an interval that does not hold it misleads.
    Interval { estimate, low: at(tail).min(estimate), high: at(1.0 - tail).max(estimate) }
}

fn mean_and_standard_error(values: &[f64]) -> Result<(f64, f64), CompareError> {
    if values.len() < 2 {
        return Err(CompareError::TooFew { given: values.len() });
    }
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        return Err(CompareError::NotFinite { index });
    }
    let n = values.len() as f64;
    // Taken from the first value, so that equal values have deviation zero and not a rounding error.
    let origin = values[0];
    let mean = origin + values.iter().map(|v| v - origin).sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
    Ok((mean, (variance / n).sqrt()))
}

fn t_interval(mean: f64, standard_error: f64, n: usize, confidence: f64) -> Result<Interval, CompareError> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(CompareError::Confidence(confidence));
    }
    let half = student(n)?.inverse_cdf(0.5 + confidence / 2.0) * standard_error;
    Ok(Interval { estimate: mean, low: mean - half, high: mean + half })
}

/// Student's t of a mean of `n` values: `n - 1` degrees of freedom.
fn student(n: usize) -> Result<StudentsT, CompareError> {
    StudentsT::new(0.0, 1.0, n as f64 - 1.0).map_err(|_| CompareError::TooFew { given: n })
}
