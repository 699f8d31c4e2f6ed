//! Compute classes in small: a transformer, a quasi-LSTM and an LSTM that get the same seconds of this machine.
//!
//! Method: *The Languini Kitchen: Enabling Language Modelling Research at Different Scales of Compute* (2023). The throughput
//! of each network is measured first and buys its steps; perplexity is per byte of text that it never learnt from, each
//! character judged with at least 48 before it. Recurrent networks carry their state from window to window. Text is the novel
//! in the binary, with `--full` whole books too, where they are (`kilter data get novels`). Cost: as many seconds as the
//! classes have, and the measuring.

use kilter_laws::compute_class::{ClassRun, budget, fit_family};
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Outcome, Run};

use super::{Measuring, arm, entry, higher, lower, reported, seed};
use crate::claim::{Arm, Claim, Costly, Judge, Reproduction, Scaled};
use crate::network::plain::{configured, plainly};
use crate::network::{Timing, throughput};

/// The recipe of a ladder of classes.
pub const LADDER: &str = "class-ladder";

/// The hours of each class, and the perplexity there.
const CLASSES: [(&str, &str); 5] = [
    ("hours_1", "perplexity_1"),
    ("hours_2", "perplexity_2"),
    ("hours_3", "perplexity_3"),
    ("hours_4", "perplexity_4"),
    ("hours_5", "perplexity_5"),
];

/// Characters of a context, and how many of them a window of the judgement scores.
const CONTEXT: i64 = 64;
const SCORED: i64 = 16;

/// The recipe [`LADDER`].
pub(super) fn ladder() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("family", "char-gpt|char-qlstm|char-lstm", "char-gpt", "which network")?,
        entry("first_seconds", "0.1..1000", 1.0, "seconds of the smallest class")?,
        entry("classes", "int:0..5", 3_i64, "classes, each twice the one before; 0: the throughput only")?,
        entry("batch", "int:8..512", 16_i64, "sequences per step")?,
        entry("text", "penelope|novels:conrad", "penelope", "what is learnt")?,
        seed("chance")?,
    ])?;
    let mut metrics = vec![
        lower("normalised_perplexity"),
        lower("slope"),
        higher("r_squared"),
        lower("wall_off"),
        higher("log2_tokens_per_second"),
    ];
    metrics.extend(CLASSES.iter().map(|(_, perplexity)| lower(perplexity)));
    Ok(Measuring { name: LADDER, about: "a network by hours of this machine", outline, metrics, run })
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let (family, classes) = (config.text("family")?, config.int("classes")?);
    let batch = config.int("batch")?.unsigned_abs();
    let whole = |x: u64| i64::try_from(x).unwrap_or(i64::MAX).into();
    let mut set = vec![
        ("layers", 2_i64.into()),
        ("width", 64_i64.into()),
        ("context", CONTEXT.into()),
        ("last_n", SCORED.into()),
        ("batch", whole(batch)),
        ("split_seed", whole(config.int("seed")?.unsigned_abs())),
    ];
    if family == "char-gpt" {
        set.push(("heads", 2_i64.into()));
    }
    let network = configured(family, config.text("text")?, &set)?;
    let timing = Timing { warm_up: 2, rounds: if classes == 0 { 6 } else { 12 } };
    let speed = throughput(family, &network, batch, timing)?;
    let mut metrics = vec![("log2_tokens_per_second", speed.tokens_per_second.log2())];
    let (mut runs, mut worst) = (Vec::new(), 0.0_f64);
    for class in 0..classes {
        let seconds = config.float("first_seconds")? * f64::from(1 << class);
        let bought =
            budget(speed.tokens_per_second, seconds / 3600.0, batch, speed.seq_len).map_err(Failure::refused)?;
        let trained = plainly(family, &network, bought.steps, None, run)?;
        let perplexity = trained.metrics.get("normalised_perplexity").copied();
        let perplexity = perplexity.ok_or_else(|| Failure::refused("the network gives no perplexity"))?;
        runs.push(ClassRun { hours: seconds / 3600.0, perplexity });
        worst = worst.max((trained.seconds / seconds - 1.0).abs());
        run.progress(class as u64 + 1, classes as u64);
    }
    for ((hours, perplexity), run) in CLASSES.iter().zip(&runs) {
        metrics.extend([(*hours, run.hours), (*perplexity, run.perplexity)]);
    }
    if let Some(last) = runs.last() {
        metrics.extend([("normalised_perplexity", last.perplexity), ("wall_off", worst)]);
    }
    if runs.len() >= 2 {
        let fit = fit_family(&runs).map_err(Failure::refused)?;
        metrics.extend([("slope", fit.b), ("r_squared", fit.r_squared)]);
    }
    Ok(Outcome::new(metrics))
}

const fn ladder_of(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    arm(name, LADDER, set)
}

/// On whole books, for longer.
const fn of_books(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm { only_full: true, costly: Some(Costly { first: 0, seeds: 3, trials: 0 }), ..ladder_of(name, set) }
}

const fn straight(sentence: &'static str, arm: &'static [&'static str]) -> Claim {
    reported(sentence, "r_squared", Better::Higher, arm, &[], Judge::MeanAtLeast(0.9))
}

const fn in_time(sentence: &'static str, arm: &'static [&'static str]) -> Claim {
    reported(sentence, "wall_off", Better::Lower, arm, &[], Judge::MeanAtMost(0.1))
}

const fn ahead(
    sentence: &'static str,
    metric: &'static str,
    ours: &'static [&'static str],
    baseline: &'static [&'static str],
) -> Claim {
    reported(sentence, metric, Better::Lower, ours, baseline, Judge::Beats { margin: 0.0, confidence: 0.95 })
}

/// Published: the quasi-LSTM's law is steeper and meets the transformer's at some 5e4 hours, far beyond what was measured.
const fn crossing(sentence: &'static str, ours: &'static [&'static str], baseline: &'static [&'static str]) -> Claim {
    reported(sentence, "slope", Better::Lower, ours, baseline, Judge::CrossesLater { classes: &CLASSES })
}

/// The claims. Margins were set before measuring.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "compute-class",
    title: "A transformer and a quasi-LSTM in the same seconds of this machine (run with --workers 1: they are timed)",
    arms: &[
        ladder_of("gpt", &[("family", "char-gpt"), ("first_seconds", "0.6")]),
        ladder_of("qlstm", &[("family", "char-qlstm"), ("first_seconds", "0.6")]),
        ladder_of("qlstm-timed", &[("family", "char-qlstm"), ("classes", "0")]),
        ladder_of("lstm-timed", &[("family", "char-lstm"), ("classes", "0")]),
        of_books(
            "gpt-books",
            &[("family", "char-gpt"), ("text", "novels:conrad"), ("first_seconds", "2"), ("classes", "4")],
        ),
        of_books(
            "qlstm-books",
            &[("family", "char-qlstm"), ("text", "novels:conrad"), ("first_seconds", "2"), ("classes", "4")],
        ),
    ],
    seed_setting: "seed",
    seeds: Scaled { quick: 2, full: 5 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        reported(
            "The quasi-LSTM learns from at least 3 times the tokens of an LSTM of its size (difference of logarithms, base 2)",
            "log2_tokens_per_second",
            Better::Higher,
            &["qlstm-timed"],
            &["lstm-timed"],
            Judge::Beats { margin: 1.585, confidence: 0.95 },
        ),
        in_time("Every transformer's training takes its class's seconds within a tenth", &["gpt"]),
        in_time("… and every quasi-LSTM's", &["qlstm"]),
        straight("The transformer's perplexity falls in a straight line over hours, in logarithms (R²)", &["gpt"]),
        straight("… and the quasi-LSTM's", &["qlstm"]),
        straight("… on books the transformer's", &["gpt-books"]),
        straight("… and on books the quasi-LSTM's", &["qlstm-books"]),
        ahead("The transformer is better in the largest class", "normalised_perplexity", &["gpt"], &["qlstm"]),
        ahead("… also on books", "normalised_perplexity", &["gpt-books"], &["qlstm-books"]),
        ahead("The quasi-LSTM's law is steeper", "slope", &["qlstm"], &["gpt"]),
        ahead("… also on books", "slope", &["qlstm-books"], &["gpt-books"]),
        crossing("The two laws cross, later than in the largest class", &["qlstm"], &["gpt"]),
        crossing("… also on books", &["qlstm-books"], &["gpt-books"]),
    ],
};
