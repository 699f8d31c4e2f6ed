//! A space as data: all questions, their conditions, in an order in which every condition is about earlier questions.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::distances::Distances;
use crate::domain::{Domain, DomainError};
use crate::entry::Entry;
use crate::expression::{Expr, ExprError, Truth};
use crate::name::{Name, NameError, nearest};
use crate::order::{exclude_each_other, sort};
use crate::plan::Plan;
use crate::value::Value;

/// A space as data. Cloning it is cheap.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Outline {
    entries: Arc<[Entry]>,
    constraints: Arc<[Expr]>,
    complete: bool,
    fingerprint: u64,
    plan: Arc<Plan>,
}

impl PartialEq for Outline {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && self.constraints == other.constraints && self.complete == other.complete
    }
}

/// Why a space cannot be, or a question not be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A domain cannot be.
    #[error("hyperparameter `{name}`: {why}")]
    Domain {
        /// Whose domain.
        name: String,
        /// Why.
        why: DomainError,
    },
    /// Distances that are none of the choice's.
    #[error("the distances of hyperparameter `{name}`: {why}")]
    Distances {
        /// Whose distances.
        name: Name,
        /// Why.
        why: String,
    },
    /// A condition does not parse.
    #[error("hyperparameter `{name}`: its condition cannot be read: {why}")]
    Condition {
        /// Whose condition.
        name: Name,
        /// Why.
        why: Box<ExprError>,
    },
    /// A condition speaks of a question that does not exist.
    #[error("hyperparameter `{name}`: its condition `{condition}` speaks of `{unknown}`, which is not declared{}", did_you_mean(.suggestion))]
    UnknownInCondition {
        /// Whose condition.
        name: Name,
        /// The condition.
        condition: String,
        /// The name that is not declared.
        unknown: Name,
        /// The nearest declared name.
        suggestion: Option<String>,
    },
    /// A constraint speaks of a question that does not exist.
    #[error("the constraint `{constraint}` speaks of `{unknown}`, which is not declared{}", did_you_mean(.suggestion))]
    UnknownInConstraint {
        /// The constraint.
        constraint: String,
        /// The name that is not declared.
        unknown: Name,
        /// The nearest declared name.
        suggestion: Option<String>,
    },
    /// Conditions wait for each other.
    #[error("the conditions of {} wait for each other; at least one of them must not depend on the others", list(.0))]
    Cycle(Vec<Name>),
    /// One name, two questions.
    #[error(
        "hyperparameter `{0}` is declared twice; drop one, rename it, or give both conditions that exclude each other, \
         such as kind == 'a' and kind == 'b'"
    )]
    DeclaredTwice(Name),
    /// Constraints that no configuration fulfils.
    #[error("no configuration fulfils {}; {}", conjunction(.0), if .0.len() == 1 { "loosen or drop it" } else { "loosen or drop one of them" })]
    Contradiction(Vec<String>),
    /// Constraints that almost no configuration fulfils.
    #[error(
        "the constraint `{0}` wants continuous numbers to meet exactly, which no random draw does; leave one of them out \
         and compute it from the others, or give them a step"
    )]
    Vanishing(String),
    /// Answers that no answer to the next question can complete.
    #[error("hyperparameter `{name}`: after the answers before it, nothing in {domain} fulfils {}", conjunction(.constraints))]
    NothingLeft {
        /// Which has no answer left.
        name: Name,
        /// Its domain in inline syntax.
        domain: String,
        /// The constraints that speak of it.
        constraints: Vec<String>,
    },
    /// Something that needs the whole space as data.
    #[error(
        "{0} needs the whole space beforehand, and this one is known only as far as trials have asked; declare its \
         questions (in kilter.toml or as an Outline)"
    )]
    Unfinished(&'static str),
    /// Configurations that cannot be listed.
    #[error("hyperparameter `{name}` is continuous ({domain}), so its answers cannot be listed; {advice}")]
    Continuum {
        /// Which.
        name: Name,
        /// Its domain in inline syntax.
        domain: String,
        /// How to make them finitely many.
        advice: String,
    },
    /// A list of numbers that encodes no configuration.
    #[error("{got} numbers encode no configuration of this space, which has {wanted} coordinates")]
    WrongLength {
        /// How many the space has.
        wanted: usize,
        /// How many came.
        got: usize,
    },
    /// No such question.
    #[error("there is no hyperparameter `{name}`{}", did_you_mean(.suggestion))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest declared name.
        suggestion: Option<String>,
    },
    /// An answer that the domain does not hold.
    #[error("hyperparameter `{name}`: {value} is not allowed; allowed is {domain}{}", nearest_choice(.value, .domain))]
    Outside {
        /// Whose answer.
        name: Name,
        /// The answer.
        value: Value,
        /// The domain in inline syntax.
        domain: String,
    },
    /// An answer of another kind than the question's.
    #[error("hyperparameter `{name}`: expected {wanted}, got {got}")]
    WrongKind {
        /// Whose answer.
        name: String,
        /// What was expected.
        wanted: &'static str,
        /// What came.
        got: String,
    },
    /// A question without an answer where one is needed.
    #[error("hyperparameter `{0}` has no answer here and no default; set it")]
    Unanswered(Name),
    /// One name asked twice with two domains.
    #[error("hyperparameter `{name}` was asked as {first} and now as {second}; one name has one domain within a trial")]
    AskedDifferently {
        /// Which.
        name: Name,
        /// The first domain.
        first: String,
        /// The second domain.
        second: String,
    },
}

impl SpaceError {
    pub(crate) fn domain(name: &str, why: DomainError) -> Self {
        Self::Domain { name: name.to_owned(), why }
    }

    pub(crate) fn wrong_kind(name: &str, wanted: &'static str, got: &Value) -> Self {
        Self::WrongKind { name: name.to_owned(), wanted, got: format!("{got} ({})", got.kind()) }
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// The choice that a misspelt one is near to.
fn nearest_choice(value: &Value, domain: &str) -> String {
    let choices = domain.split('|').filter(|_| domain.contains('|'));
    did_you_mean(&value.as_str().and_then(|word| nearest(word, choices)).map(str::to_owned))
}

fn conjunction(constraints: &[String]) -> String {
    constraints.iter().map(|constraint| format!("`{constraint}`")).collect::<Vec<_>>().join(" and ")
}

fn list(names: &[Name]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Outline {
    /// A declared, complete space. Questions keep the order written, except that a condition's questions come first.
    ///
    /// # Errors
    /// If a name stands twice (but under conditions that exclude each other), a default is outside its domain, a condition speaks of an unknown name, or conditions wait
    /// for each other.
    pub fn new(entries: Vec<Entry>) -> Result<Self, SpaceError> {
        Self::build(entries, Vec::new(), true)
    }

    /// A declared, complete space in which only some configurations are allowed: those for which no constraint is false.
    /// A constraint about a question that was not asked says nothing.
    ///
    /// # Errors
    /// As [`Outline::new`], and if a constraint speaks of an unknown name.
    pub fn constrained(entries: Vec<Entry>, constraints: Vec<Expr>) -> Result<Self, SpaceError> {
        Self::build(entries, constraints, true)
    }

    /// What trials have asked so far: the outline of a closure.
    ///
    /// # Errors
    /// As [`Outline::new`].
    pub fn learnt(entries: Vec<Entry>) -> Result<Self, SpaceError> {
        Self::build(entries, Vec::new(), false)
    }

    fn build(mut entries: Vec<Entry>, constraints: Vec<Expr>, complete: bool) -> Result<Self, SpaceError> {
        for entry in &mut entries {
            entry.default = entry.default.as_ref().map(|value| entry.check(value)).transpose()?;
        }
        let mut places: HashMap<Name, Vec<usize>> = HashMap::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let same = places.entry(entry.name.clone()).or_default();
            let apart = |&other: &usize| match (&entry.when, &entries[other].when) {
                (Some(a), Some(b)) => exclude_each_other(a, b),
                _ => false,
            };
            if !same.iter().all(apart) {
                return Err(SpaceError::DeclaredTwice(entry.name.clone()));
            }
            same.push(i);
        }
        let mut parents = Vec::with_capacity(entries.len());
        for entry in &entries {
            let mut of_entry = Vec::new();
            for (name, _) in entry.when.iter().flat_map(Expr::names) {
                match places.get(name) {
                    Some(same) => of_entry.extend(same),
                    None => {
                        return Err(SpaceError::UnknownInCondition {
                            name: entry.name.clone(),
                            condition: entry.when.as_ref().map_or(String::new(), Expr::to_string),
                            unknown: name.clone(),
                            suggestion: nearest(name.as_str(), entries.iter().map(|e| e.name.as_str()))
                                .map(str::to_owned),
                        });
                    }
                }
            }
            parents.push(of_entry);
        }
        let order = sort(&parents)
            .map_err(|ring| SpaceError::Cycle(ring.into_iter().map(|i| entries[i].name.clone()).collect()))?;
        let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
        let entries: Vec<Entry> = order.into_iter().filter_map(|i| entries[i].take()).collect();
        for constraint in &constraints {
            if let Some((name, _)) = constraint.names().into_iter().find(|(name, _)| !places.contains_key(*name)) {
                return Err(SpaceError::UnknownInConstraint {
                    constraint: constraint.to_string(),
                    unknown: name.clone(),
                    suggestion: nearest(name.as_str(), entries.iter().map(|e| e.name.as_str())).map(str::to_owned),
                });
            }
        }
        for entry in &entries {
            if let Some(why) = entry.distances.as_ref().and_then(|of| Distances::trouble(of.values(), &entry.domain)) {
                return Err(SpaceError::Distances { name: entry.name.clone(), why });
            }
        }
        let fingerprint = fingerprint(&entries, &constraints);
        let plan = Arc::new(Plan::new(&entries, &constraints));
        Ok(Self { entries: entries.into(), constraints: constraints.into(), complete, fingerprint, plan })
    }

    /// The questions, in the order in which they are asked.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What every configuration must fulfil, as written.
    pub fn constraints(&self) -> &[Expr] {
        &self.constraints
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The question of this name.
    ///
    /// # Errors
    /// If there is none; the error names the nearest.
    pub fn entry(&self, name: &str) -> Result<&Entry, SpaceError> {
        self.entries.iter().find(|entry| entry.name == *name).ok_or_else(|| SpaceError::Unknown {
            name: name.to_owned(),
            suggestion: nearest(name, self.entries.iter().map(|e| e.name.as_str())).map(str::to_owned),
        })
    }

    /// Does it list every question there can be? A closure's outline lists those asked so far.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// A number that changes with every change of the questions.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// This space as one study searches it: `searched` domains replace declared ones, `set` answers are fixed, and
    /// settings that nobody mentioned are fixed at their defaults.
    ///
    /// # Errors
    /// If a name is unknown, or an answer is outside its domain, or a setting has no default.
    pub fn specialise(&self, set: &[(String, Value)], searched: &[(String, Domain)]) -> Result<Self, SpaceError> {
        for name in set.iter().map(|(name, _)| name).chain(searched.iter().map(|(name, _)| name)) {
            self.entry(name)?;
        }
        let mut entries = self.entries.to_vec();
        for entry in &mut entries {
            if let Some((_, domain)) = searched.iter().rev().find(|(name, _)| entry.name == **name) {
                entry.search(domain.clone());
            } else if let Some((_, value)) = set.iter().rev().find(|(name, _)| entry.name == **name) {
                entry.domain = Domain::Fixed(entry.check(value)?);
                entry.default = None;
            } else if entry.setting && !matches!(entry.domain, Domain::Fixed(_)) {
                let default = entry.default.take().ok_or_else(|| SpaceError::Unanswered(entry.name.clone()))?;
                entry.domain = Domain::Fixed(default);
            }
        }
        Self::build(entries, self.constraints.to_vec(), self.complete)
    }

    /// The questions with more than one answer that can be asked at all: a fixed answer may rule others out.
    pub fn searched(&self) -> impl Iterator<Item = &Entry> {
        let fixed = |name: &Name| {
            let mut same = self.entries.iter().filter(|entry| entry.name == *name);
            match (same.next().map(|entry| &entry.domain), same.next()) {
                (Some(Domain::Fixed(value)), None) => Some(value.clone()),
                _ => None,
            }
        };
        // Conditions speak of entries before.
        let mut asked: Vec<&Name> = Vec::with_capacity(self.entries.len());
        self.entries.iter().filter(move |entry| {
            let can_be = entry.when.as_ref().is_none_or(|when| match when.truth(&fixed) {
                Truth::Yes => true,
                Truth::No => false,
                Truth::Unknown => when.names().iter().any(|(name, _)| fixed(name).is_none() && asked.contains(name)),
            });
            asked.extend(can_be.then_some(&entry.name));
            can_be && entry.domain.count() != Some(1)
        })
    }

    /// This space with another domain for `name`, or with this further question behind all others.
    ///
    /// # Errors
    /// If `name` cannot be a name.
    pub fn with(&self, name: &str, domain: Domain) -> Result<Self, SpaceError> {
        let mut entries = self.entries.to_vec();
        let mut declared = false;
        for entry in entries.iter_mut().filter(|entry| entry.name == *name) {
            entry.search(domain.clone());
            declared = true;
        }
        if !declared {
            entries.push(Entry::new(name, domain)?);
        }
        Self::build(entries, self.constraints.to_vec(), self.complete)
    }

    /// How many configurations there are, if they are finitely many and the space has no conditions; an upper bound if
    /// it has. Nothing for a continuum or beyond 2¹²⁸.
    pub fn count_at_most(&self) -> Option<u128> {
        self.entries.iter().try_fold(1_u128, |product, entry| product.checked_mul(entry.domain.count()?))
    }
}

/// FNV-1a over what decides which configurations exist; defaults and remarks do not count.
fn fingerprint(entries: &[Entry], constraints: &[Expr]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut absorb = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    };
    for entry in entries {
        absorb(entry.name.as_str());
        absorb(&entry.domain.to_string());
        absorb(entry.when.as_ref().map_or("", Expr::source));
    }
    for constraint in constraints {
        absorb(constraint.source());
    }
    hash
}

/// How an outline is written in JSON.
#[derive(Serialize, Deserialize)]
struct Parts {
    questions: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<Expr>,
    complete: bool,
}

impl TryFrom<Parts> for Outline {
    type Error = SpaceError;
    fn try_from(parts: Parts) -> Result<Self, SpaceError> {
        Self::build(parts.questions, parts.constraints, parts.complete)
    }
}

impl From<Outline> for Parts {
    fn from(outline: Outline) -> Self {
        Self {
            questions: outline.entries.to_vec(),
            constraints: outline.constraints.to_vec(),
            complete: outline.complete,
        }
    }
}
