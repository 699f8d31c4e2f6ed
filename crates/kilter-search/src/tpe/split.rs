//! Which finished trials count as the better few ("below"), how many they are, and how much an old trial still counts.
//!
//! Bergstra, Bardenet, Bengio and Kégl, *Algorithms for Hyper-Parameter Optimization* (2011); age weights after their
//! Hyperopt ("linear forgetting"); several objectives after Ozaki, Tanigaki, Watanabe and Onishi, *Multiobjective
//! Tree-Structured Parzen Estimator for Computationally Expensive Optimization Problems* (2020); constraints as in
//! Optuna.
//!
//! Cost for n trials: O(n) for one objective; for several, O(n f m) per front of f trials and m objectives until the
//! fronts fill the set, and the greedy hypervolume subset of the front that no longer fits.

use crate::hypervolume::{greedy_subset, non_domination_ranks};
use std::cmp::Ordering;

/// No more than this many trials are below, and as many of the newest keep their full weight.
const AT_MOST: usize = 25;

/// Size of the below set among n finished trials with one objective: min(⌈n/10⌉, 25).
pub fn default_gamma(n: usize) -> usize {
    n.div_ceil(10).min(AT_MOST)
}

/// Size of the below set among n finished trials with several objectives: ⌈n/10⌉, for a front may be large.
pub fn multi_objective_gamma(n: usize) -> usize {
    n.div_ceil(10)
}

/// Size of the below set in the Hyperopt flavour: min(⌈√n / 4⌉, 25).
pub fn hyperopt_gamma(n: usize) -> usize {
    ((0.25 * (n as f64).sqrt()).ceil() as usize).min(AT_MOST)
}

/// Size of the below set that grows with the root of the number of finished trials: ⌈k √n⌉, not above a quarter of them
/// (and at least 1).
pub fn root_gamma(n: usize, k: f64) -> usize {
    ((k * (n as f64).sqrt()).ceil() as usize).min(n.div_ceil(4))
}

/// The weights of n observations, oldest first: 1 for the newest 25, the older ones evenly from 1/n to 1.
pub fn default_weights(n: usize) -> Vec<f64> {
    let old = n.saturating_sub(AT_MOST);
    let start = 1.0 / n as f64;
    let step = if old > 1 { (1.0 - start) / (old - 1) as f64 } else { 0.0 };
    let ramp = (0..old).map(|i| if i > 0 && i + 1 == old { 1.0 } else { start + i as f64 * step });
    ramp.chain((old..n).map(|_| 1.0)).collect()
}

/// What is known of a trial.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// It ran to its end; one value per objective, none of them NaN.
    Complete(&'a [f64]),
    /// It was stopped early; the last reported step and the value there, if there was a report.
    Pruned(Option<(u64, f64)>),
    /// It is still running.
    Running,
}

/// A trial as the split sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What is known of it.
    pub outcome: Outcome<'a>,
    /// The sum of its positive constraint values; 0 if it is feasible.
    pub violation: f64,
}

/// The trials' positions, each set in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The better few.
    pub below: Vec<usize>,
    /// The rest.
    pub above: Vec<usize>,
}

/// Splits trials, given in order of their numbers, into the `n_below` best and the rest.
///
/// Below is filled with feasible complete trials by value, then with pruned ones by last step (later is better) and
/// value there, then with infeasible ones by violation; running ones are always above. Of equal trials the older wins.
/// With several objectives complete trials go by front; from the front that no longer fits, the greedy hypervolume
/// subset is taken. `maximize` has one entry per objective.
pub fn split(trials: &[Candidate<'_>], maximize: &[bool], n_below: usize) -> Split {
    let mut complete: Vec<(f64, usize)> = Vec::new();
    let mut fronts: Vec<(Vec<f64>, usize)> = Vec::new();
    let mut pruned: Vec<(Option<u64>, f64, usize)> = Vec::new();
    let mut infeasible: Vec<(f64, usize)> = Vec::new();
    let several = maximize.len() > 1;
    let lower_is_better = |value: f64, maximize: bool| if maximize { -value } else { value };
    for (i, trial) in trials.iter().enumerate() {
        match trial.outcome {
            Outcome::Running => {}
            _ if trial.violation > 0.0 => infeasible.push((trial.violation, i)),
            Outcome::Complete(values) if several => {
                fronts.push((values.iter().zip(maximize).map(|(&v, &m)| lower_is_better(v, m)).collect(), i));
            }
            Outcome::Complete(values) => complete.push((lower_is_better(values[0], maximize[0]), i)),
            Outcome::Pruned(last) => pruned.push((
                last.map(|(step, _)| step),
                // A NaN is worse than any number at its step.
                last.map_or(0.0, |(_, value)| worst_if_nan(lower_is_better(value, maximize[0]))),
                i,
            )),
        }
    }
    let by_value = |a: &(f64, usize), b: &(f64, usize)| compare(a.0, b.0).then(a.1.cmp(&b.1));
    let mut below = best_by(&mut complete, n_below, by_value).map(|&(_, i)| i).collect::<Vec<_>>();
    below.extend(best_fronts(&fronts, n_below));
    let left = n_below - below.len();
    below.extend(
        best_by(&mut pruned, left, |a, b| b.0.cmp(&a.0).then(compare(a.1, b.1)).then(a.2.cmp(&b.2))).map(|t| t.2),
    );
    let left = n_below - below.len();
    below.extend(best_by(&mut infeasible, left, by_value).map(|&(_, i)| i));
    below.sort_unstable();
    let mut next = below.iter().peekable();
    let above = (0..trials.len()).filter(|i| next.next_if_eq(&i).is_none()).collect();
    Split { below, above }
}

fn worst_if_nan(value: f64) -> f64 {
    if value.is_nan() { f64::INFINITY } else { value }
}

/// Numbers by value (0 and -0 are equal), NaN last.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The `count` smallest, or all, in no order; without sorting the rest.
fn best_by<T>(items: &mut [T], count: usize, by: impl Fn(&T, &T) -> Ordering) -> impl Iterator<Item = &T> {
    if 0 < count && count < items.len() {
        items.select_nth_unstable_by(count - 1, by);
    }
    items.iter().take(count)
}

/// The best trials by front, and of the front that no longer fits the greedy hypervolume subset.
fn best_fronts(trials: &[(Vec<f64>, usize)], count: usize) -> Vec<usize> {
    if trials.len() <= count {
        return trials.iter().map(|&(_, i)| i).collect();
    }
    let points: Vec<&[f64]> = trials.iter().map(|(values, _)| values.as_slice()).collect();
    let ranks = non_domination_ranks(&points, count);
    let mut best = Vec::with_capacity(count);
    for rank in 0.. {
        let front: Vec<usize> = (0..points.len()).filter(|&i| ranks[i] == Some(rank)).collect();
        let room = count - best.len();
        if room == 0 || front.is_empty() {
            break;
        }
        if front.len() <= room {
            best.extend(front);
            continue;
        }
        let of_front: Vec<&[f64]> = front.iter().map(|&i| points[i]).collect();
        best.extend(greedy_subset(&of_front, room, &reference_point(&of_front)).into_iter().map(|k| front[k]));
        break;
    }
    best.into_iter().map(|i| trials[i].1).collect()
}

/// A point a little worse than the worst of a front in every objective: max(1.1 w, 0.9 w), 10⁻¹² where that is 0.
pub(super) fn reference_point(front: &[&[f64]]) -> Vec<f64> {
    (0..front[0].len())
        .map(|objective| {
            let worst = front.iter().map(|point| point[objective]).fold(f64::NEG_INFINITY, f64::max);
            let reference = (1.1 * worst).max(0.9 * worst);
            if reference == 0.0 { 1e-12 } else { reference }
        })
        .collect()
}
