//! Step Law on the authors' released runs: how far from each grid's best run its advice is, beside other advice, and how
//! many trials a search needs that begins where it says.
//!
//! Method: *Predictable Scale: Part I - Optimal Hyperparameter Scaling Law in Large Language Model Pretraining* (2025). The
//! seed is the group: a size and a length of which at least 40 runs were released, 17 in all. Cost: seconds.

use std::sync::OnceLock;

use kilter_laws::laws::{Given, LAWS};
use kilter_laws::limits::Quantity;
use kilter_laws::step_law::{
    FitConfig, Gap, Run as Released, SEQUENCE_LENGTH, StepLaw, UserFit, dense_runs, fit, gaps, hold_out_largest,
};
use kilter_space::{Config, Outline, Prior, SpaceError};
use kilter_study::{Better, Failure, Goal, Outcome, Run};

use super::{Measuring, arm, entry, lower, reported, searched, seed};
use crate::claim::{Claim, Judge, Reproduction, Scaled};

/// The recipe that asks a law about a group.
pub const ADVICE: &str = "step-law-advice";

/// The recipe that searches a group.
pub const SEARCH: &str = "step-law-search";

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

const fn nearer(sentence: &'static str, baseline: &'static [&'static str]) -> Claim {
    let judge = Judge::Beats { margin: 0.0, confidence: 0.95 };
    reported(sentence, "gap_percent", Better::Lower, &["law"], baseline, judge)
}

const fn close(sentence: &'static str, metric: &'static str, arm: &'static [&'static str], bound: f64) -> Claim {
    reported(sentence, metric, Better::Lower, arm, &[], Judge::MeanAtMost(bound))
}

/// The claims. Margins are the sheet's.
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
    ],
};
