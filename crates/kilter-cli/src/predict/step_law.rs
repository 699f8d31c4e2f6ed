//! `kilter predict step-law`: the law as released, or fitted to runs of one's own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use kilter_laws::step_law::{
    ASSUMPTIONS, Coefficients, Constants, FitConfig, Plateau, Prediction, Question, Run, StepLaw, StepLawFitError,
    UserFit, fit, nearest_released, plateau,
};
use kilter_plot::Chart;
use kilter_space::nearest;
use serde_json::{Value as Json, json};

use super::{ModelSize, count, figures, with_interval};
use crate::args::InStorage;
use crate::fault::Fault;
use crate::figure::Figured;
use crate::look::look_at;
use crate::style::{Voice, short};
use crate::table::table;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kilter predict step-law --model-size 1.07B --tokens 56.9B\n  kilter predict step-law --fit \
                  runs.csv -o law.toml\n  kilter predict step-law --constants law.toml --model-size 3B --tokens 100B"
)]
pub struct StepLawArgs {
    #[command(flatten)]
    size: ModelSize,
    /// Training tokens
    #[arg(long, value_name = "D", value_parser = count, allow_negative_numbers = true)]
    tokens: Option<f64>,
    /// Tokens per sequence
    #[arg(long, value_name = "N", default_value_t = 2048, allow_negative_numbers = true)]
    seq_len: u64,
    /// The batch is rounded to a multiple of so many sequences
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true)]
    round_to: u64,
    /// paper (as printed), released (the authors' fits), or a file that --fit wrote
    #[arg(long, value_name = "WHICH", default_value = "released", conflicts_with = "fit")]
    constants: String,
    /// Fit the law to runs of yours: a CSV with N, D, learning_rate, batch_sequences, loss, or a study
    #[arg(long, value_name = "FILE or STUDY")]
    fit: Option<String>,
    /// With --fit, runs count that come within this share of the best loss of their size
    #[arg(long, value_name = "SHARE", default_value_t = 0.0025, requires = "fit")]
    plateau: f64,
    /// With --fit, write the law here
    #[arg(short, long, value_name = "PATH", requires = "fit")]
    out: Option<PathBuf>,
    #[command(flatten)]
    figured: Figured,
    #[command(flatten)]
    storage: InStorage,
}

/// Predicts, or fits and then predicts.
pub fn step_law(args: &StepLawArgs, voice: &Voice) -> Result<(), Fault> {
    args.figured.check(voice)?;
    let size = args.size.get()?;
    let fitted = args.fit.as_ref().map(|from| fitted(from, args)).transpose()?;
    let law = match (&fitted, args.constants.as_str()) {
        (Some((fit, _)), _) => fit.law.clone(),
        (None, "paper") => StepLaw::paper(),
        (None, "released") => StepLaw::released(),
        (None, file) => read(Path::new(file))?,
    };
    if let (Some((fit, _)), Some(out)) = (&fitted, &args.out) {
        write(out, &fit.law)?;
    }
    let prediction = match (size, args.tokens) {
        (Some(parameters), Some(tokens)) => {
            let question = Question { parameters, tokens, seq_len: args.seq_len, round_to: args.round_to };
            Some(law.predict(&question).map_err(Fault::call)?)
        }
        (None, None) if fitted.is_some() => None,
        _ => return Err(Fault::call("say --model-size and --tokens, as in --model-size 1.07B --tokens 56.9B")),
    };
    let flat = match (&prediction, size, args.tokens) {
        (Some(_), Some(parameters), Some(tokens)) => nearest_released(parameters, tokens, PLATEAU),
        _ => None,
    };
    args.figured.draw("Step Law", voice, || {
        Ok(charts(size, args, &law, fitted.as_ref().map(|(_, runs)| runs.as_slice()), flat))
    })?;
    if voice.json {
        let document = json!({
            "prediction": prediction,
            "plateau": flat.map(|(n, d, found)| json!({ "parameters": n, "tokens": d, "plateau": found })),
            "coefficients": law.coefficients,
            "assumptions": ASSUMPTIONS,
            "fit": fitted.as_ref().map(|(fit, runs)| document(fit, runs, args.plateau)),
        });
        return voice.document(&document);
    }
    if let Some((fit, runs)) = &fitted {
        tell_fit(fit, runs, args.plateau, voice)?;
    }
    if let (Some(_), Some(parameters), Some(tokens)) = (&prediction, size, args.tokens) {
        super::warn_units(parameters, tokens, voice);
    }
    match &prediction {
        Some(prediction) => tell(prediction, flat, args, voice),
        None => Ok(()),
    }
}

/// The share above the least loss within which settings are as good: the law's own.
const PLATEAU: f64 = 0.0025;

/// The prediction, and every grid of runs that the law was fitted to.
fn charts(
    size: Option<f64>,
    args: &StepLawArgs,
    law: &StepLaw,
    runs: Option<&[Run]>,
    flat: Option<(f64, f64, Plateau)>,
) -> Vec<Chart> {
    let mut charts = Vec::new();
    if let (Some(parameters), Some(tokens)) = (size, args.tokens) {
        charts.push(figures::step_law(law, parameters, tokens, flat));
    }
    for (n, d, grid) in grids(runs.unwrap_or_default()) {
        let (rate, batch_tokens) = law.coefficients.at(n, d);
        let advice = (rate, batch_tokens / args.seq_len as f64);
        charts.push(figures::grid(&grid, plateau(&grid, args.plateau).ok().as_ref(), advice, args.plateau));
    }
    charts
}

fn tell(
    prediction: &Prediction,
    flat: Option<(f64, f64, Plateau)>,
    args: &StepLawArgs,
    voice: &Voice,
) -> Result<(), Fault> {
    super::warn_outside(&prediction.outside, voice);
    let constants = match prediction.constants {
        Constants::Paper => "the paper's constants, rounded",
        Constants::Released => "the mean of the authors' released fits",
        Constants::Own => "a fit to runs of your own",
    };
    voice.say(&format!(
        "learning rate  {}",
        voice.strong(&with_interval(prediction.learning_rate, prediction.learning_rate_interval))
    ))?;
    voice.say(&format!(
        "batch          {} sequences of {} tokens; {} tokens",
        voice.strong(&prediction.batch_sequences.to_string()),
        args.seq_len,
        with_interval(prediction.batch_tokens, prediction.batch_tokens_interval)
    ))?;
    voice.say(&format!("steps          {}", prediction.steps))?;
    if let Some((n, d, found)) = flat {
        voice.say(&format!(
            "good enough    learning rate times or over {:.2}, batch times or over {:.2}: within 0.25 % of the least loss",
            found.learning_rate_factor, found.batch_factor
        ))?;
        voice.remark(&format!(
            "how flat the loss is was measured on the released runs nearest to it: {} parameters, {} tokens",
            short(n),
            short(d)
        ));
    }
    voice.remark(&format!(
        "from {constants}; in brackets 95 % of its bootstrap. It presumes: {}",
        ASSUMPTIONS.join("; ")
    ));
    Ok(())
}

fn tell_fit(fit: &UserFit, runs: &[Run], relative: f64, voice: &Voice) -> Result<(), Fault> {
    voice.say(&format!(
        "fitted to {} of {} runs in {} sizes and lengths ({} without a loss)",
        fit.rows_kept,
        runs.len(),
        fit.groups,
        fit.rows_without_loss
    ))?;
    let names = [("ln lr", "1"), ("", "ln N"), ("", "ln D"), ("ln batch", "1"), ("", "ln D")];
    let rows = names.iter().zip(fit.lr.iter().chain(&fit.batch)).map(|((of, by), found)| {
        let c = found.coefficient;
        vec![(*of).to_owned(), (*by).to_owned(), format!("{:.4}", c.estimate), format!("{:.4} to {:.4}", c.low, c.high)]
    });
    voice.say(&table(&["", "times", "coefficient", "95 %"].map(str::to_owned), rows.collect()))?;
    for unfitted in &fit.unfitted {
        let why = if unfitted.confounded { "moves with the other one in every run" } else { "has one value only" };
        voice.remark(&format!("the exponent of {:?} in {} is not known: it {why}", unfitted.regressor, unfitted.law));
    }
    for (n, d, runs) in grids(runs) {
        match plateau(&runs, relative) {
            Ok(found) => voice.say(&format!(
                "plateau at {} parameters, {} tokens: learning rate {} (times or over {:.2}), batch {} (times or over {:.2})",
                short(n),
                short(d),
                super::small(found.learning_rate),
                found.learning_rate_factor,
                short(found.batch_sequences),
                found.batch_factor
            ))?,
            Err(why) => voice.remark(&format!("no plateau at {} parameters, {} tokens: {why}", short(n), short(d))),
        }
    }
    Ok(())
}

/// Runs of the same size and length, where there are enough for a surface.
fn grids(runs: &[Run]) -> Vec<(f64, f64, Vec<Run>)> {
    const ENOUGH: usize = 12;
    let mut grids: Vec<(f64, f64, Vec<Run>)> = Vec::new();
    for run in runs {
        match grids.iter_mut().find(|(n, d, _)| (*n, *d) == (run.parameters, run.tokens)) {
            Some((.., grid)) => grid.push(*run),
            None => grids.push((run.parameters, run.tokens, vec![*run])),
        }
    }
    grids.retain(|(.., grid)| grid.len() >= ENOUGH);
    grids
}

fn document(fit: &UserFit, runs: &[Run], relative: f64) -> Json {
    let plateaus = grids(runs).into_iter().map(|(n, d, runs)| {
        let found = plateau(&runs, relative);
        json!({ "parameters": n, "tokens": d, "plateau": found.as_ref().ok(), "why_none": found.err().map(|e| e.to_string()) })
    });
    json!({
        "learning_rate": fit.lr, "batch": fit.batch, "rows_kept": fit.rows_kept, "groups": fit.groups,
        "rows_without_loss": fit.rows_without_loss, "unfitted": fit.unfitted, "plateaus": plateaus.collect::<Vec<_>>(),
    })
}

fn fitted(from: &str, args: &StepLawArgs) -> Result<(UserFit, Vec<Run>), Fault> {
    let path = Path::new(from);
    let is_table = path.extension().is_some_and(|ending| ["csv", "tsv", "gz"].iter().any(|&table| ending == table));
    let runs = match path.is_file() {
        true => of_table(path)?,
        false if is_table => return Err(Fault::call(format!("--fit {from}: there is no such file"))),
        false => of_study(from, &args.storage)?,
    };
    let config = FitConfig { keep_within: args.plateau, seq_len: args.seq_len, ..FitConfig::default() };
    let fit = fit(&runs, &config).map_err(|why| match why {
        // A table's first line is its header, and lines are counted from 1.
        StepLawFitError::Row { row, what, value } if path.is_file() => {
            Fault::call(format!("--fit {from}: line {}: {what} is {value}; it must be finite and above 0", row + 2))
        }
        why => Fault::call(format!("--fit {from}: {why}")),
    })?;
    Ok((fit, runs))
}

/// Columns of a table or hyperparameters of a study, by the names that people give them.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("N", &["N", "parameters", "model_size", "params"]),
    ("D", &["D", "tokens"]),
    ("learning_rate", &["learning_rate", "lr"]),
    ("batch_sequences", &["batch_sequences", "batch_size", "batch", "bs"]),
];

fn of_table(path: &Path) -> Result<Vec<Run>, Fault> {
    let wrong = |why: String| Fault::call(format!("--fit {}: {why}", path.display()));
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|e| wrong(e.to_string()))?;
    let header: Vec<String> = reader.headers().map_err(|e| wrong(e.to_string()))?.iter().map(str::to_owned).collect();
    let place = |name: &str, aliases: &[&str]| {
        let found = header.iter().position(|column| aliases.contains(&column.as_str()));
        found.ok_or_else(|| {
            let near = nearest(name, header.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!(" (is it `{near}`?)"));
            wrong(format!("there is no column {name}{near}; it needs N, D, learning_rate, batch_sequences and loss"))
        })
    };
    let columns = COLUMNS.iter().map(|(name, aliases)| place(name, aliases)).collect::<Result<Vec<_>, _>>()?;
    let loss = place("loss", &["loss", "final_loss"])?;
    let mut runs = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|why| wrong(why.to_string()))?;
        let number = |at: usize| {
            record.get(at).and_then(|cell| cell.parse::<f64>().ok()).ok_or_else(|| {
                let (column, cell) = (&header[at], record.get(at).unwrap_or_default());
                wrong(format!("line {}: {column} is {cell:?}, which is no number", row + 2))
            })
        };
        runs.push(Run {
            parameters: number(columns[0])?,
            tokens: number(columns[1])?,
            learning_rate: number(columns[2])?,
            batch_sequences: number(columns[3])?,
            loss: record.get(loss).and_then(|cell| cell.parse().ok()),
        });
    }
    Ok(runs)
}

fn of_study(name: &str, storage: &InStorage) -> Result<Vec<Run>, Fault> {
    let (_, entry, history) = look_at(Some(name), storage)?;
    let goal = entry.spec.goals.first().ok_or_else(|| Fault::call(format!("{name} has no goal")))?;
    let entries = entry.spec.outline.entries();
    let named = |(wanted, aliases): &(&str, &[&str])| {
        let found = entries.iter().map(|entry| entry.name.as_str()).find(|name| aliases.contains(name));
        found.ok_or_else(|| {
            Fault::call(format!("--fit {name}: its trials have no {wanted}; name it {}", aliases.join(", ")))
        })
    };
    let names = COLUMNS.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    let mut runs = Vec::new();
    for row in history.rows() {
        let number = |name: &str| row.config().float(name).map_err(Fault::call);
        runs.push(Run {
            parameters: number(names[0])?,
            tokens: number(names[1])?,
            learning_rate: number(names[2])?,
            batch_sequences: number(names[3])?,
            loss: row.value(&goal.metric),
        });
    }
    Ok(runs)
}

/// A law as a file: constants, their range, and the bootstrap that intervals come from.
fn write(path: &Path, law: &StepLaw) -> Result<(), Fault> {
    let mut text = String::from("# The Step Law, fitted to runs of one's own by `kilter predict step-law --fit`.\n");
    let row = |c: &Coefficients| {
        let [a, b, c_, d, e] = [c.lr[0], c.lr[1], c.lr[2], c.batch[0], c.batch[1]];
        format!("[{a:?}, {b:?}, {c_:?}, {d:?}, {e:?}]")
    };
    let _ = writeln!(text, "# ln lr = c0 + c1 ln N + c2 ln D; ln batch_tokens = c3 + c4 ln D");
    let _ = writeln!(text, "coefficients = {}", row(&law.coefficients));
    let _ = writeln!(text, "parameters = [{:?}, {:?}]", law.parameters.low, law.parameters.high);
    let _ = writeln!(text, "tokens = [{:?}, {:?}]", law.tokens.low, law.tokens.high);
    let _ = writeln!(text, "bootstrap = [");
    for draw in &law.bootstrap {
        let _ = writeln!(text, "  {},", row(draw));
    }
    text.push_str("]\n");
    std::fs::write(path, text).map_err(|why| Fault::work(format!("cannot write {}: {why}", path.display())))
}

fn read(path: &Path) -> Result<StepLaw, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        coefficients: [f64; 5],
        parameters: [f64; 2],
        tokens: [f64; 2],
        bootstrap: Vec<[f64; 5]>,
    }
    let wrong = |why: String| {
        Fault::call(format!(
            "--constants {}: {why}; it is paper, released, or a file that --fit … -o FILE wrote",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|why| wrong(why.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|why| wrong(why.to_string()))?;
    let of = |row: [f64; 5]| Coefficients { lr: [row[0], row[1], row[2]], batch: [row[3], row[4]] };
    let released = StepLaw::released();
    let range = |fitted: kilter_laws::limits::Fitted, [low, high]: [f64; 2]| kilter_laws::limits::Fitted {
        low,
        high,
        ..fitted
    };
    Ok(StepLaw {
        constants: Constants::Own,
        coefficients: of(file.coefficients),
        bootstrap: file.bootstrap.into_iter().map(of).collect(),
        parameters: range(released.parameters, file.parameters),
        tokens: range(released.tokens, file.tokens),
    })
}
