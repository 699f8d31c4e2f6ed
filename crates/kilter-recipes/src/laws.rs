//! Laws and plans put to the test: what `kilter reproduce` runs for the methods of `kilter predict` and `kilter plan`.
//!
//! Each file has the recipes that decide its claims: a run is one arm's measurement, its seed the group, cell or chance.
//! `cluster-plan` and `training-job` can be tuned, too; the others are found by name only.

pub mod cluster;
pub mod compute_class;
pub mod job;
pub mod mup;
pub mod power_scheduler;
pub mod step_law;

use std::sync::Arc;

use kilter_search::{pruner, sampler};
use kilter_space::{Config, Outline};
use kilter_study::{Asked, Conduct, End, Failure, Goal, Limits, Memory, Outcome, Stopwatch, Study, StudySpec};

use crate::measuring::{Measuring, arm, constrained, entry, higher, lower, reported, seed};

/// The names of those that are worth tuning by themselves.
pub fn names() -> impl Iterator<Item = &'static str> {
    [cluster::PLAN, job::JOB].into_iter()
}

/// The recipe of this name.
pub fn find(name: &str) -> Option<Measuring> {
    let made = match name {
        cluster::PLAN => cluster::plan_recipe(),
        cluster::SEARCH => cluster::search_recipe(),
        cluster::PUBLISHED => cluster::published_recipe(),
        job::JOB => job::job(),
        job::JOB_SEARCH => job::search(),
        compute_class::LADDER => compute_class::ladder(),
        mup::COORDINATES => mup::coordinates(),
        mup::SWEEP => mup::sweep(),
        power_scheduler::CELL => power_scheduler::cell(),
        power_scheduler::STOP => power_scheduler::stop(),
        step_law::ADVICE => step_law::advice(),
        step_law::LIVE => step_law::live(),
        step_law::SEARCH => step_law::search(),
        _ => return None,
    };
    // The spaces are constants of this room; a test walks them.
    Some(made.unwrap_or_else(|why| unreachable!("the space of {name}: {why}")))
}

/// A search in memory: every trial's configuration and its outcome or failure, in order.
fn searched(
    outline: Outline,
    goal: Goal,
    by: &str,
    trials: u64,
    seed: u64,
    mut run: impl FnMut(&Config) -> Result<Outcome, Failure>,
) -> Result<Vec<(Config, Option<f64>)>, Failure> {
    let spec = StudySpec {
        name: "search".to_owned(),
        outline,
        goals: vec![goal.clone()],
        sampler: by.to_owned(),
        pruner: "none".to_owned(),
        seed,
        trials: Some(trials),
        conduct: Conduct::default(),
        requirements: Vec::new(),
        limits: Limits::default(),
        plan: serde_json::Value::Null,
    };
    let (by, none) = (sampler(by).map_err(Failure::refused)?, pruner("none").map_err(Failure::refused)?);
    let mut study = Study::create(Arc::new(Memory::new()), spec, by, none).map_err(Failure::refused)?;
    let mut course = Vec::new();
    while let Asked::Trial(trial) = study.ask().map_err(Failure::refused)? {
        let watch = Stopwatch::start();
        let (end, value) = match run(trial.config()) {
            Ok(outcome) => {
                let value = outcome.metrics.get(&goal.metric).copied();
                (End::of(outcome.metrics, std::slice::from_ref(&goal), watch.wall_only()), value)
            }
            Err(failure) => (End::failed(failure, watch.wall_only()), None),
        };
        study.tell(&trial, &end).map_err(Failure::refused)?;
        course.push((trial.config().clone(), value));
    }
    Ok(course)
}
