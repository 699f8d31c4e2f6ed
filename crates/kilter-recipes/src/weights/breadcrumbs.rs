//! Networks tuned for tasks of their own, merged into one for all: Model Breadcrumbs beside its neighbours.
//!
//! Davari and Belilovsky, *Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks* (ECCV 2024). Tasks are
//! digits turned, mirrored, inverted or shifted. A perceptron 64-256-256-10 learns a mix of all for a little while; each
//! task then tunes it by itself, the last layer frozen. Every way of merging is scaled by the validation pictures and
//! judged by others: the mean over tasks of the accuracy over that of the task's own network. All ways search the same
//! scales. Cost: eight trainings of 470 steps, and some 220 merges a seed.

use std::path::Path;

use kilter_nn::model::{Mlp, Network};
use kilter_nn::optim::{AdamConfig, Optimizer};
use kilter_nn::params::Params;
use kilter_nn::schedule::{Schedule, Shape};
use kilter_nn::train::{Group, TrainConfig};
use kilter_numerics::Stream;
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Outcome, Run};
use kilter_weights::merge::average::Linear;
use kilter_weights::merge::breadcrumbs::{Breadcrumbs, Granularity};
use kilter_weights::merge::dare::{Combine, Dare, Rescale};
use kilter_weights::merge::fisher::Fisher;
use kilter_weights::merge::regmean::RegMean;
use kilter_weights::merge::task_arithmetic::TaskArithmetic;
use kilter_weights::merge::ties::{Among, Ties, ZeroSign};
use kilter_weights::merge::{Merge, merge};
use kilter_weights::{Checkpoint, Options};

use super::{Lesson, Rows, accuracy, loaded, logits, mean, saved, trainer};
use crate::claim::{Claim, Judge, Reproduction, Scaled};
use crate::measuring::{Measuring, arm, entry, higher, reported, seed};
use crate::network::{Statistic, measured};

/// The recipe of one seed's tasks.
pub const TASKS: &str = "digit-tasks";

/// Side of a digit.
const SIDE: usize = 8;

/// What became of a picture: from where each pixel is taken, and whether it is inverted.
type Distortion = fn(usize, usize) -> Option<(usize, usize)>;

const LAST: usize = SIDE - 1;

/// The tasks, in the order in which they are added.
const DISTORTIONS: [(Distortion, bool); 8] = [
    (|i, j| Some((j, LAST - i)), false),
    (|i, j| Some((LAST - i, LAST - j)), false),
    (|i, j| Some((i, j)), true),
    (|i, j| Some((LAST - j, i)), false),
    (|i, j| Some((i, LAST - j)), false),
    (|i, j| Some((j, i)), false),
    (|i, j| Some((i, j.checked_sub(2)?)), false),
    (|i, j| (j + 2 < SIDE).then_some((i, j + 2)), false),
];

/// What TIES and DARE leave of a task vector.
const DENSITY: f64 = 0.2;

/// The recipe [`TASKS`].
pub(super) fn tasks() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("tasks", "int:2..8", 8_i64, "networks that are merged")?,
        entry("neighbours", "true|false", true, "are Fisher weights, RegMean, TIES and DARE measured, too?")?.setting(),
        seed("chance")?,
    ])?;
    let metrics: Vec<_> = [
        "breadcrumbs_over_arithmetic",
        "breadcrumbs_wins",
        "carried_over_arithmetic",
        "breadcrumbs_over_arithmetic_of_two",
        "breadcrumbs",
        "arithmetic",
        "breadcrumbs_of_two",
        "arithmetic_of_two",
        "base",
        "own",
        "linear",
        "ties",
        "dare",
        "fisher",
        "regmean",
        "ties_over_arithmetic",
        "fisher_over_linear",
        "regmean_over_linear",
    ]
    .map(higher)
    .to_vec();
    Ok(Measuring { name: TASKS, about: "networks of digits' tasks in one", outline, metrics, run })
}

fn distorted(rows: &Rows, task: usize) -> Rows {
    let (from, inverted) = DISTORTIONS[task];
    rows.mapped(|picture| {
        let pixel = |at: usize| from(at / SIDE, at % SIDE).map_or(0.0, |(i, j)| picture[i * SIDE + j]);
        (0..SIDE * SIDE).map(|at| if inverted { 1.0 - pixel(at) } else { pixel(at) }).collect()
    })
}

/// Adam for so many epochs.
fn settings(rows: &Rows, epochs: u64, groups: Vec<Group>, seed: u64) -> TrainConfig {
    TrainConfig {
        steps: (epochs * rows.count() as u64).div_ceil(32),
        batch: 32,
        learning_rate: 1e-3,
        schedule: Schedule { warmup: 0.0, shape: Shape::Constant, ..Schedule::default() },
        optimizer: Optimizer::Adam(AdamConfig::default()),
        groups,
        clip: None,
        seed,
        ..TrainConfig::default()
    }
}

/// The last layer stays as it is.
fn frozen_head() -> Vec<Group> {
    vec![Group { name: "layers.2.".to_owned(), role: None, learning_rate: 0.0, weight_decay: 0.0 }]
}

/// One task: its network, and what judges.
struct Task {
    own: Checkpoint,
    validation: Rows,
    test: Rows,
    /// Accuracies of its own network.
    own_validation: f64,
    own_test: f64,
}

/// A merged network, put to all tasks.
struct Lab<'a> {
    mlp: &'a Mlp,
    like: &'a Params,
    base: &'a Checkpoint,
    tasks: &'a [Task],
    place: &'a Path,
}

impl Lab<'_> {
    /// Mean over tasks of the accuracy over that of the task's own network, on the pictures that choose.
    fn validation(&self, params: &Params) -> f64 {
        mean(self.tasks.iter().map(|task| self.share(params, &task.validation) / task.own_validation))
    }

    /// The same on the test.
    fn test(&self, params: &Params) -> f64 {
        mean(self.tasks.iter().map(|task| self.share(params, &task.test) / task.own_test))
    }

    fn share(&self, params: &Params, rows: &Rows) -> f64 {
        accuracy(&logits(self.mlp, params, rows), &rows.labels)
    }

    fn merged(&self, method: &dyn Merge) -> Result<Params, Failure> {
        let models: Vec<&Checkpoint> = self.tasks.iter().map(|task| &task.own).collect();
        let target = self.place.join("merged.safetensors");
        merge(method, Some(self.base), &models, None, &target, &Options::default()).map_err(Failure::refused)?;
        loaded(self.like, &target)
    }

    fn tested(&self, method: &dyn Merge) -> Result<f64, Failure> {
        Ok(self.test(&self.merged(method)?))
    }

    /// The best by the pictures that choose: its place, and what it does on the test.
    fn best<M: Merge>(&self, methods: &[M]) -> Result<(usize, f64), Failure> {
        let mut best: Option<(usize, f64)> = None;
        for (at, method) in methods.iter().enumerate() {
            let score = self.validation(&self.merged(method)?);
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some((at, score));
            }
        }
        let (at, _) = best.ok_or_else(|| Failure::refused("nothing to merge with"))?;
        Ok((at, self.tested(&methods[at])?))
    }
}

/// Tenths up to 1: the scales that every method searches.
fn scales() -> impl Iterator<Item = f64> + Clone {
    (1..=10).map(|tenths| f64::from(tenths) / 10.0)
}

fn crumbs(models: usize) -> Vec<Breadcrumbs> {
    let kept = [0.1, 0.2, 0.4].into_iter().flat_map(|keep| [0.0, 0.006, 0.02].map(|drop_top| (keep, drop_top)));
    let all = scales().flat_map(|scale| kept.clone().map(move |(keep, drop_top)| (scale, keep, drop_top)));
    let of = |(scale, keep, drop_top)| Breadcrumbs {
        scale,
        keep,
        drop_top,
        granularity: Granularity::Tensor,
        weights: vec![1.0; models],
    };
    all.map(of).collect()
}

fn arithmetic(models: usize) -> Vec<TaskArithmetic> {
    scales().map(|scale| TaskArithmetic { scale, weights: vec![1.0; models], normalize: false }).collect()
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let seed = config.int("seed")?.unsigned_abs();
    let count = config.int("tasks")?.unsigned_abs() as usize;
    let stream = Stream::new(&[seed], "tasks of digits");
    let digits = Rows::digits()?;
    let mut order: Vec<usize> = (0..digits.count()).collect();
    stream.child("order").shuffle(&mut order);
    let (learn, validation, test) =
        (digits.picked(&order[..1000]), digits.picked(&order[1000..1400]), digits.picked(&order[1400..]));

    let mlp = Mlp::new(&[64, 256, 256, 10]);
    let mut mixed = learn.clone();
    for task in 0..count {
        let mut some: Vec<usize> = (0..learn.count()).collect();
        stream.child(&format!("mix {task}")).shuffle(&mut some);
        mixed = mixed.with(&distorted(&learn.picked(&some[..250]), task));
    }
    let fresh = mlp.init(&stream.child("weights"), &trainer()?);
    let start = Lesson::plain(&mlp, &mixed).taught(
        &fresh,
        settings(&mixed, 3, Vec::new(), stream.child("base").bits()),
        run,
    )?;

    let folder = tempfile::tempdir().map_err(Failure::refused)?;
    let place = folder.path();
    let base = saved(&start, &place.join("base.safetensors"))?;
    let mut tasks = Vec::with_capacity(count);
    let (mut information, mut moments) = (Vec::new(), Vec::new());
    let neighbours = config.flag("neighbours")?;
    for task in 0..count {
        let (learn, validation, test) = (distorted(&learn, task), distorted(&validation, task), distorted(&test, task));
        let chance = stream.child(&format!("task {task}"));
        let lesson = Lesson::plain(&mlp, &learn);
        let own = lesson.taught(&start, settings(&learn, 15, frozen_head(), chance.child("order").bits()), run)?;
        run.progress(task as u64 + 1, count as u64 + 2);
        let share = |rows: &Rows| accuracy(&logits(&mlp, &own, rows), &rows.labels);
        let (own_validation, own_test) = (share(&validation), share(&test));
        if neighbours {
            let of = |params: &Params, rows: &[usize], context: &mut kilter_nn::context::Context<'_>| {
                let x = learn.batch(rows, params.device());
                (mlp.forward(params, x, context), learn.classes(rows).into())
            };
            let seen: Vec<usize> = (0..128).collect();
            for (kind, kept) in [(Statistic::Fisher, &mut information), (Statistic::Moments, &mut moments)] {
                let found = measured(&own, &of, &seen, kind, &mut chance.child("statistics"), &trainer()?)?;
                kept.push(saved(&found, &place.join(format!("{kind:?}-{task}.safetensors")))?);
            }
        }
        let own = saved(&own, &place.join(format!("task-{task}.safetensors")))?;
        tasks.push(Task { own, validation, test, own_validation, own_test });
    }

    let two = Lab { mlp: &mlp, like: &start, base: &base, tasks: &tasks[..2], place };
    let (crumbs_at_two, crumbs_of_two) = two.best(&crumbs(2))?;
    let (arithmetic_at_two, arithmetic_of_two) = two.best(&arithmetic(2))?;
    let lab = Lab { mlp: &mlp, like: &start, base: &base, tasks: &tasks, place };
    let (_, breadcrumbs) = lab.best(&crumbs(count))?;
    let (_, task_arithmetic) = lab.best(&arithmetic(count))?;
    // What two tasks chose, used for all of them.
    let carried = lab.tested(&crumbs(count)[crumbs_at_two])?;
    let carried_arithmetic = lab.tested(&arithmetic(count)[arithmetic_at_two])?;
    let weights = || vec![1.0; count];
    let mut metrics = vec![
        ("breadcrumbs_over_arithmetic", breadcrumbs - task_arithmetic),
        ("breadcrumbs_wins", f64::from(u8::from(breadcrumbs > task_arithmetic))),
        ("carried_over_arithmetic", carried - carried_arithmetic),
        ("breadcrumbs_over_arithmetic_of_two", crumbs_of_two - arithmetic_of_two),
        ("breadcrumbs", breadcrumbs),
        ("arithmetic", task_arithmetic),
        ("breadcrumbs_of_two", crumbs_of_two),
        ("arithmetic_of_two", arithmetic_of_two),
        ("base", lab.test(&start)),
        ("own", mean(tasks.iter().map(|task| task.own_test))),
    ];
    if neighbours {
        let ties = scales().map(|scale| Ties {
            scale,
            density: DENSITY,
            zero_sign: ZeroSign::Plus,
            granularity: Among::Tensor,
            weights: weights(),
        });
        let ties = lab.best(&ties.collect::<Vec<_>>())?.1;
        let dare = scales().map(|scale| Dare {
            scale,
            density: DENSITY,
            rescale: Rescale::Density,
            combine: Combine::Sum,
            seed,
            weights: weights(),
        });
        let dare = lab.best(&dare.collect::<Vec<_>>())?.1;
        let linear = lab.tested(&Linear { weights: weights(), normalize: true })?;
        let fisher = lab.tested(&Fisher { weights: weights(), floor: 1e-6, information })?;
        let regmean = lab.tested(&RegMean { weights: weights(), off_diagonal: 0.9, moments })?;
        metrics.extend([
            ("linear", linear),
            ("ties", ties),
            ("dare", dare),
            ("fisher", fisher),
            ("regmean", regmean),
            ("ties_over_arithmetic", ties - task_arithmetic),
            ("fisher_over_linear", fisher - linear),
            ("regmean_over_linear", regmean - linear),
        ]);
    }
    Ok(Outcome::new(metrics))
}

const ARM: &str = "eight-tasks";

const fn at_least(sentence: &'static str, metric: &'static str, bound: f64) -> Claim {
    reported(sentence, metric, Better::Higher, &[ARM], &[], Judge::MeanAtLeast(bound))
}

/// The claims. A score is the mean over tasks of the merged network's test accuracy over that of the task's own network;
/// differences are within one seed.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "model-breadcrumbs",
    title: "Eight networks, each tuned for digits distorted in its way, merged into one: Breadcrumbs and its neighbours",
    arms: &[arm(ARM, TASKS, &[])],
    seed_setting: "seed",
    seeds: Scaled { quick: 3, full: 10 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        at_least(
            "Of eight tasks, with one grid of scales, Breadcrumbs is 5 points above task arithmetic",
            "breadcrumbs_over_arithmetic",
            0.05,
        ),
        at_least("… and above it for eight seeds of ten", "breadcrumbs_wins", 0.8),
        at_least(
            "With what two tasks chose, it is not behind task arithmetic at eight",
            "carried_over_arithmetic",
            0.0,
        ),
        at_least("Of two tasks it is not behind, either", "breadcrumbs_over_arithmetic_of_two", 0.0),
        at_least(
            "TIES is above task arithmetic, as published for fine-tuned transformers",
            "ties_over_arithmetic",
            0.0,
        ),
        at_least("Fisher weights are above the plain mean, as published", "fisher_over_linear", 0.0),
        at_least("RegMean is above the plain mean, as published", "regmean_over_linear", 0.0),
    ],
};
