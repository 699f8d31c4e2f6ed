//! Stopping a trial whose best value so far is worse than a percentile of the completed trials' at the same step; the
//! 50th percentile is the median rule.
//!
//! Golovin et al., *Google Vizier: A Service for Black-Box Optimization* (2017), section 3.2.2 (there the median of
//! running averages); with the trial's best value and the plain values of the others as in Optuna.
//!
//! Cost: a completed trial costs one insertion into a sorted list per step; a verdict one lookup and a pass over the
//! trial's own curve.

use std::collections::BTreeMap;

use kilter_study::{Better, Change, EndState, Event, History, Pruner, Running, Verdict, Why};
use serde::{Deserialize, Serialize};

/// When to compare, and with what; names and defaults are Optuna's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PercentileConfig {
    /// Percentile of the completed trials' values that a trial has to reach, 0 to 100, counted from the best. Default
    /// 50, the median; less stops more.
    pub percentile: f64,
    /// Completed trials before anything is stopped. Default 5.
    pub n_startup_trials: usize,
    /// Steps below this are never judged. Default 0.
    pub n_warmup_steps: u64,
    /// A trial is judged at its first report in each interval of this many steps after the warm-up, at least 1.
    /// Default 1: at every report.
    pub interval_steps: u64,
    /// Completed trials with a value at the step, below which nothing is stopped, at least 1. Default 1.
    pub n_min_trials: usize,
}

impl Default for PercentileConfig {
    fn default() -> Self {
        Self { percentile: 50.0, n_startup_trials: 5, n_warmup_steps: 0, interval_steps: 1, n_min_trials: 1 }
    }
}

impl PercentileConfig {
    /// The same, if it can be.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn checked(self) -> Result<Self, String> {
        if !(self.percentile > 0.0 && self.percentile < 100.0) {
            return Err(format!("percentile={} must lie between 0 and 100", self.percentile));
        }
        if self.interval_steps == 0 || self.n_min_trials == 0 {
            return Err("interval_steps and n_min_trials must be at least 1".to_owned());
        }
        Ok(self)
    }
}

/// The completed trials, step by step.
#[derive(Clone, Debug)]
pub struct PercentileRule {
    config: PercentileConfig,
    maximize: bool,
    completed: usize,
    steps: BTreeMap<u64, Step>,
}

#[derive(Clone, Debug, Default)]
struct Step {
    /// Ascending, without NaN.
    values: Vec<f64>,
    /// Values reported, NaN included.
    reported: usize,
}

/// Why a trial should stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// The step at which it was judged.
    pub step: u64,
    /// Its best value so far; NaN if it reported nothing else.
    pub best: f64,
    /// The percentile of the others' values at this step that it had to reach; NaN where its own are all NaN.
    pub bar: f64,
    /// How many completed trials had a value (other than NaN) at this step.
    pub trials: usize,
}

impl PercentileRule {
    /// A rule that has seen no trial yet.
    pub fn new(config: PercentileConfig, maximize: bool) -> Self {
        Self { config, maximize, completed: 0, steps: BTreeMap::new() }
    }

    /// Takes in a trial that ran to its end (not one that was stopped): its steps and values.
    pub fn observe_complete(&mut self, curve: &[(u64, f64)]) {
        self.completed += 1;
        for &(step, value) in curve {
            let step = self.steps.entry(step).or_default();
            step.reported += 1;
            if !value.is_nan() {
                let place = step.values.partition_point(|&v| v < value);
                step.values.insert(place, value);
            }
        }
    }

    /// Whether a running trial should stop, given its steps (ascending) and values, the newest last.
    pub fn verdict(&self, curve: &[(u64, f64)]) -> Option<Stop> {
        let (&(step, _), earlier) = curve.split_last()?;
        if self.completed == 0 || self.completed < self.config.n_startup_trials {
            return None;
        }
        let since_warmup = step.checked_sub(self.config.n_warmup_steps)?;
        let interval_start = step - since_warmup % self.config.interval_steps.max(1);
        if earlier.last().is_some_and(|&(previous, _)| previous >= interval_start) {
            return None;
        }
        let better = if self.maximize { f64::max } else { f64::min };
        // `max` and `min` ignore a NaN unless both are.
        let best = curve.iter().map(|&(_, value)| value).fold(f64::NAN, better);
        let nothing = Step::default();
        let others = self.steps.get(&step).unwrap_or(&nothing);
        let trials = others.values.len();
        if best.is_nan() {
            return Some(Stop { step, best, bar: f64::NAN, trials });
        }
        if others.reported < self.config.n_min_trials {
            return None;
        }
        let percentile = if self.maximize { 100.0 - self.config.percentile } else { self.config.percentile };
        let bar = interpolated(&others.values, percentile)?;
        let worse = if self.maximize { best < bar } else { best > bar };
        worse.then_some(Stop { step, best, bar, trials })
    }
}

/// A percentile of ascending values, linear between neighbours (type 7 of Hyndman and Fan 1996).
fn interpolated(values: &[f64], percentile: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = (percentile / 100.0).clamp(0.0, 1.0) * last as f64;
    let below = (place.floor() as usize).min(last);
    let (low, high) = (values[below], values[(below + 1).min(last)]);
    let share = place - below as f64;
    // Exact where nothing is to be interpolated (infinities, too), else from the nearer neighbour, so that the result
    // never leaves their range.
    Some(if low == high || share == 0.0 {
        low
    } else if share < 0.5 {
        low + (high - low) * share
    } else {
        high - (high - low) * (1.0 - share)
    })
}

/// The rule as a study's pruner: judges the first goal's metric.
#[derive(Clone, Debug)]
pub struct PercentilePruner {
    config: PercentileConfig,
    rule: Option<PercentileRule>,
    /// Completed trials whose curves the rule has not taken yet: the goal is known only at the first verdict.
    new: Vec<u64>,
}

impl PercentilePruner {
    /// A pruner that has seen nothing yet.
    pub fn new(config: PercentileConfig) -> Self {
        Self { config, rule: None, new: Vec::new() }
    }
}

impl Pruner for PercentilePruner {
    fn observe(&mut self, new: &[Event], _: &History) {
        let complete = |event: &Event| matches!(&event.change, Change::Ended(end) if end.state == EndState::Complete);
        self.new.extend(new.iter().filter(|event| complete(event)).filter_map(|event| event.number));
    }

    fn verdict(&mut self, running: &Running<'_>, history: &History) -> Verdict {
        let Some(goal) = running.goals.first() else { return Verdict::Continue };
        let maximize = goal.better == Better::Higher;
        let rule = self.rule.get_or_insert_with(|| PercentileRule::new(self.config, maximize));
        for row in self.new.drain(..).filter_map(|number| history.get(number)) {
            let curve: Vec<(u64, f64)> = row.curve(&goal.metric).collect();
            rule.observe_complete(&curve);
        }
        let curve: Vec<(u64, f64)> = running
            .points
            .iter()
            .filter(|point| point.metric == goal.metric)
            .map(|point| (point.step, point.value))
            .collect();
        match rule.verdict(&curve) {
            None => Verdict::Continue,
            Some(Stop { step, best, bar, trials }) => Verdict::Stop(Why::Pruned {
                rule: if self.config.percentile == 50.0 { "median".to_owned() } else { "percentile".to_owned() },
                comparison: format!(
                    "best {} so far {best} at step {step}, where {trials} completed trials set the bar at {bar}",
                    goal.metric
                ),
            }),
        }
    }
}
