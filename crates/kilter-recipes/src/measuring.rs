//! Recipes that measure one thing for a claim, and the shorthand that claims are written in.

use kilter_space::{Chooser, Config, Entry, Expr, Halt, Outline, SpaceError, Value, Walk, parse_domain};
use kilter_study::{Better, Failure, Metric, Outcome, Recipe, Run};

use crate::claim::{Arm, Claim, Judge};

/// A recipe that measures one thing.
pub struct Measuring {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) outline: Outline,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) run: fn(&Config, &mut Run) -> Result<Outcome, Failure>,
}

impl Walk for Measuring {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.outline)
    }
}

impl Recipe for Measuring {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        (self.run)(config, run)
    }
}

pub(crate) fn entry(name: &str, domain: &str, default: impl Into<Value>, about: &str) -> Result<Entry, SpaceError> {
    let domain = parse_domain(domain).unwrap_or_else(|why| unreachable!("the domain of {name}: {why}"));
    Ok(Entry::new(name, domain)?.default(default)?.about(about))
}

/// An outline some of whose configurations are not allowed.
pub(crate) fn constrained(entries: Vec<Entry>, constraints: &[&str]) -> Result<Outline, SpaceError> {
    let parsed = |text: &&str| Expr::parse(text).unwrap_or_else(|why| unreachable!("the constraint {text}: {why}"));
    Outline::constrained(entries, constraints.iter().map(parsed).collect())
}

pub(crate) fn seed(about: &str) -> Result<Entry, SpaceError> {
    Ok(entry("seed", "int:0..1000000", 0_i64, about)?.setting())
}

pub(crate) fn lower(name: &str) -> Metric {
    Metric::new(name, Better::Lower)
}

pub(crate) fn higher(name: &str) -> Metric {
    Metric::new(name, Better::Higher)
}

pub(crate) const fn arm(name: &'static str, recipe: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm { name, recipe, data: None, set, tuned: None, goal: None, only_full: false, costly: None }
}

/// A claim that is reported and decides nothing.
pub(crate) const fn reported(
    sentence: &'static str,
    metric: &'static str,
    better: Better,
    ours: &'static [&'static str],
    baseline: &'static [&'static str],
    judge: Judge,
) -> Claim {
    Claim { sentence, metric, better, ours, baseline, judge, gate: false }
}
