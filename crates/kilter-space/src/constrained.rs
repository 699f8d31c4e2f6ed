//! An outline's walk, and what its constraints allow.
//!
//! A configuration is feasible if no constraint is false in it. A constraint about a question that is not asked says
//! nothing.

use crate::config::Config;
use crate::expression::Expr;
use crate::narrow::{Narrowing, State};
use crate::outline::{Outline, SpaceError};
use crate::walk::{Chooser, Halt, Walk};

impl Walk for Outline {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        if self.constraints().is_empty() {
            return self.walk_all(chooser);
        }
        let plan = self.plan();
        let mut narrowing = Narrowing::new(plan, self.entries()).map_err(|_| self.contradiction())?;
        let mut slots = plan.blank();
        for (at, entry) in self.entries().iter().enumerate() {
            if !plan.asks(at, &slots) {
                narrowing.passed(at);
                continue;
            }
            let left = narrowing.allowed(at, &slots).map_err(|()| self.nothing_left(at))?;
            let answer = chooser.choose(&entry.question(left.as_ref().unwrap_or(&entry.domain)))?;
            slots[plan.slot[at]] = Some(answer);
            narrowing.answered(at, &slots).map_err(|()| self.nothing_left(at))?;
        }
        Ok(())
    }

    fn outline(&self) -> Option<&Outline> {
        Some(self)
    }
}

impl Outline {
    /// Asks every question that applies, whatever the constraints say.
    pub(crate) fn walk_all(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        let plan = self.plan();
        let mut slots = plan.blank();
        for (at, entry) in self.entries().iter().enumerate() {
            if plan.asks(at, &slots) {
                slots[plan.slot[at]] = Some(chooser.choose(&entry.question(&entry.domain))?);
            }
        }
        Ok(())
    }

    /// Does this configuration break no constraint? A constraint about a question that is not asked in it says nothing,
    /// and neither does one about a question that has no answer yet.
    pub fn is_feasible(&self, config: &Config) -> bool {
        self.constraints().is_empty() || self.violated(config).is_none()
    }

    /// The first constraint that this configuration breaks.
    pub fn violated(&self, config: &Config) -> Option<&Expr> {
        let (slots, _) = self.plan().slots_of(config, |_| None);
        self.plan().broken(&slots).map(|rule| &self.constraints()[rule])
    }

    /// Can this configuration, perhaps unfinished, still be completed, as far as can be seen without trying?
    pub fn is_possible(&self, unfinished: &Config) -> bool {
        if self.constraints().is_empty() {
            return true;
        }
        let Ok(mut narrowing) = Narrowing::new(self.plan(), self.entries()) else { return false };
        let (answers, asked) = self.plan().slots_of(unfinished, |_| None);
        let mut slots = self.plan().blank();
        asked.into_iter().all(|at| {
            let slot = self.plan().slot[at];
            slots[slot].clone_from(&answers[slot]);
            narrowing.answered(at, &slots).is_ok()
        })
    }

    fn nothing_left(&self, at: usize) -> SpaceError {
        let rules = &self.plan().touching[self.plan().slot[at]];
        SpaceError::NothingLeft {
            name: self.entries()[at].name.clone(),
            domain: self.entries()[at].domain.to_string(),
            constraints: rules.iter().map(|&rule| self.constraints()[rule].to_string()).collect(),
        }
    }

    /// The constraints of which intervals alone show that they exclude each other: none can be left out.
    fn contradiction(&self) -> SpaceError {
        let conflict = self.minimal(&|rules| State::start(self.plan(), self.entries(), rules).is_err());
        self.named(&conflict)
    }

    /// Constraints that are in conflict together, of which none can be left out, by leaving out one after the other.
    pub(crate) fn minimal(&self, in_conflict: &dyn Fn(&[usize]) -> bool) -> Vec<usize> {
        let mut rules: Vec<usize> = (0..self.constraints().len()).collect();
        for rule in 0..self.constraints().len() {
            let rest: Vec<usize> = rules.iter().copied().filter(|&other| other != rule).collect();
            if in_conflict(&rest) {
                rules = rest;
            }
        }
        rules
    }

    pub(crate) fn named(&self, rules: &[usize]) -> SpaceError {
        SpaceError::Contradiction(rules.iter().map(|&rule| self.constraints()[rule].to_string()).collect())
    }
}
