//! Narrowing: what constraints leave of a domain, given the answers so far and what the open ones can still be.
//!
//! Intervals are propagated from constraint to constraint until nothing moves (bounds consistency); then the ends of a
//! range are tried, and so is each value of a choice. No feasible answer is ever lost: all rounding goes outwards.
//! Exact for constraints that are linear in each name, for each by itself; several together may still leave an answer
//! that no configuration completes.

use crate::domain::Domain;
use crate::entry::Entry;
use crate::expression::Truth;
use crate::interval::Interval;
use crate::outlook::{Outlook, Stage, Truths};
use crate::plan::Plan;
use crate::value::Value;

/// What is known before the next answer: by slot, its stage and what a number there can be.
#[derive(Clone, Debug)]
pub(crate) struct State {
    stages: Vec<Stage>,
    ranges: Vec<Interval>,
}

/// A walk's state.
pub(crate) struct Narrowing<'a> {
    plan: &'a Plan,
    entries: &'a [Entry],
    state: State,
    /// Rules to look at again, last one first.
    queue: Vec<usize>,
    queued: Vec<bool>,
}

/// A range counts as changed if it shrinks by more than this share: fixed points may be approached for ever.
const PROGRESS: f64 = 1e-3;

/// Each rule is looked at no more often than this on average after one answer.
const ROUNDS: usize = 16;

impl State {
    /// Before the first answer, under these rules only; or the rule that leaves nothing.
    pub(crate) fn start(plan: &Plan, entries: &[Entry], rules: &[usize]) -> Result<Self, usize> {
        let mut state =
            Self { stages: vec![Stage::Open; plan.only.len()], ranges: vec![Interval::ALL; plan.only.len()] };
        for (at, entry) in entries.iter().enumerate() {
            let slot = plan.slot[at];
            if plan.only[slot].is_some() {
                state.ranges[slot] = whole(&entry.domain);
            }
            if entry.when.is_none() {
                state.stages[slot] = Stage::Certain(at);
            }
        }
        let mut narrowing = Narrowing::with(plan, entries, state);
        rules.iter().for_each(|&rule| narrowing.queue_rule(rule));
        narrowing.settle(&plan.blank(), Some(rules))?;
        Ok(narrowing.state)
    }
}

fn whole(domain: &Domain) -> Interval {
    domain.ends().map_or(Interval::ALL, |(low, high)| Interval::new(low, high))
}

impl<'a> Narrowing<'a> {
    /// At the start of a walk; or the rule that can never be met.
    pub(crate) fn new(plan: &'a Plan, entries: &'a [Entry]) -> Result<Self, usize> {
        Ok(Self::with(plan, entries, plan.start.clone()?))
    }

    fn with(plan: &'a Plan, entries: &'a [Entry], state: State) -> Self {
        Self { plan, entries, state, queue: Vec::new(), queued: vec![false; plan.rules.len()] }
    }

    fn queue_rule(&mut self, rule: usize) {
        if !std::mem::replace(&mut self.queued[rule], true) {
            self.queue.push(rule);
        }
    }

    fn queue_slot(&mut self, slot: usize) {
        let plan = self.plan;
        plan.touching[slot].iter().for_each(|&rule| self.queue_rule(rule));
    }

    fn outlook<'b>(&'b self, slots: &'b [Option<Value>]) -> Outlook<'b> {
        let State { stages, ranges } = &self.state;
        Outlook { entries: self.entries, slots, stages, only: &self.plan.only, ranges, probe: None }
    }

    /// Looks at the queued rules, of `among` if that is given, until nothing moves; or the rule that leaves nothing.
    fn settle(&mut self, slots: &[Option<Value>], among: Option<&[usize]>) -> Result<(), usize> {
        let plan = self.plan;
        let mut left = ROUNDS * (plan.rules.len() + 1);
        while let Some(rule) = self.queue.pop() {
            self.queued[rule] = false;
            if among.is_some_and(|among| !among.contains(&rule)) {
                continue;
            }
            left = left.saturating_sub(1);
            if left == 0 {
                self.queue.drain(..).for_each(|rule| self.queued[rule] = false);
                return Ok(());
            }
            let mut open = false;
            for &slot in &plan.rules[rule].slots {
                let Stage::Certain(entry) = self.state.stages[slot] else { continue };
                let whole_numbers = match &self.entries[entry].domain {
                    Domain::Float(_) => false,
                    Domain::Int(_) => true,
                    _ => continue,
                };
                open = true;
                let before = self.state.ranges[slot];
                let bounds = self.outlook(slots).bounds(&plan.rules[rule].node, slot, true).ok_or(rule)?;
                let mut after = before.meet(bounds).ok_or(rule)?;
                if whole_numbers {
                    after = Interval::new(after.low.ceil(), after.high.floor()).meet(Interval::ALL).ok_or(rule)?;
                }
                self.state.ranges[slot] = after;
                let gain = (after.low - before.low) + (before.high - after.high);
                if gain > (before.high - before.low) * PROGRESS {
                    self.queue_slot(slot);
                }
            }
            if !open && self.outlook(slots).truths(&plan.rules[rule].node) == Truths::NO {
                return Err(rule);
            }
        }
        Ok(())
    }

    /// What is left of the domain of `entry`, which is about to be asked; nothing instead of the whole. Fails if
    /// no answer is left.
    pub(crate) fn allowed(&mut self, entry: usize, slots: &[Option<Value>]) -> Result<Option<Domain>, ()> {
        let (plan, domain) = (self.plan, &self.entries[entry].domain);
        let slot = plan.slot[entry];
        if plan.touching[slot].is_empty() {
            return Ok(None);
        }
        self.ensure_certain(entry);
        self.settle(slots, None).map_err(drop)?;
        let outlook = self.outlook(slots);
        let possible = |value: &Value| {
            let with = Outlook { probe: Some((slot, value)), ..outlook };
            !plan.touching[slot].iter().any(|&rule| with.truths(&plan.rules[rule].node) == Truths::NO)
        };
        let left = match domain {
            Domain::Float(_) | Domain::Int(_) => {
                let range = self.state.ranges[slot];
                domain.between(range.low, range.high).and_then(|part| shaved(&part, &possible))
            }
            other => other.keep(possible),
        };
        match left {
            Some(left) if left == *domain => Ok(None),
            Some(left) => Ok(Some(left)),
            None => Err(()),
        }
    }

    /// Takes the answer to `entry`, which already stands in its slot; fails if it leaves a rule without hope.
    pub(crate) fn answered(&mut self, entry: usize, slots: &[Option<Value>]) -> Result<(), ()> {
        let plan = self.plan;
        let slot = plan.slot[entry];
        self.state.stages[slot] = Stage::Answered;
        self.queue_slot(slot);
        for &waiting in &plan.waiting[slot] {
            let condition = plan.conditions[waiting].as_ref().map_or(Truth::Yes, |when| when.truth(slots));
            match (condition, self.state.stages[plan.slot[waiting]]) {
                (Truth::Yes, Stage::Open) => self.ensure_certain(waiting),
                (Truth::No, Stage::Open) => self.passed(waiting),
                _ => {}
            }
        }
        self.settle(slots, None).map_err(drop)
    }

    /// Takes that `entry` is not asked.
    pub(crate) fn passed(&mut self, entry: usize) {
        let slot = self.plan.slot[entry];
        if self.plan.only[slot].is_some() {
            self.state.stages[slot] = Stage::Absent;
        }
    }

    fn ensure_certain(&mut self, entry: usize) {
        let slot = self.plan.slot[entry];
        if self.state.stages[slot] == Stage::Open {
            self.state.stages[slot] = Stage::Certain(entry);
            self.state.ranges[slot] = whole(&self.entries[entry].domain);
            self.queue_slot(slot);
        }
    }
}

/// So many values are tried from each end of a range of separate numbers.
const TRIED: u128 = 64;

/// Rounding moves the end of a continuous range by less than so many doublings of a unit in the last place.
const DOUBLINGS: u32 = 24;

/// A range without the values at its ends that are impossible; nothing if none is possible.
fn shaved(domain: &Domain, possible: &dyn Fn(&Value) -> bool) -> Option<Domain> {
    let (low, high) = match (domain, domain.count()) {
        (Domain::Float(range), None) => {
            let (low, high) = (range.low(), range.high());
            (inward(low, high, possible)?, inward(high, low, possible)?)
        }
        (Domain::Float(_) | Domain::Int(_), Some(count)) => {
            let end = |from_above: bool| {
                let value = |k: u128| domain.nth(if from_above { count - 1 - k } else { k });
                let found = (0..count.min(TRIED)).find(|&k| value(k).is_some_and(|value| possible(&value)));
                let k = match found {
                    Some(k) => k,
                    None if count <= TRIED => return None,
                    None => TRIED,
                };
                value(k)
            };
            let (low, high) = (end(false)?, end(true)?);
            let ends = |value: &Value| match value {
                Value::Int(i) => (crate::domain::part::below(*i), crate::domain::part::above(*i)),
                other => other.as_f64().map_or((f64::NAN, f64::NAN), |x| (x, x)),
            };
            (ends(&low).0, ends(&high).1)
        }
        _ => return domain.keep(possible),
    };
    domain.between(low, high)
}

/// The possible number nearest to `end` towards `other`; `end` itself if there is none in reach of rounding. Nothing if
/// all the (few) numbers up to `other` are impossible.
fn inward(end: f64, other: f64, possible: &dyn Fn(&Value) -> bool) -> Option<f64> {
    // Floats in order are whole numbers in order.
    let rank = |x: f64| {
        let bits = (x + 0.0).to_bits() as i64;
        if bits < 0 { i64::MIN - bits } else { bits }
    };
    let float = |rank: i64| f64::from_bits((if rank < 0 { i64::MIN - rank } else { rank }) as u64);
    let (from, to) = (i128::from(rank(end)), i128::from(rank(other)));
    let width = (to - from).abs();
    let at = |k: i128| float((from + if to < from { -k } else { k }) as i64);
    let fits = |k: i128| possible(&Value::Float(at(k)));
    let near = (TRIED as i128).min(width);
    if let Some(k) = (0..=near).find(|&k| fits(k)) {
        return Some(at(k));
    }
    if near == width {
        return None;
    }
    let (mut outside, mut inside) = (near, 2 * near);
    while inside < width && inside >> DOUBLINGS == 0 {
        if fits(inside) {
            while inside - outside > 1 {
                let middle = outside + (inside - outside) / 2;
                if fits(middle) {
                    inside = middle;
                } else {
                    outside = middle;
                }
            }
            return Some(at(inside));
        }
        (outside, inside) = (inside, inside * 2);
    }
    Some(end)
}
