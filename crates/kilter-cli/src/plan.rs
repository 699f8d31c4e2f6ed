//! What a study's front end must know to run its trials again: stored with the study, read by `resume`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kilter_recipes::Subject;
use kilter_study::devices::{Demand, DeviceError, Devices};
use kilter_study::process::{CommandRecipe, MetricSource, OwnProcess, Template};
use kilter_study::{Goal, Recipe, StudySpec};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// How a study's trials are run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// What runs.
    pub job: Job,
    /// Trials at a time.
    pub workers: usize,
    /// What each trial has to itself.
    #[serde(flatten)]
    pub devices: Demand,
    /// How long one trial may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
}

/// What a trial runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Nothing that is known here.
    #[default]
    Nothing,
    /// A recipe of this binary.
    Recipe {
        /// Its name.
        name: String,
        /// The table it is about, if it is not its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<Subject>,
    },
    /// Anybody's command.
    Command {
        /// Program and arguments, with placeholders.
        command: Template,
        /// Where it runs.
        folder: PathBuf,
        /// Where its metrics are found.
        metrics: Vec<MetricSource>,
    },
}

impl Job {
    /// Without its secrets, whose names are given.
    fn masked(&self) -> (Self, Vec<String>) {
        match self {
            Self::Nothing => (Self::Nothing, Vec::new()),
            Self::Recipe { name, subject } => {
                (Self::Recipe { name: name.clone(), subject: subject.clone() }, Vec::new())
            }
            Self::Command { command, folder, metrics } => {
                let (command, secrets) = command.masked();
                (Self::Command { command, folder: folder.clone(), metrics: metrics.clone() }, secrets)
            }
        }
    }
}

impl Plan {
    /// The plan stored with a study.
    pub fn of(spec: &StudySpec) -> Result<Self, Fault> {
        if spec.plan.is_null() {
            return Err(Fault::call(format!(
                "nobody has said what the trials of {0} run: give the command, as in kilter resume {0} --metric \
                 'loss=([0-9.eE+-]+)' -- python3 train.py …, or run them yourself with `kilter ask` and `kilter tell`",
                spec.name
            )));
        }
        serde_json::from_value(spec.plan.clone()).map_err(|why| {
            Fault::call(format!(
                "the study `{}` was made by another program, so it cannot be run here ({why})",
                spec.name
            ))
        })
    }

    /// As a value to be stored: without the command's secrets.
    pub fn to_value(&self) -> Result<serde_json::Value, Fault> {
        serde_json::to_value(Self { job: self.job.masked().0, ..*self }).map_err(Fault::work)
    }

    /// What is not stored: the names of the command's secrets.
    pub fn secrets(&self) -> Vec<String> {
        self.job.masked().1
    }

    /// The recipe that runs the study's trials, each as a process of its own.
    pub fn recipe(&self, spec: &StudySpec) -> Result<Arc<dyn Recipe>, Fault> {
        let binary = std::env::current_exe().map_err(Fault::work)?;
        match &self.job {
            Job::Nothing => Err(Fault::call("nobody has said what the trials run; give a command after --")),
            Job::Recipe { name, subject } => {
                let recipe: Arc<dyn Recipe> = match subject {
                    Some(subject) => kilter_recipes::on(name, subject.clone(), &[]).map_err(Fault::call)?.recipe,
                    None => {
                        kilter_recipes::find(name).ok_or_else(|| Fault::call(format!("there is no recipe `{name}`")))?
                    }
                };
                Ok(Arc::new(OwnProcess::new(recipe, binary)))
            }
            Job::Command { command, folder, metrics } => {
                let goal = |metric: String| {
                    let known = spec.goals.iter().find(|goal| goal.metric == metric).cloned();
                    known.unwrap_or_else(|| Goal::minimize(&metric))
                };
                let (outline, goals) = (spec.outline.clone(), spec.needed_metrics().into_iter().map(goal).collect());
                let command = command.unmasked(|variable| std::env::var(variable).ok()).map_err(Fault::call)?;
                let recipe = CommandRecipe::new(command, outline, metrics.clone(), goals, folder.clone(), binary);
                Ok(Arc::new(recipe.map_err(Fault::call)?))
            }
        }
    }

    /// A command must give what the study measures.
    pub fn check(&self, spec: &StudySpec) -> Result<(), Fault> {
        let Job::Command { metrics, .. } = &self.job else { return Ok(()) };
        let needed = spec.needed_metrics();
        let given = |metric: &String| metrics.iter().any(|source| source.name() == metric);
        match needed.iter().find(|metric| !given(metric)) {
            Some(metric) if !metrics.is_empty() => Err(Fault::call(format!(
                "{} measures `{metric}`, and no --metric is named so; write --metric '{metric}=PATTERN', as in --metric \
                 '{metric}={metric}: ([0-9.]+)'",
                spec.name
            ))),
            _ => Ok(()),
        }
    }

    /// All metrics that a trial gives, if that is known beforehand: a command may report what it likes.
    pub fn metrics<'a>(&self, recipe: &'a dyn Recipe) -> Option<Vec<&'a str>> {
        let known = match &self.job {
            Job::Command { metrics, .. } => !metrics.is_empty(),
            _ => true,
        };
        known.then(|| recipe.metrics().iter().map(|metric| metric.name.as_str()).collect())
    }

    /// The devices of this machine that trials run on.
    pub fn devices(&self) -> Result<Devices, Fault> {
        Devices::find(self.devices).map_err(|why| match why {
            DeviceError::NoGpu { .. } | DeviceError::TooFew { kind: "GPU", .. } => {
                Fault::call(format!("--gpus-per-trial: {why}"))
            }
            DeviceError::TooFew { .. } => Fault::call(format!("--cpus-per-trial: {why}")),
            DeviceError::Ledger { .. } => Fault::work(why),
            DeviceError::Share(_) | DeviceError::List { .. } => Fault::call(why),
        })
    }

    /// How long one trial may take.
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout_seconds.map(Duration::from_secs_f64)
    }
}
