//! Trials in order of merit, kept from event to event: an ask reads off the better few instead of sorting the history.
//!
//! Cost: O(log n) per event with one objective. With several, the fronts are found anew at each ask (see
//! [`split`](super::split)).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use kilter_study::{Better, Goal, History, Row, State};

use super::limit::Limit;
use super::split::{Candidate, Outcome, reference_point, split};
use crate::hypervolume::contributions;

/// How a finished trial stands among the others with one objective; the least is the best. The order is that of
/// [`split`].
#[derive(Clone, Copy, Debug, PartialEq)]
struct Merit {
    /// Complete ones, then pruned ones, then infeasible ones.
    class: u8,
    /// Of pruned ones, the later stopped come first.
    step: u64,
    value: f64,
    number: u64,
}

impl Eq for Merit {}

impl PartialOrd for Merit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Merit {
    fn cmp(&self, other: &Self) -> Ordering {
        let of = |merit: &Self| (merit.class, merit.step);
        of(self).cmp(&of(other)).then(self.value.total_cmp(&other.value)).then(self.number.cmp(&other.number))
    }
}

/// How a trial stands, if it counts at all.
enum Standing {
    Complete(Vec<f64>),
    Pruned(Option<(u64, f64)>),
    Running,
}

fn standing(row: &Row, goals: &[Goal]) -> Option<Standing> {
    match row.state {
        State::Complete => row.values(goals).map(Standing::Complete),
        State::Pruned => Some(Standing::Pruned(row.curve(&goals.first()?.metric).last())),
        State::Running | State::Stale | State::Waiting => Some(Standing::Running),
        State::Failed => None,
    }
}

/// By how much a trial misses what the study requires and breaks the limits.
fn violation(row: &Row, limits: &[Limit]) -> f64 {
    let broken: f64 = limits.iter().map(|limit| limit.excess(row.value(&limit.metric))).sum();
    row.violation().unwrap_or(0.0) + broken
}

fn merit(row: &Row, goals: &[Goal], limits: &[Limit]) -> Option<Merit> {
    let goal = goals.first()?;
    let value = |value: f64| if value.is_nan() { f64::INFINITY } else { goal.better.as_loss(value) + 0.0 };
    let number = row.number;
    let violation = violation(row, limits);
    match standing(row, goals)? {
        Standing::Running => None,
        _ if violation > 0.0 => Some(Merit { class: 2, step: 0, value: violation, number }),
        Standing::Complete(values) => Some(Merit { class: 0, step: 0, value: value(*values.first()?), number }),
        Standing::Pruned(None) => Some(Merit { class: 1, step: u64::MAX, value: 0.0, number }),
        Standing::Pruned(Some((step, last))) => {
            Some(Merit { class: 1, step: (u64::MAX - 1).saturating_sub(step), value: value(last), number })
        }
    }
}

/// The weight of a trial that adds nothing (Optuna's).
const LEAST: f64 = 1e-12;

/// All trials that count.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    /// With one objective, the finished ones.
    merits: BTreeSet<Merit>,
    /// By number.
    merit_of: Vec<Option<Merit>>,
    /// Those that have not ended.
    open: BTreeSet<u64>,
    /// Trials that something happened to since.
    touched: Vec<u64>,
}

/// The better few and those that they are compared with, both by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Sides {
    pub(super) below: Vec<u64>,
    pub(super) above: Vec<u64>,
}

impl Ranking {
    pub(super) fn touch(&mut self, number: Option<u64>) {
        self.touched.extend(number);
    }

    /// Takes what has happened since.
    pub(super) fn update(&mut self, history: &History, goals: &[Goal], limits: &[Limit]) {
        for number in std::mem::take(&mut self.touched) {
            let Some(row) = history.get(number) else { continue };
            if row.state.is_ended() {
                self.open.remove(&number)
            } else {
                self.open.insert(number)
            };
            let at = number as usize;
            if self.merit_of.len() <= at {
                self.merit_of.resize(at + 1, None);
            }
            if let Some(old) = self.merit_of[at].take() {
                self.merits.remove(&old);
            }
            self.merit_of[at] = merit(row, goals, limits);
            self.merits.extend(self.merit_of[at]);
        }
    }

    /// The two sides with one objective: the best `n_below`, and of all others (running ones too if `liar`) at most
    /// `recall`: the newest half of those, and others evenly from the whole time before.
    pub(super) fn sides(&self, n_below: usize, liar: bool, recall: usize) -> Sides {
        let mut below: Vec<u64> = self.merits.iter().take(n_below).map(|merit| merit.number).collect();
        below.sort_unstable();
        let is_above = |number: u64| {
            let finished = self.merit_of.get(number as usize).is_some_and(Option::is_some);
            (finished || (liar && self.open.contains(&number))) && below.binary_search(&number).is_err()
        };
        let end = self.merit_of.len() as u64;
        let others = self.merits.len() - below.len() + if liar { self.open.len() } else { 0 };
        if others <= recall {
            return Sides { above: (0..end).filter(|&number| is_above(number)).collect(), below };
        }
        let newest = recall.div_ceil(2);
        let mut above: Vec<u64> = (0..end).rev().filter(|&number| is_above(number)).take(newest).collect();
        above.reverse();
        let before = above.first().copied().unwrap_or(end);
        let share = before as f64 / (recall - newest) as f64;
        let evenly = (0..recall - newest).map(|k| (k as f64 * share) as u64);
        let mut whole: Vec<u64> = evenly.filter(|&number| number < before && is_above(number)).collect();
        whole.dedup();
        whole.extend(above);
        Sides { below, above: whole }
    }

    /// The two sides with several objectives, of which `n_below` tells how many of so many finished ones are better.
    pub(super) fn fronts(
        history: &History,
        goals: &[Goal],
        limits: &[Limit],
        liar: bool,
        n_below: impl Fn(usize) -> usize,
    ) -> Sides {
        let rows: Vec<(&Row, Standing)> = history
            .rows()
            .filter_map(|row| Some((row, standing(row, goals)?)))
            .filter(|(_, standing)| liar || !matches!(standing, Standing::Running))
            .collect();
        let finished = rows.iter().filter(|(_, standing)| !matches!(standing, Standing::Running)).count();
        let candidates: Vec<Candidate<'_>> = rows
            .iter()
            .map(|(row, standing)| Candidate {
                outcome: match standing {
                    Standing::Complete(values) => Outcome::Complete(values),
                    Standing::Pruned(last) => Outcome::Pruned(*last),
                    Standing::Running => Outcome::Running,
                },
                violation: violation(row, limits),
            })
            .collect();
        let maximize: Vec<bool> = goals.iter().map(|goal| goal.better == Better::Higher).collect();
        let split = split(&candidates, &maximize, n_below(finished));
        let numbers = |positions: Vec<usize>| positions.into_iter().map(|at| rows[at].0.number).collect();
        Sides { below: numbers(split.below), above: numbers(split.above) }
    }

    /// Of each of these trials what it adds to their hypervolume, as a share of the largest such volume; the infeasible
    /// and the unfinished add next to nothing.
    pub(super) fn hypervolume_weights(
        history: &History,
        goals: &[Goal],
        limits: &[Limit],
        numbers: &[u64],
    ) -> Vec<f64> {
        let losses = |number: u64| {
            let row = history.get(number).filter(|row| violation(row, limits) <= 0.0)?;
            let values = row.values(goals)?;
            Some(values.iter().zip(goals).map(|(&value, goal)| goal.better.as_loss(value)).collect::<Vec<f64>>())
        };
        let points: Vec<Option<Vec<f64>>> = numbers.iter().map(|&number| losses(number)).collect();
        let known: Vec<&[f64]> = points.iter().flatten().map(Vec::as_slice).collect();
        if known.is_empty() {
            return vec![1.0; numbers.len()];
        }
        let added = contributions(&known, &reference_point(&known));
        let largest = added.iter().copied().fold(0.0, f64::max);
        let share = |added: f64| if largest > 0.0 && largest.is_finite() { (added / largest).max(LEAST) } else { 1.0 };
        let mut added = added.into_iter();
        let weight = |point: &Option<Vec<f64>>| match point {
            Some(_) => added.next().map_or(LEAST, share),
            None => LEAST,
        };
        points.iter().map(weight).collect()
    }

    /// How many have ended with something to learn from, with one objective.
    pub(super) fn finished(&self) -> usize {
        self.merits.len()
    }
}
