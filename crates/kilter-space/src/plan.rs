//! An outline compiled: every name is a slot, every condition and constraint a tree over slots.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::config::Config;
use crate::entry::Entry;
use crate::evaluate::Node;
use crate::expression::{Expr, Truth};
use crate::feasible::Source;
use crate::name::Name;
use crate::narrow::State;
use crate::outline::SpaceError;
use crate::value::Value;

/// An outline compiled.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The slot of every entry. Two entries of one name, which exclude each other, share one.
    pub(crate) slot: Vec<usize>,
    /// Of a slot that one entry alone fills, that entry.
    pub(crate) only: Vec<Option<usize>>,
    /// Every entry's condition.
    pub(crate) conditions: Vec<Option<Node>>,
    /// The constraints.
    pub(crate) rules: Vec<Rule>,
    /// By slot, the rules that speak of it.
    pub(crate) touching: Vec<Vec<usize>>,
    /// By slot, the entries whose conditions speak of it.
    pub(crate) waiting: Vec<Vec<usize>>,
    /// What is known before the first answer, or the rule that can never be met.
    pub(crate) start: Result<State, usize>,
    /// Where feasible configurations come from; made when first needed.
    pub(crate) source: OnceLock<Result<Source, SpaceError>>,
    slot_of: HashMap<Name, usize>,
}

/// A constraint.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) node: Node,
    /// The slots it speaks of, each once.
    pub(crate) slots: Vec<usize>,
}

impl Plan {
    /// Compiles entries in walk order; every name in their conditions and in the constraints is declared.
    pub(crate) fn new(entries: &[Entry], constraints: &[Expr]) -> Self {
        let mut slot_of = HashMap::with_capacity(entries.len());
        let mut only: Vec<Option<usize>> = Vec::new();
        let slot: Vec<usize> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| match slot_of.get(&entry.name) {
                Some(&slot) => {
                    only[slot] = None;
                    slot
                }
                None => {
                    only.push(Some(at));
                    slot_of.insert(entry.name.clone(), only.len() - 1);
                    only.len() - 1
                }
            })
            .collect();
        let of = |name: &Name| slot_of.get(name).copied().unwrap_or(usize::MAX);
        let distinct = |expr: &Expr| {
            let mut slots: Vec<usize> = expr.names().into_iter().map(|(name, _)| of(name)).collect();
            slots.sort_unstable();
            slots.dedup();
            slots
        };
        let conditions: Vec<Option<Node>> =
            entries.iter().map(|entry| entry.when.as_ref().map(|when| when.compiled(of))).collect();
        let rules: Vec<Rule> =
            constraints.iter().map(|rule| Rule { node: rule.compiled(of), slots: distinct(rule) }).collect();
        let mut touching = vec![Vec::new(); only.len()];
        for (at, rule) in rules.iter().enumerate() {
            rule.slots.iter().for_each(|&slot| touching[slot].push(at));
        }
        let mut waiting = vec![Vec::new(); only.len()];
        for (at, entry) in entries.iter().enumerate() {
            entry.when.iter().flat_map(distinct).for_each(|slot| waiting[slot].push(at));
        }
        let mut plan =
            Self { slot, only, conditions, rules, touching, waiting, start: Err(0), source: OnceLock::new(), slot_of };
        let every_rule: Vec<usize> = (0..plan.rules.len()).collect();
        plan.start = State::start(&plan, entries, &every_rule);
        plan
    }

    /// The only entry of this name.
    pub(crate) fn entry(&self, name: &Name) -> Option<usize> {
        self.only[*self.slot_of.get(name)?]
    }

    /// Slots without answers.
    pub(crate) fn blank(&self) -> Vec<Option<Value>> {
        vec![None; self.only.len()]
    }

    /// Is this entry asked, given the answers to those before it?
    pub(crate) fn asks(&self, entry: usize, slots: &[Option<Value>]) -> bool {
        self.conditions[entry].as_ref().is_none_or(|when| when.truth(slots) == Truth::Yes)
    }

    /// The first rule that these answers break.
    pub(crate) fn broken(&self, slots: &[Option<Value>]) -> Option<usize> {
        self.rules.iter().position(|rule| rule.node.truth(slots) == Truth::No)
    }

    /// The answers of a configuration to the questions that are asked in it, with the entries that ask. What it lacks,
    /// `missing` gives, if it does.
    pub(crate) fn slots_of<'a>(
        &self,
        config: &'a Config,
        missing: impl Fn(usize) -> Option<&'a Value>,
    ) -> (Vec<Option<Value>>, Vec<usize>) {
        let mut given: Vec<Option<&Value>> = vec![None; self.only.len()];
        for (name, value) in config.answers() {
            if let Some(&slot) = self.slot_of.get(name) {
                given[slot] = Some(value);
            }
        }
        let mut slots = self.blank();
        let mut asked = Vec::with_capacity(self.slot.len());
        for (entry, &slot) in self.slot.iter().enumerate() {
            let value = given[slot].or_else(|| missing(entry));
            if let Some(value) = value.filter(|_| self.asks(entry, &slots)) {
                slots[slot] = Some(value.clone());
                asked.push(entry);
            }
        }
        (slots, asked)
    }
}
