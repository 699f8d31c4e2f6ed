//! Compute classes: models compared by what the same hours of one device buy.
//!
//! *The Languini Kitchen: Enabling Language Modelling Research at Different Scales of Compute* (2023). A class is a number
//! of hours on a named device; a configuration's measured throughput there turns it into tokens and steps, wherever the
//! training then runs. Perplexity per byte of text compares tokenisers; families are compared by straight lines in
//! logarithms over hours and by where these cross. Cost: O(runs) per fit, times the resamples for an interval.

use kilter_numerics::Stream;
use kilter_numerics::compare::Interval;
use serde::Serialize;
use thiserror::Error;

use crate::limits::serialize_optional_interval;
use crate::power_law::{FitError, LogLinear, percentile_interval};
use crate::transformer_cost::{Mixer, Norm, Transformer};

/// The paper's classes, in hours of its reference device.
pub const CLASS_HOURS: [f64; 5] = [6.0, 12.0, 24.0, 48.0, 96.0];

/// Crossings outside these hours are not said: nobody trains for a thousand years.
const CROSSING_HOURS: std::ops::RangeInclusive<f64> = 1e-3..=1e7;

/// A size of the paper's two families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its name.
    pub name: &'static str,
    /// Blocks.
    pub layers: u64,
    /// Width.
    pub hidden: u64,
    /// Width of the feed-forward net.
    pub ffn: u64,
    /// Heads.
    pub heads: u64,
    /// Units per head.
    pub head_dim: u64,
}

/// The paper's sizes.
pub const SIZES: [Size; 6] = [
    Size { name: "mini", layers: 4, hidden: 512, ffn: 2048, heads: 8, head_dim: 32 },
    Size { name: "tiny", layers: 4, hidden: 768, ffn: 3072, heads: 12, head_dim: 64 },
    Size { name: "small", layers: 12, hidden: 768, ffn: 3072, heads: 12, head_dim: 64 },
    Size { name: "medium", layers: 24, hidden: 1024, ffn: 4096, heads: 16, head_dim: 64 },
    Size { name: "large", layers: 24, hidden: 1536, ffn: 6144, heads: 16, head_dim: 96 },
    Size { name: "XL", layers: 24, hidden: 2048, ffn: 8192, heads: 24, head_dim: 128 },
];

impl Size {
    /// The model of this size in either family: biases everywhere but in the untied head; learned positions with
    /// attention only.
    pub fn model(&self, mixer: Mixer, vocabulary: u64, seq_len: u64) -> Transformer {
        Transformer {
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            kv_heads: self.heads,
            head_dim: self.head_dim,
            ffn: self.ffn,
            gated: false,
            vocabulary,
            seq_len,
            mixer,
            norm: Norm::Layer,
            biases: true,
            learned_positions: mixer == Mixer::Attention,
            tied_head: false,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ClassError {
    /// Numbers are positive.
    #[error("{what}: {value} must be finite and above 0")]
    NotPositive {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// Not one step.
    #[error(
        "{hours} h buy {tokens:.0} tokens, less than one step of {step}; the smallest class that works is {smallest_hours:.3e} h"
    )]
    NoStep {
        /// Hours asked for.
        hours: f64,
        /// Tokens they buy.
        tokens: f64,
        /// Tokens of a step.
        step: u64,
        /// Hours of one step.
        smallest_hours: f64,
    },
    /// Windows must tile.
    #[error("last_n {last_n} must divide seq_len {seq_len}; for example {example}")]
    LastN {
        /// Targets scored per window.
        last_n: usize,
        /// Tokens per window.
        seq_len: usize,
        /// A divisor near it.
        example: usize,
    },
    /// Nothing to score.
    #[error("no tokens or no text to score; a perplexity needs both")]
    Nothing,
    /// A likelihood that is none.
    #[error("token {index}: a negative log likelihood of {value} must be finite")]
    Likelihood {
        /// Which token.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// The law could not be fitted.
    #[error("scaling fit: {0}")]
    Fit(#[from] FitError),
}

/// What a class buys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// Hours of the reference device.
    pub hours: f64,
    /// Tokens, not rounded.
    pub tokens: f64,
    /// Whole steps.
    pub steps: u64,
}

/// Tokens and steps of `hours` at a throughput measured on the class's device: `tokens = tokens/s * 3600 * hours`,
/// `steps = floor(tokens / (batch * seq_len))`, batch in sequences.
///
/// # Errors
/// Numbers not above 0, or hours that do not buy one step.
pub fn budget(tokens_per_second: f64, hours: f64, batch: u64, seq_len: u64) -> Result<Budget, ClassError> {
    for (what, value) in
        [("throughput", tokens_per_second), ("hours", hours), ("batch", batch as f64), ("seq_len", seq_len as f64)]
    {
        if !(value.is_finite() && value > 0.0) {
            return Err(ClassError::NotPositive { what, value });
        }
    }
    let tokens = tokens_per_second * 3600.0 * hours;
    let step = batch.saturating_mul(seq_len);
    let steps = (tokens / step as f64).floor() as u64;
    if steps == 0 {
        let smallest_hours = step as f64 / (tokens_per_second * 3600.0);
        return Err(ClassError::NoStep { hours, tokens, step, smallest_hours });
    }
    Ok(Budget { hours, tokens, steps })
}

/// How well a text was predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Perplexity {
    /// `exp(sum NLL / bytes)`: comparable across tokenisers.
    pub normalised: f64,
    /// `exp(sum NLL / characters)`, the reference code's measure; the same for ASCII.
    pub by_chars: f64,
    /// `exp(sum NLL / tokens)`.
    pub token: f64,
    /// `sum NLL / bytes / ln 2`.
    pub bits_per_byte: f64,
}

/// The perplexities of the evaluated targets: their negative log likelihoods (nats, `[tokens]`, padding left out) and the
/// text they decode to.
///
/// # Errors
/// No token, no text, or a likelihood that is not finite.
pub fn perplexity(nll: &[f64], text: &str) -> Result<Perplexity, ClassError> {
    if nll.is_empty() || text.is_empty() {
        return Err(ClassError::Nothing);
    }
    if let Some(index) = nll.iter().position(|value| !value.is_finite()) {
        return Err(ClassError::Likelihood { index, value: nll[index] });
    }
    let sum: f64 = nll.iter().sum();
    let per = |count: usize| sum / count as f64;
    Ok(Perplexity {
        normalised: per(text.len()).exp(),
        by_chars: per(text.chars().count()).exp(),
        token: per(nll.len()).exp(),
        bits_per_byte: per(text.len()) / std::f64::consts::LN_2,
    })
}

/// One window of the sliding evaluation: half-open ranges of token positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The input, `[from, to)`.
    pub input: [usize; 2],
    /// The targets that are scored, `[from, to)`; target t is predicted from input t - 1.
    pub scored_targets: [usize; 2],
}

/// Windows of `seq_len` shifted by `last_n`, each scoring its last `last_n` targets: every scored token has at least
/// `seq_len - last_n` tokens before it. Earlier and left-over targets are not scored.
///
/// # Errors
/// Sizes of 0, or a `last_n` that does not divide `seq_len`.
pub fn windows(tokens: usize, seq_len: usize, last_n: usize) -> Result<impl Iterator<Item = Window>, ClassError> {
    for (what, value) in [("seq_len", seq_len), ("last_n", last_n)] {
        if value == 0 {
            return Err(ClassError::NotPositive { what, value: 0.0 });
        }
    }
    if !seq_len.is_multiple_of(last_n) {
        let example = (1..=last_n.min(seq_len)).rev().find(|n| seq_len.is_multiple_of(*n)).unwrap_or(1);
        return Err(ClassError::LastN { last_n, seq_len, example });
    }
    let count = tokens.checked_sub(seq_len + 1).map_or(0, |room| room / last_n + 1);
    Ok((0..count).map(move |k| {
        let (from, to) = (k * last_n, k * last_n + seq_len);
        Window { input: [from, to], scored_targets: [to - last_n + 1, to + 1] }
    }))
}

/// A finished run of a family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassRun {
    /// Its class, in hours.
    pub hours: f64,
    /// Normalised perplexity.
    pub perplexity: f64,
}

/// `perplexity = exp(a) * hours^b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScalingFit {
    /// Logarithm of the perplexity at one hour.
    pub a: f64,
    /// Exponent of the hours.
    pub b: f64,
    /// Share of the variance of the logarithm explained.
    pub r_squared: f64,
}

impl ScalingFit {
    /// Perplexity after `hours`.
    pub fn at(&self, hours: f64) -> f64 {
        (self.a + self.b * hours.ln()).exp()
    }

    /// Hours until `perplexity`, or `None` where the fit never gets there.
    pub fn hours_to(&self, perplexity: f64) -> Option<f64> {
        let hours = ((perplexity.ln() - self.a) / self.b).exp();
        (self.b < 0.0 && hours.is_finite()).then_some(hours)
    }

    /// Tokens until `perplexity` at a throughput, or `None` where the fit never gets there.
    pub fn tokens_to(&self, perplexity: f64, tokens_per_second: f64) -> Option<f64> {
        Some(self.hours_to(perplexity)? * 3600.0 * tokens_per_second)
    }

    /// Hours at which two laws meet; `None` for parallel laws and outside 1e-3 to 1e7 hours.
    pub fn crossing(&self, other: &Self) -> Option<f64> {
        let hours = ((self.a - other.a) / (other.b - self.b)).exp();
        CROSSING_HOURS.contains(&hours).then_some(hours)
    }
}

/// The law through the best run of every class.
///
/// # Errors
/// Numbers not above 0, or runs of fewer than two classes.
pub fn fit_family(runs: &[ClassRun]) -> Result<ScalingFit, ClassError> {
    fit_best(&classes(runs)?, |class| class.iter().copied().fold(f64::INFINITY, f64::min))
}

/// Two families and where they cross.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first family's law.
    pub first: ScalingFit,
    /// The second family's law.
    pub second: ScalingFit,
    /// Hours at which they cross, with the 95 % interval over those resamples that cross; none if the laws do not cross
    /// in range.
    #[serde(serialize_with = "serialize_optional_interval")]
    pub crossing_hours: Option<Interval>,
    /// Share of the resamples whose laws cross in range; with one run per class all resamples are alike.
    pub share_crossing: f64,
}

/// Fits both families and their crossing; `draws` times, each class's runs (its seeds) are resampled.
///
/// # Errors
/// As [`fit_family`], for either.
pub fn compare_families(
    first: &[ClassRun],
    second: &[ClassRun],
    draws: usize,
    seed: u64,
) -> Result<Comparison, ClassError> {
    let (first_classes, second_classes) = (classes(first)?, classes(second)?);
    let (first, second) = (fit_family(first)?, fit_family(second)?);
    let mut stream = Stream::new(&[seed], "class bootstrap");
    let mut crossings = Vec::with_capacity(draws);
    for _ in 0..draws {
        let mut resampled = |classes: &[(f64, Vec<f64>)]| {
            let best = |class: &[f64]| {
                (0..class.len()).map(|_| class[stream.index(class.len())]).fold(f64::INFINITY, f64::min)
            };
            fit_best(classes, best)
        };
        crossings.extend(resampled(&first_classes)?.crossing(&resampled(&second_classes)?));
    }
    let share_crossing = if draws == 0 { 0.0 } else { crossings.len() as f64 / draws as f64 };
    let crossing_hours = first.crossing(&second).map(|hours| {
        let unknown = Interval { estimate: hours, low: 0.0, high: f64::INFINITY };
        percentile_interval(hours, crossings).unwrap_or(unknown)
    });
    Ok(Comparison { first, second, crossing_hours, share_crossing })
}

/// Runs by class, ascending.
fn classes(runs: &[ClassRun]) -> Result<Vec<(f64, Vec<f64>)>, ClassError> {
    let mut classes: Vec<(f64, Vec<f64>)> = Vec::new();
    for run in runs {
        for (what, value) in [("hours", run.hours), ("perplexity", run.perplexity)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(ClassError::NotPositive { what, value });
            }
        }
        match classes.iter_mut().find(|(hours, _)| *hours == run.hours) {
            Some((_, class)) => class.push(run.perplexity),
            None => classes.push((run.hours, vec![run.perplexity])),
        }
    }
    classes.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(classes)
}

fn fit_best(classes: &[(f64, Vec<f64>)], mut best: impl FnMut(&[f64]) -> f64) -> Result<ScalingFit, ClassError> {
    let hours: Vec<f64> = classes.iter().map(|(hours, _)| *hours).collect();
    let perplexities: Vec<f64> = classes.iter().map(|(_, class)| best(class)).collect();
    let line = LogLinear::fit(&[&hours], &perplexities)?;
    Ok(ScalingFit { a: line.coefficients[0], b: line.coefficients[1], r_squared: line.r_squared })
}
