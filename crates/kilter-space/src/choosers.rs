//! The plain choosers: at random, by default, from a stored configuration, from answers drawn beforehand.

use std::collections::HashMap;

use kilter_numerics::Stream;

use crate::config::{Config, Fit};
use crate::domain::Domain;
use crate::feasible::Feasible;
use crate::name::Name;
use crate::outline::SpaceError;
use crate::value::Value;
use crate::walk::{Chooser, Halt, Question, Walk};

/// Answers at random: uniformly over each question's domain (by the logarithm where the domain is logarithmic).
#[derive(Clone, Debug)]
pub struct Random {
    stream: Stream,
}

impl Random {
    /// Draws from `stream`.
    pub fn new(stream: Stream) -> Self {
        Self { stream }
    }

    /// A random configuration of `space`; under constraints uniform over the feasible ones (see [`Feasible`]).
    ///
    /// # Errors
    /// If the space refuses.
    pub fn config(&mut self, space: &dyn Walk) -> Result<Config, SpaceError> {
        match space.outline() {
            Some(outline) if !outline.constraints().is_empty() => Feasible::new(outline)?.config(&mut self.stream),
            _ => record(space, self),
        }
    }
}

impl Chooser for Random {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        Ok(question.allowed.sample(&mut self.stream))
    }
}

/// Answers with the declared defaults.
#[derive(Clone, Copy, Debug)]
pub struct Defaults;

impl Defaults {
    /// The default configuration of `space`.
    ///
    /// # Errors
    /// [`SpaceError::Unanswered`] names the first question without a default, [`SpaceError::Outside`] the first whose
    /// default the constraints forbid beside those before it.
    pub fn config(space: &dyn Walk) -> Result<Config, SpaceError> {
        record(space, &mut Self)
    }
}

impl Chooser for Defaults {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let value = match (question.default, question.domain) {
            (Some(value), _) | (None, Domain::Fixed(value)) => value,
            _ => return Err(SpaceError::Unanswered(question.name.clone()).into()),
        };
        question.allowed.accept(value).ok_or_else(|| {
            let (name, domain) = (question.name.clone(), question.allowed.to_string());
            SpaceError::Outside { name, value: value.clone(), domain }.into()
        })
    }
}

/// Answers drawn beforehand come first, `rest` answers whatever nobody foresaw. Remembers what was answered, and gives
/// the same answer to the same question.
pub struct Answered {
    joint: HashMap<Name, Value>,
    rest: Box<dyn Chooser + Send>,
    asked: Asked,
}

impl Answered {
    /// Answers from `joint`, else from `rest`.
    pub fn new(joint: Config, rest: Box<dyn Chooser + Send>) -> Self {
        let joint = joint.answers().iter().rev().cloned().collect();
        Self { joint, rest, asked: Asked::default() }
    }

    /// Everything asked so far, in order.
    pub fn asked(&self) -> &[(Name, Domain, Value)] {
        &self.asked.all
    }

    /// The answers so far as a configuration.
    pub fn config(&self) -> Config {
        Config::new(self.asked.all.iter().map(|(name, _, value)| (name.clone(), value.clone())).collect())
    }

    /// The configuration that `space` asks for.
    ///
    /// # Errors
    /// If the space refuses.
    pub fn walk(mut self, space: &dyn Walk) -> Result<Config, SpaceError> {
        match space.walk(&mut self) {
            Ok(()) | Err(Halt::Enough) => Ok(self.config()),
            Err(Halt::Refused(why)) => Err(why),
        }
    }
}

impl Chooser for Answered {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        if let Some(value) = self.asked.recall(question)? {
            return Ok(value);
        }
        let foreseen = self.joint.get(question.name).and_then(|value| question.allowed.accept(value));
        let value = match foreseen {
            Some(value) => value,
            None => self.rest.choose(question)?,
        };
        self.asked.push(question, &value);
        Ok(value)
    }
}

/// Everything asked so far, in order, with the place of each.
#[derive(Default)]
pub(crate) struct Asked {
    all: Vec<(Name, Domain, Value)>,
    places: HashMap<Name, usize>,
}

impl Asked {
    /// The answer that `question` was given before, if it was; refused if it then had another domain.
    pub(crate) fn recall(&self, question: &Question<'_>) -> Result<Option<Value>, SpaceError> {
        match self.places.get(question.name).map(|&at| &self.all[at]) {
            None => Ok(None),
            Some((_, domain, value)) if domain == question.domain => Ok(Some(value.clone())),
            Some((name, domain, _)) => Err(SpaceError::AskedDifferently {
                name: name.clone(),
                first: domain.to_string(),
                second: question.domain.to_string(),
            }),
        }
    }

    pub(crate) fn push(&mut self, question: &Question<'_>, value: &Value) {
        self.places.insert(question.name.clone(), self.all.len());
        self.all.push((question.name.clone(), question.domain.clone(), value.clone()));
    }
}

/// Answers from a stored configuration and keeps account of what did not fit; see [`crate::replay`].
pub struct Replay<'a> {
    old: HashMap<&'a Name, &'a Value>,
    answers: Vec<(Name, Value)>,
    missing: Vec<Name>,
    outside: Vec<(Name, String)>,
}

impl<'a> Replay<'a> {
    /// Answers from `old`.
    pub fn new(old: &'a Config) -> Self {
        let old = old.answers().iter().rev().map(|(name, value)| (name, value)).collect();
        Self { old, answers: Vec::new(), missing: Vec::new(), outside: Vec::new() }
    }

    /// The account, after the walk.
    pub fn fit(self) -> Fit {
        if !self.outside.is_empty() {
            Fit::Outside(self.outside)
        } else if !self.missing.is_empty() {
            Fit::Missing(self.missing)
        } else {
            Fit::Whole(Config::new(self.answers))
        }
    }
}

impl Chooser for Replay<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let answer = match (self.old.get(question.name).copied(), question.default, question.domain) {
            (Some(value), _, domain) => domain.accept(value).unwrap_or_else(|| {
                self.outside.push((question.name.clone(), format!("{value} is outside {domain}")));
                value.clone()
            }),
            (None, Some(value), _) | (None, None, Domain::Fixed(value)) => value.clone(),
            // Any answer will do for the rest of the walk: the whole no longer counts.
            (None, None, domain) => {
                self.missing.push(question.name.clone());
                domain.at_share(0.5)
            }
        };
        self.answers.push((question.name.clone(), answer.clone()));
        Ok(answer)
    }
}

/// Walks `space` with `chooser` and keeps the answers.
fn record(space: &dyn Walk, chooser: &mut dyn Chooser) -> Result<Config, SpaceError> {
    struct Recording<'a>(&'a mut dyn Chooser, Vec<(Name, Value)>);
    impl Chooser for Recording<'_> {
        fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
            let value = self.0.choose(question)?;
            self.1.push((question.name.clone(), value.clone()));
            Ok(value)
        }
    }
    let mut recording = Recording(chooser, Vec::new());
    match space.walk(&mut recording) {
        Ok(()) | Err(Halt::Enough) => Ok(Config::new(recording.1)),
        Err(Halt::Refused(why)) => Err(why),
    }
}
