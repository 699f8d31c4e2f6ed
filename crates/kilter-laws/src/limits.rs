//! What a prediction says of its own limits: where its constants come from, and what lies outside the fitted range.
//!
//! An extrapolation is a value, not a printed warning: whoever asks decides how to say it.

use std::fmt;

use kilter_numerics::compare::Interval;
use serde::{Serialize, Serializer};

/// What the laws of this room speak about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Parameters without embeddings and output head.
    Parameters,
    /// Training tokens.
    Tokens,
    /// Training compute in floating-point operations, 6 * parameters * tokens.
    ComputeFlop,
    /// Loss in nats per token.
    Loss,
    /// Tokens per optimiser step.
    BatchTokens,
    /// Peak learning rate.
    LearningRate,
}

impl Quantity {
    /// As it is written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Tokens => "tokens",
            Self::ComputeFlop => "compute_flop",
            Self::Loss => "loss",
            Self::BatchTokens => "batch_tokens",
            Self::LearningRate => "learning_rate",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where constants come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Checked against the paper or its released material.
    Checked,
    /// Written down from memory of the paper: right to the best of knowledge, to be said with every number.
    Remembered,
}

/// The range of one quantity on which a law was fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fitted {
    /// Which quantity.
    pub quantity: Quantity,
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
}

impl Fitted {
    /// `value` as an extrapolation, if it lies outside.
    pub fn outside(&self, value: f64) -> Option<Outside> {
        (!(self.low..=self.high).contains(&value)).then_some(Outside { value, fitted: *self })
    }
}

/// A value outside the range on which a law was fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outside {
    /// What was asked.
    pub value: f64,
    /// What is known.
    pub fitted: Fitted,
}

impl Outside {
    /// How far beyond the nearer end, as a factor above 1.
    pub fn factor(&self) -> f64 {
        if self.value > self.fitted.high { self.value / self.fitted.high } else { self.fitted.low / self.value }
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fitted { quantity, low, high } = self.fitted;
        let (value, factor) = (self.value, self.factor());
        write!(f, "{quantity} {value:.3e} is a factor {factor:.2} outside {low:.1e} to {high:.1e}, the fitted range")
    }
}

/// Writes an [`Interval`] as `{"estimate": …, "low": …, "high": …}`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_interval<S: Serializer>(interval: &Interval, serializer: S) -> Result<S::Ok, S::Error> {
    Fields::from(interval).serialize(serializer)
}

/// As [`serialize_interval`], with `null` for none.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_optional_interval<S: Serializer>(
    interval: &Option<Interval>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    interval.as_ref().map(Fields::from).serialize(serializer)
}

/// As [`serialize_interval`], for several.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_intervals<S: Serializer>(intervals: &[Interval], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(intervals.iter().map(Fields::from))
}

#[derive(Serialize)]
struct Fields {
    estimate: f64,
    low: f64,
    high: f64,
}

impl From<&Interval> for Fields {
    fn from(interval: &Interval) -> Self {
        Self { estimate: interval.estimate, low: interval.low, high: interval.high }
    }
}
