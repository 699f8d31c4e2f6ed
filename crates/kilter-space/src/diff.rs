//! What changed from one version of a space to the next. Which old configurations still fit, [`crate::replay`] tells.

use std::fmt;

use crate::domain::{Choice, Domain};
use crate::entry::{Entry, Prior};
use crate::expression::Expr;
use crate::name::Name;
use crate::outline::Outline;
use crate::value::Value;

/// One difference between two versions of a space.
#[derive(Clone, Debug, PartialEq)]
pub enum SpaceChange {
    /// A question that the old version lacks.
    NewQuestion {
        /// Which.
        name: Name,
        /// Its domain.
        domain: Domain,
        /// What old configurations are taken to have answered.
        default: Option<Value>,
    },
    /// A question that the new version lacks.
    DroppedQuestion(Name),
    /// A choice, level or item that the old version lacks.
    NewChoice(Name, Value),
    /// A choice, level or item that the new version lacks.
    DroppedChoice(Name, Value),
    /// Everything allowed before still is, and more.
    Wider(Name, Domain, Domain),
    /// Everything allowed now was allowed before, and more.
    Narrower(Name, Domain, Domain),
    /// Another range, scale, step or kind, or another order of the same values.
    OtherDomain(Name, Domain, Domain),
    /// Another condition.
    Condition(Name, Option<Expr>, Option<Expr>),
    /// Another default.
    Default(Name, Option<Value>, Option<Value>),
    /// Another prior.
    Prior(Name, Option<Prior>, Option<Prior>),
    /// Other distances between the values of a choice.
    Distances(Name),
    /// A constraint that the old version lacks.
    NewConstraint(Expr),
    /// A constraint that the new version lacks.
    DroppedConstraint(Expr),
}

/// All differences, question by question in the new version's order, then what was dropped, then the constraints.
pub fn diff(old: &Outline, new: &Outline) -> Vec<SpaceChange> {
    let mut changes = Vec::new();
    // Of several entries of one name, each is compared with the old one under the same condition if there is one.
    let partner = |entry: &Entry, others: &Outline| -> Option<usize> {
        let same = |(_, other): &(usize, &Entry)| other.name == entry.name;
        let mut named = others.entries().iter().enumerate().filter(same);
        let first = named.clone().next();
        named.find(|(_, other)| source(other) == source(entry)).or(first).map(|(at, _)| at)
    };
    for entry in new.entries() {
        match partner(entry, old) {
            Some(at) => compare(&old.entries()[at], entry, &mut changes),
            None => changes.push(SpaceChange::NewQuestion {
                name: entry.name.clone(),
                domain: entry.domain.clone(),
                default: entry.default.clone(),
            }),
        }
    }
    let dropped = old.entries().iter().filter(|entry| partner(entry, new).is_none());
    changes.extend(dropped.map(|entry| SpaceChange::DroppedQuestion(entry.name.clone())));
    let lacks = |outline: &Outline, constraint: &Expr| {
        !outline.constraints().iter().any(|other| other.source() == constraint.source())
    };
    let added = new.constraints().iter().filter(|constraint| lacks(old, constraint));
    changes.extend(added.cloned().map(SpaceChange::NewConstraint));
    let dropped = old.constraints().iter().filter(|constraint| lacks(new, constraint));
    changes.extend(dropped.cloned().map(SpaceChange::DroppedConstraint));
    changes
}

fn source(entry: &Entry) -> Option<&str> {
    entry.when.as_ref().map(Expr::source)
}

fn compare(old: &Entry, new: &Entry, changes: &mut Vec<SpaceChange>) {
    let name = || new.name.clone();
    if old.domain != new.domain {
        compare_domains(&new.name, &old.domain, &new.domain, changes);
    }
    if source(old) != source(new) {
        changes.push(SpaceChange::Condition(name(), old.when.clone(), new.when.clone()));
    }
    if old.default != new.default {
        changes.push(SpaceChange::Default(name(), old.default.clone(), new.default.clone()));
    }
    if old.prior != new.prior {
        changes.push(SpaceChange::Prior(name(), old.prior, new.prior));
    }
    if old.distances != new.distances {
        changes.push(SpaceChange::Distances(name()));
    }
}

fn compare_domains(name: &Name, old: &Domain, new: &Domain, changes: &mut Vec<SpaceChange>) {
    let change = |kind: fn(Name, Domain, Domain) -> SpaceChange| kind(name.clone(), old.clone(), new.clone());
    if let Some((before, after)) = lists(old, new) {
        let lacks = |list: &Choice, value: &&Value| list.position(value).is_none();
        let added: Vec<&Value> = after.values().iter().filter(|value| lacks(before, value)).collect();
        let dropped: Vec<&Value> = before.values().iter().filter(|value| lacks(after, value)).collect();
        let kept = |list: &Choice, other: &Choice| -> Vec<Value> {
            list.values().iter().filter(|value| other.position(value).is_some()).cloned().collect()
        };
        // An order matters to ordinals; encodings and counts go by it everywhere.
        if kept(before, after) != kept(after, before) {
            changes.push(change(SpaceChange::OtherDomain));
        }
        changes.extend(added.into_iter().map(|value| SpaceChange::NewChoice(name.clone(), value.clone())));
        changes.extend(dropped.into_iter().map(|value| SpaceChange::DroppedChoice(name.clone(), value.clone())));
        return;
    }
    changes.push(if holds(new, old) {
        change(SpaceChange::Wider)
    } else if holds(old, new) {
        change(SpaceChange::Narrower)
    } else {
        change(SpaceChange::OtherDomain)
    });
}

/// Two lists of values of the same kind.
fn lists<'a>(old: &'a Domain, new: &'a Domain) -> Option<(&'a Choice, &'a Choice)> {
    match (old, new) {
        (Domain::Choice(a), Domain::Choice(b))
        | (Domain::Ordinal(a), Domain::Ordinal(b))
        | (Domain::Subset(a), Domain::Subset(b))
        | (Domain::Permutation(a), Domain::Permutation(b)) => Some((a, b)),
        _ => None,
    }
}

/// Does `wide` allow every answer of `narrow`, on the same scale?
fn holds(wide: &Domain, narrow: &Domain) -> bool {
    match (wide, narrow) {
        (Domain::Float(wide), Domain::Float(narrow)) => {
            let inside = wide.low() <= narrow.low() && narrow.high() <= wide.high();
            let grid = match (wide.step_width(), narrow.step_width()) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(a), Some(b)) => {
                    let whole = |x: f64| (x - x.round()).abs() < 1e-6;
                    whole(b / a) && whole((narrow.low() - wide.low()) / a)
                }
            };
            inside && grid && wide.is_log() == narrow.is_log()
        }
        (Domain::Int(wide), Domain::Int(narrow)) => {
            let step = i128::from(wide.step_width());
            let offset = i128::from(narrow.low()) - i128::from(wide.low());
            wide.low() <= narrow.low()
                && narrow.high() <= wide.high()
                && wide.is_log() == narrow.is_log()
                && i128::from(narrow.step_width()) % step == 0
                && offset % step == 0
        }
        (wide, Domain::Fixed(value)) => wide.accept(value).is_some(),
        _ => false,
    }
}

/// One line, as `kilter space diff` shows it.
impl fmt::Display for SpaceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or("none".to_owned(), Value::to_string);
        let always = |when: &Option<Expr>| when.as_ref().map_or("always".to_owned(), |when| format!("when {when}"));
        let prior = |prior: &Option<Prior>| {
            prior.map_or("none".to_owned(), |prior| format!("{} within {}", prior.center, prior.spread))
        };
        match self {
            Self::NewQuestion { name, domain, default: Some(default) } => {
                write!(f, "new question {name}: {domain} (old trials count as {name}={default})")
            }
            Self::NewQuestion { name, domain, default: None } => {
                write!(f, "new question {name}: {domain} (no default, so old trials lack it)")
            }
            Self::DroppedQuestion(name) => write!(f, "dropped question {name}"),
            Self::NewChoice(name, value) => write!(f, "{name}: new choice {value}"),
            Self::DroppedChoice(name, value) => write!(f, "{name}: dropped choice {value}"),
            Self::Wider(name, old, new) => write!(f, "{name}: wider, from {old} to {new}"),
            Self::Narrower(name, old, new) => write!(f, "{name}: narrower, from {old} to {new}"),
            Self::OtherDomain(name, old, new) => write!(f, "{name}: changed from {old} to {new}"),
            Self::Condition(name, old, new) => write!(f, "{name}: asked {} (was: {})", always(new), always(old)),
            Self::Default(name, old, new) => write!(f, "{name}: default {} (was: {})", shown(new), shown(old)),
            Self::Prior(name, old, new) => write!(f, "{name}: prior {} (was: {})", prior(new), prior(old)),
            Self::Distances(name) => write!(f, "{name}: other distances between its values"),
            Self::NewConstraint(constraint) => write!(f, "new constraint {constraint}"),
            Self::DroppedConstraint(constraint) => write!(f, "dropped constraint {constraint}"),
        }
    }
}
