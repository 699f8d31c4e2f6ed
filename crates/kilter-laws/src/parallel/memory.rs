//! Bytes that a device holds.

use serde::Serialize;

use super::{Assumptions, Model, Recompute, Strategy};

/// Memory of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Parameters of a device, counted evenly: `P/(t p)`.
    pub parameters_per_device: f64,
    /// Weights, gradients and optimizer.
    pub state_bytes: f64,
    /// The same on the first and the last stage, which carry the embeddings: the worse of both.
    pub worst_stage_state_bytes: f64,
    /// Activations of the first stage, which holds the most.
    pub activation_bytes: f64,
    /// Logits of the last stage.
    pub logit_bytes: f64,
    /// All of it, with fragmentation and the runtime.
    pub total_bytes: f64,
}

/// What a strategy keeps on its fullest device.
pub fn memory(model: &Model, strategy: &Strategy, assumptions: &Assumptions) -> Memory {
    let (t, p, dp) = (strategy.tp as f64, strategy.pp as f64, strategy.dp as f64);
    let (s, v) = (model.seq_len as f64, model.vocabulary as f64);
    let parameters_per_device = model.parameters() / (t * p);
    let [weights, gradients, optimizer] = assumptions.accounting.bytes();
    let over = |stage: u8| if strategy.zero >= stage { dp } else { 1.0 };
    let per_parameter = weights / over(3) + gradients / over(2) + optimizer / over(1);
    let (first, last) = model.ends();
    let ends = match (strategy.pp, &model.shape) {
        // One stage holds both; a tied head is there once, and the formula of the usual GPT ties it.
        (1, Some(shape)) if !shape.tied_head => first + last,
        (1, _) => first,
        _ => first.max(last),
    };
    let worst = model.blocks() / (t * p) + ends / t;
    let activation_bytes = activations(model, strategy);
    let logit_bytes = s * strategy.micro_batch as f64 * v * 6.0 / t;
    let state_bytes = parameters_per_device * per_parameter;
    let total_bytes =
        (1.0 + assumptions.fragmentation) * (state_bytes + activation_bytes) + logit_bytes + assumptions.runtime_bytes;
    Memory {
        parameters_per_device,
        state_bytes,
        worst_stage_state_bytes: worst * per_parameter,
        activation_bytes,
        logit_bytes,
        total_bytes,
    }
}

/// Bytes of one layer's activations per micro-batch (Korthikanti et al. 2022, equations 2 to 6).
fn per_layer(model: &Model, strategy: &Strategy, recompute: Recompute) -> f64 {
    let (s, b, h, t) = (model.seq_len as f64, strategy.micro_batch as f64, model.hidden as f64, strategy.tp as f64);
    let (tokens, (whole, cut)) = (s * b, model.kept());
    let scores = if recompute == Recompute::None { 5.0 * model.heads as f64 * s } else { 0.0 };
    match (recompute, strategy.sequence_parallel) {
        (Recompute::Full, false) => 2.0 * tokens * h,
        (Recompute::Full, true) => 2.0 * tokens * h / t,
        (_, false) => tokens * (whole + (cut + scores) / t),
        (_, true) => tokens * (whole + cut + scores) / t,
    }
}

/// Activations that the first stage of the pipeline holds at its fullest.
fn activations(model: &Model, strategy: &Strategy) -> f64 {
    let (p, v) = (strategy.pp as f64, strategy.interleave as f64);
    let held = strategy.micro_batches().min(strategy.pp) as f64;
    let chunks = if strategy.interleave > 1 { 1.0 + (p - 1.0) / (p * v) } else { 1.0 };
    let layers = model.layers as f64 / p;
    let kept = per_layer(model, strategy, strategy.recompute) * layers * held * chunks;
    // While a layer is computed again, all of its activations are there once.
    let again = match strategy.recompute {
        Recompute::Full => per_layer(model, strategy, Recompute::None),
        _ => 0.0,
    };
    kept + again
}
