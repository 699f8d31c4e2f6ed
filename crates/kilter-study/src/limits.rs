//! When a study has had enough: budgets, conditions, and the ends of trials judged by what the study requires.

use std::collections::BTreeMap;

use kilter_meter::{EnergyMeter, Usage, nvidia_gpus};
use kilter_space::{Config, Expr, ExprError, Name, Truth, Value, nearest};
use serde::{Deserialize, Serialize};

use crate::event::{End, EndState};
use crate::history::{History, State};
use crate::recipe::Failure;
use crate::storage::StudySpec;

/// What a study may cost, and when it has found enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// After this many seconds of running, all sittings together, no trial begins any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// After its ended trials have taken this much energy together, in joules, no trial begins any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules: Option<f64>,
    /// As soon as this holds no trial begins any more: an expression over [`STOP_NAMES`] and over metrics, which stand
    /// for their best value so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_when: Option<Expr>,
}

/// What a condition to stop may speak of beside metrics: how many trials have ended, how, how many have ended since the
/// best one did, and for how long the study ran.
pub const STOP_NAMES: [&str; 6] = ["trials", "complete", "pruned", "failed", "without_improvement", "elapsed_seconds"];

/// Metrics that every trial has, whatever it runs, where they can be measured.
pub const BUILT_IN_METRICS: [&str; 4] = ["wall_seconds", "cpu_seconds", "peak_bytes", "energy_joules"];

/// What a built-in metric came to, if it could be measured.
pub fn built_in(usage: &Usage, name: &str) -> Option<f64> {
    match name {
        "wall_seconds" => Some(usage.wall_seconds),
        "cpu_seconds" => usage.cpu_seconds,
        "peak_bytes" => usage.peak_bytes.map(|bytes| bytes as f64),
        "energy_joules" => usage.energy.map(|energy| energy.joules),
        _ => None,
    }
}

/// Can the energy of trials be measured on this machine?
pub fn measures_energy() -> bool {
    EnergyMeter::start(&[], 1.0).used(Some(0.0)).is_some() || nvidia_gpus().is_ok_and(|gpus| !gpus.is_empty())
}

impl Limits {
    /// Refuses a condition that speaks of what there never will be. `metrics` are all that trials give, if that is known.
    ///
    /// # Errors
    /// Points at the name, and says the nearest.
    pub fn check(&self, metrics: Option<&[&str]>) -> Result<(), ExprError> {
        let (Some(condition), Some(metrics)) = (&self.stop_when, metrics) else { return Ok(()) };
        let known: Vec<&str> = metrics.iter().chain(&STOP_NAMES).chain(&BUILT_IN_METRICS).copied().collect();
        known_only(condition, &known, "a condition to stop speaks of metrics (their best so far)")
    }

    /// Why no trial is to begin any more, if none is. `elapsed` is how long the study ran so far, in seconds.
    pub fn reached(&self, spec: &StudySpec, history: &History, elapsed: f64) -> Option<String> {
        if let Some(seconds) = self.seconds.filter(|seconds| elapsed >= *seconds) {
            return Some(format!("its budget of {seconds} s is spent"));
        }
        if let Some(joules) = self.joules {
            let spent: f64 = history.rows().filter_map(|row| built_in(&row.end.as_ref()?.usage, "energy_joules")).sum();
            if spent >= joules {
                return Some(format!("its budget of {joules} J is spent"));
            }
        }
        let condition = self.stop_when.as_ref()?;
        let holds = condition.truth(&|name| so_far(spec, history, elapsed, name.as_str())) == Truth::Yes;
        holds.then(|| format!("{condition} holds"))
    }
}

/// What a condition to stop means by a name.
fn so_far(spec: &StudySpec, history: &History, elapsed: f64, name: &str) -> Option<Value> {
    let count = |n: usize| Some(Value::Int(n as i64));
    match name {
        "trials" => count(history.ended()),
        "complete" => count(history.count(State::Complete)),
        "pruned" => count(history.count(State::Pruned)),
        "failed" => count(history.count(State::Failed)),
        "without_improvement" => {
            let newest = history.front(&spec.goals).into_iter().map(|row| row.number).max();
            let later = |number: u64| newest.is_none_or(|newest| number > newest);
            count(history.rows().filter(|row| row.state.is_ended() && later(row.number)).count())
        }
        "elapsed_seconds" => Some(Value::Float(elapsed)),
        metric => match spec.goals.iter().find(|goal| goal.metric == metric) {
            Some(goal) => history.best(goal)?.value(metric).map(Value::Float),
            // What is not searched for is that of the best trial.
            None => history.best(spec.goals.first()?)?.value(metric).map(Value::Float),
        },
    }
}

/// Refuses an expression with a name that is none of `known`.
pub(crate) fn known_only(expr: &Expr, known: &[&str], what: &str) -> Result<(), ExprError> {
    let Some((name, span)) = expr.names().into_iter().find(|(name, _)| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let advice = match nearest(name.as_str(), known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    let message = format!("`{name}` is not known here; {advice} ({what})");
    Err(ExprError { message, source_text: expr.source().to_owned(), span })
}

impl StudySpec {
    /// Refuses a requirement on what no trial gives. `metrics` are all that trials give, if that is known.
    ///
    /// # Errors
    /// Points at the name, and says the nearest.
    pub fn check_requirements(&self, metrics: Option<&[&str]>) -> Result<(), ExprError> {
        let Some(metrics) = metrics else { return Ok(()) };
        let params = self.outline.entries().iter().map(|entry| entry.name.as_str());
        let known: Vec<&str> = metrics.iter().chain(&BUILT_IN_METRICS).copied().chain(params).collect();
        let what = "a requirement speaks of metrics and hyperparameters";
        self.requirements.iter().try_for_each(|requirement| known_only(requirement, &known, what))
    }

    /// The metrics that a trial must give: those of the goals and of the requirements, but not the built-in ones.
    pub fn needed_metrics(&self) -> Vec<String> {
        let goals = self.goals.iter().map(|goal| goal.metric.clone());
        let names = self.requirements.iter().flat_map(Expr::names).map(|(name, _)| name.to_string());
        let required = names.filter(|name| self.outline.entry(name).is_err());
        let mut all: Vec<String> = Vec::new();
        for name in goals.chain(required) {
            if !BUILT_IN_METRICS.contains(&name.as_str()) && !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// The end of a trial that gave `metrics`: complete if there is a finite value for every goal and every requirement,
    /// with the violations of the requirements; else failed, and why.
    pub fn judged(&self, config: &Config, mut metrics: BTreeMap<String, f64>, usage: Usage) -> End {
        let required = self.requirements.iter().flat_map(Expr::names).map(|(name, _)| name.as_str());
        let wanted: Vec<&str> = self.goals.iter().map(|goal| goal.metric.as_str()).chain(required).collect();
        for name in BUILT_IN_METRICS.iter().filter(|name| wanted.contains(name)) {
            if let (false, Some(figure)) = (metrics.contains_key(*name), built_in(&usage, name)) {
                metrics.insert((*name).to_owned(), figure);
            }
        }
        let given = metrics.clone();
        let mut end = End::of(metrics, &self.goals, usage);
        if end.state != EndState::Complete {
            return end;
        }
        let answer = |name: &Name| match given.get(name.as_str()) {
            Some(figure) => Some(Value::Float(*figure)).filter(|_| figure.is_finite()),
            None => config.get(name.as_str()).cloned(),
        };
        for requirement in &self.requirements {
            match requirement.excess(&answer) {
                Some(excess) => end.violations.push(excess),
                None => {
                    let missing = requirement.names().into_iter().find(|(name, _)| answer(name).is_none());
                    let metric = missing.map_or_else(|| requirement.to_string(), |(name, _)| name.to_string());
                    end.failure = Some(match given.get(&metric) {
                        Some(figure) => Failure::NotFinite { metric, value: figure.to_string() },
                        None => Failure::MissingMetric {
                            metric,
                            expected: format!("it is required ({requirement}) and the trial did not give it"),
                            tail: String::new(),
                        },
                    });
                    end.state = EndState::Failed;
                    end.violations.clear();
                    return end;
                }
            }
        }
        end
    }
}
