//! The power law of the learning rate: best peak from batch and tokens, independent of the model's size under muP.
//!
//! *Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler* (2024): under warm-up, stable, decay
//! with muP the best learning rate is `eta = beta * 4.6 * T^-0.51`, beta the batch in sequences of 4096 tokens, T the
//! training tokens. The amplitude for another sequence length is an assumption: here beta is the batch in tokens over
//! `batch_unit_tokens`, so that tokens per step are what counts. Cost: a handful of floating-point operations.

mod schedule;

use kilter_numerics::Stream;
use kilter_numerics::compare::Interval;
use serde::Serialize;
use thiserror::Error;

pub use kilter_numerics::Fall;
pub use schedule::{Course, Ending, Phase, PowerConfig, Schedule, ScheduleError};

use crate::limits::{Fitted, Outside, Quantity, Trust, serialize_interval};
use crate::power_law::{FitError, LogLinear, bootstrap, least_squares, percentile_interval};

/// Tokens of one sequence in the paper: the unit of its batch sizes.
pub const BATCH_UNIT_TOKENS: f64 = 4096.0;

/// Amplitude and exponent of each model size the paper fitted: 12M, 36M and 121M parameters.
pub const FIT_PER_SIZE: [(f64, f64); 3] = [(4.34, -0.507), (4.86, -0.513), (4.46, -0.508)];

/// What a peak of this law presumes.
pub const ASSUMPTIONS: [&str; 3] = [
    "schedule: warm-up, stable, decay over the last tenth",
    "muP with attention logits over d_head; internal matrices train at the rate over their width ratio",
    "batch counted in tokens: sequences of another length than 4096 are assumed to act by their tokens",
];

/// The training lengths behind the law.
pub const FITTED_TOKENS: Fitted = Fitted { quantity: Quantity::Tokens, low: 2e9, high: 256e9 };
/// The batches behind the law: 16 to 512 sequences of 4096 tokens.
pub const FITTED_BATCH: Fitted =
    Fitted { quantity: Quantity::BatchTokens, low: 16.0 * BATCH_UNIT_TOKENS, high: 512.0 * BATCH_UNIT_TOKENS };

/// `eta = batch_tokens / batch_unit_tokens * amplitude * tokens^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PowerLaw {
    /// Learning rate per unit of batch at one token, default 4.6.
    pub amplitude: f64,
    /// Exponent of the tokens, default -0.51.
    pub exponent: f64,
    /// Tokens that count as one unit of batch, default 4096.
    pub batch_unit_tokens: f64,
}

impl Default for PowerLaw {
    fn default() -> Self {
        Self { amplitude: 4.6, exponent: -0.51, batch_unit_tokens: BATCH_UNIT_TOKENS }
    }
}

impl PowerLaw {
    /// Best peak learning rate.
    pub fn at(&self, batch_tokens: f64, tokens: f64) -> f64 {
        batch_tokens / self.batch_unit_tokens * self.amplitude * tokens.powf(self.exponent)
    }

    /// Best peak learning rate, with the span of the three fits per size scaled about it, and its limits.
    ///
    /// # Errors
    /// Tokens, batch or unit not above 0, an amplitude not above 0, an exponent not below 0.
    pub fn predict(&self, batch_tokens: f64, tokens: f64) -> Result<Prediction, LawError> {
        let positive = [
            ("tokens", tokens),
            ("batch_tokens", batch_tokens),
            ("batch_unit_tokens", self.batch_unit_tokens),
            ("a", self.amplitude),
        ];
        if let Some(&(what, value)) = positive.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(LawError::NotPositive { what, value });
        }
        if !(self.exponent.is_finite() && self.exponent < 0.0) {
            return Err(LawError::Grows(self.exponent));
        }
        let learning_rate = self.at(batch_tokens, tokens);
        let published = Self::default();
        let ratio = |&(a, b): &(f64, f64)| a * tokens.powf(b) / (published.amplitude * tokens.powf(published.exponent));
        let ratios = FIT_PER_SIZE.map(|fit| ratio(&fit));
        let span = Interval {
            estimate: learning_rate,
            low: learning_rate * ratios.into_iter().fold(1.0, f64::min),
            high: learning_rate * ratios.into_iter().fold(1.0, f64::max),
        };
        let outside = [FITTED_TOKENS.outside(tokens), FITTED_BATCH.outside(batch_tokens)];
        let trust = Trust::Checked;
        Ok(Prediction { law: *self, learning_rate: span, outside: outside.into_iter().flatten().collect(), trust })
    }
}

/// Numbers the law cannot be asked with.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum LawError {
    /// Sizes are positive.
    #[error("{what}: {value} must be finite and above 0")]
    NotPositive {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// The rate would rise with the tokens.
    #[error("b: {0} must be below 0, or the rate grows with the tokens; the paper's is -0.51")]
    Grows(f64),
}

/// A peak learning rate and its limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The law that was asked.
    pub law: PowerLaw,
    /// The peak; the interval spans the paper's fits of three model sizes, which is not a confidence interval.
    #[serde(serialize_with = "serialize_interval")]
    pub learning_rate: Interval,
    /// What lies outside the fitted range; empty inside.
    pub outside: Vec<Outside>,
    /// Where the constants come from.
    pub trust: Trust,
}

/// The best learning rate found for one batch and length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimum {
    /// Tokens per step.
    pub batch_tokens: f64,
    /// Training tokens.
    pub tokens: f64,
    /// Best peak learning rate.
    pub learning_rate: f64,
}

/// `eta = amplitude * (batch_tokens / unit)^batch_exponent * tokens^token_exponent`: the paper's law is the case with
/// `batch_exponent` 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PowerFit {
    /// Learning rate of one unit of batch at one token.
    #[serde(serialize_with = "serialize_interval")]
    pub amplitude: Interval,
    /// Exponent of the batch.
    #[serde(serialize_with = "serialize_interval")]
    pub batch_exponent: Interval,
    /// Exponent of the tokens.
    #[serde(serialize_with = "serialize_interval")]
    pub token_exponent: Interval,
    /// Share of the variance of the logarithm explained.
    pub r_squared: f64,
}

/// Fits the law to optima by least squares in logarithms; 95 % intervals from `draws` resamples of the optima.
///
/// # Errors
/// Numbers that are not positive, fewer than 3 optima, or batches and lengths that do not vary on their own.
pub fn fit(optima: &[Optimum], batch_unit_tokens: f64, draws: usize, seed: u64) -> Result<PowerFit, FitError> {
    let column = |of: &dyn Fn(&Optimum) -> f64| optima.iter().map(of).collect::<Vec<f64>>();
    let beta = column(&|o| o.batch_tokens / batch_unit_tokens);
    let tokens = column(&|o| o.tokens);
    let rates = column(&|o| o.learning_rate);
    let whole = LogLinear::fit(&[&beta, &tokens], &rates)?;
    let mut stream = Stream::new(&[seed], "power-law bootstrap");
    let resampled = bootstrap(optima.len(), draws, &mut stream, |sample| {
        let pick = |column: &[f64]| sample.iter().map(|&row| column[row]).collect::<Vec<f64>>();
        LogLinear::fit(&[&pick(&beta), &pick(&tokens)], &pick(&rates)).ok()
    });
    let interval = |place: usize, of: fn(f64) -> f64| {
        let estimate = of(whole.coefficients[place]);
        let unknown = Interval { estimate, low: f64::NEG_INFINITY, high: f64::INFINITY };
        percentile_interval(estimate, resampled.iter().map(|draw| of(draw.coefficients[place]))).unwrap_or(unknown)
    };
    Ok(PowerFit {
        amplitude: interval(0, f64::exp),
        batch_exponent: interval(1, |x| x),
        token_exponent: interval(2, |x| x),
        r_squared: whole.r_squared,
    })
}

/// The learning rate at the vertex of the parabola through a sweep of `(learning rate, loss)`, in ln of the rate.
///
/// `None` where the parabola has no minimum: the sweep does not bracket the best rate.
///
/// # Errors
/// Fewer than 3 different rates, or one that is not positive.
pub fn best_of_sweep(sweep: &[(f64, f64)]) -> Result<Option<f64>, FitError> {
    let bad = sweep.iter().position(|(rate, _)| !(rate.is_finite() && *rate > 0.0));
    if let Some(row) = bad {
        return Err(FitError::NotPositive { row, value: sweep[row].0 });
    }
    let centre = sweep.iter().map(|(rate, _)| rate.ln()).sum::<f64>() / sweep.len() as f64;
    let x: Vec<f64> = sweep.iter().map(|(rate, _)| rate.ln() - centre).collect();
    let squared: Vec<f64> = x.iter().map(|x| x * x).collect();
    let losses: Vec<f64> = sweep.iter().map(|(_, loss)| *loss).collect();
    let found = least_squares(&[&vec![1.0; x.len()], &x, &squared], &losses)?;
    Ok((found[2] > 0.0).then(|| (centre - found[1] / (2.0 * found[2])).exp()))
}
