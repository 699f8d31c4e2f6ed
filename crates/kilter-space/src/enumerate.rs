//! Every configuration of a finite space, one after the other, and how many there are.
//!
//! Cost: a few hundred nanoseconds per configuration and question; a branch is left as soon as its answers break a
//! constraint.

use crate::config::Config;
use crate::domain::Domain;
use crate::expression::Truth;
use crate::outline::{Outline, SpaceError};
use crate::plan::Plan;
use crate::value::Value;

/// How many configurations a space has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly so many.
    Exact(u128),
    /// Not more than so many: too many to see how many of them the conditions and constraints leave.
    AtMost(u128),
    /// More than 2¹²⁷.
    Beyond,
}

/// So many answers are tried at most to count exactly.
const COUNTED: u64 = 1_000_000;

/// The answers of some entries (a closed set: the questions of their conditions are among them), every combination that
/// breaks no rule, in order.
pub(crate) struct Leaves<'a> {
    plan: &'a Plan,
    entries: Vec<usize>,
    domains: Vec<Domain>,
    counts: Vec<u128>,
    /// By position, the rules about nothing later.
    finished: Vec<Vec<usize>>,
    started: bool,
    /// The answer's place in its domain, of each that is asked.
    pub(crate) digits: Vec<Option<u128>>,
    /// All answers.
    pub(crate) slots: Vec<Option<Value>>,
    /// Answers tried so far.
    pub(crate) tried: u64,
}

/// By position in `entries`, the rules that speak of its slot and of no later one's.
pub(crate) fn finished_rules(plan: &Plan, entries: &[usize]) -> Vec<Vec<usize>> {
    let mut finished = vec![Vec::new(); entries.len()];
    for (at, rule) in plan.rules.iter().enumerate() {
        let last = entries.iter().rposition(|&entry| rule.slots.contains(&plan.slot[entry]));
        if let Some(rules) = last.and_then(|last| finished.get_mut(last)) {
            rules.push(at);
        }
    }
    finished
}

impl<'a> Leaves<'a> {
    /// Nothing if a domain cannot be counted; else it gives that domain's position.
    pub(crate) fn new(plan: &'a Plan, entries: Vec<usize>, domains: Vec<Domain>) -> Result<Self, usize> {
        let mut counts = Vec::with_capacity(entries.len());
        for (at, domain) in domains.iter().enumerate() {
            counts.push(domain.count().ok_or(at)?);
        }
        let finished = finished_rules(plan, &entries);
        let digits = vec![None; entries.len()];
        Ok(Self { plan, entries, domains, counts, finished, started: false, digits, slots: plan.blank(), tried: 0 })
    }

    /// How many combinations there are if every question is asked and nothing is forbidden.
    pub(crate) fn product(&self) -> Option<u128> {
        self.counts.iter().try_fold(1_u128, |product, &count| product.checked_mul(count))
    }

    /// Goes to the next combination; false after the last, or when `limit` answers have been tried.
    pub(crate) fn advance(&mut self, limit: u64) -> bool {
        let (mut at, mut forward) = if self.started { (self.entries.len(), false) } else { (0, true) };
        self.started = true;
        loop {
            if forward {
                if at == self.entries.len() {
                    return true;
                }
                self.digits[at] = self.plan.asks(self.entries[at], &self.slots).then_some(0);
            } else {
                if at == 0 {
                    return false;
                }
                at -= 1;
                let Some(digit) = self.digits[at] else { continue };
                let next = digit + 1;
                self.digits[at] = (next < self.counts[at]).then_some(next);
                if self.digits[at].is_none() {
                    self.slots[self.plan.slot[self.entries[at]]] = None;
                    continue;
                }
            }
            if let Some(digit) = self.digits[at] {
                self.slots[self.plan.slot[self.entries[at]]] = self.domains[at].nth(digit);
            }
            self.tried += 1;
            if self.tried > limit {
                return false;
            }
            let plan = self.plan;
            forward = !self.finished[at].iter().any(|&rule| plan.rules[rule].node.truth(&self.slots) == Truth::No);
            at += 1;
        }
    }
}

/// Every feasible configuration of a finite space; made by [`Outline::configs`].
pub struct Configs<'a> {
    outline: &'a Outline,
    leaves: Leaves<'a>,
}

impl Iterator for Configs<'_> {
    type Item = Config;

    fn next(&mut self) -> Option<Config> {
        if !self.leaves.advance(u64::MAX) {
            return None;
        }
        let asked = self.leaves.digits.iter().enumerate().filter(|(_, digit)| digit.is_some());
        let answer = |(at, _): (usize, &Option<u128>)| {
            let value = self.leaves.slots[self.outline.plan().slot[at]].clone()?;
            Some((self.outline.entries()[at].name.clone(), value))
        };
        Some(Config::new(asked.filter_map(answer).collect()))
    }
}

impl Outline {
    /// Every feasible configuration, in order: the last question's answers change first.
    ///
    /// # Errors
    /// If a question is continuous, or the space is known only as far as trials have asked.
    pub fn configs(&self) -> Result<Configs<'_>, SpaceError> {
        if !self.is_complete() {
            return Err(SpaceError::Unfinished("a list of all configurations"));
        }
        let entries = self.entries();
        let domains = entries.iter().map(|entry| entry.domain.clone()).collect();
        let leaves = Leaves::new(self.plan(), (0..entries.len()).collect(), domains);
        Ok(Configs { outline: self, leaves: leaves.map_err(|at| self.continuum(at))? })
    }

    /// How many feasible configurations there are. Questions on which no condition and no constraint depends multiply;
    /// the combinations of the others are counted one by one, if they are not too many (a million answers are tried).
    ///
    /// # Errors
    /// If a question is continuous, or the space is known only as far as trials have asked.
    pub fn count(&self) -> Result<Count, SpaceError> {
        if !self.is_complete() {
            return Err(SpaceError::Unfinished("a count of all configurations"));
        }
        let (plan, entries) = (self.plan(), self.entries());
        if let Some(at) = entries.iter().position(|entry| entry.domain.count().is_none()) {
            return Err(self.continuum(at));
        }
        let core = self.core(true);
        let rest: Vec<usize> = (0..entries.len()).filter(|at| core.binary_search(at).is_err()).collect();
        let domains = core.iter().map(|&at| entries[at].domain.clone()).collect();
        let mut leaves = Leaves::new(plan, core, domains).map_err(|at| self.continuum(at))?;
        let count_of = |at: usize| entries[at].domain.count();
        let mut total = 0_u128;
        while leaves.advance(COUNTED) {
            let mut asked = rest.iter().filter(|&&at| plan.asks(at, &leaves.slots));
            let product = asked.try_fold(1_u128, |product, &at| product.checked_mul(count_of(at)?));
            match product.and_then(|product| total.checked_add(product)) {
                Some(sum) => total = sum,
                None => return Ok(Count::Beyond),
            }
        }
        if leaves.tried <= COUNTED {
            return Ok(Count::Exact(total));
        }
        let whole = rest.iter().try_fold(leaves.product(), |product, &at| Some(product?.checked_mul(count_of(at)?)));
        Ok(whole.flatten().map_or(Count::Beyond, Count::AtMost))
    }

    /// The entries on which constraints depend (and conditions, if `conditions`), with all that those depend on.
    pub(crate) fn core(&self, conditions: bool) -> Vec<usize> {
        let plan = self.plan();
        let mut wanted: Vec<bool> = (0..plan.touching.len()).map(|slot| !plan.touching[slot].is_empty()).collect();
        if conditions {
            wanted.iter_mut().zip(&plan.waiting).for_each(|(wanted, waiting)| *wanted |= !waiting.is_empty());
        }
        // Whatever a condition speaks of comes before it.
        let mut parents: Vec<Vec<usize>> = vec![Vec::new(); plan.slot.len()];
        for (slot, waiting) in plan.waiting.iter().enumerate() {
            waiting.iter().for_each(|&entry| parents[entry].push(slot));
        }
        for entry in (0..plan.slot.len()).rev().filter(|&entry| !parents[entry].is_empty()) {
            if wanted[plan.slot[entry]] {
                parents[entry].iter().for_each(|&slot| wanted[slot] = true);
            }
        }
        (0..plan.slot.len()).filter(|&entry| wanted[plan.slot[entry]]).collect()
    }

    fn continuum(&self, at: usize) -> SpaceError {
        let entry = &self.entries()[at];
        let advice = match &entry.domain {
            Domain::Float(range) if range.is_log() => {
                format!("list the values, for example {}|{}", Value::Float(range.low()), Value::Float(range.high()))
            }
            Domain::Float(range) => {
                format!("give it a step, for example {}/{:?}", entry.domain, round_step(range.high() - range.low()))
            }
            _ => "leave out some of its items".to_owned(),
        };
        SpaceError::Continuum { name: entry.name.clone(), domain: entry.domain.to_string(), advice }
    }
}

/// About a tenth of a width, rounded to one digit.
fn round_step(width: f64) -> f64 {
    let tenth = width / 10.0;
    format!("{tenth:.0e}").parse().unwrap_or(tenth)
}
