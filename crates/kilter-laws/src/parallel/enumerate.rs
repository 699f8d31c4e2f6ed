//! Every way of cutting a training over devices, ranked.

use serde::Serialize;
use thiserror::Error;

use super::{Assumptions, Hardware, Memory, Model, ModelError, Recompute, Strategy, Time, memory, time};

/// The largest micro-batch that is tried.
const LARGEST_MICRO_BATCH: u64 = 32;

/// Devices beyond which nobody looks for one that would do.
const MOST_DEVICES: u64 = 1 << 22;

/// What of a strategy is given; the rest is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Tensor parallel ranks.
    pub tp: Option<u64>,
    /// Pipeline stages.
    pub pp: Option<u64>,
    /// Sequences per micro-batch.
    pub micro_batch: Option<u64>,
    /// ZeRO stage.
    pub zero: Option<u8>,
    /// Chunks per stage.
    pub interleave: Option<u64>,
    /// What is computed again.
    pub recompute: Option<Recompute>,
    /// Activations cut along the sequence.
    pub sequence_parallel: Option<bool>,
    /// May tensor parallel ranks lie on several nodes?
    pub cross_node: bool,
}

/// A strategy with its cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// How it is cut.
    pub strategy: Strategy,
    /// What a device holds.
    pub memory: Memory,
    /// What a step takes.
    pub time: Time,
}

impl Plan {
    /// The cost of a strategy.
    pub fn of(model: &Model, strategy: Strategy, hardware: &Hardware, assumptions: &Assumptions) -> Self {
        let memory = memory(model, &strategy, assumptions);
        Self { strategy, memory, time: time(model, &strategy, hardware, assumptions) }
    }

    /// Does it leave the headroom free?
    pub fn fits(&self, hardware: &Hardware, assumptions: &Assumptions) -> bool {
        self.memory.total_bytes <= (1.0 - assumptions.headroom) * hardware.memory_bytes
    }
}

/// What was found: the plans that fit, the quickest first, and what became of the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The plans that fit, the quickest first.
    pub plans: Vec<Plan>,
    /// Strategies that divide everything, those that do not fit included.
    pub strategies: usize,
    /// How many need more memory than there is.
    pub too_large: usize,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Refusal {
    /// The sizes make no model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A count of 0, or a figure that is not positive.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A figure of the hardware is impossible.
    #[error("{hardware}: {what} is {value}; it must be finite and above 0")]
    Hardware {
        /// Which row.
        hardware: &'static str,
        /// Which figure.
        what: &'static str,
        /// What it is.
        value: f64,
    },
    /// Something given does not divide what it must.
    #[error("{what} = {given} does not divide {whole} = {of}; {advice}")]
    Indivisible {
        /// What was given.
        what: &'static str,
        /// How much.
        given: u64,
        /// What it must divide.
        whole: &'static str,
        /// How much that is.
        of: u64,
        /// What would do.
        advice: String,
    },
    /// ZeRO 3 and a pipeline at once.
    #[error(
        "zero_stage = 3 cuts the weights themselves and goes with no pipeline; set pp=1, or zero_stage to 2 or less"
    )]
    ZeroWithPipeline,
    /// Nothing divides.
    #[error(
        "no strategy divides everything: {devices} devices, {layers} layers, {heads} heads and a batch of {batch} sequences \
         with what is given; {advice}"
    )]
    NoCut {
        /// Devices.
        devices: u64,
        /// Layers.
        layers: u64,
        /// Heads.
        heads: u64,
        /// Sequences per step.
        batch: u64,
        /// What would do.
        advice: String,
    },
    /// Every strategy needs more memory than there is.
    #[error(
        "none of {strategies} strategies fits: the smallest needs {needs:.1} GB of {has:.1} GB per device (state \
         {state:.1}, activations {activations:.1}){}",
        match .would_do { Some(devices) => format!("; {devices} devices would do"), None => String::new() }
    )]
    TooLarge {
        /// Strategies that divide everything.
        strategies: usize,
        /// Memory of the smallest, in 1e9 bytes.
        needs: f64,
        /// Memory that a device may use.
        has: f64,
        /// Its weights, gradients and optimizer.
        state: f64,
        /// Its activations.
        activations: f64,
        /// The smallest doubling of the devices on which some strategy fits.
        would_do: Option<u64>,
    },
}

/// The divisors of a number, ascending.
pub fn divisors(n: u64) -> Vec<u64> {
    let small: Vec<u64> = (1..).take_while(|d| d * d <= n).filter(|d| n.is_multiple_of(*d)).collect();
    let large = small.iter().rev().map(|d| n / d).filter(|d| d * d > n);
    small.iter().copied().chain(large).collect()
}

/// Every strategy that divides everything.
pub(super) fn strategies(
    model: &Model,
    hardware: &Hardware,
    devices: u64,
    global_batch: u64,
    bounds: &Bounds,
) -> Vec<Strategy> {
    let mut all = Vec::new();
    let within = if bounds.cross_node { devices } else { hardware.node };
    let given = |values: Vec<u64>, wanted: Option<u64>| -> Vec<u64> {
        values.into_iter().filter(|value| wanted.is_none_or(|wanted| wanted == *value)).collect()
    };
    let cuts_heads = |tp: &u64| {
        let kv_heads = model.shape.map_or(model.heads, |shape| shape.kv_heads);
        model.heads.is_multiple_of(*tp) && kv_heads.is_multiple_of(*tp)
    };
    let tps = given(divisors(within), bounds.tp).into_iter().filter(cuts_heads);
    for tp in tps {
        for pp in given(divisors(model.layers), bounds.pp) {
            if !devices.is_multiple_of(tp * pp) || !global_batch.is_multiple_of(devices / (tp * pp)) {
                continue;
            }
            let dp = devices / (tp * pp);
            let per_replica = global_batch / dp;
            for micro_batch in given(divisors(per_replica), bounds.micro_batch) {
                if micro_batch > LARGEST_MICRO_BATCH && bounds.micro_batch.is_none() {
                    break;
                }
                let m = per_replica / micro_batch;
                for interleave in given(divisors(model.layers / pp), bounds.interleave) {
                    if interleave > 1 && (pp == 1 || !m.is_multiple_of(pp)) {
                        continue;
                    }
                    for zero in (0..=3).filter(|zero| bounds.zero.is_none_or(|wanted| wanted == *zero)) {
                        if zero == 3 && pp > 1 {
                            continue;
                        }
                        let recomputes =
                            Recompute::ALL.into_iter().filter(|r| bounds.recompute.is_none_or(|wanted| wanted == *r));
                        for recompute in recomputes {
                            for sequence_parallel in [false, true] {
                                let wanted = bounds.sequence_parallel.is_none_or(|w| w == sequence_parallel);
                                if wanted && (tp > 1 || !sequence_parallel) {
                                    all.push(Strategy {
                                        tp,
                                        pp,
                                        dp,
                                        micro_batch,
                                        global_batch,
                                        zero,
                                        interleave,
                                        recompute,
                                        sequence_parallel,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

/// Every plan on these devices, the quickest first.
///
/// # Errors
/// What was given does not divide, or nothing fits; says what would do.
pub fn plans(
    model: &Model,
    hardware: &Hardware,
    devices: u64,
    global_batch: u64,
    bounds: &Bounds,
    assumptions: &Assumptions,
) -> Result<Found, Refusal> {
    check(model, hardware, devices, global_batch, bounds)?;
    let all = strategies(model, hardware, devices, global_batch, bounds);
    if all.is_empty() {
        return Err(no_cut(model, devices, global_batch));
    }
    let strategies = all.len();
    let costed = all.into_iter().map(|strategy| Plan::of(model, strategy, hardware, assumptions));
    let (mut plans, too_large): (Vec<Plan>, Vec<Plan>) = costed.partition(|plan| plan.fits(hardware, assumptions));
    if plans.is_empty() {
        let needs = |plan: &&Plan| plan.memory.total_bytes;
        let least = too_large.iter().min_by(|a, b| needs(a).total_cmp(&needs(b)));
        let of = |part: fn(&Memory) -> f64| least.map_or(0.0, |plan| part(&plan.memory)) / 1e9;
        return Err(Refusal::TooLarge {
            strategies,
            needs: of(|memory| memory.total_bytes),
            has: (1.0 - assumptions.headroom) * hardware.memory_bytes / 1e9,
            state: of(|memory| memory.state_bytes),
            activations: of(|memory| memory.activation_bytes),
            would_do: smallest_that_fits(model, hardware, devices, global_batch, bounds, assumptions),
        });
    }
    plans.sort_by(|a, b| a.time.step.total_cmp(&b.time.step));
    Ok(Found { plans, strategies, too_large: too_large.len() })
}

/// The smallest doubling of `devices` on which some strategy fits.
pub fn smallest_that_fits(
    model: &Model,
    hardware: &Hardware,
    devices: u64,
    global_batch: u64,
    bounds: &Bounds,
    assumptions: &Assumptions,
) -> Option<u64> {
    let doubled = std::iter::successors(Some(devices), |devices| devices.checked_mul(2));
    doubled.take_while(|devices| *devices <= MOST_DEVICES).find(|&devices| {
        let fits = |strategy| Plan::of(model, strategy, hardware, assumptions).fits(hardware, assumptions);
        strategies(model, hardware, devices, global_batch, bounds).into_iter().any(fits)
    })
}

fn nearest_divisors(of: u64, given: u64) -> String {
    let all = divisors(of);
    let below = all.iter().rev().find(|d| **d < given);
    let above = all.iter().find(|d| **d > given);
    let near: Vec<String> = below.into_iter().chain(above).map(u64::to_string).collect();
    format!("the nearest that do are {}", near.join(" and "))
}

pub(super) fn check(
    model: &Model,
    hardware: &Hardware,
    devices: u64,
    global_batch: u64,
    bounds: &Bounds,
) -> Result<(), Refusal> {
    model.check()?;
    let counts = [("devices", Some(devices)), ("global_batch", Some(global_batch)), ("tp", bounds.tp)];
    let more = [("pp", bounds.pp), ("micro_batch", bounds.micro_batch), ("interleave", bounds.interleave)];
    if let Some((what, _)) = counts.iter().chain(&more).find(|(_, count)| *count == Some(0)) {
        return Err(Refusal::Zero(what));
    }
    let figures = [
        ("memory_bytes", hardware.memory_bytes),
        ("peak", hardware.peak),
        ("memory_bandwidth", hardware.memory_bandwidth),
        ("bw_package", hardware.bw_package),
        ("bw_node", hardware.bw_node),
        ("bw_network", hardware.bw_network),
        ("eff", hardware.eff),
    ];
    if let Some(&(what, value)) = figures.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
        return Err(Refusal::Hardware { hardware: hardware.name, what, value });
    }
    let divides = |what, given: Option<u64>, whole, of: u64| match given {
        Some(given) if !of.is_multiple_of(given) => {
            Err(Refusal::Indivisible { what, given, whole, of, advice: nearest_divisors(of, given) })
        }
        _ => Ok(()),
    };
    divides("tp", bounds.tp, "heads", model.heads)?;
    if let Some(shape) = &model.shape {
        divides("tp", bounds.tp, "heads of keys and values", shape.kv_heads)?;
    }
    divides("tp", bounds.tp, "devices", devices)?;
    if !bounds.cross_node {
        divides("tp", bounds.tp, "devices of a node", hardware.node)?;
    }
    divides("pp", bounds.pp, "layers", model.layers)?;
    divides("pp", bounds.pp, "devices", devices)?;
    if let Some(pp) = bounds.pp {
        divides("interleave", bounds.interleave, "layers of a stage", model.layers / pp)?;
    }
    if let (Some(tp), Some(pp)) = (bounds.tp, bounds.pp) {
        divides("tp x pp", Some(tp * pp), "devices", devices)?;
        let dp = devices / (tp * pp);
        divides("data parallel replicas", Some(dp), "global_batch", global_batch)?;
        divides("micro_batch", bounds.micro_batch, "sequences of a replica", global_batch / dp)?;
    }
    if bounds.zero == Some(3) && bounds.pp.is_some_and(|pp| pp > 1) {
        return Err(Refusal::ZeroWithPipeline);
    }
    Ok(())
}

/// What would make it divide: a batch that is a multiple of the replicas.
fn no_cut(model: &Model, devices: u64, global_batch: u64) -> Refusal {
    let batch = global_batch.div_ceil(devices) * devices;
    let advice = if global_batch.is_multiple_of(devices) {
        "give a number of devices with small divisors, such as a multiple of 8".to_owned()
    } else {
        format!("a batch of {batch} does (a multiple of the devices), or fewer fixed values")
    };
    Refusal::NoCut { devices, layers: model.layers, heads: model.heads, batch: global_batch, advice }
}
