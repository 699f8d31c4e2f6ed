//! `kilter measure barrier`: how high the loss rises between two models.

use std::path::PathBuf;

use clap::Args;
use kilter_measure::landscape::barrier;
use kilter_weights::merge::average::Linear;
use kilter_weights::merge::merge;
use kilter_weights::soup::Better;
use kilter_weights::{Checkpoint, Options};
use serde_json::json;

use crate::fault::Fault;
use crate::scorer::Scorer;
use crate::style::{Voice, short};
use crate::table::table;

#[derive(Debug, Args)]
#[command(
    after_help = "Models that were tuned from one start usually have none, and average well; strangers do not. The barrier \
                  is the most by which a score on the way is worse than the line between the ends' scores.\n\nExample:\n  \
                  kilter measure barrier a.safetensors b.safetensors --maximize \\\n      -- python3 eval.py {model}"
)]
pub struct BarrierArgs {
    /// One end
    #[arg(value_name = "MODEL")]
    from: PathBuf,
    /// The other end
    #[arg(value_name = "MODEL")]
    to: PathBuf,
    /// A command that scores a model; {model} stands for its path [default: the recipe that made them]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Models on the way, both ends among them
    #[arg(long, value_name = "N", default_value_t = 11)]
    points: usize,
    /// Where the command's score is: a pattern (last match, first group) [default: the last number]; or the recipe's metric
    #[arg(long, value_name = "REGEX or NAME")]
    metric: Option<String>,
    /// Smaller scores are better
    #[arg(long, conflicts_with = "maximize")]
    minimize: bool,
    /// Larger scores are better
    #[arg(long)]
    maximize: bool,
}

/// Measures.
pub fn measure(args: &BarrierArgs, voice: &Voice) -> Result<(), Fault> {
    if args.points < 3 {
        return Err(Fault::call(format!("--points {}: 3 are the fewest, the ends and one between", args.points)));
    }
    let better = match (args.maximize, args.minimize) {
        (true, _) => Some(Better::Higher),
        (_, true) => Some(Better::Lower),
        _ => None,
    };
    let scorer = match args.command.is_empty() {
        true => Scorer::own(&args.from, args.metric.as_deref(), better)?,
        false => Scorer::program(&args.command, args.metric.as_deref(), better)?,
    };
    let (from, to) = (Checkpoint::open(&args.from)?, Checkpoint::open(&args.to)?);
    from.same_architecture(&to)?;
    let place = tempfile::tempdir().map_err(Fault::work)?;
    let between = place.path().join("between.safetensors");
    let mut scores = Vec::with_capacity(args.points);
    for point in 0..args.points {
        let t = point as f64 / (args.points - 1) as f64;
        let mixed = Linear { weights: vec![1.0 - t, t], normalize: false };
        merge(&mixed, None, &[&from, &to], None, &between, &Options::default())?;
        let score = scorer.score(&between).map_err(|why| Fault::work(format!("the model at {}: {why}", short(t))))?;
        voice.remark(&format!("at {}: {}", short(t), short(score)));
        scores.push((t, score));
    }
    let sign = if scorer.better == Better::Lower { 1.0 } else { -1.0 };
    let height = barrier(&scores.iter().map(|(_, score)| sign * score).collect::<Vec<_>>());
    if voice.json {
        let points: Vec<_> = scores.iter().map(|(t, score)| json!({ "t": t, "score": score })).collect();
        return voice.document(&json!({
            "from": args.from, "to": args.to, "better": scorer.better, "points": points, "barrier": height,
        }));
    }
    let rows = scores.iter().map(|(t, score)| vec![short(*t), short(*score)]).collect();
    voice.say(&table(&["way", "score"].map(str::to_owned), rows))?;
    voice.say(&format!("\nbarrier {}", short(height)))
}
