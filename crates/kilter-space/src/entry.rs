//! One question of a space as data: its domain, its default, where the best is expected, when it is asked.

use serde::{Deserialize, Deserializer, Serialize};

use crate::distances::Distances;
use crate::domain::Domain;
use crate::expression::Expr;
use crate::name::Name;
use crate::outline::SpaceError;
use crate::value::Value;
use crate::walk::Question;

/// One question of a declared space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// What may be answered.
    pub domain: Domain,
    /// The answer of a user who does not search.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Where an expert or a law expects the best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<Prior>,
    /// How far the values of a choice lie from each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distances: Option<Distances>,
    /// Asked only when this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expr>,
    /// A setting is fixed at its default unless somebody asks to search it (folds, seeds, sizes).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub setting: bool,
    /// What it does, with its unit, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

/// A default that is written as null is the value null, not the lack of one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Where an expert or a law expects the best answer of a numeric question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// The best guess, in the question's unit.
    pub center: f64,
    /// How far off it may well be: a distance, or a factor where the domain is logarithmic. Above 0, above 1 for a
    /// factor.
    pub spread: f64,
}

impl Prior {
    /// Which of its keys cannot be beside `domain` (none: no key can), and why.
    pub(crate) fn trouble(&self, domain: &Domain) -> Option<(&'static str, String)> {
        let (low, high, log) = match domain {
            Domain::Float(range) => (range.low(), range.high(), range.is_log()),
            Domain::Int(range) => (range.low() as f64, range.high() as f64, range.is_log()),
            _ => return Some(("", "only a float or int range has one; leave it out".to_owned())),
        };
        let Self { center, spread } = *self;
        if !(low <= center && center <= high) {
            return Some((
                "center",
                format!("its center ({center:?}) lies outside {low:?} to {high:?}; move it inside"),
            ));
        }
        let smallest = if log { 1.0 } else { 0.0 };
        if !(spread.is_finite() && spread > smallest) {
            let advice = match log {
                true => "on a logarithmic range it is a factor, which must be above 1, for example 3.0",
                false => "it is a distance, which must be above 0",
            };
            return Some(("spread", format!("its spread is {spread:?}; {advice}")));
        }
        None
    }
}

impl Entry {
    /// A question that is always asked.
    ///
    /// # Errors
    /// If `name` cannot be a name.
    pub fn new(name: &str, domain: Domain) -> Result<Self, SpaceError> {
        let name = Name::new(name)?;
        Ok(Self {
            name,
            domain,
            default: None,
            prior: None,
            distances: None,
            when: None,
            setting: false,
            about: String::new(),
        })
    }

    /// Asked only when `condition` holds.
    ///
    /// # Errors
    /// If the condition cannot be read.
    pub fn when(mut self, condition: &str) -> Result<Self, SpaceError> {
        let parsed = Expr::parse(condition);
        self.when = Some(parsed.map_err(|why| SpaceError::Condition { name: self.name.clone(), why: Box::new(why) })?);
        Ok(self)
    }

    /// With a default.
    ///
    /// # Errors
    /// If the domain does not allow it.
    pub fn default(mut self, value: impl Into<Value>) -> Result<Self, SpaceError> {
        self.default = Some(self.check(&value.into())?);
        Ok(self)
    }

    /// With the distances between the values of its choice.
    ///
    /// # Errors
    /// If they are none, or not of this choice.
    pub fn distances(mut self, rows: &[Vec<f64>]) -> Result<Self, SpaceError> {
        let wrong = |why: String| SpaceError::Distances { name: self.name.clone(), why };
        if let Some(why) = Distances::trouble(rows.len(), &self.domain) {
            return Err(wrong(why));
        }
        self.distances = Some(Distances::new(rows).map_err(|why| wrong(why.to_string()))?);
        Ok(self)
    }

    /// With a line on what it does.
    #[must_use]
    pub fn about(mut self, about: &str) -> Self {
        about.clone_into(&mut self.about);
        self
    }

    /// As a setting: fixed at its default unless somebody asks to search it.
    #[must_use]
    pub fn setting(mut self) -> Self {
        self.setting = true;
        self
    }

    /// `value` as the domain holds it.
    ///
    /// # Errors
    /// If the domain does not allow it.
    pub fn check(&self, value: &Value) -> Result<Value, SpaceError> {
        self.domain.accept(value).ok_or_else(|| SpaceError::Outside {
            name: self.name.clone(),
            value: value.clone(),
            domain: self.domain.to_string(),
        })
    }

    /// Searches it in another domain. What the domain does not hold goes: default, prior, distances.
    pub(crate) fn search(&mut self, domain: Domain) {
        self.distances = self.distances.take().and_then(|distances| match (&self.domain, &domain) {
            (Domain::Choice(old), Domain::Choice(new)) => distances.among(old, new),
            _ => None,
        });
        self.default = self.default.take().and_then(|value| domain.accept(&value));
        self.prior = self.prior.take().filter(|prior| prior.trouble(&domain).is_none());
        self.setting = false;
        self.domain = domain;
    }

    pub(crate) fn question<'a>(&'a self, allowed: &'a Domain) -> Question<'a> {
        Question {
            name: &self.name,
            domain: &self.domain,
            allowed,
            default: self.default.as_ref(),
            prior: self.prior.as_ref(),
        }
    }
}
