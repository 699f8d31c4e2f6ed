//! Step Law on the authors' released runs: how far from each grid's best run its advice is, beside other advice, and how
//! many trials a search needs that begins where it says. With `--full` also on runs of this machine: small transformers over
//! a grid of learning rates and batches, and a law of their own.
//!
//! Method: *Predictable Scale: Part I - Optimal Hyperparameter Scaling Law in Large Language Model Pretraining* (2025). On
//! released runs the seed is the group: a size and a length of which at least 40 runs were released, 17 in all. Cost:
//! seconds; the runs of this machine are 180 trainings on 7e4 characters in the mean, some minutes.

use std::sync::OnceLock;

use kilter_laws::laws::{Given, LAWS};
use kilter_laws::limits::Quantity;
use kilter_laws::step_law::{
    FitConfig, Gap, Run as Released, SEQUENCE_LENGTH, StepLaw, UserFit, dense_runs, fit, gaps, hold_out_largest,
};
use kilter_laws::step_law::{hold_out_cell, plateau};
use kilter_space::{Config, Outline, Prior, SpaceError};
use kilter_study::{Better, Failure, Flow, Goal, Outcome, Run};

use super::{Measuring, arm, entry, higher, lower, reported, searched, seed};
use crate::claim::{Arm, Claim, Costly, Judge, Reproduction, Scaled};
use crate::network::plain::{begun, configured, until};

/// The recipe that asks a law about a group.
pub const ADVICE: &str = "step-law-advice";

/// The recipe that searches a group.
pub const SEARCH: &str = "step-law-search";

/// The recipe that trains a grid of its own.
pub const LIVE: &str = "step-law-live";

/// Widths, lengths in characters, rates and batches of the runs of this machine, and characters of a sequence.
const WIDTHS: [i64; 3] = [16, 32, 64];
const LENGTHS: [u64; 3] = [30_000, 60_000, 120_000];
const RATES: [i32; 5] = [-8, -7, -6, -5, -4];
const BATCHES: [u64; 4] = [8, 16, 32, 64];
const CONTEXT: u64 = 32;

/// Chance moves the loss of so short a training by about as much, so that runs within it are as good.
const NOISE: f64 = 0.01;

/// Runs that make a group.
const ENOUGH: usize = 40;

/// Groups of the release with so many runs.
const GROUPS: u64 = 17;

/// Trials of a search at most.
const TRIALS: u64 = 60;

/// A run as good as this, relatively, ends a search: the law's own plateau.
const GOOD: f64 = 0.0025;

/// The recipe [`ADVICE`].
pub(super) fn advice() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry(
            "advice",
            "released|paper|refit|held-out|best-single|usual|deepseek|openai-learning-rate",
            "released",
            "whose",
        )?,
        seed("the group")?,
    ])?;
    let metrics = ["gap_percent", "n_exponent_off", "d_exponent_off", "batch_exponent_off"].map(lower).to_vec();
    Ok(Measuring { name: ADVICE, about: "a law's advice on released runs", outline, metrics, run: advise })
}

fn failed(why: impl std::fmt::Display) -> Failure {
    Failure::refused(why)
}

fn refit() -> Result<&'static UserFit, Failure> {
    static FIT: OnceLock<Result<UserFit, String>> = OnceLock::new();
    let made = FIT.get_or_init(|| {
        fit(dense_runs(), &FitConfig { bootstrap: 0, ..FitConfig::default() }).map_err(|e| e.to_string())
    });
    made.as_ref().map_err(failed)
}

/// Learning rate and batch in tokens of a law of the table, at a batch of half a million tokens where it says none.
fn of_table(name: &str, parameters: f64, tokens: f64) -> Option<(f64, f64)> {
    const USUAL_BATCH: f64 = 5e5;
    let law = LAWS.iter().find(|law| law.name == name)?;
    let given = Given { parameters: Some(parameters), tokens: Some(tokens), ..Given::default() };
    let answer = law.predict(&given).ok()?;
    Some((answer.get(Quantity::LearningRate)?, answer.get(Quantity::BatchTokens).unwrap_or(USUAL_BATCH)))
}

fn all_gaps(advice: &str) -> Result<Vec<Gap>, Failure> {
    let sequences = |batch: f64| batch * SEQUENCE_LENGTH as f64;
    let of = |say: &dyn Fn(f64, f64) -> (f64, f64)| gaps(dense_runs(), SEQUENCE_LENGTH, ENOUGH, say).map_err(failed);
    match advice {
        "released" => of(&|n, d| StepLaw::released().coefficients.at(n, d)),
        "paper" => of(&|n, d| StepLaw::paper().coefficients.at(n, d)),
        "refit" => {
            let fit = refit()?;
            of(&|n, d| fit.law.coefficients.at(n, d))
        }
        // The one setting that is best over all groups of this table, found on it; and what is usual.
        "best-single" => of(&|_, _| (1.953e-3, sequences(192.0))),
        "usual" => of(&|_, _| (9.77e-4, sequences(128.0))),
        other => of(&|n, d| of_table(other, n, d).unwrap_or((f64::NAN, f64::NAN))),
    }
}

fn advise(config: &Config, _: &mut Run) -> Result<Outcome, Failure> {
    let (advice, group) = (config.text("advice")?, config.int("seed")?.unsigned_abs() as usize);
    if advice == "held-out" {
        let held = hold_out_largest(dense_runs(), &FitConfig { bootstrap: 0, ..FitConfig::default() }, ENOUGH);
        let worst = held.map_err(failed)?.gaps.iter().map(|gap| gap.gap).fold(0.0, f64::max);
        return Ok(Outcome::new([("gap_percent", 100.0 * worst)]));
    }
    let gaps = all_gaps(advice)?;
    let gap = gaps.get(group).ok_or_else(|| failed(format!("there are {} groups, from 0", gaps.len())))?;
    let mut metrics = vec![("gap_percent", 100.0 * gap.gap)];
    if advice == "refit" {
        let (ours, published) = (refit()?.law.coefficients, StepLaw::paper().coefficients);
        metrics.extend([
            ("n_exponent_off", (ours.lr[1] - published.lr[1]).abs()),
            ("d_exponent_off", (ours.lr[2] - published.lr[2]).abs()),
            ("batch_exponent_off", (ours.batch[1] - published.batch[1]).abs()),
        ]);
    }
    Ok(Outcome::new(metrics))
}

/// The recipe [`SEARCH`].
pub(super) fn search() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("prior", "law|none", "law", "whether the search begins where the law says")?,
        entry("sampler", "tpe|random", "tpe", "who searches")?,
        seed("group, and chance: seed / 17")?,
    ])?;
    let metrics = ["trials", "first_percent", "gap_percent"].map(lower).to_vec();
    Ok(Measuring { name: SEARCH, about: "a search on released runs", outline, metrics, run: hunt })
}

/// Trials until a run within 0.25 % of the group's best was asked for; the table answers with the run nearest to the
/// question in logarithms. The law that gives the prior was fitted without any run of the group's size.
fn hunt(config: &Config, _: &mut Run) -> Result<Outcome, Failure> {
    let seed = config.int("seed")?.unsigned_abs();
    let group = &all_gaps("released")?[(seed % GROUPS) as usize];
    let (n, d) = (group.parameters, group.tokens);
    let elsewhere: Vec<Released> = dense_runs().iter().filter(|run| run.parameters != n).copied().collect();
    let law = fit(&elsewhere, &FitConfig { bootstrap: 0, ..FitConfig::default() }).map_err(failed)?.law;
    let runs: Vec<&Released> = dense_runs().iter().filter(|run| (run.parameters, run.tokens) == (n, d)).collect();
    let (rate, batch) = law.coefficients.at(n, d);
    let batch = (batch / SEQUENCE_LENGTH as f64).round().max(1.0);
    // The space that `kilter predict start` gives, with or without its priors.
    let mut rates = entry("learning_rate", &format!("log:{:e}..{:e}", rate / 30.0, rate * 30.0), rate, "")?;
    let mut batches =
        entry("batch", &format!("int:log:{}..{}", (batch / 8.0).max(1.0).round(), batch * 8.0), batch as i64, "")?;
    if config.text("prior")? == "law" {
        rates.prior = Some(Prior { center: rate, spread: 2.0 });
        batches.prior = Some(Prior { center: batch, spread: 2.0 });
    }
    let outline = Outline::new(vec![rates, batches])?;
    let answer = |asked: &Config| -> Result<Outcome, Failure> {
        let (rate, batch) = (asked.float("learning_rate")?, asked.int("batch")? as f64);
        let distance =
            |run: &Released| (run.learning_rate / rate).ln().powi(2) + (run.batch_sequences / batch).ln().powi(2);
        let nearest = runs.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let loss = nearest.and_then(|run| run.loss).ok_or_else(|| failed("a released run has no loss"))?;
        Ok(Outcome::new([("loss", loss)]))
    };
    let chance = 1000 * (seed / GROUPS) + seed;
    let course = searched(outline, Goal::minimize("loss"), config.text("sampler")?, TRIALS, chance, answer)?;
    let excess = |value: &Option<f64>| value.map_or(f64::INFINITY, |loss| loss / group.best_loss - 1.0);
    let needed = course.iter().position(|(_, value)| excess(value) < GOOD);
    let first = course.first().map_or(f64::INFINITY, |(_, value)| excess(value));
    let best = course.iter().map(|(_, value)| excess(value)).fold(f64::INFINITY, f64::min);
    // A search that never got there is counted as one more than all of its trials.
    let trials = needed.map_or(TRIALS + 1, |at| at as u64 + 1) as f64;
    Ok(Outcome::new([("trials", trials), ("first_percent", 100.0 * first), ("gap_percent", 100.0 * best)]))
}

/// The recipe [`LIVE`].
pub(super) fn live() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("widths", "int:2..3", 3_i64, "sizes: transformers of two blocks of width 16, 32, 64")?,
        entry("lengths", "int:2..3", 3_i64, "characters learnt from: 3e4, 6e4, 1.2e5")?,
        seed("chance")?,
    ])?;
    let metrics = vec![
        lower("gap_percent"),
        lower("worst_gap_percent"),
        higher("bowls"),
        lower("rate_exponent_n"),
        higher("batch_exponent_d"),
    ];
    Ok(Measuring { name: LIVE, about: "a law fitted to trainings of this machine", outline, metrics, run: train_grid })
}

/// The loss of a training; nothing where it broke down.
fn trained(width: i64, length: u64, rate: f64, batch: u64, seed: i64, run: &mut Run) -> Result<Option<f64>, Failure> {
    let whole = |x: u64| i64::try_from(x).unwrap_or(i64::MAX).into();
    let set = [
        ("layers", 2_i64.into()),
        ("width", width.into()),
        ("heads", 2_i64.into()),
        ("context", whole(CONTEXT)),
        ("batch", whole(batch)),
        ("learning_rate", rate.into()),
        ("split_seed", seed.into()),
    ];
    let steps = length / (batch * CONTEXT);
    let (task, mut training) = begun("char-gpt", &configured("char-gpt", "penelope", &set)?, steps, None)?;
    match until(&mut training, &task, steps, run) {
        Ok(()) => Ok(Some(task.loss_of_result(&training)).filter(|loss| loss.is_finite())),
        Err(_) if run.flow() == Flow::Go => Ok(None),
        Err(why) => Err(why),
    }
}

/// Parameters of the blocks, as the law counts them: `layers * (4 h² + 2 h ffn)`, ffn = 4 h.
fn blocks(width: i64) -> f64 {
    2.0 * 12.0 * (width * width) as f64
}

fn train_grid(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let seed = config.int("seed")?;
    let count = |name: &str| config.int(name).map(|count| count.unsigned_abs() as usize);
    let (widths, lengths) = (&WIDTHS[..count("widths")?], &LENGTHS[..count("lengths")?]);
    let mut runs: Vec<Released> = Vec::new();
    let all = widths.len() * lengths.len() * RATES.len() * BATCHES.len();
    for &width in widths {
        for &length in lengths {
            for (rate, batch) in RATES.iter().flat_map(|rate| BATCHES.iter().map(move |batch| (rate, *batch))) {
                let learning_rate = f64::from(*rate).exp2();
                let loss = trained(width, length, learning_rate, batch, seed, run)?;
                let (parameters, tokens) = (blocks(width), length as f64);
                runs.push(Released { parameters, tokens, learning_rate, batch_sequences: batch as f64, loss });
                run.progress(runs.len() as u64, all as u64);
            }
        }
    }
    let fitting = FitConfig { keep_within: NOISE, seq_len: CONTEXT, bootstrap: 0, seed: 0 };
    let held = hold_out_cell(&runs, &fitting).map_err(failed)?;
    let law = held.fit.law.coefficients;
    let everywhere = gaps(&runs, CONTEXT, 1, |n, d| law.at(n, d)).map_err(failed)?;
    let cells: Vec<Vec<Released>> = everywhere
        .iter()
        .map(|gap| {
            runs.iter().filter(|run| (run.parameters, run.tokens) == (gap.parameters, gap.tokens)).copied().collect()
        })
        .collect();
    let bowls = cells.iter().filter(|cell| plateau(cell, NOISE).is_ok()).count();
    for gap in &everywhere {
        let (rate, batch) = (gap.nearest_learning_rate, gap.nearest_batch_sequences);
        run.remark(format!(
            "{} parameters, {} characters: best {:.4}, at the law's nearest ({rate:.2e}, {batch}) {:.2} % above",
            gap.parameters,
            gap.tokens,
            gap.best_loss,
            100.0 * gap.gap
        ));
    }
    let worst = everywhere.iter().map(|gap| gap.gap).fold(0.0, f64::max);
    let largest = held.gaps.iter().map(|gap| gap.gap).fold(0.0, f64::max);
    Ok(Outcome::new([
        ("gap_percent", 100.0 * largest),
        ("worst_gap_percent", 100.0 * worst),
        ("bowls", bowls as f64 / cells.len() as f64),
        ("rate_exponent_n", law.lr[1]),
        ("batch_exponent_d", law.batch[1]),
    ]))
}

const fn nearer(sentence: &'static str, baseline: &'static [&'static str]) -> Claim {
    let judge = Judge::Beats { margin: 0.0, confidence: 0.95 };
    reported(sentence, "gap_percent", Better::Lower, &["law"], baseline, judge)
}

const fn close(sentence: &'static str, metric: &'static str, arm: &'static [&'static str], bound: f64) -> Claim {
    reported(sentence, metric, Better::Lower, arm, &[], Judge::MeanAtMost(bound))
}

/// The claims. Margins were set before measuring.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "step-law",
    title: "Step Law on the 17 groups of released runs (a group is a seed)",
    arms: &[
        arm("law", ADVICE, &[("advice", "released")]),
        arm("refit", ADVICE, &[("advice", "refit")]),
        arm("held-out", ADVICE, &[("advice", "held-out")]),
        arm("best-single", ADVICE, &[("advice", "best-single")]),
        arm("usual", ADVICE, &[("advice", "usual")]),
        arm("deepseek", ADVICE, &[("advice", "deepseek")]),
        arm("openai", ADVICE, &[("advice", "openai-learning-rate")]),
        arm("tpe-prior", SEARCH, &[("prior", "law")]),
        arm("tpe", SEARCH, &[("prior", "none")]),
        arm("random", SEARCH, &[("prior", "none"), ("sampler", "random")]),
        Arm { only_full: true, costly: Some(Costly { first: 0, seeds: 2, trials: 0 }), ..arm("live", LIVE, &[]) },
    ],
    seed_setting: "seed",
    seeds: Scaled { quick: GROUPS, full: GROUPS },
    trials: Scaled { quick: TRIALS, full: TRIALS },
    claims: &[
        Claim {
            gate: true,
            ..close("The law's advice is on average at most 0.12 % above the best run", "gap_percent", &["law"], 0.12)
        },
        nearer(
            "The law is nearer than the best single setting for all groups, found on the same table",
            &["best-single"],
        ),
        nearer("The law is nearer than a usual guess", &["usual"]),
        nearer("The law is nearer than DeepSeek's", &["deepseek"]),
        nearer("The law is nearer than OpenAI's of 2020", &["openai"]),
        close("A refit's exponent of N lies within 0.06 of the published", "n_exponent_off", &["refit"], 0.06),
        close("A refit's exponent of D lies within 0.12 of the published", "d_exponent_off", &["refit"], 0.12),
        close(
            "A refit's exponent of the batch lies within 0.05 of the published",
            "batch_exponent_off",
            &["refit"],
            0.05,
        ),
        close(
            "Fitted without the largest size, the law is at most 0.1 % above the best run there (worst of two groups)",
            "gap_percent",
            &["held-out"],
            0.1,
        ),
        reported(
            "TPE that begins where a law says that never saw the size needs fewer trials than TPE without",
            "trials",
            Better::Lower,
            &["tpe-prior"],
            &["tpe"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        reported(
            "… and fewer than random search",
            "trials",
            Better::Lower,
            &["tpe-prior"],
            &["random"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        close(
            "Fitted to runs of this machine without the largest size and length, the law is at most 1 % above the best there",
            "gap_percent",
            &["live"],
            1.0,
        ),
        reported(
            "Around the best of a size and length the loss of these runs is a bowl (share of the nine)",
            "bowls",
            Better::Higher,
            &["live"],
            &[],
            Judge::MeanAtLeast(0.75),
        ),
        close("Their best rate falls with the size, as published (exponent)", "rate_exponent_n", &["live"], 0.0),
        reported(
            "… and their best batch grows with the length (exponent)",
            "batch_exponent_d",
            Better::Higher,
            &["live"],
            &[],
            Judge::MeanAtLeast(0.0),
        ),
    ],
};
