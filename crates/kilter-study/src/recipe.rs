//! Recipes: functions with declared questions. A shell command is one, and so is every method.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use kilter_space::{Config, ConfigError, SpaceError, Value, Walk};
use serde::{Deserialize, Serialize};

use crate::goal::Metric;
use crate::run::Run;

/// A function with declared questions.
pub trait Recipe: Walk {
    /// One word, or dashed words: `breast-cancer`.
    fn name(&self) -> &str;

    /// What a run gives; the study picks directions among them. The first is the usual goal.
    fn metrics(&self) -> &[Metric];

    /// What multi-fidelity methods may vary.
    fn fidelity(&self) -> Option<Fidelity> {
        None
    }

    /// The setting, and its value, under which a run scores on data that no other run sees: the honest test of what
    /// tuning chose.
    fn holdout(&self) -> Option<(&'static str, Value)> {
        None
    }

    /// What it does, in one line.
    fn about(&self) -> &str {
        ""
    }

    /// Runs one configuration.
    ///
    /// When [`Run::report`] answers [`crate::Flow::Stop`], a recipe returns soon, with whatever it has.
    ///
    /// # Errors
    /// A named [`Failure`]; the study goes on with the next trial.
    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure>;
}

/// A quantity that makes a trial cheaper and less exact: epochs, share of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Its name: `epochs`.
    pub name: String,
    /// The cheapest that still means something.
    pub low: f64,
    /// The full price.
    pub high: f64,
}

/// What a run gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Metrics by name.
    pub metrics: BTreeMap<String, f64>,
    /// Ends of the 95 % intervals of metrics, of those that the recipe knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intervals: BTreeMap<String, [f64; 2]>,
}

impl Outcome {
    /// An outcome of these metrics.
    pub fn new(metrics: impl IntoIterator<Item = (&'static str, f64)>) -> Self {
        let metrics = metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { metrics, ..Self::default() }
    }
}

/// Why a trial failed. `tail` holds the last lines that the trial printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// The command ended with an error.
    #[error("exit status {code}")]
    ExitStatus {
        /// Exit status, not zero.
        code: i32,
        /// Last lines.
        tail: String,
    },
    /// The command was ended by a signal.
    #[error("ended by signal {signal}{}", if *.signal == 9 { " (killed; often: out of memory)" } else { "" })]
    Signal {
        /// Signal number.
        signal: i32,
        /// Last lines.
        tail: String,
    },
    /// The trial took longer than allowed.
    #[error("stopped after its time limit of {seconds} s")]
    TimedOut {
        /// The limit, in seconds.
        seconds: f64,
    },
    /// The trial ended well but a goal's metric never came.
    #[error("no value for `{metric}`: {expected}")]
    MissingMetric {
        /// The metric.
        metric: String,
        /// Where it was looked for.
        expected: String,
        /// Last lines.
        tail: String,
    },
    /// A metric is NaN or infinite.
    #[error("`{metric}` is {value}")]
    NotFinite {
        /// The metric.
        metric: String,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// The command could not be started.
    #[error("could not start `{program}`: {why}")]
    NotStarted {
        /// The program.
        program: String,
        /// The system's reason.
        why: String,
    },
    /// The worker that ran the trial died too often.
    #[error("its worker died {times} times while running it")]
    WorkerLost {
        /// How often.
        times: u32,
    },
    /// The disk is full: no fault of the trial, which waits to be run again.
    #[error("the disk is full: cannot write {}", .path.display())]
    NoRoom {
        /// What could not be written.
        path: PathBuf,
    },
    /// The recipe panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A function raised an exception.
    #[error("{exception}: {message}")]
    Raised {
        /// The exception's type: `ValueError`.
        exception: String,
        /// What it says.
        message: String,
        /// Where it was raised.
        tail: String,
    },
    /// The recipe refused.
    #[error("{message}")]
    Refused {
        /// What was wrong and what would be right.
        message: String,
    },
}

impl Failure {
    /// Its name in tables and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ExitStatus { .. } => "exit_status",
            Self::Signal { .. } => "signal",
            Self::TimedOut { .. } => "timed_out",
            Self::MissingMetric { .. } => "missing_metric",
            Self::NotFinite { .. } => "not_finite",
            Self::NotStarted { .. } => "not_started",
            Self::WorkerLost { .. } => "worker_lost",
            Self::NoRoom { .. } => "no_room",
            Self::Panicked { .. } => "panicked",
            Self::Raised { .. } => "raised",
            Self::Refused { .. } => "refused",
        }
    }

    /// The last lines that the trial printed, if they tell more.
    pub fn tail(&self) -> Option<&str> {
        match self {
            Self::ExitStatus { tail, .. }
            | Self::Signal { tail, .. }
            | Self::MissingMetric { tail, .. }
            | Self::Raised { tail, .. } => Some(tail.as_str()).filter(|tail| !tail.is_empty()),
            _ => None,
        }
    }

    /// A file of the trial's could not be written.
    pub fn unwritable(path: &Path, why: &io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::NoRoom { path: path.to_owned() }
            }
            _ => Self::refused(format!("cannot write {}: {why}", path.display())),
        }
    }

    /// A refusal in the recipe's own words.
    pub fn refused(why: impl std::fmt::Display) -> Self {
        Self::Refused { message: why.to_string() }
    }
}

impl From<ConfigError> for Failure {
    fn from(why: ConfigError) -> Self {
        Self::refused(why)
    }
}

impl From<SpaceError> for Failure {
    fn from(why: SpaceError) -> Self {
        Self::refused(why)
    }
}
