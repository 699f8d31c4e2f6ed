//! A recipe in a process of its own: this binary starts itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kilter_space::{Chooser, Config, Halt, Outline, Value, Walk};
use serde::{Deserialize, Serialize};

use super::child::{Launch, tend};
use super::wire::{Client, Figure, Said, Told};
use crate::goal::Metric;
use crate::recipe::{Failure, Fidelity, Outcome, Recipe};
use crate::run::{Flow, Run, RunPort, Why};

/// One trial of a recipe, as it is handed to a process of its own.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// The recipe's name.
    pub recipe: String,
    /// Its answers.
    pub config: Config,
    seed: u64,
    number: u64,
    repeat: u64,
    #[serde(default)]
    common_chance: bool,
    fidelity: Option<f64>,
    folder: PathBuf,
    resume_from: Option<PathBuf>,
}

/// A recipe each of whose runs is a process of its own.
pub struct OwnProcess {
    recipe: Arc<dyn Recipe>,
    binary: PathBuf,
}

impl OwnProcess {
    /// `binary` is the one whose `main` calls [`super::supervise`] and [`run_task`]; it must know the recipe by name.
    pub fn new(recipe: Arc<dyn Recipe>, binary: PathBuf) -> Self {
        Self { recipe, binary }
    }
}

impl Walk for OwnProcess {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.recipe.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        self.recipe.outline()
    }
}

impl Recipe for OwnProcess {
    fn name(&self) -> &str {
        self.recipe.name()
    }

    fn metrics(&self) -> &[Metric] {
        self.recipe.metrics()
    }

    fn fidelity(&self) -> Option<Fidelity> {
        self.recipe.fidelity()
    }

    fn holdout(&self) -> Option<(&'static str, Value)> {
        self.recipe.holdout()
    }

    fn about(&self) -> &str {
        self.recipe.about()
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        let task = Task {
            recipe: self.recipe.name().to_owned(),
            config: config.clone(),
            seed: run.seed(),
            number: run.number(),
            repeat: run.repeat(),
            common_chance: run.has_common_chance(),
            fidelity: run.fidelity(),
            folder: run.folder().to_owned(),
            resume_from: run.resume_from().map(Path::to_owned),
        };
        let file = run.folder().join("task.json");
        std::fs::create_dir_all(run.folder())
            .and_then(|()| std::fs::write(&file, serde_json::to_vec_pretty(&task)?))
            .map_err(|why| Failure::unwritable(&file, &why))?;
        let launch = Launch {
            supervisor: &self.binary,
            argv: vec![self.binary.clone().into(), super::RUN_TASK.into(), file.into()],
            environment: Vec::new(),
            current_folder: Path::new("."),
            sources: &[],
        };
        let mut finished = tend(launch, run)?;
        run.took(finished.usage);
        match finished.said.take() {
            Some(Ok(Told { metrics, intervals })) => {
                let metrics = metrics.into_iter().map(|(name, figure)| (name, figure.0)).collect();
                Ok(Outcome { metrics, intervals })
            }
            Some(Err(failure)) => Err(failure),
            None => Err(finished.failure().unwrap_or_else(|| Failure::refused("its process ended without a result"))),
        }
    }
}

/// Runs the task in `file` and tells its tuner how it ended. For the start of `main`, when the first argument is
/// [`super::RUN_TASK`]; `find` gives a recipe by name.
pub fn run_task(file: &Path, find: impl FnOnce(&str) -> Option<Arc<dyn Recipe>>) -> ExitCode {
    let fail = |why: &dyn std::fmt::Display| {
        eprintln!("kilter: cannot run {}: {why}", file.display());
        ExitCode::FAILURE
    };
    let task: Task = match std::fs::read(file)
        .map_err(|why| why.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|why| why.to_string()))
    {
        Ok(task) => task,
        Err(why) => return fail(&why),
    };
    let (client, reports) = match (Client::from_environment(), Client::from_environment()) {
        (Ok(client), Ok(reports)) => (client, reports),
        (Err(why), _) | (_, Err(why)) => return fail(&why),
    };
    let mut client = client;
    let Some(recipe) = find(&task.recipe) else {
        return fail(&format!("there is no recipe `{}`", task.recipe));
    };
    let port = Box::new(ParentPort { client: reports, stopped: None, reported: None });
    let mut run = Run::new(port, task.seed, task.number, task.repeat, task.folder)
        .with_common_chance(task.common_chance)
        .with_fidelity(task.fidelity)
        .with_parent(task.resume_from);
    let result = recipe.run(&task.config, &mut run).map(|Outcome { metrics, intervals }| Told {
        metrics: metrics.into_iter().map(|(name, value)| (name, Figure(value))).collect(),
        intervals,
    });
    match client.say(&Said::Ended(result)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why),
    }
}

/// The port of a run whose study is in the parent process.
struct ParentPort {
    client: Client,
    stopped: Option<Why>,
    reported: Option<Instant>,
}

impl ParentPort {
    fn ask(&mut self, step: Option<u64>, metrics: &[(&str, f64)]) -> Flow {
        match self.client.report(step, metrics) {
            Ok(reply) => self.stopped = self.stopped.take().or(reply.stop),
            // Nobody is left to run for.
            Err(_) => self.stopped = Some(Why::Interrupted),
        }
        self.reported = Some(Instant::now());
        self.stopped.clone().map_or(Flow::Go, Flow::Stop)
    }
}

impl RunPort for ParentPort {
    fn report(&mut self, step: u64, metrics: &[(&str, f64)]) -> Flow {
        self.ask(Some(step), metrics)
    }

    fn progress(&mut self, done: u64, of: u64) {
        // Progress is a courtesy: a tuner that is gone is noticed at the next report.
        let _ = self.client.say(&Said::Progress { done, of });
    }

    fn flow(&mut self) -> Flow {
        if self.reported.is_some_and(|at| at.elapsed() < Duration::from_millis(100)) {
            return self.stopped.clone().map_or(Flow::Go, Flow::Stop);
        }
        self.ask(None, &[])
    }
}
