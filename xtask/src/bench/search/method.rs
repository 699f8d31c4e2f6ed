//! Who searches: kilter's samplers and pruners by their names, and the peers.

use std::sync::Arc;

use kilter_study::{Asked, Conduct, End, Limits, Memory, NoPruner, Pruner, Sampler, Study, StudySpec, Usage, Workers};
use nix::time::{ClockId, clock_gettime};

use super::problem::{Problem, Sitting, text};

/// A peer's sampler.
pub struct PeerMethod {
    pub name: &'static str,
    /// The package whose version its results belong to.
    pub package: &'static str,
    /// What it is.
    pub about: &'static str,
    /// On what it searches at all.
    fits: fn(&Problem) -> bool,
}

fn one_goal(problem: &Problem) -> bool {
    problem.goals().len() == 1 && !problem.has_fidelity()
}

fn conditional(problem: &Problem) -> bool {
    one_goal(problem) && problem.outline.entries().iter().any(|entry| entry.when.is_some())
}

fn whole_trials(problem: &Problem) -> bool {
    !problem.has_fidelity()
}

/// All peers. Gaussian processes and SMAC take a third of a minute for 100 trials, and more the more there are.
pub const PEERS: &[PeerMethod] = &[
    PeerMethod { name: "optuna-tpe", package: "optuna", about: "TPESampler()", fits: whole_trials },
    PeerMethod {
        name: "optuna-tpe-independent",
        package: "optuna",
        about: "TPESampler(multivariate=False)",
        fits: whole_trials,
    },
    PeerMethod {
        name: "optuna-tpe-grouped",
        package: "optuna",
        about: "TPESampler(multivariate=True, group=True), on conditional spaces",
        fits: conditional,
    },
    PeerMethod {
        name: "optuna-cma",
        package: "optuna",
        about: "CmaEsSampler(), which leaves conditional and categorical parameters to chance",
        fits: one_goal,
    },
    PeerMethod { name: "optuna-nsga2", package: "optuna", about: "NSGAIISampler()", fits: whole_trials },
    PeerMethod { name: "optuna-gp", package: "optuna", about: "GPSampler()", fits: whole_trials },
    PeerMethod { name: "hyperopt-tpe", package: "hyperopt", about: "tpe.suggest", fits: one_goal },
    PeerMethod {
        name: "smac",
        package: "smac",
        about: "HyperparameterOptimizationFacade: random forest and expected improvement",
        fits: one_goal,
    },
    PeerMethod {
        name: "optuna-tpe+median",
        package: "optuna",
        about: "TPESampler() and MedianPruner()",
        fits: Problem::has_fidelity,
    },
    PeerMethod {
        name: "optuna-tpe+hyperband",
        package: "optuna",
        about: "TPESampler() and HyperbandPruner()",
        fits: Problem::has_fidelity,
    },
    PeerMethod {
        name: "smac-hyperband",
        package: "smac",
        about: "MultiFidelityFacade: Hyperband and a random forest",
        fits: Problem::has_fidelity,
    },
];

/// Kilter's: samplers of the registry that search by themselves, and with pruners where there is a fidelity.
const OURS: &[&str] = &["random+median", "tpe+median"];

/// Somebody who searches.
#[derive(Clone)]
pub enum Method {
    /// A sampler, and a pruner after a plus.
    Ours(String),
    /// A peer.
    Peer(&'static PeerMethod),
}

impl Method {
    /// Every method there is.
    pub fn all() -> Vec<Self> {
        // `auto` is another name of one of the others; grids end by themselves, and a part is no whole space.
        let apart = ["auto", "grid", "exhaustive", "partial"];
        let ours = kilter_search::SAMPLERS.iter().map(|listed| listed.name).filter(|name| !apart.contains(name));
        let ours = ours.chain(OURS.iter().copied()).map(|name| Self::Ours(name.to_owned()));
        ours.chain(PEERS.iter().map(Self::Peer)).collect()
    }

    /// The method of this name: a peer's, else a kilter sampler as it is written.
    ///
    /// # Errors
    /// If neither knows it.
    pub fn named(name: &str) -> Result<Self, String> {
        if let Some(peer) = PEERS.iter().find(|peer| peer.name == name) {
            return Ok(Self::Peer(peer));
        }
        ours(name).map(|_| Self::Ours(name.to_owned())).map_err(|why| {
            let peers: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
            format!("{why}; of the peers there are {}", peers.join(", "))
        })
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Ours(name) => name,
            Self::Peer(peer) => peer.name,
        }
    }

    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// Whether it searches this problem.
    pub fn fits(&self, problem: &Problem) -> bool {
        match self {
            // What a pruner saves shows only where trials have steps.
            Self::Ours(name) => problem.has_fidelity() || !name.contains('+'),
            Self::Peer(peer) => (peer.fits)(problem),
        }
    }
}

type Searcher = (Box<dyn Sampler>, Box<dyn Pruner>);

/// The sampler and the pruner written as `SAMPLER+PRUNER`.
fn ours(name: &str) -> Result<Searcher, String> {
    let (sampler, pruner) = name.split_once('+').map_or((name, None), |(sampler, pruner)| (sampler, Some(pruner)));
    let sampler = kilter_search::sampler(sampler).map_err(text)?;
    let pruner = pruner.map(kilter_search::pruner).transpose().map_err(text)?;
    Ok((sampler, pruner.unwrap_or(Box::new(NoPruner))))
}

/// Has a sampler of kilter search; gives its CPU seconds, without those of computing losses.
pub fn search_ours(name: &str, sitting: &Arc<Sitting>, seed: u64) -> Result<f64, String> {
    let (sampler, pruner) = ours(name)?;
    let problem = &sitting.problem;
    let spec = StudySpec {
        name: problem.name.clone(),
        outline: problem.outline.clone(),
        goals: problem.goals(),
        sampler: name.to_owned(),
        pruner: String::new(),
        seed,
        trials: (!problem.has_fidelity()).then_some(sitting.budget),
        conduct: Conduct::default(),
        requirements: Vec::new(),
        limits: Limits::default(),
        plan: serde_json::Value::Null,
    };
    let before = thread_seconds()?;
    let mut study = Study::create(Arc::new(Memory::new()), spec, sampler, pruner).map_err(text)?;
    if problem.has_fidelity() {
        // Pruners are asked by the worker loop, whose trials run in other threads.
        let interrupt = sitting.spent.clone();
        let how = Workers {
            count: 1,
            time_limit: None,
            folder: std::env::temp_dir(),
            interrupt,
            devices: kilter_study::devices::Devices::shared(),
        };
        let recipe: Arc<dyn kilter_study::Recipe> = sitting.clone();
        study.optimize(&recipe, &how, &mut |_| {}).map_err(text)?;
        return Ok(thread_seconds()? - before);
    }
    let (goals, mut elsewhere) = (problem.goals(), 0.0);
    while !sitting.spent.is_set() {
        let Asked::Trial(trial) = study.ask().map_err(text)? else { break };
        let begun = thread_seconds()?;
        let losses = problem.losses(trial.config())?;
        sitting.take(1, Some(losses.clone()));
        elsewhere += thread_seconds()? - begun;
        let metrics = goals.iter().map(|goal| goal.metric.clone()).zip(losses).collect();
        study.tell(&trial, &End::of(metrics, &goals, Usage::default())).map_err(text)?;
    }
    Ok(thread_seconds()? - before - elsewhere)
}

fn thread_seconds() -> Result<f64, String> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_err(|why| format!("no CPU clock: {why}"))?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 * 1e-9)
}
