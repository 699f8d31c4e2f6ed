//! `kilter predict curve`: where a loss curve is going, and when it does not say.

use std::path::Path;

use clap::Args;
use kilter_laws::curve::{Extrapolation, extrapolate};
use kilter_plot::{Chart, Mark, Scale, Series};
use kilter_space::nearest;
use serde_json::json;

use super::count;
use crate::args::InStorage;
use crate::fault::Fault;
use crate::figure::Figured;
use crate::look::{chosen, look_at};
use crate::style::{Voice, short};

#[derive(Debug, Args)]
#[command(
    after_help = "The law is floor + amplitude x^-exponent. It is asked no further ahead than it can be tested on the curve \
                  itself.\n\nExamples:\n  kilter predict curve losses.csv --at 40B\n  kilter predict curve losses.csv --x \
                  tokens --y validation --at 40B\n  kilter predict curve char-gpt:3 --at 5000"
)]
pub struct Curve {
    /// A CSV with a column of tokens, steps, sizes or hours and one of losses; or a trial that reported: STUDY:TRIAL
    #[arg(value_name = "FILE or TRIAL")]
    from: String,
    /// Where it is wanted, in the unit of the first column; a trial's evaluations count from 1
    #[arg(long, value_name = "X", value_parser = count, allow_negative_numbers = true)]
    at: f64,
    /// The column that the loss depends on [default: the first]
    #[arg(long, value_name = "COLUMN")]
    x: Option<String>,
    /// The column of losses, or the trial's metric [default: the second, or the goal]
    #[arg(long, value_name = "COLUMN")]
    y: Option<String>,
    /// Resamples of the residuals, for the interval
    #[arg(long, value_name = "N", default_value_t = 500)]
    resamples: usize,
    #[command(flatten)]
    figured: Figured,
    #[command(flatten)]
    storage: InStorage,
}

/// A curve: what its axes are called, and its points.
struct Points {
    names: [String; 2],
    x: Vec<f64>,
    y: Vec<f64>,
}

/// Says where it is going.
pub fn curve(args: &Curve, voice: &Voice) -> Result<(), Fault> {
    args.figured.check(voice)?;
    let points = if Path::new(&args.from).is_file() { of_table(args)? } else { of_trial(args)? };
    let found = extrapolate(&points.x, &points.y, args.at, args.resamples, 0)
        .map_err(|why| Fault::call(format!("{}: {why}", args.from)))?;
    args.figured.draw("Where a curve is going", voice, || Ok(vec![chart(&points, &found, args.at)]))?;
    if voice.json {
        return voice.document(&json!({
            "x": points.names[0], "y": points.names[1], "points": points.x.len(), "at": args.at, "prediction": found,
        }));
    }
    let Extrapolation { law, value, ahead, missed_by } = found;
    voice.say(&format!(
        "{} at {} {}: {} (95 % {} to {})",
        points.names[1],
        short(args.at),
        points.names[0],
        voice.strong(&short(value.estimate)),
        short(value.low),
        short(value.high)
    ))?;
    voice.say(&format!(
        "law            {} + {} x^-{:.3}, through {} points",
        short(law.floor),
        short(law.amplitude),
        law.exponent,
        points.x.len()
    ))?;
    voice.remark(&match missed_by {
        Some(missed) => format!(
            "{} times the last point; the law through the points before missed it, as far ahead, by {}",
            short(ahead),
            super::small(missed)
        ),
        None => "within the curve, so nothing is extrapolated".to_owned(),
    });
    Ok(())
}

fn chart(points: &Points, found: &Extrapolation, at: f64) -> Chart {
    const STEPS: usize = 80;
    let (low, high) = points.x.iter().fold((at, at), |(low, high), x| (low.min(*x), high.max(*x)));
    let line = (0..=STEPS).map(|k| low * (high / low).powf(k as f64 / STEPS as f64)).map(|x| (x, found.law.at(x)));
    let measured = points.x.iter().copied().zip(points.y.iter().copied()).collect();
    Chart::new("Where it is going", Scale::log(&points.names[0]), Scale::linear(&points.names[1]))
        .with(Series::new("measured", Mark::Points, measured))
        .with(Series::new("law", Mark::Line, line.collect()))
        .with(Series::new("95 % there", Mark::Dashes, vec![(at, found.value.low), (at, found.value.high)]))
        .with(Series::new("predicted", Mark::Points, vec![(at, found.value.estimate)]))
}

fn of_table(args: &Curve) -> Result<Points, Fault> {
    let wrong = |why: String| Fault::call(format!("{}: {why}", args.from));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(&args.from);
    let reader = reader.as_mut().map_err(|why| wrong(why.to_string()))?;
    let header: Vec<String> =
        reader.headers().map_err(|why| wrong(why.to_string()))?.iter().map(str::to_owned).collect();
    let place = |wanted: &Option<String>, usual: usize| match wanted {
        None if usual < header.len() => Ok(usual),
        None => Err(wrong("it has one column; a curve needs two".to_owned())),
        Some(name) => header.iter().position(|column| column == name).ok_or_else(|| {
            let near = nearest(name, header.iter().map(String::as_str));
            let near = near.map_or(header.join(", "), |near| format!("did you mean `{near}`?"));
            wrong(format!("there is no column `{name}`; {near}"))
        }),
    };
    let columns = [place(&args.x, 0)?, place(&args.y, 1)?];
    let mut points = Points { names: columns.map(|at| header[at].clone()), x: Vec::new(), y: Vec::new() };
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|why| wrong(why.to_string()))?;
        let number = |at: usize| {
            let cell = record.get(at).unwrap_or_default();
            cell.parse::<f64>()
                .map_err(|_| wrong(format!("line {}: {} is {cell:?}, which is no number", row + 2, header[at])))
        };
        points.x.push(number(columns[0])?);
        points.y.push(number(columns[1])?);
    }
    Ok(points)
}

fn of_trial(args: &Curve) -> Result<Points, Fault> {
    let Some((study, trial)) = args.from.rsplit_once(':') else {
        return Err(Fault::call(format!("there is no file `{}`; a trial is written STUDY:TRIAL", args.from)));
    };
    let number = trial.parse().map_err(|_| Fault::call(format!("{}: {trial:?} is no number of a trial", args.from)))?;
    let (_, entry, history) = look_at(Some(study), &args.storage)?;
    let row = chosen(Some(number), &entry, &history)?;
    let goal = entry.spec.goals.first().map(|goal| goal.metric.clone());
    let metric = args.y.clone().or(goal).ok_or_else(|| Fault::call(format!("{study} has no goal; say --y METRIC")))?;
    let curve: Vec<(f64, f64)> = row.curve(&metric).map(|(step, value)| (step as f64 + 1.0, value)).collect();
    if curve.is_empty() {
        return Err(Fault::call(format!("trial {number} of {study} reported no {metric} while it ran")));
    }
    let (x, y) = curve.into_iter().unzip();
    Ok(Points { names: ["evaluations".to_owned(), metric], x, y })
}
