//! `kilter apply`: a model that a training left, put to use.

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
                  --prompt 'It was ' --length 300 --temperature 0.8\n  kilter apply text-classifier.safetensors --data \
                  new.csv\n  kilter apply text-classifier.safetensors --prompt 'I loved it'\n  kilter apply \
                  digits.safetensors --graph digits.dot"
)]
pub struct Apply {
    /// The model: a file that `kilter train` or a trial left
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Pictures or texts to be sorted: a name of `kilter data list`, a folder, or a file
    #[arg(long, value_name = "NAME or PATH", conflicts_with = "prompt")]
    pub data: Option<String>,
    /// The beginning of a text to be continued, or a text to be sorted
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
    /// Write the network's operations and what they take from each other here, for Graphviz; to a name that ends in .json,
    /// as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "prompt", "out"])]
    pub graph: Option<PathBuf>,
}

/// `kilter apply`
pub fn apply(args: &Apply, voice: &Voice) -> Result<ExitCode, Fault> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return Err(Fault::call(format!("--temperature {}: it is 0 or above", args.temperature)));
    }
    let model = Trained::open(&args.model, &args.device).map_err(Fault::call)?;
    if let Some(file) = &args.graph {
        draw(file, &model, voice)?;
        return Ok(ExitCode::SUCCESS);
    }
    match (model.input(), &args.data, &args.prompt) {
        (Input::Characters { .. }, None, _) => write(args, &model, voice)?,
        (Input::Pictures { .. }, None, _) => {
            return Err(Fault::call(format!(
                "{} sorts pictures: name some, as in --data digits",
                args.model.display()
            )));
        }
        (Input::Texts { .. }, None, None) => {
            return Err(Fault::call(format!(
                "{} sorts texts: name a table of them, as in --data new.csv, or give one with --prompt",
                args.model.display()
            )));
        }
        (Input::Texts { .. }, None, Some(text)) => {
            let applied = model.read_one(text).map_err(Fault::call)?;
            sort(args, None, &model, &applied, voice)?;
        }
        (_, Some(data), _) => {
            let applied = model.sort(&data_path(data)).map_err(Fault::call)?;
            sort(args, Some(data), &model, &applied, voice)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes down what the network computes.
fn draw(file: &Path, model: &Trained, voice: &Voice) -> Result<(), Fault> {
    let graph = model.graph().map_err(Fault::call)?;
    let is_json = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let text = if is_json { serde_json::to_string_pretty(&graph).map_err(Fault::work)? } else { graph.dot() };
    std::fs::write(file, text).map_err(|why| Fault::work(format!("cannot write {}: {why}", file.display())))?;
    let (operations, parameters, multiply_adds) = (graph.nodes.len(), model.learned(), graph.multiply_adds());
    if voice.json {
        return voice.document(&json!({
            "recipe": model.recipe(), "graph": file, "operations": operations, "parameters": parameters,
            "multiply_adds": multiply_adds,
        }));
    }
    voice.say(&format!(
        "{}: {operations} operations, {parameters} parameters, {multiply_adds} multiply-adds of an example",
        file.display()
    ))
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

/// The characters of a text that a terminal shows.
const EXCERPT: usize = 40;

fn sort(args: &Apply, data: Option<&str>, model: &Trained, applied: &Applied, voice: &Voice) -> Result<(), Fault> {
    if let Some(out) = &args.out {
        write_csv(out, applied).map_err(|why| Fault::work(format!("cannot write {}: {why}", out.display())))?;
    }
    let are_texts = !applied.texts.is_empty();
    let label = |row: usize| applied.labels.as_ref().map(|labels| usize::from(labels[row]));
    if voice.json {
        // Classes of pictures are numbers, those of texts have names.
        let named = |class: usize| if are_texts { json!(applied.names[class]) } else { json!(class) };
        let rows: Vec<_> = predictions(applied)
            .map(|(row, class, probabilities)| {
                json!({
                    "number": row, "predicted": named(class), "label": label(row).map(named),
                    "probabilities": probabilities,
                })
            })
            .collect();
        let mut document = json!({
            "recipe": model.recipe(), "data": data, "metrics": applied.metrics, "predictions": rows,
        });
        if are_texts {
            document["classes"] = json!(applied.names);
        }
        return voice.document(&document);
    }
    let rows = predictions(applied).take(SHOWN).map(|(row, class, probabilities)| {
        let mut cells = vec![row.to_string(), applied.names[class].clone(), short(probabilities[class])];
        cells.extend(label(row).map(|label| applied.names[label].clone()));
        if let Some(text) = applied.texts.get(row) {
            let excerpt: String = text.chars().take(EXCERPT).collect();
            cells.push(if excerpt.len() < text.len() { format!("{excerpt}…") } else { excerpt });
        }
        cells
    });
    let what = if are_texts { "text" } else { "picture" };
    let mut header = vec![what, "predicted", "probability"];
    header.extend(applied.labels.is_some().then_some("label"));
    header.extend(are_texts.then_some("begins"));
    voice.say(&table(&header.into_iter().map(str::to_owned).collect::<Vec<_>>(), rows.collect()))?;
    let count = applied.probabilities.len() / applied.names.len();
    if count > SHOWN {
        voice.remark(&format!("{} more; -o predictions.csv writes all", count - SHOWN));
    }
    if let (Some(data), false) = (data, applied.metrics.is_empty()) {
        let metrics: Vec<String> =
            applied.metrics.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
        voice.say(&format!("{count} {what}s of {data}: {}", metrics.join(", ")))?;
    }
    if applied.learnt_from {
        voice.remark(&format!("the model learnt from most of these {what}s, so the figures flatter it"));
    }
    Ok(())
}

/// Each example's number, likeliest class and probabilities.
fn predictions(applied: &Applied) -> impl Iterator<Item = (usize, usize, &[f64])> {
    applied.probabilities.chunks(applied.names.len()).enumerate().map(|(row, probabilities)| {
        let likeliest = (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        (row, likeliest.unwrap_or(0), probabilities)
    })
}

fn write_csv(path: &Path, applied: &Applied) -> csv::Result<()> {
    let mut file = csv::Writer::from_path(path)?;
    let what = if applied.texts.is_empty() { "picture" } else { "text" };
    let mut header = vec![what.to_owned(), "predicted".to_owned()];
    header.extend(applied.labels.is_some().then(|| "label".to_owned()));
    header.extend(applied.names.iter().map(|class| format!("probability_{class}")));
    file.write_record(header)?;
    for (row, class, probabilities) in predictions(applied) {
        let mut cells = vec![row.to_string(), applied.names[class].clone()];
        cells.extend(applied.labels.as_ref().map(|labels| applied.names[usize::from(labels[row])].clone()));
        cells.extend(probabilities.iter().map(f64::to_string));
        file.write_record(cells)?;
    }
    file.flush()?;
    Ok(())
}
