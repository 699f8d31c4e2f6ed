//! `kilter predict start`: a space to search, with priors where the laws expect the best.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use kilter_laws::power_scheduler::{BATCH_UNIT_TOKENS, PowerLaw};
use kilter_laws::step_law::{Question, StepLaw};
use serde_json::json;

use super::{count, small};
use crate::fault::Fault;
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(
    after_help = "The space's priors are centred on the Step Law; their spread is the distance to the power scheduler's advice, \
                  and a factor of 2 at least.\n\nExample:\n  kilter predict start --model-size 124M --tokens 2.5B -o \
                  start.toml\n  kilter tune --space start.toml --metric 'loss=([0-9.]+)' --minimize \\\n      -- python3 train.py --lr {learning_rate} \
                  --batch {batch_sequences} \\\n      --wd {weight_decay} --warmup {warmup_share}"
)]
pub struct Start {
    /// Parameters without embeddings and output head
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    model_size: f64,
    /// Training tokens
    #[arg(long, value_name = "D", value_parser = count, allow_negative_numbers = true)]
    tokens: f64,
    /// Tokens per sequence
    #[arg(long, value_name = "N", default_value_t = 2048, allow_negative_numbers = true)]
    seq_len: u64,
    /// Write the space here [default: standard output]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
}

/// How far from its prior's centre a parameter may be searched, as a factor.
const REACH: f64 = 30.0;

/// Priors are at least so wide, as a factor: no law is surer of somebody else's code.
const LEAST_SPREAD: f64 = 2.0;

/// Writes the space.
pub fn start(args: &Start, voice: &Voice) -> Result<(), Fault> {
    let question = Question { seq_len: args.seq_len, round_to: 1, ..Question::new(args.model_size, args.tokens) };
    let law = StepLaw::released().predict(&question).map_err(Fault::call)?;
    super::warn_outside(&law.outside, voice);
    let other = PowerLaw { batch_unit_tokens: BATCH_UNIT_TOKENS, ..PowerLaw::default() };
    let other = other.at(law.batch_tokens, args.tokens);
    let spread = (law.learning_rate / other).max(other / law.learning_rate).clamp(LEAST_SPREAD, REACH);
    let (rate, batch) = (law.learning_rate, law.batch_sequences);
    let mut text = format!(
        "# Where to search: {:e} parameters, {:e} tokens, sequences of {}. Centres: the Step Law (2025) for learning rate and\n\
         # batch; usual values for the rest. The power scheduler's law says learning rate {}.\n",
        args.model_size,
        args.tokens,
        args.seq_len,
        small(other)
    );
    let _ = write!(
        text,
        "[parameters.learning_rate]\nfloat = [{:.2e}, {:.2e}]\nlog = true\ndefault = {rate:.3e}\n\
         prior = {{ center = {rate:.3e}, spread = {spread:.2} }}\n",
        rate / REACH,
        rate * REACH
    );
    let (low, high) = ((batch / 8).max(1), (batch * 8).max(8));
    let _ = write!(
        text,
        "[parameters.batch_sequences]\nint = [{low}, {high}]\nlog = true\ndefault = {batch}\n\
         prior = {{ center = {batch}, spread = {LEAST_SPREAD:.1} }}\n"
    );
    text.push_str(
        "[parameters.weight_decay]\nfloat = [1e-3, 1.0]\nlog = true\ndefault = 0.1\nprior = { center = 0.1, spread = 3.0 }\n\
         [parameters.warmup_share]\nfloat = [0.0, 0.1]\ndefault = 0.02\n\
         [parameters.beta2]\nfloat = [0.9, 0.999]\ndefault = 0.95\n",
    );
    if let Some(out) = &args.out {
        std::fs::write(out, &text).map_err(|why| Fault::work(format!("cannot write {}: {why}", out.display())))?;
    }
    if voice.json {
        return voice.document(&json!({
            "learning_rate": { "center": rate, "spread": spread }, "batch_sequences": { "center": batch, "spread": LEAST_SPREAD },
            "space": text, "outside": law.outside,
        }));
    }
    match &args.out {
        Some(out) => voice.say(&format!(
            "{}: learning rate around {} (within a factor {spread:.1}), batch around {batch} sequences",
            out.display(),
            small(rate)
        )),
        None => voice.say(text.trim_end()),
    }
}
