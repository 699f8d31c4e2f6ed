//! Seconds that a step takes.

use serde::Serialize;

use super::{Assumptions, Hardware, Model, Recompute, Strategy};

/// The parts of a step, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Time {
    /// Forward pass of one micro-batch on one stage.
    pub forward: f64,
    /// Its backward pass, with what is computed again.
    pub backward: f64,
    /// Its exchanges between tensor parallel ranks.
    pub tensor_parallel: f64,
    /// One micro-batch on one stage: the three above.
    pub stage: f64,
    /// What the pipeline waits at its ends.
    pub bubble: f64,
    /// The same as a share of the step's ideal time.
    pub bubble_fraction: f64,
    /// Messages between stages that nothing hides.
    pub point_to_point: f64,
    /// Exchange of gradients, whole.
    pub data_parallel: f64,
    /// What of it nothing hides.
    pub data_parallel_exposed: f64,
    /// The optimizer's pass over memory.
    pub optimizer: f64,
    /// The step.
    pub step: f64,
    /// Operations of a step, recomputed ones counted.
    pub flop: f64,
    /// Share of the devices' peak that these are ("hardware" utilisation).
    pub fraction_of_peak: f64,
    /// The same without what is computed again ("model" utilisation).
    pub model_fraction_of_peak: f64,
}

/// Bytes that the optimizer moves per parameter.
const OPTIMIZER_BYTES: f64 = 28.0;

/// How long a step takes.
pub fn time(model: &Model, strategy: &Strategy, hardware: &Hardware, assumptions: &Assumptions) -> Time {
    let (t, p, dp, v) = (strategy.tp as f64, strategy.pp as f64, strategy.dp as f64, strategy.interleave as f64);
    let (b, s, h) = (strategy.micro_batch as f64, model.seq_len as f64, model.hidden as f64);
    let (m, latency) = (strategy.micro_batches() as f64, hardware.latency);
    let tokens = b * s;
    let eff = hardware.eff * tokens / (tokens + assumptions.half_efficiency_tokens);
    let forward = model.flop(b, 1.0) / (t * p) / (hardware.peak * eff);
    let backward = forward * (strategy.recompute.passes() - 1.0);
    // One half-precision activation.
    let activation = 2.0 * s * b * h;
    let tensor_parallel = if strategy.tp > 1 {
        let exchanges = if strategy.recompute == Recompute::Full { 6.0 } else { 4.0 };
        let ring = 2.0 * (t - 1.0) / t * activation / hardware.link(strategy.tp) + 2.0 * (t - 1.0) * latency;
        exchanges * (model.layers as f64 / p) * ring
    } else {
        0.0
    };
    let stage = forward + backward + tensor_parallel;
    let bubble = (p - 1.0) / v * stage;
    let between = hardware.link_beyond_package(strategy.devices());
    let point_to_point = if strategy.pp > 1 { 2.0 * (p - 1.0) * v * (activation / between + latency) } else { 0.0 };
    let parameters = model.parameters() / (t * p);
    let data_parallel = if strategy.dp > 1 {
        let more = if strategy.zero == 3 { 1.5 } else { 1.0 };
        2.0 * (dp - 1.0) / dp * 2.0 * parameters / between * more + 2.0 * (dp - 1.0) * latency
    } else {
        0.0
    };
    let data_parallel_exposed = (1.0 - assumptions.overlap) * data_parallel;
    let owned = if strategy.zero >= 1 { parameters / dp } else { parameters };
    let optimizer = OPTIMIZER_BYTES * owned / hardware.memory_bandwidth;
    let step = m * stage + bubble + point_to_point + data_parallel_exposed + optimizer;
    let batch = strategy.global_batch as f64;
    let flop = model.flop(batch, strategy.recompute.passes());
    let capacity = strategy.devices() as f64 * step * hardware.peak;
    Time {
        forward,
        backward,
        tensor_parallel,
        stage,
        bubble,
        bubble_fraction: (p - 1.0) / (v * m),
        point_to_point,
        data_parallel,
        data_parallel_exposed,
        optimizer,
        step,
        flop,
        fraction_of_peak: flop / capacity,
        model_fraction_of_peak: model.flop(batch, 3.0) / capacity,
    }
}
