//! `kilter measure throughput`: tokens per second on this machine, and the batch that brings most of them.

use clap::Args;
use kilter_recipes::Subject;
use kilter_recipes::network::{Stopped, Sweep, Throughput, Timing, sweep, throughput};
use kilter_space::Defaults;
use serde_json::json;

use crate::fault::Fault;
use crate::pairs::{named_once, setting};
use crate::style::{Voice, bytes, short};
use crate::subject::data_path;
use crate::table::table;

#[derive(Debug, Args)]
#[command(
    after_help = "Batches of 1, 2, 4, … are timed until one would not fit or two doublings bring nothing.\n\nExamples:\n  \
                  kilter measure throughput char-gpt --set width=128\n  kilter measure throughput char-qlstm --batch 32"
)]
pub struct ThroughputArgs {
    /// A network on text: char-gpt, char-qlstm, char-lstm
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// Fix a hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The text it learns from [default: the recipe's own]
    #[arg(long, value_name = "NAME or FILE")]
    data: Option<String>,
    /// Time this batch only, in sequences
    #[arg(long, value_name = "N", conflicts_with_all = ["largest", "memory"], allow_negative_numbers = true)]
    batch: Option<u64>,
    /// The largest batch that is tried
    #[arg(long, value_name = "N", default_value_t = 512, allow_negative_numbers = true)]
    largest: u64,
    /// Memory that may be used, in GB [default: what is free, less a tenth]
    #[arg(long, value_name = "GB", allow_negative_numbers = true)]
    memory: Option<f64>,
    /// Steps after the first that do not count
    #[arg(long, value_name = "N", default_value_t = 5)]
    warm_up: u64,
    /// Steps that count
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: u64,
}

/// Times it.
pub fn measure(args: &ThroughputArgs, voice: &Voice) -> Result<(), Fault> {
    let set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    named_once(&[], &set)?;
    let recipe = match &args.data {
        Some(data) => {
            let subject = Subject { data: data_path(data), ..Subject::default() };
            kilter_recipes::on(&args.recipe, subject, &set).map_err(Fault::call)?.recipe
        }
        None => kilter_recipes::find(&args.recipe)
            .ok_or_else(|| Fault::call(format!("there is no recipe `{}`; try char-gpt", args.recipe)))?,
    };
    let declared = recipe.outline().ok_or_else(|| Fault::call(format!("`{}` declares no space", args.recipe)))?;
    let config = Defaults::config(&declared.specialise(&set, &[]).map_err(Fault::call)?).map_err(Fault::call)?;
    let timing = Timing { warm_up: args.warm_up, rounds: args.rounds };
    let found = if let Some(batch) = args.batch {
        let only = throughput(&args.recipe, &config, batch, timing).map_err(Fault::call)?;
        Sweep { batches: vec![only], best: 0, stopped: Stopped::Largest }
    } else {
        sweep(&args.recipe, &config, timing, memory(args)?, args.largest).map_err(Fault::call)?
    };
    let Some(best) = found.batches.get(found.best).copied() else { return Err(Fault::work("no batch was timed")) };
    let device = format!("this machine's {}", config.text("device").unwrap_or("cpu"));
    if voice.json {
        return voice.document(&json!({
            "recipe": args.recipe, "params": config, "device": device, "timing": timing, "batches": found.batches,
            "best": best, "stopped": (args.batch.is_none()).then_some(found.stopped),
        }));
    }
    voice.say(&format!(
        "{}: {} parameters ({} without the table of characters), sequences of {}, on {device}",
        voice.strong(&args.recipe),
        best.parameters,
        best.parameters_without_embedding,
        best.seq_len
    ))?;
    let row = |found: &Throughput| {
        let [mean, deviation] = found.step_seconds;
        let memory = found.peak_bytes.map_or_else(|| "–".to_owned(), bytes);
        vec![found.batch.to_string(), short(found.tokens_per_second), short(mean), short(deviation), memory]
    };
    let header = ["batch", "tokens/s", "s per step", "±", "memory"].map(str::to_owned);
    voice.say(&table(&header, found.batches.iter().map(row).collect()))?;
    if args.batch.is_none() {
        voice.say(&match found.stopped {
            Stopped::Memory { batch, needs } => {
                format!("a batch of {batch} would need about {}: more than may be used", bytes(needs))
            }
            Stopped::Slower => "two more doublings brought no more tokens per second".to_owned(),
            Stopped::Largest => format!("{} is the largest batch that was asked for", args.largest),
        })?;
    }
    voice.say(&format!(
        "best: {} tokens per second at a batch of {}",
        voice.strong(&short(best.tokens_per_second)),
        best.batch
    ))?;
    voice.remark(&format!(
        "what an hour buys:\n  kilter predict compute-class --tokens-per-second {} --hours 1 \\\n      --batch {} --seq-len {}",
        best.tokens_per_second, best.batch, best.seq_len
    ));
    Ok(())
}

fn memory(args: &ThroughputArgs) -> Result<Option<u64>, Fault> {
    match args.memory {
        Some(gigabytes) if gigabytes.is_finite() && gigabytes > 0.0 => Ok(Some((gigabytes * 1e9) as u64)),
        Some(wrong) => Err(Fault::call(format!("--memory {wrong}: it is a number of GB above 0"))),
        None => Ok(None),
    }
}
