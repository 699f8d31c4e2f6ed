//! `kilter apply`: a model that a training left, put to use.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kilter_recipes::network::{Applied, Input, Trained};
use serde_json::json;

use crate::fault::Fault;
use crate::style::{Voice, short};
use crate::subject::data_path;
use crate::table::table;

/// Predictions shown on a terminal; --out writes all.
const SHOWN: usize = 10;

#[derive(Debug, Args)]
#[command(
    after_help = "A model file names the recipe that made it, so nothing else need be said of it.\n\nExamples:\n  \
                  kilter apply digits.safetensors --data digits -o predictions.csv\n  kilter apply char-gpt.safetensors \\\n      \
                  --prompt 'It was ' --length 300 --temperature 0.8"
)]
pub struct Apply {
    /// The model: a file that `kilter train` or a trial left
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Pictures to be sorted: a name of `kilter data list`, a folder, or FILE.npz
    #[arg(long, value_name = "NAME or PATH", conflicts_with = "prompt")]
    pub data: Option<String>,
    /// The beginning of a text to be continued
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// How many characters are written
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true)]
    pub length: usize,
    /// Below 1 likelier characters are preferred, above 1 rarer ones; 0 takes the likeliest
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Chance of what is written
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    /// Where it is computed: cpu, or in builds that have it cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Write the predictions here, as CSV
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
}

/// `kilter apply`
pub fn apply(args: &Apply, voice: &Voice) -> Result<ExitCode, Fault> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return Err(Fault::call(format!("--temperature {}: it is 0 or above", args.temperature)));
    }
    let model = Trained::open(&args.model, &args.device).map_err(Fault::call)?;
    match (model.input(), &args.data) {
        (Input::Characters { .. }, None) => write(args, &model, voice)?,
        (Input::Pictures { .. }, None) => {
            return Err(Fault::call(format!(
                "{} sorts pictures: name some, as in --data digits",
                args.model.display()
            )));
        }
        (_, Some(data)) => {
            let applied = model.sort(&data_path(data)).map_err(Fault::call)?;
            sort(args, data, &model, &applied, voice)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(args: &Apply, model: &Trained, voice: &Voice) -> Result<(), Fault> {
    let prompt = args.prompt.as_deref().unwrap_or_default();
    let written = model.write(prompt, args.length, args.temperature, args.seed).map_err(Fault::call)?;
    if let Some(out) = &args.out {
        let whole = format!("{prompt}{written}");
        std::fs::write(out, whole).map_err(|why| Fault::work(format!("cannot write {}: {why}", out.display())))?;
    }
    if voice.json {
        return voice.document(&json!({ "recipe": model.recipe(), "prompt": prompt, "text": written }));
    }
    voice.say(&format!("{}{written}", voice.strong(prompt)))
}

fn sort(args: &Apply, data: &str, model: &Trained, applied: &Applied, voice: &Voice) -> Result<(), Fault> {
    if let Some(out) = &args.out {
        write_csv(out, applied).map_err(|why| Fault::work(format!("cannot write {}: {why}", out.display())))?;
    }
    if voice.json {
        let rows: Vec<_> = predictions(applied)
            .map(|(row, class, probabilities)| {
                json!({ "number": row, "predicted": class, "label": applied.labels[row], "probabilities": probabilities })
            })
            .collect();
        return voice.document(&json!({
            "recipe": model.recipe(), "data": data, "metrics": applied.metrics, "predictions": rows,
        }));
    }
    let rows = predictions(applied).take(SHOWN).map(|(row, class, probabilities)| {
        vec![row.to_string(), class.to_string(), short(probabilities[class]), applied.labels[row].to_string()]
    });
    let header = ["picture", "predicted", "probability", "label"].map(str::to_owned);
    voice.say(&table(&header, rows.collect()))?;
    let count = applied.labels.len();
    if count > SHOWN {
        voice.remark(&format!("{} more; -o predictions.csv writes all", count - SHOWN));
    }
    let metrics: Vec<String> =
        applied.metrics.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
    voice.say(&format!("{count} pictures of {data}: {}", metrics.join(", ")))?;
    if applied.learnt_from {
        voice.remark("the model learnt from most of these pictures, so the figures flatter it");
    }
    Ok(())
}

/// Each picture's number, likeliest class and probabilities.
fn predictions(applied: &Applied) -> impl Iterator<Item = (usize, usize, &[f64])> {
    applied.probabilities.chunks(applied.classes).enumerate().map(|(row, probabilities)| {
        let likeliest = (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        (row, likeliest.unwrap_or(0), probabilities)
    })
}

fn write_csv(path: &Path, applied: &Applied) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    let classes: Vec<String> = (0..applied.classes).map(|class| format!("probability_{class}")).collect();
    writeln!(file, "picture,predicted,label,{}", classes.join(","))?;
    for (row, class, probabilities) in predictions(applied) {
        let all: Vec<String> = probabilities.iter().map(f64::to_string).collect();
        writeln!(file, "{row},{class},{},{}", applied.labels[row], all.join(","))?;
    }
    file.flush()
}
