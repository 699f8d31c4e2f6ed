//! `kilter measure statistics`: what some ways of merging want to know of a model beside its weights.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kilter_recipes::network::{Statistic, statistics};
use serde_json::json;

use crate::fault::Fault;
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(
    after_help = "Each model is asked on the examples that it learnt from. For models of your own write the same: a checkpoint \
                  with the diagonal of the Fisher information under each weight's name, or with x·xᵀ, averaged over the \
                  inputs x of a linear layer.\n\nExample:\n  kilter measure statistics a.safetensors --of fisher -o \
                  a-fisher.safetensors"
)]
pub struct StatisticsArgs {
    /// The model: a file that `kilter train` or a trial left
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The method that wants to know
    #[arg(long, value_name = "METHOD")]
    of: Method,
    /// Examples to be asked about, drawn from those that it learnt from
    #[arg(long, value_name = "N", default_value_t = 256)]
    examples: usize,
    /// Chance of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file to write
    #[arg(short, long, value_name = "PATH")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Method {
    Fisher,
    Regmean,
}

/// Measures and writes.
pub fn measure(args: &StatisticsArgs, voice: &Voice) -> Result<(), Fault> {
    if args.examples == 0 {
        return Err(Fault::call("--examples 0 would measure nothing; 256 are usual"));
    }
    let kind = match args.of {
        Method::Fisher => Statistic::Fisher,
        Method::Regmean => Statistic::Moments,
    };
    let seen = statistics(&args.model, kind, args.examples, args.seed, &args.out).map_err(Fault::call)?;
    if voice.json {
        return voice.document(&json!({ "model": args.model, "statistic": kind, "examples": seen, "file": args.out }));
    }
    voice.say(&format!("{}: of {seen} examples", voice.strong(&args.out.display().to_string())))
}
