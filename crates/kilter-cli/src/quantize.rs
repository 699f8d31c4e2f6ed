//! `kilter quantize`: a checkpoint in fewer bits, and back.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kilter_weights::quantize::{QuantizeConfig, QuantizeReport, dequantize, outline, quantize as write_quantised};
use kilter_weights::{Checkpoint, Options};
use serde_json::json;

use crate::fault::Fault;
use crate::pairs::setting;
use crate::style::{Voice, bytes, short};
use crate::table::table;
use crate::weights::{Work, answers, target};

#[derive(Debug, Args)]
#[command(
    after_help = "Settings: method=power (or uniform, log; none turns a quantised file back to floats), bits=4, \
                  granularity=channel, exponent=tensor, outliers=0, norm=2.\n\nExamples:\n  kilter quantize \
                  model.safetensors --set bits=4 -o small.safetensors\n  kilter quantize small.safetensors --set method=none -o \
                  floats.safetensors"
)]
pub struct Quantize {
    /// The model: a .safetensors file, a .safetensors.index.json file, or a folder with either
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Fix this hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The file to write; .safetensors.index.json makes shards
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
}

/// So many tensors are shown, unless more is asked for.
const SHOWN: usize = 20;

/// Quantises, or turns a quantised file back to floats.
pub fn quantize(args: &Quantize, voice: &Voice) -> Result<ExitCode, Fault> {
    let set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    let out = target(args.out.as_deref())?;
    let config = answers(&outline().map_err(Fault::call)?, &set)?;
    let config = QuantizeConfig::from_config(&config)?;
    let model = Checkpoint::open(&args.model)?;
    let work = Work::begin(voice)?;
    let progress = |done, total| work.progress(done, total);
    let options = Options { progress: &progress, ..Options::default() };
    let Some(config) = config else {
        let written = match work.end(dequantize(&model, out, &options))? {
            Ok(written) => written,
            Err(code) => return Ok(code),
        };
        if voice.json {
            let mut document = json!(written);
            document["bytes_in"] = json!(model.bytes());
            document["wall_seconds"] = json!(work.seconds());
            voice.document(&document)?;
        } else {
            work.close(&written, model.bytes())?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let report = match work.end(write_quantised(&model, &config, out, &options))? {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    for note in &report.notes {
        voice.remark(&format!("note: {note}"));
    }
    if voice.json {
        let mut document = json!(report);
        document["wall_seconds"] = json!(work.seconds());
        voice.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !voice.quiet && !report.quality.is_empty() {
        voice.say(&quality(&report, voice.verbose))?;
    }
    work.close(&report.written, report.bytes_in)?;
    Ok(ExitCode::SUCCESS)
}

/// What became of each tensor, the worst first.
fn quality(report: &QuantizeReport, all: bool) -> String {
    let header = ["tensor", "shape", "exponent", "error/uniform", "SQNR dB", "size"].map(str::to_owned);
    let mut tensors: Vec<_> = report.quality.iter().collect();
    let noise = |sqnr: Option<f64>| sqnr.unwrap_or(f64::INFINITY);
    tensors.sort_by(|a, b| noise(a.sqnr_decibels).total_cmp(&noise(b.sqnr_decibels)));
    let shown = if all { tensors.len() } else { SHOWN.min(tensors.len()) };
    let row = |tensor: &&kilter_weights::quantize::TensorQuality| {
        let against = tensor.mean_squared_error / tensor.mean_squared_error_uniform;
        let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
        vec![
            tensor.name.clone(),
            shape.join("×"),
            short(tensor.exponent),
            if against.is_finite() { short(against) } else { "–".to_owned() },
            tensor.sqnr_decibels.map_or("–".to_owned(), |decibels| format!("{decibels:.1}")),
            format!("{} of {}", bytes(tensor.bytes_after), bytes(tensor.bytes_before)),
        ]
    };
    let mut text = table(&header, tensors[..shown].iter().map(row).collect());
    if shown < tensors.len() {
        text.push_str(&format!("\n  and {} better ones (-v shows all)", tensors.len() - shown));
    }
    text.push('\n');
    text
}
