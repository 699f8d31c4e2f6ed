//! The metrics of predictions, by what is predicted.

use std::collections::BTreeMap;

use kilter_data::Target;
use kilter_measure::{ClassPredictions, NumberPredictions, Predictions};
use kilter_numerics::Stream;
use kilter_numerics::compare::{Interval, bootstrap};
use kilter_study::{Better, Failure, Metric, Outcome};

use super::Kind;

/// Predicted positive at or above this probability.
pub const THRESHOLD: f64 = 0.5;

/// All metrics; the first is the usual goal.
pub fn metrics(kind: Kind) -> Vec<Metric> {
    let all: &[(&str, Better)] = match kind {
        Kind::TwoClasses => &[
            ("log_loss", Better::Lower),
            ("auc", Better::Higher),
            ("accuracy", Better::Higher),
            ("sensitivity", Better::Higher),
            ("specificity", Better::Higher),
            ("precision", Better::Higher),
            ("f1", Better::Higher),
            ("brier", Better::Lower),
        ],
        Kind::Classes => &[
            ("log_loss", Better::Lower),
            ("auc", Better::Higher),
            ("accuracy", Better::Higher),
            ("balanced_accuracy", Better::Higher),
            ("macro_f1", Better::Higher),
        ],
        Kind::Numbers => &[("rmse", Better::Lower), ("mae", Better::Lower), ("r2", Better::Higher)],
    };
    all.iter().map(|(name, better)| Metric::new(name, *better)).collect()
}

/// A metric that is undefined for these predictions is nothing; a share brings its interval along.
type Figure = (&'static str, Option<f64>, Option<Interval>);

fn figures(truth: &Target, predicted: &[f64], threshold: f64) -> Result<Vec<Figure>, Failure> {
    let plain = |name, value| (name, value, None);
    let share = |name, share: Option<Interval>| (name, share.map(|share| share.estimate), share);
    Ok(match truth {
        Target::Classes { labels, names } if names.len() == 2 => {
            let predictions = Predictions::new(labels, predicted).map_err(Failure::refused)?;
            let confusion = predictions.confusion(threshold);
            vec![
                plain("log_loss", predictions.log_loss()),
                plain("auc", predictions.auc()),
                share("accuracy", confusion.accuracy()),
                share("sensitivity", confusion.sensitivity()),
                share("specificity", confusion.specificity()),
                share("precision", confusion.precision()),
                plain("f1", confusion.f1()),
                plain("brier", predictions.brier()),
            ]
        }
        Target::Classes { labels, names } => {
            let predictions = ClassPredictions::new(labels, predicted, names.len()).map_err(Failure::refused)?;
            vec![
                plain("log_loss", predictions.log_loss()),
                plain("auc", predictions.auc()),
                share("accuracy", predictions.accuracy()),
                plain("balanced_accuracy", predictions.balanced_accuracy()),
                plain("macro_f1", predictions.macro_f1()),
            ]
        }
        Target::Numbers(numbers) => {
            let predictions = NumberPredictions::new(numbers, predicted).map_err(Failure::refused)?;
            vec![plain("rmse", predictions.rmse()), plain("mae", predictions.mae()), plain("r2", predictions.r2())]
        }
    })
}

/// All metrics of these predictions; those that are undefined there are absent.
pub fn judge(truth: &Target, predicted: &[f64], threshold: f64) -> Result<BTreeMap<&'static str, f64>, Failure> {
    let all = figures(truth, predicted, threshold)?;
    Ok(all.into_iter().filter_map(|(name, value, _)| Some((name, value?))).collect())
}

/// How often rows are drawn anew for the intervals; fewer times where there are so many rows that intervals are narrow.
fn resamples(rows: usize) -> usize {
    if rows <= 20_000 { 1000 } else { 200 }
}

/// All metrics with the ends of their 95 % intervals: Wilson's for shares of rows, else those of a bootstrap of the rows.
pub fn judge_with_intervals(
    truth: &Target,
    predicted: &[f64],
    threshold: f64,
    chance: &mut Stream,
) -> Result<Outcome, Failure> {
    let all = figures(truth, predicted, threshold)?;
    let rows = truth.rows();
    let width = predicted.len() / rows.max(1);
    let redrawn = |picked: &[usize]| -> Vec<f64> {
        let scores: Vec<f64> =
            picked.iter().flat_map(|row| &predicted[row * width..(row + 1) * width]).copied().collect();
        let again = figures(&truth.of(picked), &scores, threshold).unwrap_or_default();
        let value = |i: usize| again.get(i).and_then(|figure| figure.1).unwrap_or(f64::NAN);
        (0..all.len()).map(value).collect()
    };
    let mut redrawn = redrawn;
    let drawn = bootstrap(rows, 0.95, resamples(rows), chance, &mut redrawn).map_err(Failure::refused)?;
    let mut outcome = Outcome::default();
    for ((name, value, share), drawn) in all.iter().zip(drawn) {
        outcome.metrics.extend(value.map(|value| ((*name).to_owned(), value)));
        outcome.intervals.extend(share.or(drawn).map(|i| ((*name).to_owned(), [i.low, i.high])));
    }
    Ok(outcome)
}
