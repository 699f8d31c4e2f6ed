//! `kilter plan`: the cost and shape of something before doing it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use kilter_laws::parallel::{
    Accounting, Assumptions, Bounds, Found, HARDWARE, Hardware, MODELS, Model, Plan, Recompute, plans,
};
use kilter_space::{Value, nearest};
use serde_json::json;

use crate::fault::Fault;
use crate::pairs::setting;
use crate::style::{Voice, duration, short};
use crate::table::table;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter plan cluster gpt-1.3b --devices 8 --hardware a100-80 --global-batch 512")]
pub struct PlanVerb {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Cut a training over devices: memory, time per step, and every way that fits
    Cluster(Cluster),
}

#[derive(Debug, Args)]
#[command(after_help = "--set takes tp, pp, micro_batch, zero_stage, interleave, recompute (none, selective, full), \
                  sequence_parallel, and the assumptions overlap_dp, headroom, accounting (adam16, adam18, paper14), eff. What is \
                  not set is tried.\n\nExamples:\n  kilter plan cluster gpt-175b --devices 1024 --hardware mi250x-gcd \\\n      --global-batch 10240\n  kilter plan cluster layers=24,hidden=2048,heads=16 --devices 8 \\\n      --hardware a100-80 --global-batch 512 --set zero_stage=1\n  \
                  kilter plan cluster gpt-1.3b --devices 1 --hardware rtx-4090 \
                  --global-batch 64")]
struct Cluster {
    /// The model: gpt-125m, gpt-1.3b, gpt-6.7b, gpt-22b, gpt-175b, gpt-1t, or sizes: layers=24,hidden=2048,heads=16
    /// (seq_len=2048, vocabulary=51200)
    #[arg(value_name = "MODEL")]
    model: String,
    /// How many devices there are
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    devices: u64,
    /// What they are: mi250x-gcd, a100-80, h100, rtx-4090, cpu-2core
    #[arg(long, value_name = "NAME")]
    hardware: String,
    /// Sequences per step, over all devices
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    global_batch: u64,
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
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// Arguments of Megatron-LM
    Megatron,
    /// A configuration of DeepSpeed (JSON)
    Deepspeed,
    /// A configuration of torchtitan (TOML)
    Torchtitan,
    /// A batch script of Slurm that starts Megatron-LM
    Slurm,
}

/// `kilter plan`
pub fn plan(args: &PlanVerb, voice: &Voice) -> Result<ExitCode, Fault> {
    match &args.what {
        What::Cluster(args) => cluster(args, voice),
    }
}

fn cluster(args: &Cluster, voice: &Voice) -> Result<ExitCode, Fault> {
    let model = model(&args.model)?;
    let mut hardware = hardware(&args.hardware)?.clone();
    let (bounds, assumptions) = settings(args, &mut hardware)?;
    let found = plans(&model, &hardware, args.devices, args.global_batch, &bounds, &assumptions);
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
        args.global_batch,
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

/// A model by name or by sizes.
fn model(text: &str) -> Result<Model, Fault> {
    if let Some(model) = Model::named(text) {
        return Ok(model);
    }
    if !text.contains('=') {
        let names = MODELS.iter().map(|model| model.0);
        let near = nearest(text, names.clone()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
        return Err(Fault::call(format!(
            "there is no model `{text}`; {near}there are {}; or give sizes: layers=24,hidden=2048,heads=16",
            names.collect::<Vec<_>>().join(", ")
        )));
    }
    let mut model = Model { name: text.to_owned(), layers: 0, hidden: 0, heads: 0, seq_len: 2048, vocabulary: 51_200 };
    for part in text.split(',') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().parse().map_err(|_| {
            Fault::call(format!("{part:?} in {text:?}: write NAME=N, as in layers=24,hidden=2048,heads=16"))
        })?;
        match name.trim() {
            "layers" => model.layers = value,
            "hidden" => model.hidden = value,
            "heads" => model.heads = value,
            "seq_len" => model.seq_len = value,
            "vocabulary" => model.vocabulary = value,
            other => {
                let known = ["layers", "hidden", "heads", "seq_len", "vocabulary"];
                let near = nearest(other, known).map_or(known.join(", "), |near| format!("did you mean `{near}`?"));
                return Err(Fault::call(format!("a model has no size `{other}`; {near}")));
            }
        }
    }
    model.check().map_err(|why| Fault::call(format!("{text}: {why}")))?;
    Ok(model)
}

fn hardware(name: &str) -> Result<&'static Hardware, Fault> {
    Hardware::named(name).ok_or_else(|| {
        let names = HARDWARE.iter().map(|hardware| hardware.name);
        let near = nearest(name, names.clone()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
        Fault::call(format!("--hardware {name}: {near}known are {}", names.collect::<Vec<_>>().join(", ")))
    })
}

/// What `--set` fixes and presumes.
fn settings(args: &Cluster, hardware: &mut Hardware) -> Result<(Bounds, Assumptions), Fault> {
    let mut bounds = Bounds { cross_node: args.cross_node, ..Bounds::default() };
    let mut assumptions = Assumptions::default();
    for text in &args.set {
        let (name, value) = setting(text)?;
        let wrong = |wanted: &str| Fault::call(format!("--set {text}: it is {wanted}"));
        let whole = || match value {
            Value::Int(n) => u64::try_from(n).map_err(|_| wrong("a count")),
            _ => Err(wrong("a whole number")),
        };
        let within = |low: f64, high: f64| {
            let number = value.as_f64().filter(|number| (low..=high).contains(number));
            number.ok_or_else(|| wrong(&format!("from {low} to {high}")))
        };
        match name.as_str() {
            "tp" => bounds.tp = Some(whole()?),
            "pp" => bounds.pp = Some(whole()?),
            "micro_batch" => bounds.micro_batch = Some(whole()?),
            "interleave" => bounds.interleave = Some(whole()?),
            "zero_stage" => bounds.zero = Some(within(0.0, 3.0).and(whole())? as u8),
            "sequence_parallel" => match value {
                Value::Bool(wanted) => bounds.sequence_parallel = Some(wanted),
                _ => return Err(wrong("true or false")),
            },
            "recompute" => {
                let wanted = Recompute::ALL.into_iter().find(|recompute| value.as_str() == Some(recompute.name()));
                bounds.recompute = Some(wanted.ok_or_else(|| wrong("none, selective or full"))?);
            }
            "accounting" => {
                let wanted = Accounting::ALL.into_iter().find(|accounting| value.as_str() == Some(accounting.name()));
                assumptions.accounting = wanted.ok_or_else(|| wrong("paper14, adam16 or adam18"))?;
            }
            "overlap_dp" => assumptions.overlap = within(0.0, 1.0)?,
            "headroom" => assumptions.headroom = within(0.0, 0.3)?,
            "eff" => hardware.eff = within(1e-3, 1.0)?,
            other => {
                let known = [
                    "tp",
                    "pp",
                    "micro_batch",
                    "zero_stage",
                    "interleave",
                    "recompute",
                    "sequence_parallel",
                    "overlap_dp",
                    "headroom",
                    "accounting",
                    "eff",
                ];
                let near = nearest(other, known).map_or(known.join(", "), |near| format!("did you mean `{near}`?"));
                return Err(Fault::call(format!("--set {text}: there is no `{other}`; {near}")));
            }
        }
    }
    Ok((bounds, assumptions))
}

/// One number of a plan.
type Degree = fn(&Plan) -> u64;

/// The degrees of the plans that fit, as a space: what a launcher can search with real runs.
fn write_space(out: &Path, found: &Found, best: &Plan) -> Result<(), Fault> {
    let like_best = |plan: &&Plan| {
        let (a, b) = (&plan.strategy, &best.strategy);
        (a.interleave, a.recompute, a.sequence_parallel) == (b.interleave, b.recompute, b.sequence_parallel)
    };
    let plans: Vec<&Plan> = found.plans.iter().filter(like_best).collect();
    let values = |of: Degree| {
        let mut all: Vec<u64> = plans.iter().map(|plan| of(plan)).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let degrees: [(&str, Degree); 4] = [
        ("tp", |plan| plan.strategy.tp),
        ("pp", |plan| plan.strategy.pp),
        ("micro_batch", |plan| plan.strategy.micro_batch),
        ("zero_stage", |plan| u64::from(plan.strategy.zero)),
    ];
    let list = |values: &[u64]| values.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    let s = &best.strategy;
    let _ = writeln!(
        text,
        "# {} plans that fit, of {}; interleave = {}, recompute = {}, sequence_parallel = {}; {} devices.\n\
         # kilter tune --space {} --metric 'tokens=([0-9.]+)' --maximize -- ./launch.sh {{tp}} {{pp}} {{micro_batch}} {{zero_stage}}",
        plans.len(),
        found.strategies,
        s.interleave,
        s.recompute.name(),
        s.sequence_parallel,
        s.devices(),
        out.display()
    );
    for (name, of) in degrees {
        let all = values(of);
        match all.as_slice() {
            [only] => {
                let _ = writeln!(text, "[parameters.{name}]\nfixed = {only}");
            }
            several => {
                let _ = writeln!(text, "[parameters.{name}]\nordinal = [{}]\ndefault = {}", list(several), of(best));
            }
        }
    }
    // Micro-batches that go with the same other degrees share a line.
    let mut lines: Vec<([u64; 3], Vec<u64>)> = Vec::new();
    for plan in &plans {
        let key = [degrees[0].1(plan), degrees[1].1(plan), degrees[3].1(plan)];
        match lines.iter_mut().find(|(other, _)| *other == key) {
            Some((_, micro)) => micro.push(plan.strategy.micro_batch),
            None => lines.push((key, vec![plan.strategy.micro_batch])),
        }
    }
    lines.sort();
    let one = |([tp, pp, zero], micro): &mut ([u64; 3], Vec<u64>)| {
        micro.sort_unstable();
        format!("(tp == {tp} and pp == {pp} and zero_stage == {zero} and micro_batch in [{}])", list(micro))
    };
    let all: Vec<String> = lines.iter_mut().map(one).collect();
    let _ = writeln!(text, "[[constraints]]\nrequire = \"\"\"\n{}\"\"\"", all.join(" or\n"));
    std::fs::write(out, text).map_err(|why| Fault::work(format!("cannot write {}: {why}", out.display())))
}

/// The best plan in another program's words.
fn settings_of(format: Format, model: &Model, plan: &Plan, hardware: &Hardware) -> Result<String, Fault> {
    let s = &plan.strategy;
    Ok(match format {
        Format::Megatron => megatron(model, plan).join(" \\\n  "),
        Format::Deepspeed => serde_json::to_string_pretty(&json!({
            "train_batch_size": s.global_batch,
            "train_micro_batch_size_per_gpu": s.micro_batch,
            "gradient_accumulation_steps": s.micro_batches(),
            "zero_optimization": { "stage": s.zero, "overlap_comm": true },
            "bf16": { "enabled": true },
            "activation_checkpointing": { "partition_activations": s.recompute == Recompute::Full },
            "tensor_parallel": { "autotp_size": s.tp },
            "pipeline": { "stages": s.pp },
        }))
        .map_err(Fault::work)?,
        Format::Torchtitan => {
            let (shard, replicate) = if s.zero >= 1 { (s.dp, 1) } else { (1, s.dp) };
            let schedule = if s.interleave > 1 { "Interleaved1F1B" } else { "1F1B" };
            let recompute = match s.recompute {
                Recompute::None => "none",
                Recompute::Selective => "selective",
                Recompute::Full => "full",
            };
            format!(
                "[training]\nlocal_batch_size = {}\nglobal_batch_size = {}\nseq_len = {}\n\n[parallelism]\n\
                 data_parallel_replicate_degree = {replicate}\ndata_parallel_shard_degree = {shard}\n\
                 tensor_parallel_degree = {}\npipeline_parallel_degree = {}\n\
                 pipeline_parallel_schedule = \"{schedule}\"\npipeline_parallel_microbatch_size = {}\n\n\
                 [activation_checkpoint]\nmode = \"{recompute}\"",
                s.global_batch / s.dp,
                s.global_batch,
                model.seq_len,
                s.tp,
                s.pp,
                s.micro_batch,
            )
        }
        Format::Slurm => {
            let per_node = hardware.node.min(s.devices());
            format!(
                "#!/bin/bash\n#SBATCH --job-name={}\n#SBATCH --nodes={}\n#SBATCH --ntasks-per-node={per_node}\n\
                 #SBATCH --gpus-per-node={per_node}\n#SBATCH --exclusive\n\nexport MASTER_ADDR=$(scontrol show hostnames \
                 \"$SLURM_JOB_NODELIST\" | head -n 1)\nexport MASTER_PORT=29500\nsrun python3 pretrain_gpt.py \\\n  {}",
                model.name.replace(['=', ','], "-"),
                s.devices().div_ceil(per_node),
                megatron(model, plan).join(" \\\n  ")
            )
        }
    })
}

fn megatron(model: &Model, plan: &Plan) -> Vec<String> {
    let s = &plan.strategy;
    let mut words = vec![
        format!("--tensor-model-parallel-size {}", s.tp),
        format!("--pipeline-model-parallel-size {}", s.pp),
        format!("--micro-batch-size {} --global-batch-size {}", s.micro_batch, s.global_batch),
        format!("--num-layers {} --hidden-size {} --num-attention-heads {}", model.layers, model.hidden, model.heads),
        format!("--seq-length {0} --max-position-embeddings {0}", model.seq_len),
        "--bf16".to_owned(),
    ];
    if s.interleave > 1 {
        let layers = model.layers / (s.pp * s.interleave);
        words.push(format!("--num-layers-per-virtual-pipeline-stage {layers}"));
    }
    match s.zero {
        0 => {}
        1 => words.push("--use-distributed-optimizer --overlap-grad-reduce".to_owned()),
        stage => words.push(format!(
            "--use-megatron-fsdp --data-parallel-sharding-strategy {}",
            if stage == 2 { "optim_grads" } else { "optim_grads_params" }
        )),
    }
    match s.recompute {
        Recompute::None => {}
        Recompute::Selective => words.push("--recompute-granularity selective".to_owned()),
        Recompute::Full => {
            words.push("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1".to_owned());
        }
    }
    if s.sequence_parallel {
        words.push("--sequence-parallel".to_owned());
    }
    words
}
