//! The power scheduler in small: character transformers of one width, trained for several budgets and batches.
//!
//! Method: *Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler* (2024). Schedules are
//! [`kilter_laws::power_scheduler`]'s, evaluated at the tokens trained. So short a run is far from the law's regime (2e9
//! tokens and more), and its sheet expects no exponent of the tokens below 0 here. A cell is a batch and a budget; WSD and
//! cosine are tuned in each cell, the power schedule once, at the smallest budget and a batch of 16. Cost: a cell of the
//! quick scale trains on some 4e5 characters per schedule.

use kilter_laws::power_scheduler::{DecayShape, PowerConfig, Schedule, best_of_sweep};
use kilter_nn::schedule::{Schedule as Factors, Shape};
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Outcome, Run};

use super::{Measuring, arm, entry, higher, lower, reported, seed};
use crate::claim::{Arm, Judge, Reproduction, Scaled};
use crate::network::plain::{configured, plainly};

/// The recipe of a cell.
pub const CELL: &str = "power-cell";

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
        entry("budgets", "int:1..4", 2_i64, "budgets, each twice the one before")?,
        seed("chance")?,
    ])?;
    let metrics = vec![lower("loss"), higher("log2_best_rate")];
    Ok(Measuring { name: CELL, about: "trainings of a transformer by batch and budget", outline, metrics, run })
}

/// Steps of a cell.
fn steps(batch: u64, budget: u64) -> u64 {
    (budget / (batch * CONTEXT)).max(2)
}

/// The loss of a training with this schedule at this peak; infinite where it broke down.
fn loss(kind: &str, peak: f64, batch: u64, budget: u64, seed: u64, run: &mut Run) -> Result<f64, Failure> {
    let (steps, step_tokens) = (steps(batch, budget), batch * CONTEXT);
    let total = steps * step_tokens;
    let (warmup, decay) = ((total / 100).max(step_tokens), total / 10);
    let schedule = match kind {
        "cosine" => Schedule::cosine(peak, 0.0, warmup, total),
        "wsd" => Schedule::wsd(peak, warmup).and_then(|wsd| wsd.ending_at(total, decay, DecayShape::ExpZero)),
        _ => {
            // `peak` is the rate that the law gives at the tokens of the whole budget of the sweep that it was tuned by.
            let config = PowerConfig {
                batch_tokens: step_tokens as f64,
                batch_unit_tokens: CONTEXT as f64,
                a: peak,
                b: B,
                eta_max: 0.1,
                warmup_tokens: warmup,
                warmup_offset_tokens: 0,
                allow_growth: false,
            };
            Schedule::power(&config).and_then(|power| power.ending_at(total, decay, DecayShape::ExpZero))
        }
    };
    let schedule = schedule.map_err(Failure::refused)?;
    let rates: Vec<f64> = (0..steps).map(|step| schedule.learning_rate(step * step_tokens + step_tokens / 2)).collect();
    let top = rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let factors =
        Factors { warmup: 0.0, shape: Shape::Stored { factors: rates.iter().map(|rate| rate / top).collect() } };
    let whole = |x: u64| i64::try_from(x).unwrap_or(i64::MAX).into();
    let config = configured(
        "char-gpt",
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
    match plainly("char-gpt", &config, steps, Some(factors), run) {
        Ok(trained) => {
            Ok(trained.metrics.get("loss").copied().filter(|loss| loss.is_finite()).unwrap_or(f64::INFINITY))
        }
        Err(why) if run.flow() == kilter_study::Flow::Go => {
            run.remark(why.to_string());
            Ok(f64::INFINITY)
        }
        Err(why) => Err(why),
    }
}

/// Rates and losses of a cell's sweep.
fn sweep(kind: &str, batch: u64, budget: u64, seed: u64, run: &mut Run) -> Result<Vec<(f64, f64)>, Failure> {
    RATES
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
    let (low, high) = (f64::from(RATES[0] - 1).exp2(), f64::from(RATES[RATES.len() - 1] + 1).exp2());
    best_of_sweep(&finite).ok().flatten().map_or(lowest(sweep).0, |rate| rate.clamp(low, high))
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let (kind, seed) = (config.text("schedule")?, config.int("seed")?.unsigned_abs());
    let batches: &[u64] = match config.text("cells")? {
        "small-batch" => &[8],
        "large-batch" => &[32],
        _ => &[8, 32],
    };
    let budgets: Vec<u64> = (0..config.int("budgets")?).map(|k| FIRST_BUDGET << k).collect();
    // The law's amplitude, from one sweep: eta = beta a T^b, beta in sequences.
    let amplitude = if kind == "power" {
        let found = vertex(&sweep("wsd", FIRST_BATCH, FIRST_BUDGET, seed, run)?);
        Some(found / (FIRST_BATCH as f64 * (FIRST_BUDGET as f64).powf(B)))
    } else {
        None
    };
    let (mut losses, mut best_rates) = (Vec::new(), Vec::new());
    for &batch in batches {
        for &budget in &budgets {
            let loss = match amplitude {
                Some(amplitude) => loss(kind, amplitude, batch, budget, seed, run)?,
                None => {
                    let sweep = sweep(kind, batch, budget, seed, run)?;
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

/// The claims. Margins are the sheet's.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "power-scheduler",
    title: "The power schedule on small character transformers: two batches, two budgets (far below the law's regime)",
    arms: &[
        cells("power", &[("schedule", "power")]),
        cells("wsd", &[("schedule", "wsd")]),
        cells("cosine", &[("schedule", "cosine")]),
        cells("wsd-batch-8", &[("schedule", "wsd"), ("cells", "small-batch"), ("budgets", "1")]),
        cells("wsd-batch-32", &[("schedule", "wsd"), ("cells", "large-batch"), ("budgets", "1")]),
    ],
    seed_setting: "seed",
    seeds: Scaled { quick: 2, full: 5 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        reported(
            "Power, tuned in one cell, has a mean loss over the cells no higher than WSD tuned in every cell",
            "loss",
            Better::Lower,
            &["power"],
            &["wsd"],
            Judge::NotBehind,
        ),
        reported(
            "… and no higher than cosine tuned in every cell",
            "loss",
            Better::Lower,
            &["power"],
            &["cosine"],
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
    ],
};
