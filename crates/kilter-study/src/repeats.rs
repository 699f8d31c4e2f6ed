//! One configuration under several seeds or folds: what its repeats say of it, and when it is not worth another.
//!
//! Racing (Maron and Moore, *Hoeffding Races*, 1994; with paired t tests: Birattari, Stützle, Paquete and Varrentrapp,
//! *A Racing Algorithm for Configuring Metaheuristics*, 2002): every configuration meets the same seeds, or folds, in the
//! same order, so that differences to the best one so far are paired. A configuration whose mean difference is worse with
//! 95 % confidence (two-sided t interval) after two repeats or more gets no further one. Compared is with the incumbent
//! only, without correction for comparing several times: an error costs a configuration, not a wrong choice, since what
//! was raced out does not compete for the best.
//!
//! The results of finished repeats are points of the trial: metric `loss#`, step = repeat. They are kept when a worker
//! dies, so that a trial begun anew goes on at the repeat that was lost.

use std::collections::BTreeMap;

use kilter_numerics::compare::{Interval, PairedDifference, mean_interval, paired_difference};

use crate::event::Point;
use crate::goal::{Better, Goal};
use crate::history::{History, Row};
use crate::run::Why;

/// Confidence of every interval here.
pub const CONFIDENCE: f64 = 0.95;

/// A difference has no deviation before the second pair.
const FEWEST: usize = 2;

/// What marks the metric of a finished repeat.
const MARK: char = '#';

/// The points that a finished repeat leaves.
pub(crate) fn results(repeat: u64, metrics: &BTreeMap<String, f64>) -> Vec<Point> {
    let point = |(name, value): (&String, &f64)| Point { step: repeat, metric: format!("{name}{MARK}"), value: *value };
    metrics.iter().map(point).collect()
}

/// The name under which a later repeat's reports are kept: the first one's are the trial's own curve.
pub(crate) fn reported_in(repeat: u64, metric: &str) -> String {
    if repeat == 0 { metric.to_owned() } else { format!("{metric}{MARK}{repeat}") }
}

/// How much of a lost attempt's points still counts: all up to its last finished repeat.
pub(crate) fn still_counts(points: &[Point]) -> usize {
    points.iter().rposition(|point| point.metric.ends_with(MARK)).map_or(0, |at| at + 1)
}

/// The points of finished repeats.
pub(crate) fn kept(points: &[Point]) -> Vec<Point> {
    points.iter().filter(|point| point.metric.ends_with(MARK)).cloned().collect()
}

/// What the finished repeats of a trial gave.
pub(crate) fn finished(points: &[Point]) -> Vec<BTreeMap<String, f64>> {
    let mut all: Vec<BTreeMap<String, f64>> = Vec::new();
    for point in points {
        if let Some(name) = point.metric.strip_suffix(MARK) {
            let at = point.step as usize;
            all.resize_with(all.len().max(at + 1), BTreeMap::new);
            all[at].insert(name.to_owned(), point.value);
        }
    }
    all
}

/// The mean of each metric that every one of them has.
pub(crate) fn means(all: &[BTreeMap<String, f64>]) -> BTreeMap<String, f64> {
    let Some((first, rest)) = all.split_first() else { return BTreeMap::new() };
    let mean = |name: &String| {
        let sum = rest.iter().try_fold(first[name], |sum, other| Some(sum + other.get(name)?));
        Some((name.clone(), sum? / all.len() as f64))
    };
    first.keys().filter_map(mean).collect()
}

impl Row {
    /// What each finished repeat gave of a metric, in order; empty for a trial that is run once.
    pub fn repeats(&self, metric: &str) -> Vec<f64> {
        let of_it = |point: &&Point| point.metric.strip_suffix(MARK) == Some(metric);
        self.points.iter().filter(of_it).map(|point| point.value).collect()
    }

    /// The mean of a metric over the repeats with its 95 % t interval; nothing below two of them.
    pub fn interval(&self, metric: &str) -> Option<Interval> {
        mean_interval(&self.repeats(metric), CONFIDENCE).ok()
    }
}

/// How the best trial compares with the one behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunnerUp {
    /// The one behind.
    pub number: u64,
    /// Best minus runner-up over the repeats that both had.
    pub difference: PairedDifference,
}

impl RunnerUp {
    /// Does the interval of the difference leave zero out?
    pub fn is_distinguishable(&self) -> bool {
        self.difference.difference.low > 0.0 || self.difference.difference.high < 0.0
    }
}

impl History {
    /// The best trial by a goal beside the next one that is no copy of it; nothing without repeats of both.
    pub fn runner_up(&self, goal: &Goal) -> Option<RunnerUp> {
        let ranking = self.ranking(goal);
        let (best, others) = ranking.split_first()?;
        let next = others.iter().find(|row| row.config() != best.config())?;
        let difference = paired(&best.repeats(&goal.metric), &next.repeats(&goal.metric))?;
        Some(RunnerUp { number: next.number, difference })
    }

    /// Why a trial with these repeats so far needs no further one, if it is beaten by the best so far.
    pub(crate) fn race(&self, goal: &Goal, so_far: &[f64]) -> Option<Why> {
        if so_far.len() < FEWEST {
            return None;
        }
        let best = self.best(goal)?;
        let theirs = best.repeats(&goal.metric);
        let PairedDifference { difference, pairs, .. } = paired(so_far, &theirs)?;
        let worse = match goal.better {
            Better::Lower => difference.low > 0.0,
            Better::Higher => difference.high < 0.0,
        };
        worse.then(|| Why::Pruned {
            rule: "race".to_owned(),
            comparison: format!(
                "{} differs from the best, trial {}, by {:.3} over {pairs} repeats, 95 % interval {:.3} to {:.3}",
                goal.metric, best.number, difference.estimate, difference.low, difference.high
            ),
        })
    }
}

/// `a` minus `b` over the repeats that both have.
fn paired(a: &[f64], b: &[f64]) -> Option<PairedDifference> {
    let common = a.len().min(b.len());
    paired_difference(&a[..common], &b[..common], CONFIDENCE).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{finished, means, results, still_counts};

    #[test]
    fn repeats_are_read_back_as_they_were_kept_and_the_rest_of_a_lost_attempt_is_dropped() {
        let one = BTreeMap::from([("loss".to_owned(), 1.0), ("auc@1".to_owned(), 0.5)]);
        let other = BTreeMap::from([("loss".to_owned(), 3.0)]);
        let mut points = results(0, &one);
        points.extend(results(1, &other));
        points.push(crate::Point { step: 4, metric: super::reported_in(2, "loss"), value: 9.0 });
        assert_eq!(still_counts(&points), 3);
        assert_eq!(finished(&points), [one.clone(), other.clone()]);
        assert_eq!(means(&[one, other]), BTreeMap::from([("loss".to_owned(), 2.0)]));
        assert!(means(&[]).is_empty());
    }
}
