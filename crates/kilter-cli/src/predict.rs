//! `kilter predict`: hyperparameters without running anything.

mod curve;
mod figures;
mod laws;
mod start;
mod step_law;
mod width;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kilter_laws::limits::Outside;
use kilter_laws::step_law::SuspectUnit;
use kilter_laws::transformer_cost::Transformer;
use kilter_numerics::compare::Interval;

use crate::arch;
use crate::fault::Fault;
use crate::style::{Voice, short};

#[derive(Debug, Args)]
#[command(
    after_help = "Counts may be written 1.07e9, 1.07B, 400M or 56.9B.\n\nExamples:\n  kilter predict step-law --model-size 1.07B \
                  --tokens 56.9B\n  kilter predict transfer --from-width 256 --to-width 8192 --heads 8 \\\n      --set learning_rate=3e-3"
)]
pub struct Predict {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Learning rate and batch of a language model's pretraining, from its size and tokens
    StepLaw(step_law::StepLawArgs),
    /// What every published law says, side by side
    Compare(laws::Compare),
    /// Peak learning rate under warm-up, stable, decay, from batch and tokens
    Power(laws::Power),
    /// Tokens and steps that hours of a device buy
    ComputeClass(laws::ComputeClass),
    /// Every tensor's learning rate and deviation at another width (muP)
    Transfer(width::Transfer),
    /// Whether a parametrisation learns features in wide networks
    Parametrization(width::Parametrization),
    /// Where a loss curve is going, with an interval, and no further than it says
    Curve(curve::Curve),
    /// A space whose priors are centred on what the laws say
    Start(start::Start),
}

/// How large a model is.
#[derive(Debug, Args)]
struct ModelSize {
    /// Parameters without embeddings and output head
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    model_size: Option<f64>,
    /// A known model's instead, as in gpt-125m, or of sizes: layers=12,hidden=768,heads=12
    #[arg(long, value_name = "NAME or SIZES", conflicts_with_all = ["model_size", "arch"])]
    model: Option<String>,
    /// Count them from a description instead: TOML (layers, hidden, heads, vocabulary, …) or a Hugging Face config.json
    #[arg(long, value_name = "FILE", conflicts_with = "model_size")]
    arch: Option<PathBuf>,
}

impl ModelSize {
    fn get(&self) -> Result<Option<f64>, Fault> {
        let shape = match (&self.arch, &self.model) {
            (Some(path), _) => arch::read(path, None)?,
            (None, Some(text)) => {
                let model = arch::named(text)?;
                Transformer::gpt(model.layers, model.hidden, model.heads, model.vocabulary, model.seq_len)
            }
            (None, None) => return Ok(self.model_size),
        };
        Ok(Some(shape.parameters().non_embedding() as f64))
    }
}

/// `kilter predict`
pub fn predict(args: &Predict, voice: &Voice) -> Result<ExitCode, Fault> {
    match &args.what {
        What::StepLaw(args) => step_law::step_law(args, voice)?,
        What::Compare(args) => laws::compare(args, voice)?,
        What::Power(args) => laws::power(args, voice)?,
        What::ComputeClass(args) => laws::compute_class(args, voice)?,
        What::Transfer(args) => width::transfer(args, voice)?,
        What::Parametrization(args) => width::parametrization(args, voice)?,
        What::Curve(args) => curve::curve(args, voice)?,
        What::Start(args) => start::start(args, voice)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A count: `1.07e9`, `1.07B`, `400M`, `20k`, `2T`.
fn count(text: &str) -> Result<f64, String> {
    let (digits, exponent) = match text.trim_end().char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], "e3"),
        Some((at, 'M')) => (&text[..at], "e6"),
        Some((at, 'B' | 'G')) => (&text[..at], "e9"),
        Some((at, 'T')) => (&text[..at], "e12"),
        _ => (text, ""),
    };
    // Read with its exponent, so that 1.07B is 1.07e9 to the last digit.
    let number = format!("{}{exponent}", digits.trim()).parse::<f64>().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| "a count is written 1.07e9, 1.07B, 400M, 20k or 2T".to_owned())
}

/// `1.331e-3 (1.299e-3 to 1.368e-3)`.
fn with_interval(value: f64, interval: Option<Interval>) -> String {
    match interval {
        Some(interval) => format!("{} ({} to {})", small(value), small(interval.low), small(interval.high)),
        None => small(value),
    }
}

/// Rates are written 1.331e-3, counts as they are.
fn small(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 { format!("{value:.3e}") } else { short(value) }
}

/// Tokens that look as if they were given in another unit, said aloud.
fn warn_units(parameters: f64, tokens: f64, voice: &Voice) {
    /// No language model is smaller.
    const SMALLEST: f64 = 1e4;
    if parameters < SMALLEST {
        let size = short(parameters);
        voice.remark(&format!(
            "{size} parameters are few for a language model; if billions are meant, say --model-size {size}B"
        ));
    } else if let Some(suspect) = SuspectUnit::of(parameters, tokens) {
        warn_suspect(&suspect, voice);
    }
}

fn warn_suspect(suspect: &SuspectUnit, voice: &Voice) {
    voice.remark(&format!(
        "{} tokens are few for this size; if they were meant in another unit, say --tokens {:e}",
        short(suspect.tokens),
        suspect.likely_tokens
    ));
}

/// What lies outside the fitted range, said aloud.
fn warn_outside(outside: &[Outside], voice: &Voice) {
    for outside in outside {
        voice.remark(&format!("extrapolated: {outside}"));
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_read_with_their_unit() {
        let read: Vec<f64> =
            ["1.07B", "400M", "20k", "2T", "56.9e9", "7"].iter().map(|t| count(t).unwrap_or(-1.0)).collect();
        assert_eq!(read, [1.07e9, 4e8, 2e4, 2e12, 56.9e9, 7.0]);
        for wrong in ["", "B", "1.2.3", "ten", "1e400"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
