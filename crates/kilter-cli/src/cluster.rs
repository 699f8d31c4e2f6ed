//! `kilter plan`: the cost and shape of something before doing it.

mod figures;
mod given;
mod programs;
mod space;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kilter_laws::parallel::{
    Assumptions, Bounds, Filled, Hardware, Model, Plan, calibrated, largest_batches, plans, published,
};
use serde_json::json;

use crate::fault::Fault;
use crate::figure::Figured;
use crate::style::{Voice, duration, short};
use crate::table::table;
use given::{hardware, model, settings};
use programs::{Format, settings_of};
use space::write_space;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter plan cluster gpt-1.3b --devices 8 --hardware a100-80 --global-batch 512")]
pub struct PlanVerb {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Cut a training over devices: memory, time per step, and every way that fits; or the largest batch that fits
    Cluster(Cluster),
    /// What the planner says of three published trainings of 22B, 175B and 1T parameters, with its errors
    Published(Seen),
}

#[derive(Debug, Args)]
#[command(after_help = "--set takes tp, pp, micro_batch, zero_stage, interleave, recompute (none, selective, full), \
                  sequence_parallel, and the assumptions overlap_dp, headroom, accounting (adam16, adam18, paper14), eff. What is \
                  not set is tried. Without --global-batch the largest batch that fits is looked for.\n\nExamples:\n  kilter plan cluster gpt-175b --devices 1024 --hardware mi250x-gcd \\\n      --global-batch 10240\n  \
                  kilter plan cluster layers=24,hidden=2048,heads=16 --devices 8 \\\n      --hardware a100-80 --global-batch 512 --set \
                  zero_stage=1\n  kilter plan cluster gpt-125m --devices 1 --hardware rtx-4090\n  \
                  kilter plan cluster --arch config.json --devices 8 --hardware h100 \\\n      --global-batch 512 --figure=plans.html")]
struct Cluster {
    /// The model: gpt-125m, gpt-1.3b, gpt-6.7b, gpt-22b, gpt-175b, gpt-1t, or sizes: layers=24,hidden=2048,heads=16
    /// (seq_len=2048, vocabulary=51200)
    #[arg(value_name = "MODEL", required_unless_present = "arch", conflicts_with = "arch")]
    model: Option<String>,
    /// A model of your own instead: a TOML file with layers, hidden, heads, vocabulary (kv_heads, head_dim, ffn, gated,
    /// norm, biases, tied_head, seq_len), or a Hugging Face config.json
    #[arg(long, value_name = "FILE")]
    arch: Option<PathBuf>,
    /// With --arch, tokens per sequence [default: the file's, or 2048]
    #[arg(long, value_name = "N", requires = "arch", allow_negative_numbers = true)]
    seq_len: Option<u64>,
    /// How many devices there are
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    devices: u64,
    /// What they are: mi250x-gcd, a100-80, h100, rtx-4090, cpu-2core
    #[arg(long, value_name = "NAME")]
    hardware: String,
    /// Sequences per step, over all devices [default: the largest that fits]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    global_batch: Option<u64>,
    /// Fix a degree or an assumption (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Let tensor parallel ranks lie on several nodes
    #[arg(long)]
    cross_node: bool,
    /// How many plans are shown
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    top: usize,
    /// Print the best plan's settings for another program
    #[arg(long, value_name = "PROGRAM")]
    format: Option<Format>,
    /// Write the space of plans that fit here, for `kilter tune --space`
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    figured: Figured,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter plan published")]
struct Seen {
    /// The devices that it is predicted for
    #[arg(long, value_name = "NAME", default_value = "mi250x-gcd")]
    hardware: String,
}

/// `kilter plan`
pub fn plan(args: &PlanVerb, voice: &Voice) -> Result<ExitCode, Fault> {
    match &args.what {
        What::Cluster(args) => cluster(args, voice),
        What::Published(args) => seen(args, voice),
    }
}

fn cluster(args: &Cluster, voice: &Voice) -> Result<ExitCode, Fault> {
    args.figured.check(voice)?;
    let model = model(args)?;
    let mut hardware = hardware(&args.hardware)?.clone();
    let (bounds, assumptions) = settings(args, &mut hardware)?;
    let Some(global_batch) = args.global_batch else {
        return batches(args, &model, &hardware, &bounds, &assumptions, voice);
    };
    let found = plans(&model, &hardware, args.devices, global_batch, &bounds, &assumptions);
    let found = found.map_err(Fault::call)?;
    let Some(best) = found.plans.first() else { return Err(Fault::work("no plan was found")) };
    if let Some(out) = &args.out {
        write_space(out, &found, best)?;
    }
    if let Some(format) = args.format {
        voice.say(&settings_of(format, &model, best, &hardware)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let front = front(&found.plans);
    args.figured.draw("Plans of a training", voice, || {
        Ok(vec![figures::front(&found.plans, &front), figures::memory(&found.plans, args.top, &hardware, &assumptions)])
    })?;
    if voice.json {
        voice.document(&json!({
            "model": model, "parameters": model.parameters(), "hardware": hardware, "devices": args.devices,
            "assumptions": assumptions, "strategies": found.strategies, "fitting": found.plans.len(),
            "too_large": found.too_large, "plans": found.plans.iter().take(args.top).collect::<Vec<_>>(),
            "front": front,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    voice.say(&format!(
        "{}: {} parameters on {} x {}, {} sequences of {} tokens per step",
        voice.strong(&model.name),
        short(model.parameters()),
        args.devices,
        hardware.name,
        global_batch,
        model.seq_len
    ))?;
    voice.say(&shown(&found.plans, args.top))?;
    voice.say(&format!(
        "{} strategies divide everything: {} fit, {} need more memory than {} GB per device ({:.0} % kept free)",
        found.strategies,
        found.plans.len(),
        found.too_large,
        short(hardware.memory_bytes / 1e9),
        100.0 * assumptions.headroom
    ))?;
    voice.say(&format!(
        "best: {} per step; computing {:.0} %, bubble {:.1} %, tensor {:.1} %, data {:.1} % of it",
        duration(best.time.step),
        share(best, |time, m| m * (time.forward + time.backward)),
        share(best, |time, _| time.bubble),
        share(best, |time, m| m * time.tensor_parallel),
        share(best, |time, _| time.data_parallel_exposed),
    ))?;
    voice.remark(&format!(
        "figures are a model's, not measured: {}; {} bytes per parameter; --format megatron prints the settings",
        hardware.source,
        assumptions.accounting.bytes().iter().sum::<f64>()
    ));
    Ok(ExitCode::SUCCESS)
}

/// A part of the step, in percent.
fn share(plan: &Plan, part: impl Fn(&kilter_laws::parallel::Time, f64) -> f64) -> f64 {
    100.0 * part(&plan.time, plan.strategy.micro_batches() as f64) / plan.time.step
}

fn shown(plans: &[Plan], top: usize) -> String {
    let header = ["tp", "pp", "dp", "micro", "zero", "v", "recompute", "seq", "step s", "peak %", "GB", "bubble %"];
    let rows = plans.iter().take(top).map(|plan| {
        let s = &plan.strategy;
        vec![
            s.tp.to_string(),
            s.pp.to_string(),
            s.dp.to_string(),
            s.micro_batch.to_string(),
            s.zero.to_string(),
            s.interleave.to_string(),
            s.recompute.name().to_owned(),
            if s.sequence_parallel { "yes" } else { "no" }.to_owned(),
            short(plan.time.step),
            format!("{:.1}", 100.0 * plan.time.fraction_of_peak),
            format!("{:.1}", plan.memory.total_bytes / 1e9),
            format!("{:.1}", share(plan, |time, _| time.bubble)),
        ]
    });
    table(&header.map(str::to_owned), rows.collect())
}

/// The plans that no other beats in both step time and memory, the quickest first.
fn front(plans: &[Plan]) -> Vec<&Plan> {
    let mut least = f64::INFINITY;
    let better = |plan: &&Plan| {
        let is_front = plan.memory.total_bytes < least;
        least = least.min(plan.memory.total_bytes);
        is_front
    };
    plans.iter().filter(better).collect()
}

/// The largest batch of each cut.
fn batches(
    args: &Cluster,
    model: &Model,
    hardware: &Hardware,
    bounds: &Bounds,
    assumptions: &Assumptions,
    voice: &Voice,
) -> Result<ExitCode, Fault> {
    let filled = largest_batches(model, hardware, args.devices, bounds, assumptions).map_err(Fault::call)?;
    let Some(best) = filled.first() else { return Err(Fault::work("no plan was found")) };
    if args.out.is_some() {
        return Err(Fault::call("-o writes the plans of one batch; say which, as in --global-batch 512"));
    }
    if let Some(format) = args.format {
        voice.say(&settings_of(format, model, &best.plan, hardware)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    args.figured.draw("Batches that fit", voice, || {
        let plans: Vec<Plan> = filled.iter().map(|filled| filled.plan).collect();
        Ok(vec![figures::memory(&plans, args.top, hardware, assumptions)])
    })?;
    if voice.json {
        voice.document(&json!({
            "model": model, "parameters": model.parameters(), "hardware": hardware, "devices": args.devices,
            "assumptions": assumptions, "batches": filled.iter().take(args.top).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    voice.say(&format!(
        "{}: {} parameters on {} x {}, sequences of {} tokens: the largest batch that fits",
        voice.strong(&model.name),
        short(model.parameters()),
        args.devices,
        hardware.name,
        model.seq_len
    ))?;
    let row = |filled: &Filled| {
        let (s, gigabytes) = (&filled.plan.strategy, |bytes: f64| format!("{:.1}", bytes / 1e9));
        vec![
            s.tp.to_string(),
            s.pp.to_string(),
            s.dp.to_string(),
            s.zero.to_string(),
            s.recompute.name().to_owned(),
            if s.sequence_parallel { "yes" } else { "no" }.to_owned(),
            s.micro_batch.to_string(),
            s.global_batch.to_string(),
            gigabytes(filled.plan.memory.total_bytes),
            gigabytes(filled.next_bytes),
            short(filled.sequences_per_second * model.seq_len as f64),
        ]
    };
    let header = ["tp", "pp", "dp", "zero", "recompute", "seq", "micro", "batch", "GB", "next GB", "tokens/s"];
    voice.say(&table(&header.map(str::to_owned), filled.iter().take(args.top).map(row).collect()))?;
    voice.say(&format!(
        "of {} GB per device {:.0} % are kept free; larger batches by accumulating gradients cost no memory",
        short(hardware.memory_bytes / 1e9),
        100.0 * assumptions.headroom
    ))?;
    voice.remark(&format!("figures are a model's, not measured: {}", hardware.source));
    Ok(ExitCode::SUCCESS)
}

/// The published points, predicted as the device's row says and with the efficiency fitted on one of them.
fn seen(args: &Seen, voice: &Voice) -> Result<ExitCode, Fault> {
    let known = hardware(&args.hardware)?;
    let fitted = calibrated(known);
    let points = published(known).map_err(Fault::call)?;
    let again = published(&fitted).map_err(Fault::call)?;
    if voice.json {
        voice.document(&json!({
            "hardware": known, "points": points, "calibrated_eff": fitted.eff, "calibrated_points": again,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let rows = points.iter().zip(&again).map(|(point, again)| {
        let s = &point.plan.strategy;
        let (a, b) = point.place;
        vec![
            point.published.model.to_owned(),
            s.devices().to_string(),
            format!("{}/{}/{}{}", s.tp, s.pp, s.dp, if point.published.cut.is_none() { " (ours)" } else { "" }),
            percent(point.published.fraction_of_peak),
            percent(point.plan.time.fraction_of_peak),
            format!("{:+.2}", point.error_points),
            percent(again.plan.time.fraction_of_peak),
            format!("{:+.2}", again.error_points),
            format!("{a} of {b}"),
            format!("{:+.1}", 100.0 * point.behind),
            format!("{} of {}", point.place_of_all.0, point.place_of_all.1),
        ]
    });
    let calibrated_at = format!("at {:.3}", fitted.eff);
    let header = [
        "model",
        "devices",
        "tp/pp/dp",
        "peak %",
        &format!("at {}", known.eff),
        "error",
        &calibrated_at,
        "error",
        "place",
        "behind %",
        "of all",
    ];
    voice.say(&table(&header.map(str::to_owned), rows.collect()))?;
    voice.remark(
        "published shares of peak, and predicted ones at the device's efficiency and at the one fitted on 175B alone; errors \
         in percentage points; place among the plans of the paper's fixed choices, and among all. The recipe of 22B is not \
         known: ours is the quickest of those choices on 64 devices",
    );
    Ok(ExitCode::SUCCESS)
}
