//! Many methods over many problems: mean ranks, Friedman's test, Nemenyi's critical difference.
//!
//! Demšar, *Statistical Comparisons of Classifiers over Multiple Data Sets* (2006): methods are ranked on each problem
//! (equals share the mean of their ranks); Friedman's χ² (*The Use of Ranks to Avoid the Assumption of Normality*,
//! 1937), corrected for ties, says whether the mean ranks could differ by chance; two methods differ where their mean
//! ranks are further apart than Nemenyi's critical difference, which rests on the range of independent normals. Cost:
//! sorting each problem's values, and an integral of some thousand points per step of a bisection.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::compare::CompareError;
use crate::normal;

/// What the ranks of methods over problems say.
#[derive(Clone, Debug, PartialEq)]
pub struct Friedman {
    /// Each method's mean rank over the problems; 1 is best.
    pub mean_ranks: Vec<f64>,
    /// Friedman's statistic, corrected for ties.
    pub chi_squared: f64,
    /// How surprising the statistic were if all methods were equally good. 1 where no problem tells any two apart.
    pub p_value: f64,
    /// Number of problems.
    pub problems: usize,
}

/// Ranks from 1; smaller values rank first, equal ones share the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let shared = before as f64 + (equals.len() + 1) as f64 / 2.0;
        equals.iter().for_each(|&at| ranks[at] = shared);
        before += equals.len();
    }
    ranks
}

/// Friedman's test over `problems`: each holds one value per method, in the same order; smaller is better.
///
/// # Errors
/// Fewer than two problems or methods, problems of different lengths, or a value that is not finite.
pub fn friedman(problems: &[Vec<f64>]) -> Result<Friedman, CompareError> {
    let methods = problems.first().map_or(0, Vec::len);
    let given = problems.len().min(methods);
    if given < 2 {
        return Err(CompareError::TooFew { given });
    }
    let (n, k) = (problems.len() as f64, methods as f64);
    let (mut sums, mut ties) = (vec![0.0; methods], 0.0);
    for values in problems {
        if values.len() != methods {
            return Err(CompareError::Unpaired { first: methods, second: values.len() });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(CompareError::NotFinite { index });
        }
        let ranks = ranks(values);
        let mut sorted = ranks.clone();
        sorted.sort_by(f64::total_cmp);
        ties += sorted.chunk_by(|a, b| a == b).map(|t| (t.len() as f64).powi(3) - t.len() as f64).sum::<f64>();
        sums.iter_mut().zip(ranks).for_each(|(sum, rank)| *sum += rank);
    }
    let untied = 1.0 - ties / (n * k * (k * k - 1.0));
    let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
    let chi_squared = 12.0 / (n * k * (k + 1.0)) * squares - 3.0 * n * (k + 1.0);
    let (chi_squared, p_value) = if untied > 0.0 {
        let chi_squared = chi_squared.max(0.0) / untied;
        let law = ChiSquared::new(k - 1.0).map_err(|_| CompareError::TooFew { given })?;
        (chi_squared, law.sf(chi_squared))
    } else {
        (0.0, 1.0)
    };
    let mean_ranks = sums.into_iter().map(|sum| sum / n).collect();
    Ok(Friedman { mean_ranks, chi_squared, p_value, problems: problems.len() })
}

/// Nemenyi's critical difference: mean ranks over `problems` that are further apart than this differ at the level
/// 1 - `confidence`, all pairs of `methods` taken together.
///
/// # Errors
/// No problem, fewer than two methods, or a confidence outside (0, 1).
pub fn critical_difference(methods: usize, problems: usize, confidence: f64) -> Result<f64, CompareError> {
    if methods < 2 || problems < 1 {
        return Err(CompareError::TooFew { given: methods.min(problems) });
    }
    let (n, k) = (problems as f64, methods as f64);
    // Studentised, but for √2: a difference of two ranks has twice the variance of one.
    Ok(range_quantile(methods, confidence)? / std::f64::consts::SQRT_2 * (k * (k + 1.0) / (6.0 * n)).sqrt())
}

/// The quantile of the range of `count` independent standard normals: the studentised range with infinitely many
/// degrees of freedom. To about 1e-12.
///
/// # Errors
/// Fewer than two normals, or a probability outside (0, 1).
pub fn range_quantile(count: usize, probability: f64) -> Result<f64, CompareError> {
    if count < 2 {
        return Err(CompareError::TooFew { given: count });
    }
    if !(probability > 0.0 && probability < 1.0) {
        return Err(CompareError::Confidence(probability));
    }
    let (mut low, mut high) = (0.0, 2.0);
    while range_cdf(count, high) < probability {
        (low, high) = (high, high * 2.0);
        // Beyond this a probability below 1 cannot be told from 1.
        if high > 64.0 {
            break;
        }
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        *if range_cdf(count, middle) < probability { &mut low } else { &mut high } = middle;
    }
    Ok(f64::midpoint(low, high))
}

/// P(range of `count` standard normals ≤ q) = count ∫ φ(z) (Φ(z) - Φ(z - q))^(count - 1) dz, where z is the largest.
fn range_cdf(count: usize, q: f64) -> f64 {
    // The integrand is smooth and vanishes at both ends, where the trapezoid rule converges faster than any power.
    const STEP: f64 = 1.0 / 64.0;
    let sum: f64 = (-640..=640)
        .map(|i| {
            let z = f64::from(i) * STEP;
            let inside = (count as f64 - 1.0) * normal::log_mass(z - q, z);
            (-0.5 * z * z - normal::LN_SQRT_2PI + inside).exp()
        })
        .sum();
    count as f64 * sum * STEP
}
