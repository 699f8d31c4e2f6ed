//! `kilter measure`: scores of things that exist.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use kilter_measure::diagnosis::{CalibrationBin, OperatingPoint};
use kilter_measure::{Confusion, Diagnosis, Predictions};
use kilter_numerics::compare::Interval;
use kilter_recipes::tabular::{Tested, test_diagnosis};
use kilter_space::Config;
use serde_json::{Value as Json, json};

use crate::args::InStorage;
use crate::barrier::{self, BarrierArgs};
use crate::fault::Fault;
use crate::look::{chosen, look_at};
use crate::scaling::{self, ScalingArgs};
use crate::statistics::{self, StatisticsArgs};
use crate::style::{Voice, short, sparkline};
use crate::table::table;
use crate::throughput::{self, ThroughputArgs};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter measure diagnosis --study breast-cancer")]
pub struct Measure {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A tuned diagnosis on rows that tuning never saw: sensitivity, specificity, ROC, calibration, thresholds
    Diagnosis(DiagnosisArgs),
    /// Tokens per second of a network on text, and the batch that brings most of them
    Throughput(ThroughputArgs),
    /// How high the loss rises on the way from one model to another
    Barrier(BarrierArgs),
    /// What `kilter merge fisher` and `kilter merge regmean` want to know of a model
    Statistics(StatisticsArgs),
    /// What families of models reach in hours of a device: their laws, and where they cross
    Scaling(ScalingArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "The best trial's model is fitted on the rows that tuning saw and asked about the others. A software \
                  demonstration, not a medical device.\n\nExample:\n  kilter measure diagnosis --study breast-cancer \
                  --min-sensitivity 0.98"
)]
struct DiagnosisArgs {
    /// The study [default: the newest]
    #[arg(value_name = "STUDY")]
    study: Option<String>,
    /// The study, as an option
    #[arg(long = "study", value_name = "NAME", conflicts_with = "study")]
    study_option: Option<String>,
    /// The trial [default: the best]
    #[arg(long, value_name = "TRIAL")]
    trial: Option<u64>,
    /// Call positive from the score that finds this share of the positives on the folds [default: 0.5 as score]
    #[arg(long, value_name = "SHARE", conflicts_with = "threshold")]
    min_sensitivity: Option<f64>,
    /// Call positive from this score on
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f64>,
    #[command(flatten)]
    storage: InStorage,
}

/// Measures.
pub fn measure(args: &Measure, voice: &Voice) -> Result<ExitCode, Fault> {
    match &args.what {
        What::Diagnosis(args) => diagnosis(args, voice),
        What::Throughput(args) => throughput::measure(args, voice).map(|()| ExitCode::SUCCESS),
        What::Barrier(args) => barrier::measure(args, voice).map(|()| ExitCode::SUCCESS),
        What::Statistics(args) => statistics::measure(args, voice).map(|()| ExitCode::SUCCESS),
        What::Scaling(args) => scaling::measure(args, voice).map(|()| ExitCode::SUCCESS),
    }
}

fn diagnosis(args: &DiagnosisArgs, voice: &Voice) -> Result<ExitCode, Fault> {
    for (name, share) in [("--min-sensitivity", args.min_sensitivity), ("--threshold", args.threshold)] {
        if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(Fault::call(format!("{name} {}: it is a share, from 0 to 1", share.unwrap_or_default())));
        }
    }
    let (_, entry, history) = look_at(args.study.as_deref().or(args.study_option.as_deref()), &args.storage)?;
    let row = chosen(args.trial, &entry, &history)?;
    if row.config().get("split_seed").is_none() {
        return Err(Fault::call(format!(
            "`{}` is no study of a table, so there is no diagnosis to test; begin one with `kilter tune breast-cancer` or \
             `kilter tune tabular --data FILE --target COLUMN`",
            entry.spec.name
        )));
    }
    let mut tested = test_diagnosis(row.config(), args.min_sensitivity).map_err(Fault::call)?;
    if let Some(threshold) = args.threshold {
        tested.threshold = threshold;
    }
    let predictions = Predictions::new(&tested.labels, &tested.scores).map_err(Fault::work)?;
    let diagnosis = Diagnosis::new(predictions, tested.threshold);
    if voice.json {
        voice.document(&document(&entry.spec.name, row.number, row.config(), &tested, &diagnosis))?;
    } else {
        tell(&entry.spec.name, row.number, &tested, &diagnosis, voice)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The proportions of a table of counts.
fn shares(counts: Confusion) -> [(&'static str, Option<Interval>); 4] {
    [
        ("accuracy", counts.accuracy()),
        ("sensitivity", counts.sensitivity()),
        ("specificity", counts.specificity()),
        ("precision", counts.precision()),
    ]
}

fn share(interval: Option<Interval>) -> String {
    // What is undefined is no zero.
    interval.map_or_else(|| "–".to_owned(), |i| format!("{:.3}", i.estimate))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

/// Thresholds worth a line: the one asked for, round ones, and those that reach round sensitivities.
fn worth_a_line(diagnosis: &Diagnosis) -> Vec<OperatingPoint> {
    let reaching = |wanted: f64| {
        let reaches = |point: &&OperatingPoint| point.counts.sensitivity().is_some_and(|s| s.estimate >= wanted);
        diagnosis.roc.iter().find(reaches).copied()
    };
    let mut points: Vec<OperatingPoint> = [0.9, 0.95, 0.98, 1.0].into_iter().filter_map(reaching).collect();
    points.push(diagnosis.at);
    points.retain(|point| point.threshold.is_finite());
    points.sort_by(|a, b| b.threshold.total_cmp(&a.threshold));
    points.dedup_by(|a, b| a.counts == b.counts);
    points
}

fn tell(study: &str, trial: u64, tested: &Tested, diagnosis: &Diagnosis, voice: &Voice) -> Result<(), Fault> {
    let [positives, negatives] = diagnosis.rows;
    let [negative, positive] = &tested.classes;
    voice.say(&voice.strong(&format!("diagnosis of trial {trial} of {study}, on rows that tuning never saw")))?;
    voice.say(&format!("  {}: {positives} {positive} (positive), {negatives} {negative}", tested.data))?;
    voice.say("")?;
    let counts = diagnosis.at.counts;
    voice.say(&format!("called positive at a score of {} or more", short(diagnosis.at.threshold)))?;
    let head = ["", &format!("called {positive}"), &format!("called {negative}")].map(str::to_owned);
    let row = |name: &str, a: u64, b: u64| vec![name.to_owned(), a.to_string(), b.to_string()];
    voice.say(&table(
        &head,
        vec![
            row(positive, counts.true_positives, counts.false_negatives),
            row(negative, counts.false_positives, counts.true_negatives),
        ],
    ))?;
    voice.say("")?;
    let interval =
        |interval: Option<Interval>| interval.map_or_else(String::new, |i| format!("{:.3} to {:.3}", i.low, i.high));
    let mut rows: Vec<Vec<String>> =
        shares(counts).into_iter().map(|(name, i)| vec![name.to_owned(), share(i), interval(i)]).collect();
    let others = [
        ("F1", counts.f1()),
        ("AUC", diagnosis.auc),
        ("log-loss", diagnosis.log_loss),
        ("Brier", diagnosis.brier),
        ("calibration error", diagnosis.calibration_error),
    ];
    rows.extend(others.map(|(name, value)| vec![name.to_owned(), number(value), String::new()]));
    voice.say(&table(&["measure", "value", "95 % interval"].map(str::to_owned), rows))?;
    voice.say("")?;
    let sensitivities: Vec<f64> = curve(diagnosis);
    if !sensitivities.is_empty() {
        voice.say(&format!(
            "ROC: sensitivity as false positives grow from 0 to 100 %\n  {}",
            sparkline(&sensitivities, 40)
        ))?;
        voice.say("")?;
    }
    let rows = worth_a_line(diagnosis).into_iter().map(|point| {
        let [_, sensitivity, specificity, precision] = shares(point.counts);
        let mark = if point == diagnosis.at { "←" } else { "" };
        vec![
            format!("{:.3}", point.threshold),
            share(sensitivity.1),
            share(specificity.1),
            share(precision.1),
            point.counts.false_negatives.to_string(),
            point.counts.false_positives.to_string(),
            mark.to_owned(),
        ]
    });
    let head = ["threshold", "sensitivity", "specificity", "precision", "missed", "false alarms", ""];
    voice.say(&table(&head.map(str::to_owned), rows.collect()))?;
    voice.say("")?;
    let rows = diagnosis.calibration.iter().map(|bin| {
        let observed = bin.observed;
        vec![
            bin.rows.to_string(),
            format!("{:.3}", bin.predicted),
            format!("{:.3}", observed.estimate),
            format!("{:.3} to {:.3}", observed.low, observed.high),
        ]
    });
    voice.say(&table(&["rows", "predicted", "observed", "95 % interval"].map(str::to_owned), rows.collect()))?;
    for warning in &diagnosis.warnings {
        voice.say(&format!("\n{}", voice.verdict(false, &warning.to_string())))?;
    }
    voice.say(&voice.faint("\n  a software demonstration, not a medical device"))
}

/// The ROC curve at 40 evenly spaced false-positive rates; empty where it is not defined.
fn curve(diagnosis: &Diagnosis) -> Vec<f64> {
    let points: Vec<(f64, f64)> = diagnosis
        .roc
        .iter()
        .filter_map(|p| Some((1.0 - p.counts.specificity()?.estimate, p.counts.sensitivity()?.estimate)))
        .collect();
    if points.is_empty() {
        return Vec::new();
    }
    let at = |rate: f64| points.iter().filter(|(x, _)| *x <= rate + 1e-12).map(|(_, y)| *y).fold(0.0, f64::max);
    (0..40).map(|i| at(f64::from(i) / 39.0)).collect()
}

fn document(study: &str, trial: u64, config: &Config, tested: &Tested, diagnosis: &Diagnosis) -> Json {
    let interval = |i: Option<Interval>| i.map(|i| json!({ "value": i.estimate, "low": i.low, "high": i.high }));
    let point = |point: &OperatingPoint| {
        let counts = point.counts;
        let mut object: serde_json::Map<String, Json> =
            shares(counts).into_iter().map(|(name, i)| (name.to_owned(), json!(interval(i)))).collect();
        // Nobody is called positive at an infinite threshold, which JSON cannot say.
        object.insert("threshold".to_owned(), json!(point.threshold.is_finite().then_some(point.threshold)));
        object.insert("true_positives".to_owned(), json!(counts.true_positives));
        object.insert("false_positives".to_owned(), json!(counts.false_positives));
        object.insert("true_negatives".to_owned(), json!(counts.true_negatives));
        object.insert("false_negatives".to_owned(), json!(counts.false_negatives));
        object.insert("f1".to_owned(), json!(counts.f1()));
        Json::Object(object)
    };
    let bin = |bin: &CalibrationBin| json!({ "rows": bin.rows, "predicted": bin.predicted, "observed": interval(Some(bin.observed)) });
    json!({
        "study": study, "trial": trial, "params": config, "data": tested.data,
        "positive": tested.classes[1], "negative": tested.classes[0],
        "positives": diagnosis.rows[0], "negatives": diagnosis.rows[1],
        "auc": diagnosis.auc, "log_loss": diagnosis.log_loss, "brier": diagnosis.brier,
        "calibration_error": diagnosis.calibration_error,
        "at": point(&diagnosis.at),
        "roc": diagnosis.roc.iter().map(point).collect::<Vec<_>>(),
        "calibration": diagnosis.calibration.iter().map(bin).collect::<Vec<_>>(),
        "warnings": diagnosis.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
