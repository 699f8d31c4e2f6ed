//! A recipe's only window on the world.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kilter_meter::Usage;
use kilter_numerics::Stream;
use serde::{Deserialize, Serialize};

use crate::devices::Granted;

/// May a run go on?
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub enum Flow {
    /// Go on.
    Go,
    /// Return soon, with what there is.
    Stop(Why),
}

/// Why a run is to stop: the rule and the numbers it compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Why {
    /// A pruner holds it for hopeless.
    #[error("{rule}: {comparison}")]
    Pruned {
        /// The rule's name.
        rule: String,
        /// The numbers it compared.
        comparison: String,
    },
    /// Its time is up.
    #[error("time limit of {seconds} s")]
    TimeLimit {
        /// The limit, in seconds.
        seconds: f64,
    },
    /// The user stops the study at once.
    #[error("interrupted")]
    Interrupted,
}

/// The other side of a [`Run`]: a study in this process, a parent process, or nobody.
pub trait RunPort: Send {
    /// Takes metrics at a step; answers whether to go on.
    fn report(&mut self, step: u64, metrics: &[(&str, f64)]) -> Flow;

    /// Takes how far the run is.
    fn progress(&mut self, done: u64, of: u64);

    /// Whether to go on, without a report.
    fn flow(&mut self) -> Flow;
}

/// No trial has this number: the streams of a chance that is common to all.
const COMMON: u64 = u64::MAX;

/// A recipe's only window on the world: what it may know of its trial, and where its figures go.
pub struct Run {
    port: Box<dyn RunPort>,
    seed: u64,
    number: u64,
    repeat: u64,
    fidelity: Option<f64>,
    folder: PathBuf,
    resume_from: Option<PathBuf>,
    usage: Option<Usage>,
    remarks: Vec<String>,
    devices: Arc<Granted>,
    common_chance: bool,
}

impl Run {
    /// A run of trial `number` of the study with this seed. `repeat` counts how often the same question was run before
    /// under other chance; `folder` is the trial's own.
    pub fn new(port: Box<dyn RunPort>, seed: u64, number: u64, repeat: u64, folder: PathBuf) -> Self {
        Self {
            port,
            seed,
            number,
            repeat,
            fidelity: None,
            folder,
            resume_from: None,
            usage: None,
            remarks: Vec::new(),
            devices: Arc::default(),
            common_chance: false,
        }
    }

    /// A run that nobody watches, for tests and single trainings. Its folder is the system's temporary one.
    pub fn offline(seed: u64) -> Self {
        struct Nobody;
        impl RunPort for Nobody {
            fn report(&mut self, _: u64, _: &[(&str, f64)]) -> Flow {
                Flow::Go
            }
            fn progress(&mut self, _: u64, _: u64) {}
            fn flow(&mut self) -> Flow {
                Flow::Go
            }
        }
        Self::new(Box::new(Nobody), seed, 0, 0, std::env::temp_dir())
    }

    /// With a folder of its own.
    #[must_use]
    pub fn with_folder(mut self, folder: PathBuf) -> Self {
        self.folder = folder;
        self
    }

    /// With how much of the fidelity it runs.
    #[must_use]
    pub fn with_fidelity(mut self, fidelity: Option<f64>) -> Self {
        self.fidelity = fidelity;
        self
    }

    /// With the folder of the trial that it continues.
    #[must_use]
    pub fn with_parent(mut self, folder: Option<PathBuf>) -> Self {
        self.resume_from = folder;
        self
    }

    /// With these devices to itself. They are given up with the run.
    #[must_use]
    pub fn with_devices(mut self, devices: Arc<Granted>) -> Self {
        self.devices = devices;
        self
    }

    /// Reports metrics at a step and learns whether to go on. Steps count up from zero.
    pub fn report(&mut self, step: u64, metrics: &[(&str, f64)]) -> Flow {
        self.port.report(step, metrics)
    }

    /// Tells how far the run is: `done` of `of`.
    pub fn progress(&mut self, done: u64, of: u64) {
        self.port.progress(done, of);
    }

    /// Whether to go on, for long stretches without a report.
    pub fn flow(&mut self) -> Flow {
        self.port.flow()
    }

    /// Tells what the run took, if the recipe knows better than a stopwatch around it (child processes are measured by
    /// the kernel). Counts for failed runs too.
    pub fn took(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// What the run took, if the recipe told.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Says something of the run that belongs to its end, whatever that is: that output was left out, for example.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// What was said so far.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Under the same chance as every other trial of the study in the same repeat (common random numbers): their
    /// differences then are those of their configurations.
    #[must_use]
    pub fn with_common_chance(mut self, common: bool) -> Self {
        self.common_chance = common;
        self
    }

    /// The random stream for `purpose`: the same for every attempt of the trial, different between repeats, and between
    /// trials unless their chance is common.
    pub fn stream(&self, purpose: &str) -> Stream {
        let number = if self.common_chance { COMMON } else { self.number };
        Stream::new(&[self.seed, number, self.repeat], purpose)
    }

    /// Is its chance common to all trials?
    pub fn has_common_chance(&self) -> bool {
        self.common_chance
    }

    /// The study's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The trial's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How often the same question was run before under other chance.
    pub fn repeat(&self) -> u64 {
        self.repeat
    }

    /// The devices that it has to itself, if the study hands them out.
    pub fn devices(&self) -> &Granted {
        &self.devices
    }

    /// With how much of the recipe's fidelity to run; nothing: all of it.
    pub fn fidelity(&self) -> Option<f64> {
        self.fidelity
    }

    /// The trial's own folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the trial whose checkpoint it continues.
    pub fn resume_from(&self) -> Option<&Path> {
        self.resume_from.as_deref()
    }
}
