//! The power scheduler in small: character transformers of one width, trained for several budgets and batches.
//!
//! Method: *Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler* (2024). Schedules are
//! [`kilter_laws::power_scheduler`]'s, evaluated at the tokens trained. So short a run is far from the law's regime (2e9
//! tokens and more), and no exponent of the tokens below 0 is to be expected here. A cell is a batch and a budget; WSD and
//! cosine are tuned in each cell, the power schedule once, at the smallest budget and a batch of 16. Stopping anywhere is one
//! training under the power schedule, from four points of which the rate decays, beside cosines of those four lengths.
//! Cost: a cell of the smallest budget trains on 6e4 characters for each rate.

use kilter_laws::power_scheduler::{Fall, PowerConfig, Schedule, best_of_sweep};
use kilter_nn::schedule::{Schedule as Factors, Shape};
use kilter_nn::train::Training;
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Flow, Outcome, Run};

use super::{Measuring, arm, entry, higher, lower, reported, seed};
use crate::claim::{Arm, Costly, Judge, Reproduction, Scaled};
use crate::network::plain::{begun, configured, until};

/// The recipe of cells.
pub const CELL: &str = "power-cell";

/// The recipe that stops anywhere.
pub const STOP: &str = "power-stop";

/// Characters of a sequence.
const CONTEXT: u64 = 64;

/// The smallest budget, in characters, and the batch at which the power schedule is tuned.
const FIRST_BUDGET: u64 = 60_000;
const FIRST_BATCH: u64 = 16;

/// Learning rates of a sweep, as powers of two.
const RATES: [i32; 4] = [-8, -7, -6, -5];

/// The paper's exponent.
const B: f64 = -0.51;

/// The recipe [`CELL`].
pub(super) fn cell() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("schedule", "power|wsd|cosine", "power", "how the rate moves")?,
        entry("cells", "all|small-batch|large-batch", "all", "which batches: 8 and 32 sequences, or one of them")?,
        entry("budgets", "int:1..4", 1_i64, "budgets, each twice the one before")?,
        entry("rates", "int:3..4", 3_i64, "learning rates of a sweep, the largest")?,
        seed("chance")?,
    ])?;
    let metrics = vec![lower("loss"), higher("log2_best_rate")];
    Ok(Measuring { name: CELL, about: "trainings of a transformer by batch and budget", outline, metrics, run })
}

/// The recipe [`STOP`].
pub(super) fn stop() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![seed("chance")?])?;
    let metrics = vec![lower("behind_percent")];
    Ok(Measuring { name: STOP, about: "one training, ended at four lengths", outline, metrics, run: stop_anywhere })
}

/// Steps of a cell.
fn steps(batch: u64, budget: u64) -> u64 {
    (budget / (batch * CONTEXT)).max(2)
}

/// The rates of a schedule over steps of so many characters.
fn rates(kind: &str, peak: f64, steps: u64, step_tokens: u64) -> Result<Vec<f64>, Failure> {
    let total = steps * step_tokens;
    let (warmup, decay) = ((total / 100).max(step_tokens), total / 10);
    // `peak` is the amplitude of the law for the power schedules: eta = beta a T^b, beta in sequences.
    let power = || {
        Schedule::power(&PowerConfig {
            batch_tokens: step_tokens as f64,
            batch_unit_tokens: CONTEXT as f64,
            a: peak,
            b: B,
            eta_max: 0.1,
            warmup_tokens: warmup,
            warmup_offset_tokens: 0,
            allow_growth: false,
        })
    };
    let schedule = match kind {
        "cosine" => Schedule::cosine(peak, 0.0, warmup, total),
        "wsd" => Schedule::wsd(peak, warmup).and_then(|wsd| wsd.ending_at(total, decay, Fall::ExpZero)),
        "power-without-end" => power(),
        _ => power().and_then(|power| power.ending_at(total, decay, Fall::ExpZero)),
    };
    let schedule = schedule.map_err(Failure::refused)?;
    Ok((0..steps).map(|step| schedule.learning_rate(step * step_tokens + step_tokens / 2)).collect())
}

/// A training of the cell's transformer that has not begun.
fn training(
    kind: &str,
    peak: f64,
    batch: u64,
    steps: u64,
    seed: u64,
) -> Result<(crate::network::plain::Writing, Training), Failure> {
    let rates = rates(kind, peak, steps, batch * CONTEXT)?;
    let top = rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let factors = Factors::of(Shape::Stored { factors: rates.iter().map(|rate| rate / top).collect() });
    let whole = |x: u64| i64::try_from(x).unwrap_or(i64::MAX).into();
    let config = configured(
        "char-gpt",
        "penelope",
        &[
            ("layers", 2_i64.into()),
            ("width", 32_i64.into()),
            ("heads", 2_i64.into()),
            ("context", whole(CONTEXT)),
            ("batch", whole(batch)),
            ("learning_rate", top.clamp(1e-5, 0.1).into()),
            ("split_seed", whole(seed)),
        ],
    )?;
    begun("char-gpt", &config, steps, Some(factors))
}

/// The loss after all steps; infinite where the training broke down.
fn ended(task: &crate::network::plain::Writing, mut training: Training, run: &mut Run) -> Result<f64, Failure> {
    let steps = training.config().steps;
    match until(&mut training, task, steps, run) {
        Ok(()) => Ok(task.loss_of_result(&training)),
        Err(why) if run.flow() == Flow::Go => {
            run.remark(why.to_string());
            Ok(f64::INFINITY)
        }
        Err(why) => Err(why),
    }
}

/// The loss of a training with this schedule at this peak.
fn loss(kind: &str, peak: f64, batch: u64, budget: u64, seed: u64, run: &mut Run) -> Result<f64, Failure> {
    let (task, training) = training(kind, peak, batch, steps(batch, budget), seed)?;
    ended(&task, training, run)
}

/// Losses of a cell at the largest `count` rates.
fn sweep(
    kind: &str,
    batch: u64,
    budget: u64,
    count: usize,
    seed: u64,
    run: &mut Run,
) -> Result<Vec<(f64, f64)>, Failure> {
    RATES[RATES.len().saturating_sub(count)..]
        .iter()
        .map(|&rate| Ok((f64::from(rate).exp2(), loss(kind, f64::from(rate).exp2(), batch, budget, seed, run)?)))
        .collect()
}

fn lowest(sweep: &[(f64, f64)]) -> (f64, f64) {
    sweep.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((f64::NAN, f64::INFINITY))
}

/// The sweep's best rate by a parabola in logarithms, held to the sweep; the best of its points where there is no vertex.
fn vertex(sweep: &[(f64, f64)]) -> f64 {
    let finite: Vec<(f64, f64)> = sweep.iter().copied().filter(|(_, loss)| loss.is_finite()).collect();
    let bound = |at: Option<&(f64, f64)>, factor: f64| at.map_or(f64::NAN, |(rate, _)| rate * factor);
    let (low, high) = (bound(sweep.first(), 0.5), bound(sweep.last(), 2.0));
    best_of_sweep(&finite).ok().flatten().map_or(lowest(sweep).0, |rate| rate.clamp(low, high))
}

/// The law's amplitude, from one sweep: eta = beta a T^b, beta in sequences.
fn amplitude(count: usize, seed: u64, run: &mut Run) -> Result<f64, Failure> {
    let found = vertex(&sweep("wsd", FIRST_BATCH, FIRST_BUDGET, count, seed, run)?);
    Ok(found / (FIRST_BATCH as f64 * (FIRST_BUDGET as f64).powf(B)))
}

/// How far the worst of four endings of one training is behind the cosine of its length at the best of three rates.
fn stop_anywhere(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let seed = config.int("seed")?.unsigned_abs();
    let amplitude = amplitude(3, seed, run)?;
    let longest = steps(FIRST_BATCH, 4 * FIRST_BUDGET);
    let (task, mut stable) = training("power-without-end", amplitude, FIRST_BATCH, longest, seed)?;
    let mut worst = f64::NEG_INFINITY;
    for quarter in 1..=4 {
        let length = longest * quarter / 4;
        let decay = (length / 10).max(1);
        until(&mut stable, &task, length - decay, run)?;
        let ending = stable.clone().ending_in(decay, Fall::ExpZero).map_err(Failure::refused)?;
        let ours = ended(&task, ending, run)?;
        let cosine = sweep("cosine", FIRST_BATCH, length * FIRST_BATCH * CONTEXT, 3, seed, run)?;
        worst = worst.max(100.0 * (ours / lowest(&cosine).1 - 1.0));
        run.progress(quarter, 4);
    }
    Ok(Outcome::new([("behind_percent", worst.min(1e6))]))
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let (kind, seed) = (config.text("schedule")?, config.int("seed")?.unsigned_abs());
    let batches: &[u64] = match config.text("cells")? {
        "small-batch" => &[8],
        "large-batch" => &[32],
        _ => &[8, 32],
    };
    let budgets: Vec<u64> = (0..config.int("budgets")?).map(|k| FIRST_BUDGET << k).collect();
    let count = config.int("rates")?.unsigned_abs() as usize;
    let amplitude = if kind == "power" { Some(amplitude(count, seed, run)?) } else { None };
    let (mut losses, mut best_rates) = (Vec::new(), Vec::new());
    for &batch in batches {
        for &budget in &budgets {
            let loss = match amplitude {
                Some(amplitude) => loss(kind, amplitude, batch, budget, seed, run)?,
                None => {
                    let sweep = sweep(kind, batch, budget, count, seed, run)?;
                    best_rates.push(vertex(&sweep).log2());
                    lowest(&sweep).1
                }
            };
            losses.push(loss);
            run.progress(losses.len() as u64, (batches.len() * budgets.len()) as u64);
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut metrics = vec![("loss", mean(&losses).min(100.0))];
    if !best_rates.is_empty() {
        metrics.push(("log2_best_rate", mean(&best_rates)));
    }
    Ok(Outcome::new(metrics))
}

const fn cells(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    arm(name, CELL, set)
}

/// Four cells and all rates: for `--full`.
const fn table(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm { only_full: true, ..cells(name, set) }
}

/// The claims. Margins were set before measuring.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "power-scheduler",
    title: "The power schedule on small character transformers of several batches and budgets (far below the law's regime)",
    arms: &[
        cells("power", &[("schedule", "power")]),
        cells("wsd", &[("schedule", "wsd")]),
        cells("cosine", &[("schedule", "cosine")]),
        table("power-table", &[("schedule", "power"), ("budgets", "2"), ("rates", "4")]),
        table("wsd-table", &[("schedule", "wsd"), ("budgets", "2"), ("rates", "4")]),
        table("cosine-table", &[("schedule", "cosine"), ("budgets", "2"), ("rates", "4")]),
        table("wsd-batch-8", &[("schedule", "wsd"), ("cells", "small-batch"), ("rates", "4")]),
        table("wsd-batch-32", &[("schedule", "wsd"), ("cells", "large-batch"), ("rates", "4")]),
        Arm {
            only_full: true,
            costly: Some(Costly { first: 0, seeds: 3, trials: 0 }),
            ..arm("stop-anywhere", STOP, &[])
        },
    ],
    seed_setting: "seed",
    seeds: Scaled { quick: 2, full: 5 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        reported(
            "Power, tuned once, has a mean loss over two batches no higher than WSD tuned at each",
            "loss",
            Better::Lower,
            &["power"],
            &["wsd"],
            Judge::NotBehind,
        ),
        reported(
            "… and no higher than cosine tuned at each",
            "loss",
            Better::Lower,
            &["power"],
            &["cosine"],
            Judge::NotBehind,
        ),
        reported(
            "Over two batches and two budgets, power, tuned in one cell, is not behind WSD tuned in every cell",
            "loss",
            Better::Lower,
            &["power-table"],
            &["wsd-table"],
            Judge::NotBehind,
        ),
        reported(
            "… and not behind cosine tuned in every cell",
            "loss",
            Better::Lower,
            &["power-table"],
            &["cosine-table"],
            Judge::NotBehind,
        ),
        reported(
            "The best learning rate rises with the batch",
            "log2_best_rate",
            Better::Higher,
            &["wsd-batch-32"],
            &["wsd-batch-8"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        reported(
            "One training under the power schedule can end at any of four lengths within 1 % of a cosine of that length",
            "behind_percent",
            Better::Lower,
            &["stop-anywhere"],
            &[],
            Judge::MeanAtMost(1.0),
        ),
    ],
};
