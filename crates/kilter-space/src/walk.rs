//! The one idea of a space: somebody asks questions in order, a [`Chooser`] answers.

use crate::domain::{Choice, Domain, Float, Int};
use crate::entry::Prior;
use crate::name::Name;
use crate::outline::{Outline, SpaceError};
use crate::value::Value;

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Its name.
    pub name: &'a Name,
    /// The domain as declared: encodings use it.
    pub domain: &'a Domain,
    /// What constraints and earlier answers leave of it; every answer lies in it.
    pub allowed: &'a Domain,
    /// The answer that a user who does not search would take.
    pub default: Option<&'a Value>,
    /// Where an expert or a law expects the best.
    pub prior: Option<&'a Prior>,
}

/// Whoever answers questions.
pub trait Chooser {
    /// The answer to `question`; it lies in what the question allows.
    ///
    /// # Errors
    /// [`Halt`] ends the walk.
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt>;
}

/// Why a walk ends before its last question. A walk passes every halt up with `?`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Halt {
    /// The chooser has what it came for.
    #[error("nothing more is asked")]
    Enough,
    /// The question cannot be answered.
    #[error(transparent)]
    Refused(#[from] SpaceError),
}

/// Asks its questions in order. Pure and cheap: a space is walked many times, to sample, replay or encode it.
pub trait Walk: Send + Sync {
    /// Asks every question that applies, given the answers so far.
    ///
    /// # Errors
    /// The chooser's [`Halt`].
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt>;

    /// The space as data, if it was declared; nothing for a closure.
    fn outline(&self) -> Option<&Outline> {
        None
    }
}

/// What a sampler gets: the questions as data, and the walk where there is one (a function that trains while it asks has
/// none).
#[derive(Clone, Copy)]
pub struct Space<'a> {
    /// All questions known.
    pub outline: &'a Outline,
    /// Asks them.
    pub walk: Option<&'a dyn Walk>,
}

/// Typed questions for walks written in Rust.
///
/// ```
/// use kilter_space::{Ask, Chooser, Defaults, Halt, Scope};
/// fn walk(chooser: &mut dyn Chooser) -> Result<(), Halt> {
///     if chooser.pick("optimizer", &["adam", "sgd"])? == "sgd" {
///         Scope::new(chooser, "sgd").float("momentum", 0.0, 0.99)?; // asked as sgd.momentum
///     }
///     Ok(())
/// }
/// # let _ = walk(&mut Defaults);
/// ```
pub trait Ask: Chooser {
    /// A number in `[low, high]`.
    ///
    /// # Errors
    /// [`Halt`], also if the name or the range cannot be.
    fn float(&mut self, name: &str, low: f64, high: f64) -> Result<f64, Halt> {
        let range = Float::new(low, high).map_err(|why| SpaceError::domain(name, why))?;
        self.number(name, Domain::Float(range))
    }

    /// A number in `[low, high]`, searched by its logarithm.
    ///
    /// # Errors
    /// As [`Ask::float`].
    fn log_float(&mut self, name: &str, low: f64, high: f64) -> Result<f64, Halt> {
        let range = Float::log(low, high).map_err(|why| SpaceError::domain(name, why))?;
        self.number(name, Domain::Float(range))
    }

    /// A whole number in `low..=high`.
    ///
    /// # Errors
    /// As [`Ask::float`].
    fn int(&mut self, name: &str, low: i64, high: i64) -> Result<i64, Halt> {
        let range = Int::new(low, high).map_err(|why| SpaceError::domain(name, why))?;
        match self.ask(name, &Domain::Int(range))? {
            Value::Int(i) => Ok(i),
            other => Err(SpaceError::wrong_kind(name, "an integer", &other).into()),
        }
    }

    /// One of several words.
    ///
    /// # Errors
    /// As [`Ask::float`].
    fn pick(&mut self, name: &str, choices: &[&str]) -> Result<String, Halt> {
        let values = choices.iter().map(|&word| Value::from(word)).collect();
        let choice = Choice::new(values).map_err(|why| SpaceError::domain(name, why))?;
        match self.ask(name, &Domain::Choice(choice))? {
            Value::Text(word) => Ok(word.as_ref().to_owned()),
            other => Err(SpaceError::wrong_kind(name, "text", &other).into()),
        }
    }

    /// Any domain.
    ///
    /// # Errors
    /// As [`Ask::float`].
    fn ask(&mut self, name: &str, domain: &Domain) -> Result<Value, Halt> {
        let name = Name::new(name).map_err(SpaceError::from)?;
        self.choose(&Question { name: &name, domain, allowed: domain, default: None, prior: None })
    }

    /// A float domain's number.
    ///
    /// # Errors
    /// As [`Ask::float`].
    fn number(&mut self, name: &str, domain: Domain) -> Result<f64, Halt> {
        let value = self.ask(name, &domain)?;
        value.as_f64().ok_or_else(|| SpaceError::wrong_kind(name, "a number", &value).into())
    }
}

impl<C: Chooser> Ask for C {}
impl Ask for dyn Chooser + '_ {}

/// A chooser that puts a prefix before every name.
pub struct Scope<'a> {
    inner: &'a mut dyn Chooser,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// `inner`, asked for `prefix.name` instead of `name`.
    pub fn new(inner: &'a mut dyn Chooser, prefix: &str) -> Self {
        Self { inner, prefix: prefix.to_owned() }
    }
}

impl Chooser for Scope<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let name = Name::new(&format!("{}.{}", self.prefix, question.name)).map_err(SpaceError::from)?;
        self.inner.choose(&Question { name: &name, ..*question })
    }
}
