//! How many tokens a second a network learns from, and how long a training is that gets hours instead of steps (*The
//! Languini Kitchen: Enabling Language Modelling Research at Different Scales of Compute*, 2023).
//!
//! A step is forward, loss, backward and update; one step is not counted, some more warm up, the mean of the rest counts.
//! Changed: steps learn from text as it is instead of random tokens, which costs the same.

use std::fs;
use std::time::Instant;

use kilter_laws::compute_class::budget;
use kilter_meter::{available_bytes, forget_peak, peak_resident_bytes};
use kilter_nn::train::{StepReport, Task, TrainConfig, Training, device};
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::{Failure, Run};
use serde::{Deserialize, Serialize};

use super::language::Writing;
use super::{Kind, NAMED, Subject, settings, whole};

/// How a throughput is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Steps after the first that do not count, default 5.
    pub warm_up: u64,
    /// Steps that count, default 15.
    pub rounds: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { warm_up: 5, rounds: 15 }
    }
}

/// How quickly a network learns here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// Sequences per step.
    pub batch: u64,
    /// Tokens per sequence.
    pub seq_len: u64,
    /// Tokens per second, to the whole one.
    pub tokens_per_second: f64,
    /// Seconds of a step: mean and standard deviation over the rounds.
    pub step_seconds: [f64; 2],
    /// Numbers that are learned.
    pub parameters: u64,
    /// The same without the table of tokens.
    pub parameters_without_embedding: u64,
    /// Largest resident set of the process while it learned, in bytes, where the system tells.
    pub peak_bytes: Option<u64>,
}

/// Why a search for a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stopped {
    /// The next batch would not fit.
    Memory {
        /// The next batch.
        batch: u64,
        /// What it would need, in bytes, if memory goes on growing as it did.
        needs: u64,
    },
    /// Doubling it twice brought no more tokens per second.
    Slower,
    /// It reached the largest that was asked for.
    Largest,
}

/// Throughputs of batches, each twice the one before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// Each batch.
    pub batches: Vec<Throughput>,
    /// The place of the quickest.
    pub best: usize,
    /// Why it went no further.
    pub stopped: Stopped,
}

fn kind_of(name: &str) -> Result<Kind, Failure> {
    let named = NAMED.iter().find(|named| named.name == name);
    match named {
        Some(named) if named.kind.writes() => Ok(named.kind),
        _ => {
            let known: Vec<&str> = NAMED.iter().filter(|named| named.kind.writes()).map(|named| named.name).collect();
            Err(Failure::refused(format!(
                "tokens per second are those of a network on text: {}; `{name}` is none",
                known.join(", ")
            )))
        }
    }
}

/// The throughput of a recipe's network in this configuration, with this batch (in sequences) instead of its own.
///
/// # Errors
/// The recipe learns from no text, or its configuration makes no network.
pub fn throughput(name: &str, config: &Config, batch: u64, timing: Timing) -> Result<Throughput, Failure> {
    let kind = kind_of(name)?;
    timed(config, &Writing::open(kind, config)?, batch, timing)
}

/// The throughput with batches of 1, 2, 4, … until one would need more than `memory` bytes (nothing: nine tenths of what is
/// free), two doublings bring nothing, or `largest` is reached.
///
/// # Errors
/// As [`throughput`]; or not even one sequence fits.
pub fn sweep(name: &str, config: &Config, timing: Timing, memory: Option<u64>, largest: u64) -> Result<Sweep, Failure> {
    let task = Writing::open(kind_of(name)?, config)?;
    let memory = memory.or_else(|| available_bytes().map(|free| free / 10 * 9)).unwrap_or(u64::MAX);
    let mut batches: Vec<Throughput> = Vec::new();
    let (mut best, mut batch) = (0, 1);
    let stopped = loop {
        let found = timed(config, &task, batch, timing)?;
        batches.push(found);
        if found.tokens_per_second > batches[best].tokens_per_second {
            best = batches.len() - 1;
        }
        let next = 2 * batch;
        // Activations grow with the batch, weights do not: the next doubling adds twice what this one added.
        let peak = |at: usize| batches.get(at).and_then(|found| found.peak_bytes);
        if let Some(now) = found.peak_bytes {
            let before = batches.len().checked_sub(2).and_then(peak);
            let needs = now + before.map_or(0, |before| 2 * now.saturating_sub(before));
            if now > memory && batches.len() == 1 {
                return Err(Failure::refused(format!(
                    "one sequence already takes {:.2e} bytes, and {memory:.2e} are allowed; a smaller network or context fits",
                    now as f64
                )));
            }
            if needs > memory {
                break Stopped::Memory { batch: next, needs };
            }
        }
        if batches.len() > best + 2 {
            break Stopped::Slower;
        }
        if next > largest {
            break Stopped::Largest;
        }
        batch = next;
    };
    Ok(Sweep { batches, best, stopped })
}

fn timed(config: &Config, task: &Writing, batch: u64, timing: Timing) -> Result<Throughput, Failure> {
    if timing.rounds == 0 || batch == 0 {
        return Err(Failure::refused("a throughput needs at least one round of at least one sequence"));
    }
    let device = device(config.text("device")?).map_err(Failure::refused)?;
    let chance = Stream::new(&[config.int("split_seed")?.unsigned_abs()], "throughput");
    let uncounted = 1 + timing.warm_up;
    // One step more than is taken, so that none ends with an evaluation.
    let steps = uncounted + timing.rounds + 1;
    let plain = TrainConfig {
        batch: batch as usize,
        accumulation: 1,
        average: None,
        patience: 0,
        checkpoint_every: 0,
        evaluate_every: 0,
        ..settings(config, Subject::tokens(task), steps, 0, chance.child("training").bits())?
    };
    // A text too short for so many rows is timed all the same.
    let plain = TrainConfig { carry: plain.carry && task.examples() >= plain.batch, ..plain };
    let params = Subject::init(task, &chance.child("weights"), &device)?;
    let (parameters, embedding) = (params.learned() as u64, task.embedding() as u64);
    let mut training = Training::new(plain, params).map_err(Failure::refused)?;
    forget_peak();
    let mut stamps = Vec::with_capacity(steps as usize);
    let ran = training.run(task, None, &mut |report: &StepReport| {
        stamps.push(Instant::now());
        report.step < steps - 1
    });
    ran.map_err(Failure::refused)?;
    let peak_bytes = peak_resident_bytes();
    let seconds: Vec<f64> = stamps[uncounted as usize - 1..].windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).collect();
    let count = seconds.len() as f64;
    let mean = seconds.iter().sum::<f64>() / count;
    let variance = seconds.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let seq_len = task.context() as u64;
    Ok(Throughput {
        batch,
        seq_len,
        tokens_per_second: ((batch * seq_len) as f64 / mean).round(),
        step_seconds: [mean, variance.sqrt()],
        parameters,
        parameters_without_embedding: parameters - embedding,
        peak_bytes,
    })
}

/// What a training by hours was given: kept beside its checkpoint, so that it goes on with the same steps.
#[derive(Debug, Serialize, Deserialize)]
struct Given {
    tokens_per_second: f64,
    steps: u64,
}

/// The steps of a training on text: as many as it says, or as its hours buy.
pub(super) fn steps(config: &Config, task: &Writing, run: &mut Run) -> Result<u64, Failure> {
    let hours = config.float("class_hours")?;
    if hours == 0.0 {
        return whole(config, "steps");
    }
    let place = run.folder().join(format!("class-{}.json", run.repeat()));
    if let Some(given) = fs::read(&place).ok().and_then(|text| serde_json::from_slice::<Given>(&text).ok()) {
        return Ok(given.steps);
    }
    let batch = whole(config, "batch")?;
    let told = config.float("tokens_per_second")?;
    let tokens_per_second =
        if told > 0.0 { told } else { timed(config, task, batch, Timing::default())?.tokens_per_second };
    let bought = budget(tokens_per_second, hours, batch, task.context() as u64).map_err(Failure::refused)?;
    run.remark(format!(
        "{hours} h at {tokens_per_second} tokens per second are {:.4e} tokens: {} steps",
        bought.tokens, bought.steps
    ));
    let given = Given { tokens_per_second, steps: bought.steps };
    let text = serde_json::to_vec(&given).map_err(Failure::refused)?;
    fs::write(&place, text).map_err(|why| Failure::unwritable(&place, &why))?;
    Ok(bought.steps)
}
