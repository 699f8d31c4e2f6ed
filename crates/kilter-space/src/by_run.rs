//! Spaces that are known only by asking: closures as walks, and the outline learnt from what trials asked.

use crate::choosers::Asked;
use crate::domain::Domain;
use crate::entry::Entry;
use crate::name::Name;
use crate::outline::{Outline, SpaceError};
use crate::value::Value;
use crate::walk::{Chooser, Halt, Question, Walk};

/// A closure as a space: it asks while it runs. Asked twice, a question has one answer; with another domain it is
/// refused.
///
/// ```
/// use kilter_space::{Ask, ByRun, Chooser, Halt, Random};
/// let space = ByRun::new(|chooser: &mut dyn Chooser| {
///     let depth = chooser.int("depth", 1, 3)?;
///     for layer in 0..depth {
///         chooser.log_float(&format!("width{layer}"), 8.0, 512.0)?;
///     }
///     Ok(())
/// });
/// let config = Random::new(kilter_numerics::Stream::new(&[1], "example")).config(&space)?;
/// assert_eq!(config.answers().len() as i64, 1 + config.int("depth")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ByRun<F>(F);

impl<F: Fn(&mut dyn Chooser) -> Result<(), Halt> + Send + Sync> ByRun<F> {
    /// The space that `ask` asks.
    pub fn new(ask: F) -> Self {
        Self(ask)
    }
}

impl<F: Fn(&mut dyn Chooser) -> Result<(), Halt> + Send + Sync> Walk for ByRun<F> {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        (self.0)(&mut Once { chooser, asked: Asked::default() })
    }
}

/// Asks each question once.
struct Once<'a> {
    chooser: &'a mut dyn Chooser,
    asked: Asked,
}

impl Chooser for Once<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        if let Some(value) = self.asked.recall(question)? {
            return Ok(value);
        }
        let value = self.chooser.choose(question)?;
        self.asked.push(question, &value);
        Ok(value)
    }
}

impl Outline {
    /// This unfinished space and what a trial asked ([`Answered::asked`](crate::Answered::asked)): questions in the order
    /// in which they first came up; one that was asked with several domains has its newest. A question that a trial did
    /// not ask has no condition here: nobody said why. Cheap if nothing is new.
    ///
    /// # Errors
    /// As [`Outline::new`].
    pub fn learn(&self, asked: &[(Name, Domain, Value)]) -> Result<Self, SpaceError> {
        let known = |(name, domain, _): &&(Name, Domain, Value)| {
            self.plan().entry(name).is_some_and(|at| self.entries()[at].domain == *domain)
        };
        if asked.iter().all(|question| known(&question)) {
            return Ok(self.clone());
        }
        let mut entries = self.entries().to_vec();
        let mut further = std::collections::HashMap::new();
        for (name, domain, _) in asked {
            match self.plan().entry(name).or_else(|| further.get(name).copied()) {
                Some(at) => entries[at].domain = domain.clone(),
                None => {
                    further.insert(name.clone(), entries.len());
                    entries.push(Entry::new(name.as_str(), domain.clone())?);
                }
            }
        }
        Self::learnt(entries)
    }
}
