//! `kilter predict start`: a space to search, with priors where the laws expect the best.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use kilter_laws::power_scheduler::{BATCH_UNIT_TOKENS, PowerLaw};
use kilter_laws::step_law::{Question, StepLaw};
use serde_json::json;

use super::{ModelSize, count, figures, small};
use crate::aims::seconds;
use crate::fault::Fault;
use crate::figure::Figured;
use crate::style::{Voice, short};
use crate::subject::data_path;

#[derive(Debug, Args)]
#[command(
    after_help = "The space's priors are centred on the Step Law; their spread is the distance to the power scheduler's advice, \
                  and a factor of 2 at least.\n\nExamples:\n  kilter predict start --model-size 2M --data penelope --budget 1h \\\n      --tokens-per-second 30k\n  \
                  kilter predict start --model-size 124M --tokens 2.5B -o \
                  start.toml\n  kilter tune --space start.toml --metric 'loss=([0-9.]+)' --minimize \\\n      -- python3 train.py --lr {learning_rate} \
                  --batch {batch_sequences} \\\n      --wd {weight_decay} --warmup {warmup_share} --beta2 {beta2}"
)]
pub struct Start {
    #[command(flatten)]
    size: ModelSize,
    /// Training tokens [default: what the budget buys, or the data once]
    #[arg(long, value_name = "D", value_parser = count, allow_negative_numbers = true)]
    tokens: Option<f64>,
    /// Time of the device instead of tokens, as in 6h or 90m, at a throughput
    #[arg(long, value_name = "TIME", requires = "tokens_per_second", conflicts_with = "tokens")]
    budget: Option<String>,
    /// With --budget, the throughput (kilter measure throughput tells it)
    #[arg(long, value_name = "N", value_parser = count, requires = "budget", allow_negative_numbers = true)]
    tokens_per_second: Option<f64>,
    /// The text it learns from: a name of `kilter data list` or a file; says how often it is seen
    #[arg(long, value_name = "NAME or FILE")]
    data: Option<String>,
    /// With --data, characters of a token: 1 for characters themselves, some 4 for usual tokens of English
    #[arg(long, value_name = "N", default_value_t = 4.0, requires = "data", allow_negative_numbers = true)]
    token_chars: f64,
    /// Tokens per sequence
    #[arg(long, value_name = "N", default_value_t = 2048, allow_negative_numbers = true)]
    seq_len: u64,
    /// Write the space here [default: standard output]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    figured: Figured,
}

/// How far from its prior's centre a parameter may be searched, as a factor.
const REACH: f64 = 30.0;

/// Priors are at least so wide, as a factor: no law is surer of somebody else's code.
const LEAST_SPREAD: f64 = 2.0;

/// Tokens of a text.
fn tokens_of(data: &str, token_chars: f64) -> Result<f64, Fault> {
    if !(token_chars.is_finite() && token_chars > 0.0) {
        return Err(Fault::call(format!("--token-chars {token_chars}: a token has more than 0 characters")));
    }
    let books = kilter_data::books(&data_path(data)).map_err(Fault::call)?;
    Ok(books.iter().map(|book| book.text.chars().count()).sum::<usize>() as f64 / token_chars)
}

/// Writes the space.
pub fn start(args: &Start, voice: &Voice) -> Result<(), Fault> {
    args.figured.check(voice)?;
    if args.figured.is_here() && args.out.is_none() {
        return Err(Fault::call(
            "--figure draws where the space is written; give it a file, or write the space with -o",
        ));
    }
    let size = args
        .size
        .get()?
        .ok_or_else(|| Fault::call("say how large it is: --model-size 124M, --model gpt-125m, or --arch FILE"))?;
    let there_are = args.data.as_deref().map(|data| tokens_of(data, args.token_chars)).transpose()?;
    let tokens = match (args.tokens, &args.budget, args.tokens_per_second, there_are) {
        (Some(tokens), ..) => tokens,
        (None, Some(budget), Some(throughput), _) => seconds("--budget", budget, "")? * throughput,
        (None, _, _, Some(there_are)) => there_are,
        _ => {
            return Err(Fault::call(
                "say how long it trains: --tokens 2.5B, --budget 6h --tokens-per-second 20k, or --data FILE for once through it",
            ));
        }
    };
    if let Some(there_are) = there_are {
        voice.remark(&format!(
            "the data hold some {} tokens ({} characters each), so {} tokens see them {} times{}",
            short(there_are),
            short(args.token_chars),
            short(tokens),
            short(tokens / there_are),
            // Muennighoff and others, *Scaling Data-Constrained Language Models*, 2023: up to four times is nearly as good.
            if tokens > 4.0 * there_are {
                "; the laws are of new tokens, and beyond four times they promise too much"
            } else {
                ""
            }
        ));
    }
    let question = Question { seq_len: args.seq_len, round_to: 1, ..Question::new(size, tokens) };
    let law = StepLaw::released().predict(&question).map_err(Fault::call)?;
    super::warn_units(size, tokens, voice);
    super::warn_outside(&law.outside, voice);
    let other = PowerLaw { batch_unit_tokens: BATCH_UNIT_TOKENS, ..PowerLaw::default() };
    let other = other.at(law.batch_tokens, tokens);
    let spread = (law.learning_rate / other).max(other / law.learning_rate).clamp(LEAST_SPREAD, REACH);
    let (rate, batch) = (law.learning_rate, law.batch_sequences);
    let mut text = format!(
        "# Where to search: {:e} parameters, {:e} tokens, sequences of {}. Centres: the Step Law (2025) for learning rate and\n\
         # batch; usual values for the rest. The power scheduler's law says learning rate {}.\n",
        size,
        tokens,
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
    let bounds = [(rate / REACH, rate * REACH), (low as f64, high as f64)];
    args.figured.draw("Where to search", voice, || {
        Ok(vec![figures::start(rate, spread, batch as f64, LEAST_SPREAD, bounds)])
    })?;
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
