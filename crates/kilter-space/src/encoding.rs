//! Configurations as lists of numbers of one length, for models that need a table.
//!
//! The encoding is of the outline, not of one walk: every question has its coordinates, and those of a question that is
//! not asked are NaN. Numbers stand for themselves, an ordinal for its place, a choice for its index; a subset takes one
//! yes or no per item, and a permutation random keys, one per item, whose order is the items' order (Bean 1994, *Genetic
//! algorithms and random keys for sequencing and optimization*). A fixed question has none.

use std::ops::Range;

use crate::config::Config;
use crate::domain::{Choice, Domain};
use crate::entry::Entry;
use crate::outline::{Outline, SpaceError};
use crate::value::Value;
use crate::walk::{Chooser, Halt, Question, Walk};

/// What one number of an encoding means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coordinate {
    /// A number.
    Numeric {
        /// Smallest value; above 0 if `log`.
        low: f64,
        /// Largest value, a whole number of steps above `low`.
        high: f64,
        /// Whether it is searched by its logarithm.
        log: bool,
        /// Distance of neighbouring values; nothing for a continuous number.
        step: Option<f64>,
    },
    /// One of several categories without order, written as its index.
    Category {
        /// How many there are.
        choices: usize,
    },
}

/// The coordinates of an outline.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    coordinates: Vec<Coordinate>,
    /// Those of each entry.
    spans: Vec<Range<usize>>,
}

impl Domain {
    /// The coordinates of an answer. A fixed answer has none.
    pub fn coordinates(&self) -> Vec<Coordinate> {
        let numeric = |low, high, log, step| vec![Coordinate::Numeric { low, high, log, step }];
        match self {
            Self::Float(range) => numeric(range.low(), range.high(), range.is_log(), range.step_width()),
            Self::Int(range) => {
                let step = Some(range.step_width() as f64);
                numeric(range.low() as f64, range.high() as f64, range.is_log(), step)
            }
            Self::Ordinal(choice) => numeric(0.0, (choice.values().len() - 1) as f64, false, Some(1.0)),
            Self::Choice(choice) => vec![Coordinate::Category { choices: choice.values().len() }],
            Self::Subset(items) => vec![Coordinate::Category { choices: 2 }; items.values().len()],
            Self::Permutation(items) => {
                vec![Coordinate::Numeric { low: 0.0, high: 1.0, log: false, step: None }; items.values().len()]
            }
            Self::Fixed(_) => Vec::new(),
        }
    }

    /// An answer as numbers, one per coordinate; nothing if the domain does not allow it.
    pub fn encode(&self, value: &Value) -> Option<Vec<f64>> {
        let value = self.accept(value)?;
        let places = |items: &Choice| -> Option<Vec<usize>> {
            let Value::List(chosen) = &value else { return None };
            chosen.iter().map(|item| items.position(item)).collect()
        };
        Some(match self {
            Self::Float(_) | Self::Int(_) => vec![value.as_f64()?],
            Self::Choice(choice) | Self::Ordinal(choice) => vec![choice.position(&value)? as f64],
            Self::Subset(items) => {
                let mut bits = vec![0.0; items.values().len()];
                places(items)?.into_iter().for_each(|place| bits[place] = 1.0);
                bits
            }
            Self::Permutation(items) => {
                let count = items.values().len();
                let mut keys = vec![0.0; count];
                let order = places(items)?.into_iter().enumerate();
                order.for_each(|(rank, place)| keys[place] = (rank as f64 + 0.5) / count as f64);
                keys
            }
            Self::Fixed(_) => Vec::new(),
        })
    }

    /// The answer nearest to these numbers, one per coordinate; a missing one counts as 0.
    pub fn decode(&self, numbers: &[f64]) -> Value {
        let number = |at: usize| numbers.get(at).copied().filter(|x| !x.is_nan()).unwrap_or(0.0);
        let pick = |choice: &Choice| {
            choice.values()[(number(0).round().max(0.0) as usize).min(choice.values().len() - 1)].clone()
        };
        match self {
            Self::Float(range) => Value::Float(range.nearest(number(0))),
            Self::Int(range) => Value::Int(range.nearest(number(0))),
            Self::Choice(choice) | Self::Ordinal(choice) => pick(choice),
            Self::Subset(items) => {
                let kept = items.values().iter().enumerate().filter(|(at, _)| number(*at) >= 0.5);
                Value::List(kept.map(|(_, item)| item.clone()).collect())
            }
            Self::Permutation(items) => {
                let mut order: Vec<usize> = (0..items.values().len()).collect();
                order.sort_by(|&a, &b| number(a).total_cmp(&number(b)));
                Value::List(order.into_iter().map(|at| items.values()[at].clone()).collect())
            }
            Self::Fixed(value) => value.clone(),
        }
    }

    /// The answer in this domain nearest to one of the declared domain that it is a part of.
    pub(crate) fn nearest_to(&self, wanted: &Value, declared: &Self) -> Value {
        if let Some(value) = self.accept(wanted) {
            return value;
        }
        match (self, wanted.as_f64()) {
            (Self::Float(_) | Self::Int(_), Some(x)) => self.decode(&[x]),
            (Self::Ordinal(left), _) => {
                let place = |value: &Value| match declared {
                    Self::Ordinal(all) => all.position(value).unwrap_or(0),
                    _ => 0,
                };
                let nearest = left.values().iter().min_by_key(|value| place(value).abs_diff(place(wanted)));
                nearest.cloned().unwrap_or(Value::Null)
            }
            _ => self.at_share(0.5),
        }
    }
}

impl Encoding {
    /// The coordinates of `outline`, entry by entry.
    pub fn new(outline: &Outline) -> Self {
        let (mut coordinates, mut spans) = (Vec::new(), Vec::with_capacity(outline.entries().len()));
        for entry in outline.entries() {
            let from = coordinates.len();
            coordinates.extend(entry.domain.coordinates());
            spans.push(from..coordinates.len());
        }
        Self { coordinates, spans }
    }

    /// All coordinates.
    pub fn coordinates(&self) -> &[Coordinate] {
        &self.coordinates
    }

    /// Which of them belong to the entry at this place of the outline.
    pub fn span(&self, entry: usize) -> Range<usize> {
        self.spans.get(entry).cloned().unwrap_or(0..0)
    }
}

impl Outline {
    /// A configuration as numbers, one per coordinate of [`Encoding::new`]; NaN for a question that is not asked, and
    /// for an answer that its domain does not allow. A question that the configuration does not answer, being older, has
    /// its declared default. Whole numbers beyond 2⁵³ lose their last digits.
    pub fn encode(&self, config: &Config) -> Vec<f64> {
        let default = |at: usize| match &self.entries()[at] {
            Entry { default: Some(value), .. } | Entry { domain: Domain::Fixed(value), .. } => Some(value),
            _ => None,
        };
        let (slots, asked) = self.plan().slots_of(config, default);
        let mut asked = asked.into_iter().peekable();
        let mut numbers = Vec::new();
        for (at, entry) in self.entries().iter().enumerate() {
            let answer = asked.next_if_eq(&at).and_then(|_| slots[self.plan().slot[at]].as_ref());
            match answer.and_then(|answer| entry.domain.encode(answer)) {
                Some(code) => numbers.extend(code),
                None => numbers.resize(numbers.len() + entry.domain.coordinates().len(), f64::NAN),
            }
        }
        numbers
    }

    /// The configuration that numbers stand for, one per coordinate: each answer the nearest one that the constraints
    /// still allow. A question that is asked although its number is NaN gets its default, or the middle of what is
    /// allowed.
    ///
    /// # Errors
    /// If there are more or fewer numbers than coordinates, or the answers so far leave none to a question.
    pub fn decode(&self, numbers: &[f64]) -> Result<Config, SpaceError> {
        self.decoded(numbers, |decoding| self.walk(decoding))
    }

    /// The same, whatever the constraints say.
    pub(crate) fn decode_freely(&self, numbers: &[f64]) -> Result<Config, SpaceError> {
        self.decoded(numbers, |decoding| self.walk_all(decoding))
    }

    fn decoded(
        &self,
        numbers: &[f64],
        walk: impl FnOnce(&mut dyn Chooser) -> Result<(), Halt>,
    ) -> Result<Config, SpaceError> {
        let wanted: usize = self.entries().iter().map(|entry| entry.domain.coordinates().len()).sum();
        if numbers.len() != wanted {
            return Err(SpaceError::WrongLength { wanted, got: numbers.len() });
        }
        let mut decoding = Decoding { left: self.entries(), numbers, answers: Config::default() };
        match walk(&mut decoding) {
            Ok(()) | Err(Halt::Enough) => Ok(decoding.answers),
            Err(Halt::Refused(why)) => Err(why),
        }
    }
}

/// Answers from numbers.
struct Decoding<'a> {
    /// Entries not asked yet, with their numbers: a walk asks in their order.
    left: &'a [Entry],
    numbers: &'a [f64],
    answers: Config,
}

impl Chooser for Decoding<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let mut code = &self.numbers[..0];
        while let Some((entry, left)) = self.left.split_first() {
            let width = entry.domain.coordinates().len().min(self.numbers.len());
            (code, self.numbers) = self.numbers.split_at(width);
            self.left = left;
            // Of two entries of one name the domain's place in memory tells which is meant.
            if std::ptr::eq(&entry.domain, question.domain) {
                break;
            }
        }
        let value = if code.iter().any(|x| x.is_nan()) {
            let default = question.default.and_then(|default| question.allowed.accept(default));
            default.unwrap_or_else(|| question.allowed.at_share(0.5))
        } else {
            question.allowed.nearest_to(&question.domain.decode(code), question.domain)
        };
        self.answers.push(question.name.clone(), value.clone());
        Ok(value)
    }
}
