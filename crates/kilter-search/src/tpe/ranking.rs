//! Trials in order of merit, kept from event to event: an ask reads off the better few instead of sorting the history.
//!
//! Cost: O(log n) per event with one objective, with several what [`Fronts`] says. An ask reads off the better ones, and at
//! most `recall` of the others; of a front that does not fit among the better ones it takes the greedy hypervolume subset.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use kilter_study::{Goal, History, Row, State};

use super::split::reference_point;
use crate::fronts::Fronts;
use crate::hypervolume::contributions;

/// How a finished trial stands among the others; the least is the best. The order is that of
/// [`split`](super::split::split).
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

/// How a trial stands, if it has ended with something to learn from.
enum Standing {
    Ranked(Merit),
    /// Complete and feasible with several objectives: its losses.
    InFront(Vec<f64>),
}

fn standing(row: &Row, goals: &[Goal]) -> Option<Standing> {
    let loss = |goal: &Goal, value: f64| if value.is_nan() { f64::INFINITY } else { goal.better.as_loss(value) + 0.0 };
    let (goal, number) = (goals.first()?, row.number);
    let violation = row.violation().unwrap_or(0.0);
    let merit = match row.state {
        State::Complete if violation > 0.0 => Merit { class: 2, step: 0, value: violation, number },
        State::Complete => {
            let losses: Vec<f64> = row.values(goals)?.into_iter().zip(goals).map(|(v, goal)| loss(goal, v)).collect();
            match losses[..] {
                [value] => Merit { class: 0, step: 0, value, number },
                _ => return Some(Standing::InFront(losses)),
            }
        }
        State::Pruned => match row.curve(&goal.metric).last() {
            None => Merit { class: 1, step: u64::MAX, value: 0.0, number },
            Some((step, last)) => {
                Merit { class: 1, step: (u64::MAX - 1).saturating_sub(step), value: loss(goal, last), number }
            }
        },
        State::Running | State::Stale | State::Waiting | State::Failed => return None,
    };
    Some(Standing::Ranked(merit))
}

/// The weight of a trial that adds nothing (Optuna's).
const LEAST: f64 = 1e-12;

/// All trials that count.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    /// The finished ones but for those in the fronts.
    merits: BTreeSet<Merit>,
    /// By number.
    merit_of: Vec<Option<Merit>>,
    /// With several objectives, the complete and feasible ones.
    fronts: Fronts,
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
    /// The best one, with one objective.
    pub(super) best: Option<u64>,
}

/// Those of the ascending `numbers` that are not among the ascending `others`.
fn apart_from<N: Ord>(numbers: impl Iterator<Item = N>, others: impl Iterator<Item = N>) -> impl Iterator<Item = N> {
    let mut others = others.peekable();
    numbers.filter(move |number| {
        while others.next_if(|other| other < number).is_some() {}
        others.peek() != Some(number)
    })
}

impl Ranking {
    pub(super) fn touch(&mut self, number: Option<u64>) {
        self.touched.extend(number);
    }

    /// Takes what has happened since.
    pub(super) fn update(&mut self, history: &History, goals: &[Goal]) {
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
            match standing(row, goals) {
                Some(Standing::InFront(losses)) => self.fronts.insert(number, losses),
                Some(Standing::Ranked(merit)) => {
                    self.fronts.remove(number);
                    self.merit_of[at] = Some(merit);
                    self.merits.insert(merit);
                }
                None => self.fronts.remove(number),
            }
        }
    }

    /// The two sides: the best `n_below`, and of all others (running ones too if `liar`) at most `recall`: the newest
    /// half of those, and from the time before every second, fourth, eighth …, so that from ask to ask they are nearly the
    /// same.
    pub(super) fn sides(&self, n_below: usize, liar: bool, recall: usize) -> Sides {
        let best = self.merits.first().filter(|_| self.fronts.len() == 0).map(|merit| merit.number);
        let mut below = self.fronts.best(n_below, reference_point);
        below.extend(self.merits.iter().take(n_below - below.len()).map(|merit| merit.number));
        below.sort_unstable();
        let counts = |number: u64| {
            let finished = || self.merit_of.get(number as usize).is_some_and(Option::is_some);
            finished() || self.fronts.contains(number) || (liar && self.open.contains(&number))
        };
        let upwards = |numbers: &mut dyn Iterator<Item = u64>, above: &mut Vec<u64>| {
            above.extend(apart_from(numbers, below.iter().copied()).filter(|&number| counts(number)));
        };
        let end = self.merit_of.len() as u64;
        let others = self.finished() - below.len() + if liar { self.open.len() } else { 0 };
        let mut above = Vec::with_capacity(others.min(recall));
        if others <= recall {
            upwards(&mut (0..end), &mut above);
            return Sides { below, above, best };
        }
        let newest = recall.div_ceil(2);
        let downwards = apart_from((0..end).rev().map(Reverse), below.iter().rev().copied().map(Reverse));
        let first = downwards.map(|Reverse(number)| number).filter(|&number| counts(number)).nth(newest - 1);
        let before = first.unwrap_or(end);
        let stride = before.div_ceil((recall - newest) as u64).next_power_of_two();
        upwards(&mut (0..before).step_by(stride as usize), &mut above);
        upwards(&mut (before..end), &mut above);
        Sides { below, above, best }
    }

    /// Of each of these trials what it adds to their hypervolume, as a share of the largest such volume; the infeasible
    /// and the unfinished add next to nothing.
    pub(super) fn hypervolume_weights(history: &History, goals: &[Goal], numbers: &[u64]) -> Vec<f64> {
        let losses = |number: u64| {
            let row = history.get(number).filter(|row| row.is_feasible())?;
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

    /// How many have ended with something to learn from.
    pub(super) fn finished(&self) -> usize {
        self.merits.len() + self.fronts.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kilter_space::{Expr, Outline, parse_domain};
    use kilter_study::{Asked, Better, Conduct, End, EndState, Limits, Memory, NoPruner, Study, StudySpec, Usage};
    use proptest::prelude::*;

    use super::*;
    use crate::random::RandomSearch;
    use crate::tpe::split::{Candidate, Outcome, split};

    /// What happens to a trial.
    #[derive(Clone, Debug)]
    enum Fate {
        Complete([i32; 3], bool),
        Pruned,
        Failed,
        Open,
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            6 => (any::<[bool; 3]>(), 0..5_i32, any::<bool>()).prop_map(|(more, at, feasible)| {
                Fate::Complete(more.map(|more| at + i32::from(more)), feasible)
            }),
            1 => Just(Fate::Pruned),
            1 => Just(Fate::Failed),
            1 => Just(Fate::Open),
        ]
    }

    proptest! {
        /// What is kept from event to event are the sides of splitting the whole history.
        #[test]
        fn sides_are_those_of_the_split(
            fates in proptest::collection::vec(fate(), 1..40), n_below in 0..12_usize, several: bool, maximize: bool,
            liar: bool,
        ) {
            let better = if maximize { Better::Higher } else { Better::Lower };
            let names = if several { &["a", "b", "c"][..] } else { &["a"] };
            let goals: Vec<Goal> = names.iter().map(|name| Goal { metric: (*name).to_owned(), better }).collect();
            let x = kilter_space::Entry::new("x", parse_domain("0.0..1.0").unwrap()).unwrap();
            let spec = StudySpec {
                name: "s".to_owned(),
                outline: Outline::new(vec![x]).unwrap(),
                goals: goals.clone(),
                sampler: String::new(),
                pruner: String::new(),
                seed: 0,
                trials: None,
                conduct: Conduct::default(),
                requirements: vec![Expr::parse("m <= 0").unwrap()],
                limits: Limits::default(),
                plan: serde_json::Value::Null,
            };
            let storage = Arc::new(Memory::new());
            let mut study = Study::create(storage, spec.clone(), Box::new(RandomSearch), Box::new(NoPruner)).unwrap();
            let mut ranking = Ranking::default();
            for (number, fate) in fates.iter().enumerate() {
                let Asked::Trial(trial) = study.ask().unwrap() else { panic!("random search ends") };
                let metrics = |values: [i32; 3], m: f64| {
                    let values = ["a", "b", "c"].into_iter().zip(values.map(f64::from)).chain([("m", m)]);
                    values.map(|(name, value)| (name.to_owned(), value)).collect()
                };
                let end = match fate {
                    Fate::Complete(values, feasible) => {
                        let m = if *feasible { -1.0 } else { 1.0 + (number % 3) as f64 };
                        Some(spec.judged(trial.config(), metrics(*values, m), Usage::default()))
                    }
                    Fate::Pruned => Some(End { state: EndState::Pruned, ..End::of(metrics([0; 3], 0.0), &goals, Usage::default()) }),
                    Fate::Failed => Some(End::of(std::collections::BTreeMap::new(), &goals, Usage::default())),
                    Fate::Open => None,
                };
                if let Some(end) = end {
                    study.tell(&trial, &end).unwrap();
                }
                // Some are looked at often, some once.
                if number % 3 == 0 {
                    study.history().rows().for_each(|row| ranking.touch(Some(row.number)));
                    ranking.update(study.history(), &goals);
                }
            }
            study.history().rows().for_each(|row| ranking.touch(Some(row.number)));
            ranking.update(study.history(), &goals);
            let rows: Vec<&Row> = study.history().rows().filter(|row| row.state != State::Failed).collect();
            let values: Vec<Option<Vec<f64>>> = rows.iter().map(|row| row.values(&goals)).collect();
            let candidates = rows.iter().zip(&values).map(|(row, values)| Candidate {
                outcome: match values {
                    Some(values) => Outcome::Complete(values),
                    None if row.state == State::Pruned => Outcome::Pruned(None),
                    None => Outcome::Running,
                },
                violation: row.violation().unwrap_or(0.0),
            });
            let candidates: Vec<Candidate<'_>> = candidates.collect();
            let expected = split(&candidates, &vec![maximize; goals.len()], n_below.min(ranking.finished()));
            let numbers = |places: &[usize]| -> Vec<u64> { places.iter().map(|&at| rows[at].number).collect() };
            let above = numbers(&expected.above).into_iter().filter(|&number| {
                liar || study.history().get(number).is_some_and(|row| row.state.is_ended())
            });
            let sides = ranking.sides(n_below, liar, usize::MAX);
            prop_assert_eq!(sides.below, numbers(&expected.below));
            prop_assert_eq!(sides.above, above.collect::<Vec<u64>>());
        }
    }
}
