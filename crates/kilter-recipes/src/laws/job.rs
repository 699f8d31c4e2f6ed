//! Real runs under a cap of memory: steps of a small transformer, each run a process of its own that dies where it asks for
//! more than it may have, and searches among them.
//!
//! Method: *Optimizing Distributed Training on Frontier for Large Language Models* (2023), section on the search: runs that
//! fail count as bad ones, so that the search learns where they fail. Changed: one machine instead of a cluster; what is
//! searched is the micro-batch, how many of them make a step, the length of sequences, threads, and the optimizer, whose
//! state takes memory. The kernel keeps the cap (`RLIMIT_DATA`), so a failure is an allocation that was refused. Cost: a run
//! is three steps, about a second.

use std::sync::Arc;
use std::time::Instant;

use kilter_space::{Config, Outline, SpaceError};
use kilter_study::process::OwnProcess;
use kilter_study::{Failure, Goal, Outcome, Recipe, Run};

use super::{Measuring, constrained, entry, higher, lower, searched, seed};
use crate::network::plain::{begun, configured, until};

/// The recipe of a run.
pub const JOB: &str = "training-job";

/// The recipe that searches among runs.
pub const JOB_SEARCH: &str = "training-job-search";

/// Steps that are timed, after one that is not.
const TIMED: u64 = 2;

/// A network's smallest batch.
const SMALLEST: &str = "micro_batch * accumulation >= 8";

/// What is searched.
fn choices() -> Result<Vec<kilter_space::Entry>, SpaceError> {
    Ok(vec![
        entry("micro_batch", "ordinal:1<2<4<8<16<32<64", 4_i64, "sequences at a time")?,
        entry("accumulation", "ordinal:1<2<4<8", 2_i64, "times that before a step is taken")?,
        entry("context", "ordinal:32<64<128", 64_i64, "characters of a sequence")?,
        entry("threads", "1|2", 1_i64, "threads that compute")?,
        entry("optimizer", "adamw|adafactor|sgd", "adamw", "who takes the steps: its state takes memory")?,
    ])
}

fn settings() -> Result<Vec<kilter_space::Entry>, SpaceError> {
    Ok(vec![
        entry("width", "64|128|256", 128_i64, "numbers per character")?.setting(),
        entry("cap_mb", "1..1e6", 48.0, "megabytes that a run may allocate; beyond, it dies")?.setting(),
        seed("chance")?,
    ])
}

/// The recipe [`JOB`].
pub(super) fn job() -> Result<Measuring, SpaceError> {
    let entries = [choices()?, settings()?].concat();
    let metrics = vec![higher("tokens_per_second"), lower("peak_mb")];
    let about = "steps of a small transformer under a cap of memory: real runs, some of which fail";
    let outline = constrained(entries, &[SMALLEST])?;
    Ok(Measuring { name: JOB, about, outline, metrics, run: work })
}

fn work(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let optimizer = config.text("optimizer")?;
    let (micro, parts) = (config.int("micro_batch")?, config.int("accumulation")?);
    let threads = usize::try_from(config.int("threads")?).map_err(Failure::refused)?;
    // A pool that is there already (in tests) keeps its threads.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    let set = [
        ("layers", 2_i64.into()),
        ("width", config.int("width")?.into()),
        ("heads", 4_i64.into()),
        ("context", config.int("context")?.into()),
        ("batch", (micro * parts).into()),
        ("accumulation", parts.into()),
        ("optimizer", optimizer.into()),
        ("schedule", "constant".into()),
        ("split_seed", config.int("seed")?.into()),
    ];
    let network = configured("char-gpt", "penelope", &set)?;
    let cap = config.float("cap_mb")? * 1e6;
    kilter_meter::allow_further(cap as u64).map_err(Failure::refused)?;
    kilter_meter::forget_peak();
    let (task, mut training) = begun("char-gpt", &network, TIMED + 2, None)?;
    until(&mut training, &task, 1, run)?;
    let began = Instant::now();
    until(&mut training, &task, 1 + TIMED, run)?;
    let seconds = began.elapsed().as_secs_f64();
    let tokens = TIMED as f64 * (network.int("batch")? * config.int("context")?) as f64;
    let peak = kilter_meter::peak_resident_bytes().map_or(f64::NAN, |bytes| bytes as f64 / 1e6);
    Ok(Outcome::new([("tokens_per_second", tokens / seconds), ("peak_mb", peak)]))
}

/// The recipe [`JOB_SEARCH`].
pub(super) fn search() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("sampler", "tpe|random", "tpe", "who searches")?,
        entry("failures", "penalise|fail", "penalise", "what a run that dies is to the sampler")?,
        entry("trials", "int:1..1000", 20_i64, "runs")?,
        seed("chance")?,
    ])?;
    let metrics = vec![higher("best_tokens_per_second"), lower("failed")];
    Ok(Measuring { name: JOB_SEARCH, about: "a search among real runs", outline, metrics, run: run_search })
}

fn run_search(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let (seed, trials) = (config.int("seed")?.unsigned_abs(), config.int("trials")?.unsigned_abs());
    let drops = config.text("failures")? == "fail";
    let binary = std::env::current_exe().map_err(Failure::refused)?;
    let whole = job().map_err(Failure::refused)?;
    let outline = whole.outline.specialise(&[], &[])?;
    let alone: Arc<dyn Recipe> = Arc::new(OwnProcess::new(Arc::new(whole), binary));
    let folder = run.folder().join("runs");
    let mut number = 0;
    let mut once = |asked: &Config| {
        number += 1;
        alone.run(asked, &mut Run::offline(seed).with_folder(folder.join(number.to_string())))
    };
    let (mut failed, mut said) = (0, String::new());
    let course =
        searched(outline, Goal::maximize("tokens_per_second"), config.text("sampler")?, trials, seed, |asked| {
            let ended = once(asked);
            if let Err(why) = &ended {
                failed += 1;
                said = why.to_string();
                if !drops {
                    return Ok(Outcome::new([("tokens_per_second", 0.0)]));
                }
            }
            ended
        })?;
    let looked = |at: &usize| course[*at].1.unwrap_or(0.0);
    let best = (0..course.len()).max_by(|a, b| looked(a).total_cmp(&looked(b))).filter(|at| looked(at) > 0.0);
    let best = best.ok_or_else(|| Failure::refused(format!("every run failed; the last said: {said}")))?;
    // What looked best is run again, so that luck does not count.
    let again = [once(&course[best].0)?, once(&course[best].0)?];
    let speed = again.iter().filter_map(|outcome| outcome.metrics.get("tokens_per_second")).sum::<f64>() / 2.0;
    let _ = std::fs::remove_dir_all(&folder);
    run.remark(format!("{failed} of {trials} runs failed; the best: {}", course[best].0));
    Ok(Outcome::new([("best_tokens_per_second", speed), ("failed", f64::from(failed))]))
}
