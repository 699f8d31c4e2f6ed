//! Plans of a cluster, searched: by what the planner says, with the noise and the failures of real runs.
//!
//! Method: *Optimizing Distributed Training on Frontier for Large Language Models* (2023), which searched with real runs of
//! up to thousands of devices. Here the planner's costs times a log-normal noise stand in for them: a plan that needs more
//! memory than a device has fails as it would there. With `--full` the same searches also run real trainings of this machine
//! ([`super::job`]). On a cluster of one's own `kilter plan cluster -o space.toml` writes
//! the space and `kilter tune --space space.toml -- ./launch.sh …` runs it. Cost: milliseconds a trial.

use kilter_laws::parallel::{
    Accounting, Assumptions, Bounds, Hardware, Model, Plan, Recompute, Strategy, calibrated, plans, published,
};
use kilter_numerics::Stream;
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Goal, Outcome, Run};

use super::job::JOB_SEARCH;
use super::{Measuring, arm, constrained, entry, higher, lower, reported, searched, seed};
use crate::claim::{Arm, Claim, Costly, Judge, Reproduction, Scaled};

/// The recipe that runs a plan.
pub const PLAN: &str = "cluster-plan";

/// The recipe that searches among plans.
pub const SEARCH: &str = "cluster-search";

/// The recipe that predicts the published points.
pub const PUBLISHED: &str = "cluster-published";

/// The paper's training of 175B: devices and sequences per step.
const DEVICES: u64 = 1024;
const BATCH: u64 = 10_240;

/// What divides what: degrees are powers of two, and so are the devices, so that products say it all. The batch of a
/// replica is 10 tp pp, and 2 is its only prime beside 5.
const CONSTRAINTS: [&str; 5] = [
    "micro_batch <= 2 * tp * pp",
    "pp * interleave <= 32",
    "interleave == 1 or (pp > 1 and micro_batch <= 2 * tp)",
    "zero_stage < 3 or pp == 1",
    "tp > 1 or sequence_parallel == false",
];

fn degrees() -> Result<Vec<kilter_space::Entry>, SpaceError> {
    Ok(vec![
        entry("tp", "ordinal:1<2<4<8", 4_i64, "tensor parallel ranks")?,
        entry("pp", "ordinal:1<2<4<8<16<32", 16_i64, "pipeline stages")?,
        entry("micro_batch", "ordinal:1<2<4<8<16<32", 1_i64, "sequences at a time")?,
        entry("zero_stage", "ordinal:0<1<2<3", 1_i64, "what is cut over replicas: optimizer, gradients, weights")?,
        entry("interleave", "ordinal:1<2<4<8<16", 1_i64, "chunks of layers per stage")?,
        entry("recompute", "none|selective|full", "full", "activations that are computed again")?,
        entry("sequence_parallel", "true|false", false, "activations cut along the sequence")?,
    ])
}

/// The recipe [`PLAN`].
pub(super) fn plan_recipe() -> Result<Measuring, SpaceError> {
    let mut entries = degrees()?;
    entries.push(entry("noise", "0..1", 0.03, "deviation of the logarithm of a run's speed")?.setting());
    entries
        .push(entry("failures", "penalise|fail", "penalise", "out of memory: 0 TFLOP/s, or a failed trial")?.setting());
    entries.push(seed("chance of the noise")?);
    let about =
        "a plan of 175B parameters on 1024 half MI250X: the planner's costs with noise stand in for the cluster";
    let metrics = vec![higher("tflops"), lower("memory_gb"), higher("tflops_without_noise")];
    Ok(Measuring { name: PLAN, about, outline: constrained(entries, &CONSTRAINTS)?, metrics, run: run_plan })
}

fn hardware() -> Result<&'static Hardware, Failure> {
    Hardware::named("mi250x-gcd").ok_or_else(|| Failure::refused("the planner lost its device"))
}

fn assumptions() -> Assumptions {
    Assumptions { accounting: Accounting::Paper14, ..Assumptions::default() }
}

fn strategy(config: &Config) -> Result<Strategy, Failure> {
    let degree = |name: &str| config.int(name).map(i64::unsigned_abs);
    let (tp, pp) = (degree("tp")?, degree("pp")?);
    let recompute = config.text("recompute")?;
    let recompute = Recompute::ALL.into_iter().find(|known| known.name() == recompute);
    Ok(Strategy {
        tp,
        pp,
        dp: DEVICES / (tp * pp).max(1),
        micro_batch: degree("micro_batch")?,
        global_batch: BATCH,
        zero: degree("zero_stage")? as u8,
        interleave: degree("interleave")?,
        recompute: recompute.ok_or_else(|| Failure::refused("recompute is none, selective or full"))?,
        sequence_parallel: config.flag("sequence_parallel")?,
    })
}

/// A run of a plan: TFLOP/s per device with noise and without, and GB of a device; nothing for a plan that does not fit.
fn costed(config: &Config, noise: f64, chance: &mut Stream) -> Result<(Option<[f64; 2]>, f64), Failure> {
    let model = Model::named("gpt-175b").ok_or_else(|| Failure::refused("the planner lost its model"))?;
    let (hardware, assumptions) = (hardware()?, assumptions());
    let plan = Plan::of(&model, strategy(config)?, hardware, &assumptions);
    let memory = plan.memory.total_bytes / 1e9;
    if !plan.fits(hardware, &assumptions) {
        return Ok((None, memory));
    }
    // What is computed again is no progress, so it is not counted.
    let speed = plan.time.model_fraction_of_peak * hardware.peak / 1e12;
    Ok((Some([speed * (noise * chance.normal()).exp(), speed]), memory))
}

fn run_plan(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let mut chance =
        Stream::new(&[config.int("seed")?.unsigned_abs(), run.seed(), run.number(), run.repeat()], "cluster");
    let (speed, memory) = costed(config, config.float("noise")?, &mut chance)?;
    match speed {
        Some([noisy, plain]) => {
            Ok(Outcome::new([("tflops", noisy), ("memory_gb", memory), ("tflops_without_noise", plain)]))
        }
        None if config.text("failures")? == "fail" => Err(Failure::refused(format!(
            "out of memory: the plan needs {memory:.1} GB of a device, and it has {:.1}",
            hardware()?.memory_bytes / 1e9
        ))),
        None => Ok(Outcome::new([("tflops", 0.0), ("memory_gb", memory), ("tflops_without_noise", 0.0)])),
    }
}

/// The recipe [`SEARCH`].
pub(super) fn search_recipe() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("sampler", "tpe|random", "tpe", "who searches")?,
        entry("failures", "penalise|fail", "penalise", "what a plan that runs out of memory is to the sampler")?,
        entry("trials", "int:1..1000", 20_i64, "plans that are run")?,
        seed("chance")?,
    ])?;
    let metrics = vec![higher("best_tflops"), lower("failed"), lower("behind_percent")];
    Ok(Measuring { name: SEARCH, about: "a search among plans", outline, metrics, run: run_search })
}

fn run_search(config: &Config, _: &mut Run) -> Result<Outcome, Failure> {
    let (seed, trials) = (config.int("seed")?.unsigned_abs(), config.int("trials")?.unsigned_abs());
    let drops = config.text("failures")? == "fail";
    let outline = constrained(degrees()?, &CONSTRAINTS)?;
    let mut chance = Stream::new(&[seed], "runs of plans");
    let (mut failed, mut true_speed) = (0, Vec::new());
    let course = searched(outline, Goal::maximize("tflops"), config.text("sampler")?, trials, seed, |asked| {
        let (speed, memory) = costed(asked, 0.03, &mut chance)?;
        true_speed.push(speed.map_or(0.0, |[_, plain]| plain));
        match speed {
            Some([noisy, _]) => Ok(Outcome::new([("tflops", noisy), ("memory_gb", memory)])),
            None => {
                failed += 1;
                if drops { Err(Failure::refused("out of memory")) } else { Ok(Outcome::new([("tflops", 0.0)])) }
            }
        }
    })?;
    // The plan that looked best, judged without the noise.
    let looked = |at: &usize| course[*at].1.unwrap_or(0.0);
    let best = (0..course.len()).max_by(|a, b| looked(a).total_cmp(&looked(b)));
    let best = best.and_then(|at| true_speed.get(at).copied()).unwrap_or(0.0);
    let behind = if best > 0.0 { 100.0 * (quickest()? / best - 1.0) } else { f64::MAX };
    Ok(Outcome::new([("best_tflops", best), ("failed", f64::from(failed)), ("behind_percent", behind)]))
}

/// TFLOP/s per device of the quickest plan of this space, without noise.
fn quickest() -> Result<f64, Failure> {
    let model = Model::named("gpt-175b").ok_or_else(|| Failure::refused("the planner lost its model"))?;
    let hardware = hardware()?;
    let found =
        plans(&model, hardware, DEVICES, BATCH, &Bounds::default(), &assumptions()).map_err(Failure::refused)?;
    let here = |plan: &&Plan| plan.strategy.micro_batch.is_power_of_two() && plan.strategy.interleave.is_power_of_two();
    let speed = |plan: &Plan| plan.time.model_fraction_of_peak * hardware.peak / 1e12;
    Ok(found.plans.iter().filter(here).map(speed).fold(0.0, f64::max))
}

/// The recipe [`PUBLISHED`].
pub(super) fn published_recipe() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("model", "gpt-22b|gpt-175b|gpt-1t", "gpt-175b", "which training")?,
        seed("nothing: the planner has no chance")?,
    ])?;
    let metrics = ["error_points", "behind_percent", "place_share", "fits_alone"].map(lower).to_vec();
    Ok(Measuring { name: PUBLISHED, about: "a published training", outline, metrics, run: run_published })
}

fn run_published(config: &Config, _: &mut Run) -> Result<Outcome, Failure> {
    let (hardware, name) = (hardware()?, config.text("model")?);
    // Efficiency is fitted on the 175B point; shares of places do not hang on it.
    let fitted = calibrated(hardware);
    let points = published(&fitted).map_err(Failure::refused)?;
    let point = points.iter().find(|point| point.published.model == name);
    let point = point.ok_or_else(|| Failure::refused(format!("nothing was published of {name}")))?;
    let model = Model::named(name).ok_or_else(|| Failure::refused(format!("there is no model {name}")))?;
    let alone = Bounds { tp: Some(1), pp: Some(1), zero: Some(1), ..Bounds::default() };
    let alone = plans(&model, hardware, DEVICES, BATCH, &alone, &assumptions());
    let (place, of) = point.place_of_all;
    Ok(Outcome::new([
        ("error_points", point.error_points.abs()),
        ("behind_percent", 100.0 * point.behind),
        ("place_share", place as f64 / of as f64),
        ("fits_alone", f64::from(u8::from(alone.is_ok()))),
    ]))
}

/// Searches among real runs take a minute.
const fn real(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm { only_full: true, costly: Some(Costly { first: 0, seeds: 5, trials: 0 }), ..arm(name, JOB_SEARCH, set) }
}

const fn at_most(sentence: &'static str, metric: &'static str, arm: &'static [&'static str], bound: f64) -> Claim {
    reported(sentence, metric, Better::Lower, arm, &[], Judge::MeanAtMost(bound))
}

/// The claims. Margins were set before measuring.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "parallelism-planner",
    title: "Plans of 175B and 1T parameters on Frontier: the published ones predicted, and searches with failures",
    arms: &[
        arm("22b", PUBLISHED, &[("model", "gpt-22b")]),
        arm("175b", PUBLISHED, &[("model", "gpt-175b")]),
        arm("1t", PUBLISHED, &[("model", "gpt-1t")]),
        arm("tpe-20", SEARCH, &[("trials", "20")]),
        arm("tpe-20-dropping", SEARCH, &[("trials", "20"), ("failures", "fail")]),
        arm("random-20", SEARCH, &[("trials", "20"), ("sampler", "random")]),
        arm("random-50", SEARCH, &[("trials", "50"), ("sampler", "random")]),
        real("real-tpe-20", &[("trials", "20")]),
        real("real-tpe-20-dropping", &[("trials", "20"), ("failures", "fail")]),
        real("real-random-50", &[("trials", "50"), ("sampler", "random")]),
    ],
    seed_setting: "seed",
    seeds: Scaled { quick: 10, full: 30 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        at_most(
            "The 175B recipe's step is at most 10 % above the best of the paper's fixed choices (in percent)",
            "behind_percent",
            &["175b"],
            10.0,
        ),
        at_most("The 1T recipe's likewise", "behind_percent", &["1t"], 10.0),
        at_most(
            "With the efficiency fitted on 175B, 1T's share of peak is predicted within 6 points",
            "error_points",
            &["1t"],
            6.0,
        ),
        at_most(
            "Likewise 22B's (its recipe is unknown; ours is the quickest of the fixed choices on 64 devices)",
            "error_points",
            &["22b"],
            6.0,
        ),
        at_most(
            "175B without tensor or pipeline ranks is rejected for its memory (1: it is not)",
            "fits_alone",
            &["175b"],
            0.0,
        ),
        at_most(
            "The 175B recipe is among the quickest tenth of all plans that fit (share of the place)",
            "place_share",
            &["175b"],
            0.1,
        ),
        reported(
            "After 20 trials TPE that learns from failures has found a plan at least as quick as random search after 50",
            "best_tflops",
            Better::Higher,
            &["tpe-20"],
            &["random-50"],
            Judge::NotBehind,
        ),
        reported(
            "TPE that learns from failures fails less often than TPE that drops them",
            "failed",
            Better::Lower,
            &["tpe-20"],
            &["tpe-20-dropping"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        reported(
            "… and than random search",
            "failed",
            Better::Lower,
            &["tpe-20"],
            &["random-20"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        reported(
            "With real runs under a cap of memory TPE is after 20 trials at least as quick as random search after 50",
            "best_tokens_per_second",
            Better::Higher,
            &["real-tpe-20"],
            &["real-random-50"],
            Judge::NotBehind,
        ),
        reported(
            "… and fails less often when it learns from failures than when it drops them",
            "failed",
            Better::Lower,
            &["real-tpe-20"],
            &["real-tpe-20-dropping"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
    ],
};
