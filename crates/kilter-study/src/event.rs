//! Events: everything that ever happened to a study, in order. All other knowledge of it is a fold over them.

use std::collections::BTreeMap;

use kilter_meter::Usage;
use kilter_space::{Config, Domain, Name, Outline, SpaceError, Value};
use serde::{Deserialize, Serialize, Serializer};

use crate::goal::Goal;
use crate::limits::Limits;
use crate::recipe::Failure;
use crate::run::Why;
use crate::sampler::Note;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the study's log, from 1, without gaps.
    pub revision: u64,
    /// The trial it happened to, if to one.
    pub number: Option<u64>,
    /// When, by the storage's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub change: Change,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A trial waits for a worker (enqueued by hand).
    Queued(Opened),
    /// A worker began a trial that the sampler proposed.
    Opened(Opened),
    /// A worker began a waiting trial.
    Claimed {
        /// Which attempt at it, from 1.
        attempt: u32,
    },
    /// A define-by-run trial answered further questions.
    Answered(Vec<(Name, Domain, Value)>),
    /// A trial reported figures.
    Reported(Vec<Point>),
    /// A trial ended.
    Ended(End),
    /// A trial waits for a worker again: its own was stopped or died. What that attempt reported no longer counts, but for its
    /// finished repeats.
    Requeued,
    /// A worker that had been given up for dead ended its attempt after all; kept, not counted.
    Late(End),
    /// The number of trials wanted changed.
    TrialsWanted(u64),
    /// The space changed: what is proposed from now on lies in this one.
    SpaceChanged(Outline),
    /// The study's name changed.
    Renamed(String),
    /// Something else about the study changed, or something was written on a trial.
    Amended(Amendment),
}

impl Change {
    /// Takes `outline` to the space after this change; tells whether it is another one then.
    pub(crate) fn carry(&self, outline: &mut Outline) -> Result<bool, SpaceError> {
        match self {
            Self::SpaceChanged(newest) => *outline = newest.clone(),
            Self::Answered(asked) if !outline.is_complete() => *outline = outline.learn(asked)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Does this begin or enqueue a trial that asks the very question of `opened`?
    pub(crate) fn asks(&self, opened: &Opened) -> bool {
        match self {
            Self::Queued(other) | Self::Opened(other) => {
                other.fidelity == opened.fidelity && other.config == opened.config
            }
            _ => false,
        }
    }
}

/// What can be changed of a study, or written on one of its trials, without any trial moving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amendment {
    /// Tags of the study, or of a trial: what its users wrote on it. Null takes one away.
    Tags(BTreeMap<String, serde_json::Value>),
    /// No trial begins any more.
    Stop {
        /// Why.
        why: String,
        /// Running trials are stopped too; they run again when the study goes on.
        at_once: bool,
    },
    /// Trials begin again.
    GoOn,
    /// When the study has had enough.
    Limits(Limits),
    /// What the front end needs to run its trials.
    Plan(serde_json::Value),
}

/// A trial as it is opened: the proposal, walked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Its answers.
    pub config: Config,
    /// The space it was proposed in.
    pub fingerprint: u64,
    /// With how much of the fidelity it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<f64>,
    /// The trial whose checkpoint it continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// The trial whose question it asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<u64>,
    /// How often that question was run before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeat: u64,
    /// The trial with the same answers whose value it has, without having been run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<u64>,
    /// The revision that the proposal was made from: with it, any proposal can be computed again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seen: u64,
    /// The sampler's remark.
    #[serde(default, skip_serializing_if = "Note::is_null")]
    pub note: Note,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// One figure at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, String, Option<f64>)", into = "(u64, String, Option<f64>)")]
pub struct Point {
    /// Step, as the recipe counts.
    pub step: u64,
    /// The metric's name.
    pub metric: String,
    /// The figure; may be NaN or infinite.
    pub value: f64,
}

impl From<(u64, String, Option<f64>)> for Point {
    fn from((step, metric, value): (u64, String, Option<f64>)) -> Self {
        Self { step, metric, value: value.unwrap_or(f64::NAN) }
    }
}

impl From<Point> for (u64, String, Option<f64>) {
    fn from(point: Point) -> Self {
        // JSON knows no NaN; an infinite figure is no better than one.
        (point.step, point.metric, Some(point.value).filter(|v| v.is_finite()))
    }
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// In which state.
    pub state: EndState,
    /// Its metrics by name, all finite.
    #[serde(default, serialize_with = "finite", skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Why it failed, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Why it was stopped, if it was stopped early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// By how much each of the study's requirements is missed: above 0 if it is, at or below 0 if it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<f64>,
    /// What it took.
    pub usage: Usage,
    /// What else is to be said of it: output that was left out, reports that were thinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// JSON knows no NaN: a log that held one could never be read again.
fn finite<S: Serializer>(metrics: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().filter(|(_, value)| value.is_finite()))
}

/// The states a trial can end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndState {
    /// It has a value for every goal.
    Complete,
    /// It was stopped early as hopeless.
    Pruned,
    /// It failed.
    Failed,
}

impl End {
    /// Complete, if `metrics` has a finite value for every goal; else failed, and why.
    pub fn of(metrics: BTreeMap<String, f64>, goals: &[Goal], usage: Usage) -> Self {
        let odd = goals.iter().find_map(|goal| match metrics.get(&goal.metric) {
            None => Some(Failure::MissingMetric {
                metric: goal.metric.clone(),
                expected: "the recipe did not give it".to_owned(),
                tail: String::new(),
            }),
            Some(value) if !value.is_finite() => {
                Some(Failure::NotFinite { metric: goal.metric.clone(), value: value.to_string() })
            }
            Some(_) => None,
        });
        let state = if odd.is_some() { EndState::Failed } else { EndState::Complete };
        let metrics = metrics.into_iter().filter(|(_, value)| value.is_finite()).collect();
        Self { state, metrics, failure: odd, why: None, violations: Vec::new(), usage, remarks: Vec::new() }
    }

    /// Failed.
    pub fn failed(failure: Failure, usage: Usage) -> Self {
        Self {
            state: EndState::Failed,
            metrics: BTreeMap::new(),
            failure: Some(failure),
            why: None,
            violations: Vec::new(),
            usage,
            remarks: Vec::new(),
        }
    }

    /// Stopped early, with the metrics that there were.
    pub fn pruned(why: Why, metrics: BTreeMap<String, f64>, usage: Usage) -> Self {
        Self {
            state: EndState::Pruned,
            metrics: metrics.into_iter().filter(|(_, value)| value.is_finite()).collect(),
            failure: None,
            why: Some(why),
            violations: Vec::new(),
            usage,
            remarks: Vec::new(),
        }
    }

    /// By how much the study's requirements are missed together; 0 if all of them hold.
    pub fn violation(&self) -> f64 {
        self.violations.iter().filter(|violation| **violation > 0.0).sum()
    }
}
