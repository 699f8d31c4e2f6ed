//! The largest batch that fits: for one device or a few, where the question is not how to cut a given batch but how much of
//! one there is room for.
//!
//! Memory grows with the micro-batch, so it is doubled until it does not fit and the edge found by halving. Cost: some
//! twenty evaluations of the memory per cut.

use serde::Serialize;

use super::enumerate::{check, strategies};
use super::{Assumptions, Bounds, Hardware, Memory, Model, Plan, Refusal, memory, smallest_that_fits};

/// Micro-batches that keep a pipeline's bubble small, per stage: with so many the bubble is a quarter of a stage's time.
const MICRO_BATCHES_PER_STAGE: u64 = 4;

/// The largest micro-batch that is looked for.
const MOST_SEQUENCES: u64 = 1 << 20;

/// A cut with the largest micro-batch that fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Filled {
    /// The plan with that micro-batch.
    pub plan: Plan,
    /// Sequences per second of all devices.
    pub sequences_per_second: f64,
    /// What one sequence more per micro-batch would need on the fullest device, in bytes.
    pub next_bytes: f64,
}

/// Every cut of these devices with the largest micro-batch that fits, the quickest per sequence first. A pipeline runs four
/// micro-batches per stage; everything else runs one.
///
/// # Errors
/// As [`super::plans`].
pub fn largest_batches(
    model: &Model,
    hardware: &Hardware,
    devices: u64,
    bounds: &Bounds,
    assumptions: &Assumptions,
) -> Result<Vec<Filled>, Refusal> {
    // A batch of so many replicas and micro-batches that every cut divides it; only its cuts are taken from here.
    let any_batch = devices.saturating_mul(MICRO_BATCHES_PER_STAGE).saturating_mul(model.layers.max(1));
    let single = Bounds { micro_batch: Some(1), interleave: Some(bounds.interleave.unwrap_or(1)), ..*bounds };
    check(model, hardware, devices, any_batch.max(1), &single)?;
    let cuts = strategies(model, hardware, devices, any_batch, &single);
    if cuts.is_empty() {
        return Err(Refusal::NoCut {
            devices,
            layers: model.layers,
            heads: model.heads,
            batch: any_batch,
            advice: "fix fewer values".to_owned(),
        });
    }
    let mut filled = Vec::new();
    let mut least: Option<Memory> = None;
    // One replica has nothing to cut its state over, whatever the stage is called.
    let differs = |cut: &&super::Strategy| cut.dp > 1 || cut.zero == bounds.zero.unwrap_or(0);
    for cut in cuts.iter().filter(differs) {
        let with = |micro_batch: u64| {
            let micro_batches = if cut.pp > 1 { MICRO_BATCHES_PER_STAGE * cut.pp } else { 1 };
            super::Strategy { micro_batch, global_batch: micro_batch * micro_batches * cut.dp, ..*cut }
        };
        let bytes = |micro_batch: u64| memory(model, &with(micro_batch), assumptions).total_bytes;
        let room = (1.0 - assumptions.headroom) * hardware.memory_bytes;
        if bytes(1) > room {
            let needs = memory(model, &with(1), assumptions);
            if least.is_none_or(|least| needs.total_bytes < least.total_bytes) {
                least = Some(needs);
            }
            continue;
        }
        let (mut fits, mut too_large) = (1, 2);
        while too_large < MOST_SEQUENCES && bytes(too_large) <= room {
            (fits, too_large) = (too_large, too_large * 2);
        }
        while too_large - fits > 1 {
            let middle = u64::midpoint(fits, too_large);
            if bytes(middle) <= room { fits = middle } else { too_large = middle }
        }
        if let Some(wanted) = bounds.micro_batch {
            if wanted > fits {
                continue;
            }
            fits = wanted;
        }
        let plan = Plan::of(model, with(fits), hardware, assumptions);
        let sequences_per_second = plan.strategy.global_batch as f64 / plan.time.step;
        filled.push(Filled { plan, sequences_per_second, next_bytes: bytes(fits + 1) });
    }
    if filled.is_empty() {
        let of = |part: fn(&Memory) -> f64| least.as_ref().map_or(0.0, part) / 1e9;
        return Err(Refusal::TooLarge {
            strategies: cuts.len(),
            needs: of(|memory| memory.total_bytes),
            has: (1.0 - assumptions.headroom) * hardware.memory_bytes / 1e9,
            state: of(|memory| memory.state_bytes),
            activations: of(|memory| memory.activation_bytes),
            would_do: smallest_that_fits(model, hardware, devices, any_batch, bounds, assumptions),
        });
    }
    filled.sort_by(|a, b| {
        let size = |filled: &Filled| filled.plan.strategy.global_batch;
        b.sequences_per_second.total_cmp(&a.sequences_per_second).then(size(b).cmp(&size(a)))
    });
    Ok(filled)
}
