//! Compute classes in small: a transformer, a quasi-LSTM and an LSTM that get the same seconds of this machine.
//!
//! Method: *The Languini Kitchen: Enabling Language Modelling Research at Different Scales of Compute* (2023). The throughput
//! of each network is measured first and buys its steps; perplexity is per byte of text that it never learnt from. Text is
//! the novel in the binary. Cost: as many seconds as the classes have, and the measuring.

use kilter_laws::compute_class::{ClassRun, budget, fit_family};
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Outcome, Run};

use super::{Measuring, arm, entry, higher, lower, reported, seed};
use crate::claim::{Arm, Judge, Reproduction, Scaled};
use crate::network::plain::{configured, plainly};
use crate::network::{Timing, throughput};

/// The recipe of a ladder of classes.
pub const LADDER: &str = "class-ladder";

/// The recipe [`LADDER`].
pub(super) fn ladder() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("family", "char-gpt|char-qlstm|char-lstm", "char-gpt", "which network")?,
        entry("first_seconds", "0.1..1000", 1.0, "seconds of the smallest class")?,
        entry("classes", "int:0..8", 3_i64, "classes, each twice the one before; 0: the throughput only")?,
        entry("batch", "int:8..512", 16_i64, "sequences per step")?,
        seed("chance")?,
    ])?;
    let metrics = vec![
        lower("normalised_perplexity"),
        lower("slope"),
        higher("r_squared"),
        lower("wall_off"),
        higher("log2_tokens_per_second"),
    ];
    Ok(Measuring { name: LADDER, about: "a network by hours of this machine", outline, metrics, run })
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let (family, classes) = (config.text("family")?, config.int("classes")?);
    let batch = config.int("batch")?.unsigned_abs();
    let whole = |x: u64| i64::try_from(x).unwrap_or(i64::MAX).into();
    let mut set = vec![
        ("layers", 2_i64.into()),
        ("width", 64_i64.into()),
        ("context", 64_i64.into()),
        ("batch", whole(batch)),
        ("split_seed", whole(config.int("seed")?.unsigned_abs())),
    ];
    if family == "char-gpt" {
        set.push(("heads", 2_i64.into()));
    }
    let network = configured(family, &set)?;
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

/// The claims. Margins are the sheet's.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "compute-class",
    title: "A transformer and a quasi-LSTM in the same seconds of this machine (run with --workers 1: they are timed)",
    arms: &[
        ladder_of("gpt", &[("family", "char-gpt")]),
        ladder_of("qlstm", &[("family", "char-qlstm")]),
        ladder_of("qlstm-timed", &[("family", "char-qlstm"), ("classes", "0")]),
        ladder_of("lstm-timed", &[("family", "char-lstm"), ("classes", "0")]),
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
        reported(
            "Every transformer's training takes its class's seconds within a tenth",
            "wall_off",
            Better::Lower,
            &["gpt"],
            &[],
            Judge::MeanAtMost(0.1),
        ),
        reported("… and every quasi-LSTM's", "wall_off", Better::Lower, &["qlstm"], &[], Judge::MeanAtMost(0.1)),
        reported(
            "The transformer's perplexity falls in a straight line over hours, in logarithms (R²)",
            "r_squared",
            Better::Higher,
            &["gpt"],
            &[],
            Judge::MeanAtLeast(0.9),
        ),
        reported("… and the quasi-LSTM's", "r_squared", Better::Higher, &["qlstm"], &[], Judge::MeanAtLeast(0.9)),
        reported(
            "The transformer is better in the largest class",
            "normalised_perplexity",
            Better::Lower,
            &["gpt"],
            &["qlstm"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        reported(
            "The quasi-LSTM's law is steeper",
            "slope",
            Better::Lower,
            &["qlstm"],
            &["gpt"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
    ],
};
