//! Learning rates as functions of the tokens already trained: power, warm-up-stable-decay (WSD), cosine.
//!
//! The paper's schedule is `Power(n) = n/N_w * eta(N_w)` during warm-up, `eta(n) = min(eta_max, beta a n^b)` while
//! stable, and `f * eta(N - N_d)` over the last `N_d` tokens; n counts tokens, so how they are cut into steps changes
//! nothing. The total is needed only once the decay starts: [`Schedule::decay_from`] may be called at any time. The step
//! that consumes the tokens (n, n + batch] is evaluated at n. Cost: one power or cosine per call.

use std::f64::consts::PI;

use kilter_numerics::Fall;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::BATCH_UNIT_TOKENS;

/// Hyperparameters of the power schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerConfig {
    /// Tokens per step.
    pub batch_tokens: f64,
    /// Tokens that count as one unit of batch, default 4096.
    pub batch_unit_tokens: f64,
    /// Amplitude, 3 to 5, default 4: the loss hardly depends on it.
    pub a: f64,
    /// Exponent of the tokens, -0.6 to -0.4, default -0.51: the loss depends on it.
    pub b: f64,
    /// Largest rate, 1e-3 to 0.1, default 0.02: hardly matters if large.
    pub eta_max: f64,
    /// Tokens of linear warm-up, default 1e9; for small runs 1 % of the budget and at least 100 steps.
    pub warmup_tokens: u64,
    /// Added to n during warm-up, so that the first step is not taken at rate 0: usually one batch, default 0 (the
    /// paper's formula).
    pub warmup_offset_tokens: u64,
    /// Accept a `b` of 0 or more, with which the rate does not fall; default false.
    pub allow_growth: bool,
}

impl Default for PowerConfig {
    fn default() -> Self {
        Self {
            batch_tokens: BATCH_UNIT_TOKENS,
            batch_unit_tokens: BATCH_UNIT_TOKENS,
            a: 4.0,
            b: -0.51,
            eta_max: 0.02,
            warmup_tokens: 1_000_000_000,
            warmup_offset_tokens: 0,
            allow_growth: false,
        }
    }
}

/// What the rate does between warm-up and decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// `min(eta_max, scale * n^b)`.
    Power {
        /// beta * a.
        scale: f64,
        /// Exponent of the tokens.
        b: f64,
        /// Largest rate.
        eta_max: f64,
    },
    /// The peak throughout.
    Constant {
        /// The peak.
        peak: f64,
    },
    /// Half a cosine from the peak at the end of the warm-up to `last` at `total_tokens`.
    Cosine {
        /// The peak.
        peak: f64,
        /// Where it ends.
        last: f64,
        /// When it ends.
        total_tokens: u64,
    },
}

/// The decay at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// Tokens after which it starts.
    pub start: u64,
    /// How many tokens it lasts.
    pub tokens: u64,
    /// How it falls.
    pub shape: Fall,
}

/// Where in a schedule a token count lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Rising linearly.
    WarmUp,
    /// On its course.
    Stable,
    /// In the final decay.
    Decay,
    /// Past the end: the rate stays at its final value.
    Over,
}

/// Why there is no such schedule.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum ScheduleError {
    /// A number is out of range.
    #[error("{what}: {value} must be finite and above 0")]
    NotPositive {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// The rate would not fall.
    #[error(
        "b: {0} must be below 0, or the rate does not fall with the tokens; the paper's is -0.51 (allow_growth forces it)"
    )]
    Grows(f64),
    /// Warm-up and decay overlap.
    #[error("the decay starts at {start} tokens, before the warm-up ends at {warmup}; shorten one of them")]
    Overlap {
        /// Where the decay would start.
        start: u64,
        /// Where the warm-up ends.
        warmup: u64,
    },
    /// A decay longer than the run.
    #[error("a decay of {decay} tokens does not fit into a total of {total}")]
    DecayTooLong {
        /// Tokens of decay.
        decay: u64,
        /// Tokens in all.
        total: u64,
    },
    /// A cosine is its own decay.
    #[error("a cosine already falls over its whole length; decay a power or wsd schedule instead")]
    CosineDecay,
    /// A cosine ends after its warm-up.
    #[error("a cosine over {total} tokens must be longer than its warm-up of {warmup}")]
    CosineTooShort {
        /// Tokens in all.
        total: u64,
        /// Tokens of warm-up.
        warmup: u64,
    },
}

/// A learning rate for every number of tokens; the base rate, onto which parameter groups multiply their own factors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Schedule {
    warmup_tokens: u64,
    warmup_offset_tokens: u64,
    course: Course,
    ending: Option<Ending>,
}

impl Schedule {
    /// The paper's schedule, without a decay yet.
    ///
    /// # Errors
    /// An amplitude, largest rate or batch not above 0, or a `b` of 0 or more that is not allowed.
    pub fn power(config: &PowerConfig) -> Result<Self, ScheduleError> {
        let batch_tokens = positive("batch_tokens", config.batch_tokens)?;
        let beta = batch_tokens / positive("batch_unit_tokens", config.batch_unit_tokens)?;
        let scale = beta * positive("a", config.a)?;
        let eta_max = positive("eta_max", config.eta_max)?;
        if !config.b.is_finite() || (config.b >= 0.0 && !config.allow_growth) {
            return Err(ScheduleError::Grows(config.b));
        }
        Ok(Self {
            warmup_tokens: config.warmup_tokens,
            warmup_offset_tokens: config.warmup_offset_tokens,
            course: Course::Power { scale, b: config.b, eta_max },
            ending: None,
        })
    }

    /// Warm-up to `peak`, which stays until a decay is set.
    ///
    /// # Errors
    /// A peak not above 0.
    pub fn wsd(peak: f64, warmup_tokens: u64) -> Result<Self, ScheduleError> {
        let course = Course::Constant { peak: positive("peak", peak)? };
        Ok(Self { warmup_tokens, warmup_offset_tokens: 0, course, ending: None })
    }

    /// Warm-up to `peak`, then half a cosine down to `last` at `total_tokens`.
    ///
    /// # Errors
    /// A peak not above 0, a `last` below 0, a total not longer than the warm-up.
    pub fn cosine(peak: f64, last: f64, warmup_tokens: u64, total_tokens: u64) -> Result<Self, ScheduleError> {
        if !(last.is_finite() && last >= 0.0) {
            return Err(ScheduleError::NotPositive { what: "last", value: last });
        }
        if total_tokens <= warmup_tokens {
            return Err(ScheduleError::CosineTooShort { total: total_tokens, warmup: warmup_tokens });
        }
        let course = Course::Cosine { peak: positive("peak", peak)?, last, total_tokens };
        Ok(Self { warmup_tokens, warmup_offset_tokens: 0, course, ending: None })
    }

    /// The same schedule, decaying over `tokens` from `start` on: the signal to stop soon, given whenever it is known.
    ///
    /// # Errors
    /// A start inside the warm-up; a cosine.
    pub fn decay_from(self, start: u64, tokens: u64, shape: Fall) -> Result<Self, ScheduleError> {
        if matches!(self.course, Course::Cosine { .. }) {
            return Err(ScheduleError::CosineDecay);
        }
        if start < self.warmup_tokens {
            return Err(ScheduleError::Overlap { start, warmup: self.warmup_tokens });
        }
        Ok(Self { ending: Some(Ending { start, tokens, shape }), ..self })
    }

    /// The same schedule, decaying over the last `decay_tokens` of `total_tokens`.
    ///
    /// # Errors
    /// A decay longer than the total, or reaching into the warm-up; a cosine.
    pub fn ending_at(self, total_tokens: u64, decay_tokens: u64, shape: Fall) -> Result<Self, ScheduleError> {
        let too_long = ScheduleError::DecayTooLong { decay: decay_tokens, total: total_tokens };
        self.decay_from(total_tokens.checked_sub(decay_tokens).ok_or(too_long)?, decay_tokens, shape)
    }

    /// The learning rate of the step that starts after `tokens` tokens.
    pub fn learning_rate(&self, tokens: u64) -> f64 {
        if tokens < self.warmup_tokens {
            let reached = tokens.saturating_add(self.warmup_offset_tokens).min(self.warmup_tokens);
            return reached as f64 / self.warmup_tokens as f64 * self.on_course(self.warmup_tokens);
        }
        match self.ending {
            Some(Ending { start, tokens: length, shape }) if tokens > start => {
                // A decay over no tokens is over at once.
                let x = if length == 0 { 1.0 } else { (tokens - start) as f64 / length as f64 };
                shape.factor(x) * self.on_course(start)
            }
            _ => self.on_course(tokens),
        }
    }

    /// Where `tokens` lies.
    pub fn phase(&self, tokens: u64) -> Phase {
        if tokens < self.warmup_tokens {
            return Phase::WarmUp;
        }
        match (self.ending, self.course) {
            (Some(end), _) if tokens > end.start.saturating_add(end.tokens) => Phase::Over,
            (Some(end), _) if tokens > end.start => Phase::Decay,
            (None, Course::Cosine { total_tokens, .. }) if tokens > total_tokens => Phase::Over,
            _ => Phase::Stable,
        }
    }

    fn on_course(&self, tokens: u64) -> f64 {
        match self.course {
            // At 0 tokens the power is infinite, and the minimum picks eta_max.
            Course::Power { scale, b, eta_max } => (scale * (tokens as f64).powf(b)).min(eta_max),
            Course::Constant { peak } => peak,
            Course::Cosine { peak, last, total_tokens } => {
                let done = (tokens - self.warmup_tokens) as f64 / (total_tokens - self.warmup_tokens) as f64;
                last + 0.5 * (peak - last) * (1.0 + (PI * done.min(1.0)).cos())
            }
        }
    }
}

fn positive(what: &'static str, value: f64) -> Result<f64, ScheduleError> {
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err(ScheduleError::NotPositive { what, value }) }
}
