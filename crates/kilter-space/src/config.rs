//! Configurations: the list of answers, and how an old one fits a new space.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::choosers::Replay;
use crate::name::{Name, nearest};
use crate::outline::SpaceError;
use crate::value::Value;
use crate::walk::{Halt, Walk};

/// The answers of one walk, in walk order. Written as a JSON object that keeps its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Shared by clones: an event, the trial and all who follow the events hold the same.
    answers: Arc<Vec<(Name, Value)>>,
}

/// Why a configuration does not hold what a recipe asks of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// No such answer.
    #[error("the configuration has no `{name}`{}", .nearest.as_ref().map_or(String::new(), |n| format!("; did you mean `{n}`?")))]
    Missing {
        /// The name asked for.
        name: String,
        /// The nearest name in it.
        nearest: Option<String>,
    },
    /// An answer of another kind.
    #[error("the configuration's `{name}` is {value}, where {wanted} is needed")]
    WrongKind {
        /// The name asked for.
        name: String,
        /// What it holds.
        value: Value,
        /// What was needed.
        wanted: &'static str,
    },
}

impl Config {
    /// Answers in walk order.
    pub fn new(answers: Vec<(Name, Value)>) -> Self {
        Self { answers: Arc::new(answers) }
    }

    /// The answers, in walk order.
    pub fn answers(&self) -> &[(Name, Value)] {
        &self.answers
    }

    /// Appends an answer.
    pub fn push(&mut self, name: Name, value: Value) {
        Arc::make_mut(&mut self.answers).push((name, value));
    }

    /// Puts the answer to `name` in the place of an earlier one, or behind all others.
    pub fn set(&mut self, name: Name, value: Value) {
        match Arc::make_mut(&mut self.answers).iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.push(name, value),
        }
    }

    /// The answer to `name`, if it was asked.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.answers.iter().find(|(n, _)| *n == *name).map(|(_, value)| value)
    }

    /// The number answered to `name`.
    ///
    /// # Errors
    /// If it was not asked or is not a number.
    pub fn float(&self, name: &str) -> Result<f64, ConfigError> {
        self.typed(name, "a number", Value::as_f64)
    }

    /// The whole number answered to `name`.
    ///
    /// # Errors
    /// If it was not asked or is not an integer.
    pub fn int(&self, name: &str) -> Result<i64, ConfigError> {
        self.typed(name, "an integer", |value| match value {
            Value::Int(i) => Some(*i),
            _ => None,
        })
    }

    /// The word answered to `name`.
    ///
    /// # Errors
    /// If it was not asked or is not text.
    pub fn text(&self, name: &str) -> Result<&str, ConfigError> {
        self.typed(name, "text", Value::as_str)
    }

    /// The truth value answered to `name`.
    ///
    /// # Errors
    /// If it was not asked or is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        self.typed(name, "true or false", |value| match value {
            Value::Bool(b) => Some(*b),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let value = self.get(name).ok_or_else(|| ConfigError::Missing {
            name: name.to_owned(),
            nearest: nearest(name, self.answers.iter().map(|(n, _)| n.as_str())).map(str::to_owned),
        })?;
        read(value).ok_or_else(|| ConfigError::WrongKind { name: name.to_owned(), value: value.clone(), wanted })
    }
}

/// `learning_rate=0.001 optimizer=adam`
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.answers.iter().enumerate() {
            let space = if i > 0 { " " } else { "" };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.answers.len()))?;
        for (name, value) in self.answers() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Config;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of hyperparameter names and values")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
                let mut answers = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(entry) = map.next_entry::<Name, Value>()? {
                    answers.push(entry);
                }
                Ok(Config::new(answers))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// How an old configuration fits a space.
#[derive(Clone, Debug, PartialEq)]
pub enum Fit {
    /// Every question of the space has its answer (declared defaults fill what the old one lacks).
    Whole(Config),
    /// These questions have neither an answer nor a default.
    Missing(Vec<Name>),
    /// These answers lie outside the space's domains, each with the reason.
    Outside(Vec<(Name, String)>),
}

/// Walks `space` with the answers of `old`: space evolution, import and resume all come down to this.
///
/// # Errors
/// If the space itself refuses a question.
pub fn replay(old: &Config, space: &dyn Walk) -> Result<Fit, SpaceError> {
    let mut chooser = Replay::new(old);
    // Stored answers may break constraints: all questions are asked, and the whole is judged.
    let walked = match space.outline() {
        Some(outline) => outline.walk_all(&mut chooser),
        None => space.walk(&mut chooser),
    };
    match walked {
        Ok(()) | Err(Halt::Enough) => {}
        Err(Halt::Refused(why)) => return Err(why),
    }
    let fit = chooser.fit();
    let (Fit::Whole(config), Some(outline)) = (&fit, space.outline()) else { return Ok(fit) };
    let Some(broken) = outline.violated(config) else { return Ok(fit) };
    let answered = |name: &&Name| config.get(name.as_str()).is_some();
    let first = broken.names().into_iter().map(|(name, _)| name).find(answered).cloned();
    let why = format!("the constraint `{broken}` forbids this combination");
    Ok(first.map_or_else(|| fit.clone(), |name| Fit::Outside(vec![(name, why)])))
}
