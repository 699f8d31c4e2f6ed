//! `kilter predict compare`, `power` and `compute-class`.

use clap::Args;
use kilter_laws::compute_class::budget;
use kilter_laws::laws::{Answer, Given, compare as every_law};
use kilter_laws::limits::{Quantity, Trust};
use kilter_laws::power_scheduler::{ASSUMPTIONS, BATCH_UNIT_TOKENS, PowerConfig, PowerLaw};
use serde_json::json;

use super::{ModelSize, count, figures, small, with_interval};
use crate::fault::Fault;
use crate::figure::Figured;
use crate::style::{Voice, short};
use crate::table::table;

#[derive(Debug, Args)]
#[command(
    after_help = "A law that needs something that is not given says what.\n\nExample:\n  kilter predict compare \
                        --model-size 1.07B --tokens 56.9B --batch-tokens 0.8M"
)]
pub struct Compare {
    #[command(flatten)]
    size: ModelSize,
    /// Training tokens
    #[arg(long, value_name = "D", value_parser = count, allow_negative_numbers = true)]
    tokens: Option<f64>,
    /// Training compute in operations [default: 6 x size x tokens]
    #[arg(long, value_name = "FLOP", value_parser = count, allow_negative_numbers = true)]
    compute: Option<f64>,
    /// Loss that is expected, in nats per token
    #[arg(long, value_name = "NATS", allow_negative_numbers = true)]
    loss: Option<f64>,
    /// Tokens per step
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    batch_tokens: Option<f64>,
    #[command(flatten)]
    figured: Figured,
}

/// Every law's answer.
pub fn compare(args: &Compare, voice: &Voice) -> Result<(), Fault> {
    args.figured.check(voice)?;
    let size = args.size.get()?;
    let given = Given {
        parameters: size,
        tokens: args.tokens,
        compute_flop: args.compute,
        loss: args.loss,
        batch_tokens: args.batch_tokens,
    };
    let numbers = [size, args.tokens, args.compute, args.loss, args.batch_tokens];
    if numbers.iter().all(Option::is_none) {
        return Err(Fault::call("say what is known, as in --model-size 1.07B --tokens 56.9B"));
    }
    if let Some(wrong) = numbers.into_iter().flatten().find(|number| !(number.is_finite() && *number > 0.0)) {
        return Err(Fault::call(format!("{wrong}: sizes, tokens, compute and losses are above 0")));
    }
    args.figured.draw("What the laws say", voice, || {
        figures::compare(&given)
            .ok_or_else(|| Fault::call("--figure draws over tokens or compute; say --tokens or --compute"))
    })?;
    let answers = every_law(&given);
    if let (Some(parameters), Some(tokens)) = (size, args.tokens) {
        super::warn_units(parameters, tokens, voice);
    }
    if voice.json {
        let all: Vec<_> = answers
            .iter()
            .map(|answer| match answer {
                Ok(answer) => json!({ "answer": answer }),
                Err(why) => json!({ "why_none": why.to_string() }),
            })
            .collect();
        return voice.document(&json!({ "given": given, "laws": all }));
    }
    let shown = |answer: &Answer, quantity| answer.get(quantity).map_or("–".to_owned(), small);
    let rows: Vec<Vec<String>> = answers
        .iter()
        .flatten()
        .map(|answer| {
            let far = answer.outside.iter().map(kilter_laws::limits::Outside::factor).fold(1.0, f64::max);
            vec![
                answer.law.to_owned(),
                shown(answer, Quantity::LearningRate),
                shown(answer, Quantity::BatchTokens),
                shown(answer, Quantity::Parameters),
                shown(answer, Quantity::Tokens),
                shown(answer, Quantity::Loss),
                match (answer.range_unknown, far > 1.0) {
                    (true, _) => "unknown".to_owned(),
                    (false, true) => format!("outside, x{far:.1}"),
                    (false, false) => "inside".to_owned(),
                },
                if answer.trust == Trust::Checked { "checked" } else { "remembered" }.to_owned(),
            ]
        })
        .collect();
    let header = ["law", "lr", "batch", "size", "tokens", "loss", "range", "constants"].map(str::to_owned);
    voice.say(&table(&header, rows))?;
    for why in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        voice.remark(&why.to_string());
    }
    voice.remark("range: whether the question lies where the law was fitted; sizes and tokens are those of least loss for the compute");
    Ok(())
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter predict power --tokens 1T --batch 1024 --seq-len 4096")]
pub struct Power {
    /// Training tokens
    #[arg(long, value_name = "D", value_parser = count, allow_negative_numbers = true)]
    tokens: f64,
    /// Sequences per step
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    batch: f64,
    /// Tokens per sequence
    #[arg(long, value_name = "N", default_value_t = 4096, allow_negative_numbers = true)]
    seq_len: u64,
    /// Amplitude a of the law
    #[arg(long, value_name = "A", default_value_t = 4.6, allow_negative_numbers = true)]
    a: f64,
    /// Exponent b of the law, below 0
    #[arg(long, value_name = "B", default_value_t = -0.51, allow_negative_numbers = true)]
    b: f64,
    #[command(flatten)]
    figured: Figured,
}

/// The power law's peak rate.
pub fn power(args: &Power, voice: &Voice) -> Result<(), Fault> {
    let law = PowerLaw { amplitude: args.a, exponent: args.b, batch_unit_tokens: BATCH_UNIT_TOKENS };
    let prediction = law.predict(args.batch * args.seq_len as f64, args.tokens).map_err(Fault::call)?;
    args.figured.draw("Learning rate over a run", voice, || {
        let (peak, batch) = (prediction.learning_rate.estimate, args.batch * args.seq_len as f64);
        let config = PowerConfig { b: args.b, ..PowerConfig::default() };
        figures::schedules(peak, batch, args.tokens, &config).map(|chart| vec![chart]).map_err(Fault::call)
    })?;
    if voice.json {
        return voice.document(&json!({ "prediction": prediction, "assumptions": ASSUMPTIONS }));
    }
    super::warn_outside(&prediction.outside, voice);
    let rate = prediction.learning_rate;
    voice.say(&format!("peak learning rate  {}", voice.strong(&with_interval(rate.estimate, Some(rate)))))?;
    voice.remark(&format!(
        "in brackets what the fits of three sizes give, which is no confidence interval. It presumes: {}",
        ASSUMPTIONS.join("; ")
    ));
    Ok(())
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kilter predict compute-class --tokens-per-second 20k --hours 6 \\\n      --batch 128 --seq-len 512"
)]
pub struct ComputeClass {
    /// Throughput measured on the device
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    tokens_per_second: f64,
    /// Hours of the device
    #[arg(long, value_name = "HOURS", allow_negative_numbers = true)]
    hours: f64,
    /// Sequences per step
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch: u64,
    /// Tokens per sequence
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seq_len: u64,
    #[command(flatten)]
    figured: Figured,
}

/// What hours buy.
pub fn compute_class(args: &ComputeClass, voice: &Voice) -> Result<(), Fault> {
    let budget = budget(args.tokens_per_second, args.hours, args.batch, args.seq_len).map_err(Fault::call)?;
    let chart = || Ok(vec![figures::compute_class(args.tokens_per_second, args.hours, budget.tokens)]);
    args.figured.draw("What hours buy", voice, chart)?;
    if voice.json {
        return voice.document(&json!({ "budget": budget }));
    }
    voice.say(&format!("tokens  {}", voice.strong(&short(budget.tokens))))?;
    voice.say(&format!("steps   {}", voice.strong(&budget.steps.to_string())))
}
