//! `kilter quantize`: a checkpoint in fewer bits, and back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kilter_recipes::network::{LearnConfig, LearnedLayer, Rounding, exponents, learn_codes};
use kilter_space::Config;
use kilter_study::process::Client;
use kilter_weights::quantize::{
    Curve, LEARNED, QuantizeConfig, QuantizeReport, dequantize, outline, quantize as write_quantised, quantize_with,
};
use kilter_weights::storage::Written;
use kilter_weights::{Checkpoint, Options, WeightsError};
use serde_json::json;
use tempfile::TempDir;

use crate::fault::Fault;
use crate::merge::shown;
use crate::pairs::setting;
use crate::scorer::{MODEL, Program};
use crate::style::{Voice, bytes, short};
use crate::subject::data_path;
use crate::table::table;
use crate::weights::{Answers, Work, beside, target};

#[derive(Debug, Args)]
#[command(
    after_help = "Settings: method=power (or uniform, log; nupes, adaround and gptq round with data; none turns a quantised \
                  file back to floats), bits=4, granularity=channel, exponent=tensor, outliers=0, norm=2, \
                  activation_bits=none (in how many bits kilter apply feeds linear layers); with data steps=2000, \
                  calibration=512.\n\nExamples:\n  kilter quantize \
                  model.safetensors --set bits=4 -o small.safetensors\n  \
                  kilter quantize digits.safetensors --set method=nupes --set bits=3 \\\n      -o small.safetensors\n  kilter quantize small.safetensors --set method=none -o \
                  floats.safetensors"
)]
pub struct Quantize {
    /// The model: a .safetensors file, a .safetensors.index.json file, or a folder with either
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Fix this hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// With method=nupes, adaround or gptq: these examples [default: those that the model learnt from]
    #[arg(long, value_name = "NAME or FILE")]
    pub data: Option<String>,
    #[command(flatten)]
    pub answers: Answers,
    /// The file to write; .safetensors.index.json makes shards
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Delete what was written when the command has seen it
    #[arg(long)]
    pub scratch: bool,
    /// A command that sees the quantised model, turned back to floats; {model} stands for its path
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// What a trial reports beside what its command says: the bytes of the quantised model.
pub const BYTES: &str = "bytes";

/// So many tensors are shown, unless more is asked for.
const SHOWN: usize = 20;

/// Quantises, or turns a quantised file back to floats.
pub fn quantize(args: &Quantize, voice: &Voice) -> Result<ExitCode, Fault> {
    let set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    let out = target(args.out.as_deref())?;
    let answered = args.answers.over(&outline().map_err(Fault::call)?, &set)?;
    let config = QuantizeConfig::from_config(&answered)?;
    let rounding = Rounding::named(answered.text("method").map_err(Fault::call)?);
    if args.data.is_some() && rounding.is_none() {
        let learned = LEARNED.join(" or ");
        return Err(Fault::call(format!(
            "weights are rounded with data by --set method={learned}; the others need none"
        )));
    }
    let example = format!("kilter quantize model.safetensors -o small.safetensors -- python3 eval.py {MODEL}");
    let program = Program::after(&args.command, &example, args.scratch, voice.json)?;
    if config.is_none() && program.is_some() {
        return Err(Fault::call("method=none gives the floats themselves; run the command on them"));
    }
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
    let learned = rounding.map(|rounding| Learned::new(args, &answered, rounding, config.bits, out, &work)).transpose();
    let learned = match learned {
        Err(_) if work.is_interrupted() => None,
        learned => learned?,
    };
    let written = match &learned {
        None if work.is_interrupted() => Err(WeightsError::Interrupted),
        None => write_quantised(&model, &config, out, &options),
        Some(learned) => {
            let known = if config.curve == Curve::Power { exponents(&learned.layers) } else { BTreeMap::new() };
            quantize_with(&learned.weights, &config, &known, out, &options)
        }
    };
    let mut report = match work.end(written)? {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    if learned.is_some() {
        report.bytes_in = model.bytes();
    }
    let learned = learned.map_or(Vec::new(), |learned| learned.layers);
    for note in &report.notes {
        voice.remark(&format!("note: {note}"));
    }
    if voice.json {
        let mut document = json!(report);
        document["wall_seconds"] = json!(work.seconds());
        if rounding.is_some() {
            document["learned"] = json!(learned);
        }
        voice.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !voice.quiet && !learned.is_empty() {
        voice.say(&learnt(&learned))?;
    }
    if !voice.quiet && !report.quality.is_empty() {
        voice.say(&quality(&report, voice.verbose))?;
    }
    if !args.scratch {
        work.close(&report.written, report.bytes_in)?;
    }
    match program {
        None => Ok(ExitCode::SUCCESS),
        Some(program) => seen(&program, &report.written, out, args.scratch, &options),
    }
}

/// Codes that were learned: the weights that they stand for lie in a folder beside the output until it is written.
struct Learned {
    layers: Vec<LearnedLayer>,
    weights: Checkpoint,
    _place: TempDir,
}

impl Learned {
    fn new(
        args: &Quantize,
        answered: &Config,
        rounding: Rounding,
        bits: u32,
        out: &Path,
        work: &Work,
    ) -> Result<Self, Fault> {
        let whole = |name: &str| answered.int(name).map(i64::unsigned_abs).map_err(Fault::call);
        let plain = LearnConfig { bits, ..LearnConfig::default() };
        let config = if rounding == Rounding::Gptq { plain } else { LearnConfig { steps: whole("steps")?, ..plain } };
        let data = args.data.as_deref().map(data_path);
        let place = beside(out)?;
        let weights = place.path().join("model.safetensors");
        let examples = whole("calibration")? as usize;
        let mut progress = |done, of| {
            work.remark(&format!("layer {done} of {of} rounded"));
            !work.is_interrupted()
        };
        let data = data.as_deref();
        let layers = learn_codes(&args.model, data, examples, rounding, &config, &weights, &mut progress);
        Ok(Self { layers: layers.map_err(Fault::call)?, weights: Checkpoint::open(&weights)?, _place: place })
    }
}

/// What was learned of each layer.
fn learnt(layers: &[LearnedLayer]) -> String {
    let header = ["layer", "exponent", "learned", "output error", "with data"].map(str::to_owned);
    let row = |layer: &LearnedLayer| {
        let numbers = [layer.exponent, layer.loss].concat().into_iter().map(short);
        std::iter::once(layer.name.clone()).chain(numbers).collect()
    };
    format!("{}\n", table(&header, layers.iter().map(row).collect()))
}

/// Lets a command see the quantised model as floats, which lie beside it meanwhile. In a trial its size is reported.
fn seen(
    program: &Program<'_>,
    written: &Written,
    out: &Path,
    scratch: bool,
    options: &Options<'_>,
) -> Result<ExitCode, Fault> {
    if let Ok(mut client) = Client::from_environment() {
        client.report(None, &[(BYTES, written.bytes as f64)]).map_err(Fault::work)?;
    }
    let place = beside(out)?;
    let floats = place.path().join("model.safetensors");
    dequantize(&Checkpoint::open(out)?, &floats, options)?;
    shown(program, &floats, written, scratch)
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
