//! Domains: the sets of allowed answers. A domain that exists is valid; text becomes one at the edge of the program.

pub(crate) mod part;
mod range;

use std::fmt;

use kilter_numerics::Stream;
use serde::{Deserialize, Serialize};

pub use range::{Float, Int};

use crate::value::Value;

/// A list of distinct values: what can be chosen, or what a subset or permutation is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Value>", into = "Vec<Value>")]
pub struct Choice(Vec<Value>);

/// The set of answers that a question allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Real numbers.
    Float(Float),
    /// Whole numbers.
    Int(Int),
    /// One of several values without order.
    Choice(Choice),
    /// One of several values, from least to most.
    Ordinal(Choice),
    /// Any of several items, none or all of them too: a list in the order declared.
    Subset(Choice),
    /// All of several items, in any order.
    Permutation(Choice),
    /// One value: asked and answered, never searched.
    Fixed(Value),
}

/// Why a domain cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DomainError {
    /// An end of the range is not a finite number, or their distance is not.
    #[error("{low} to {high}: both ends and their distance must be finite numbers (at most about 1.8e308)")]
    NotFinite {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// The ends are swapped.
    #[error("low ({low}) must be below high ({high}); did you swap them?")]
    Swapped {
        /// Lower end as given.
        low: Value,
        /// Upper end as given.
        high: Value,
    },
    /// The ends are one number.
    #[error("low and high are both {0}, so there is nothing to search; write fixed:{0}")]
    OnePoint(Value),
    /// A logarithmic range that begins at or below zero (whole numbers: below one).
    #[error(
        "a logarithmic range must begin above 0, and this one begins at {low}; start it at {suggestion}, or leave out log"
    )]
    LogOfNonPositive {
        /// Lower end.
        low: Value,
        /// A lower end that would do.
        suggestion: Value,
    },
    /// The step is not a positive finite number.
    #[error("the step must be a positive number, not {0}")]
    BadStep(Value),
    /// The step is longer than the range.
    #[error("the step ({step}) is longer than the range {low} to {high}, so only {low} could be chosen")]
    LongStep {
        /// Step.
        step: Value,
        /// Lower end.
        low: Value,
        /// Upper end.
        high: Value,
    },
    /// The step is so short that neighbouring points are hardly different numbers.
    #[error("the step ({step}) is too short for numbers as large as those of {low} to {high}; leave it out")]
    TinyStep {
        /// Step.
        step: Value,
        /// Lower end.
        low: Value,
        /// Upper end.
        high: Value,
    },
    /// A step on a logarithmic range.
    #[error("a range cannot have both log and a step; drop one, or list the values as choices")]
    LogWithStep,
    /// No choice at all.
    #[error("a choice needs at least one value, for example adam|sgd")]
    NoChoice,
    /// An empty word among the choices.
    #[error("one of the choices is empty; write them as adam|sgd (an empty text is written '')")]
    EmptyChoice,
    /// The same value twice.
    #[error("the value {0} stands twice among the choices; every choice must be distinct")]
    TwiceTheSame(Value),
}

impl Choice {
    /// Distinct values without order.
    ///
    /// # Errors
    /// If there is none, or one stands twice.
    pub fn new(values: Vec<Value>) -> Result<Self, DomainError> {
        if values.is_empty() {
            return Err(DomainError::NoChoice);
        }
        // Sets of ten thousand choices exist; the debug form identifies a value, but for the two zeros.
        let key = |value: &Value| match value {
            Value::Float(x) => format!("{:?}", Value::Float(x + 0.0)),
            value => format!("{value:?}"),
        };
        let mut seen = std::collections::HashSet::with_capacity(values.len());
        match values.iter().find(|v| !seen.insert(key(v))) {
            Some(twice) => Err(DomainError::TwiceTheSame(twice.clone())),
            None => Ok(Self(values)),
        }
    }

    /// The values, in the order written.
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The place of `value` among them.
    pub fn position(&self, value: &Value) -> Option<usize> {
        self.0.iter().position(|v| v == value)
    }

    /// The places of `values` among them, if all are among them and none stands twice.
    fn positions(&self, values: &[Value]) -> Option<Vec<usize>> {
        let mut places = Vec::with_capacity(values.len());
        for value in values {
            let place = self.position(value).filter(|place| !places.contains(place))?;
            places.push(place);
        }
        Some(places)
    }
}

impl Domain {
    /// `value` as this domain holds it, if it allows it: an integer in a float range becomes a float, a float that is a
    /// whole number in an integer range becomes an integer, a number off the grid is refused.
    pub fn accept(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Float(range), Value::Float(_) | Value::Int(_)) => {
                let x = value.as_f64()?;
                let inside = range.low <= x && x <= range.high;
                // A grid point may have been written with fewer digits than it has.
                let near = |step: f64| (range.nearest(x) - x).abs() <= step * 1e-6;
                (inside && range.step.is_none_or(near)).then(|| Value::Float(range.nearest(x)))
            }
            (Self::Int(range), Value::Int(_) | Value::Float(_)) => {
                let i = match value {
                    Value::Int(i) => *i,
                    Value::Float(x) if x.fract() == 0.0 && x.abs() < 9.0e15 => *x as i64,
                    _ => return None,
                };
                let offset = i128::from(i) - i128::from(range.low);
                let inside = range.low <= i && i <= range.high && offset % i128::from(range.step) == 0;
                inside.then_some(Value::Int(i))
            }
            (Self::Choice(choice) | Self::Ordinal(choice), _) => choice.position(value).map(|k| choice.0[k].clone()),
            (Self::Subset(items), Value::List(chosen)) => {
                let chosen = items.positions(chosen)?;
                let kept = items.0.iter().enumerate().filter(|(k, _)| chosen.contains(k));
                Some(Value::List(kept.map(|(_, item)| item.clone()).collect()))
            }
            (Self::Permutation(items), Value::List(order)) => {
                let order = items.positions(order).filter(|order| order.len() == items.0.len())?;
                Some(Value::List(order.into_iter().map(|k| items.0[k].clone()).collect()))
            }
            (Self::Fixed(fixed), _) => (fixed == value || same_number(fixed, value)).then(|| fixed.clone()),
            _ => None,
        }
    }

    /// The texts among its answers, of a choice, an ordinal or a fixed answer.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let values = match self {
            Self::Choice(choice) | Self::Ordinal(choice) => &choice.0,
            Self::Fixed(value) => std::slice::from_ref(value),
            Self::Float(_) | Self::Int(_) | Self::Subset(_) | Self::Permutation(_) => &[],
        };
        values.iter().filter_map(|value| match value {
            Value::Text(text) => Some(text.as_ref()),
            _ => None,
        })
    }

    /// How many answers there are; nothing for a continuum or beyond 2¹²⁷.
    pub fn count(&self) -> Option<u128> {
        match self {
            Self::Float(range) => range.points(),
            Self::Int(range) => Some(range.points()),
            Self::Choice(choice) | Self::Ordinal(choice) => Some(choice.0.len() as u128),
            Self::Subset(items) => (items.0.len() < 128).then(|| 1 << items.0.len()),
            Self::Permutation(items) => (1..=items.0.len() as u128).try_fold(1_u128, u128::checked_mul),
            Self::Fixed(_) => Some(1),
        }
    }

    /// The `k`-th answer, counting from zero, of a domain that can be counted; nothing beyond its last.
    pub fn nth(&self, k: u128) -> Option<Value> {
        if k >= self.count()? {
            return None;
        }
        Some(match self {
            Self::Float(range) => Value::Float(range.at(k as f64)),
            Self::Int(range) => Value::Int(range.at(k)),
            Self::Choice(choice) | Self::Ordinal(choice) => choice.0[k as usize].clone(),
            Self::Subset(items) => {
                let kept = items.0.iter().enumerate().filter(|(i, _)| k >> i & 1 == 1);
                Value::List(kept.map(|(_, item)| item.clone()).collect())
            }
            // Digits of k in the factorial number system pick among the items that are left.
            Self::Permutation(items) => {
                let (mut left, mut k) = (items.0.clone(), k);
                let mut order = Vec::with_capacity(left.len());
                while !left.is_empty() {
                    let digit = k % left.len() as u128;
                    k /= left.len() as u128;
                    order.push(left.remove(digit as usize));
                }
                Value::List(order.into())
            }
            Self::Fixed(value) => value.clone(),
        })
    }

    /// A uniformly random answer (by the logarithm where the domain is logarithmic), for every width of domain.
    pub fn sample(&self, stream: &mut Stream) -> Value {
        match self {
            // A share of 53 bits cannot reach every whole number of a wide range.
            Self::Int(range) if !range.log => {
                let k = match u64::try_from(range.points()) {
                    Ok(points) => stream.below(points),
                    Err(_) => stream.bits(), // all 2^64 of them
                };
                Value::Int(range.at(u128::from(k)))
            }
            Self::Subset(items) => {
                let kept = items.0.iter().filter(|_| stream.below(2) == 1);
                Value::List(kept.cloned().collect())
            }
            Self::Permutation(items) => {
                let mut order = items.0.clone();
                stream.shuffle(&mut order);
                Value::List(order.into())
            }
            domain => domain.at_share(stream.uniform()),
        }
    }

    /// The answer at the share `u` in `[0, 1)` of the domain: uniform `u` gives a uniform answer (by the logarithm
    /// where the domain is logarithmic; every whole number `k` of such a range has the mass of `k - 1/2` to `k + 1/2`).
    pub fn at_share(&self, u: f64) -> Value {
        let pick = |n: u128| ((u * n as f64) as u128).min(n - 1);
        match self {
            Self::Float(range) => Value::Float(match range.points() {
                Some(n) => range.at(pick(n) as f64),
                None if range.log => {
                    (range.low.ln() * (1.0 - u) + range.high.ln() * u).exp().clamp(range.low, range.high)
                }
                None => (range.low * (1.0 - u) + range.high * u).clamp(range.low, range.high),
            }),
            Self::Int(range) if range.log => {
                let (a, b) = ((range.low as f64 - 0.5).ln(), (range.high as f64 + 0.5).ln());
                Value::Int(range.nearest((a * (1.0 - u) + b * u).exp()))
            }
            Self::Int(range) => Value::Int(range.at(pick(range.points()))),
            Self::Choice(choice) | Self::Ordinal(choice) => choice.0[pick(choice.0.len() as u128) as usize].clone(),
            // A share has too few bits for the larger of these; it is the seed of a draw.
            Self::Subset(_) | Self::Permutation(_) => self.sample(&mut Stream::new(&[u.to_bits()], "share")),
            Self::Fixed(value) => value.clone(),
        }
    }
}

/// `1` in a command line may stand for the fixed float `1.0`.
fn same_number(a: &Value, b: &Value) -> bool {
    matches!((a.as_f64(), b.as_f64()), (Some(x), Some(y)) if x == y)
}

/// The inline syntax of the command line; it reads back as the same domain.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(r) => {
                let log = if r.log { "log:" } else { "" };
                write!(f, "{log}{:?}..{:?}", r.low, r.high)?;
                r.step.map_or(Ok(()), |step| write!(f, "/{step:?}"))
            }
            Self::Int(r) => {
                let log = if r.log { "log:" } else { "" };
                write!(f, "int:{log}{}..{}", r.low, r.high)?;
                if r.step == 1 { Ok(()) } else { write!(f, "/{}", r.step) }
            }
            // A single value by itself would be no choice.
            Self::Choice(choice) => joined(f, if choice.0.len() == 1 { "choice:" } else { "" }, choice, "|"),
            Self::Ordinal(choice) => joined(f, "ordinal:", choice, "<"),
            Self::Subset(items) => joined(f, "subset:", items, ","),
            Self::Permutation(items) => joined(f, "permutation:", items, ","),
            Self::Fixed(value) => write!(f, "fixed:{}", crate::inline::quoted(value)),
        }
    }
}

/// `values` in inline syntax, with `between` between them.
fn joined(f: &mut fmt::Formatter<'_>, kind: &str, values: &Choice, between: &str) -> fmt::Result {
    f.write_str(kind)?;
    for (i, value) in values.0.iter().enumerate() {
        let between = if i > 0 { between } else { "" };
        write!(f, "{between}{}", crate::inline::quoted(value))?;
    }
    Ok(())
}

impl TryFrom<Vec<Value>> for Choice {
    type Error = DomainError;
    fn try_from(values: Vec<Value>) -> Result<Self, DomainError> {
        Self::new(values)
    }
}

impl From<Choice> for Vec<Value> {
    fn from(choice: Choice) -> Self {
        choice.0
    }
}
