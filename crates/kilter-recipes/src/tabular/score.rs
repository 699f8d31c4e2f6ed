//! The metrics of predictions, by what is predicted.

use std::collections::BTreeMap;

use kilter_data::Target;
use kilter_measure::{ClassPredictions, NumberPredictions, Predictions};
use kilter_study::{Better, Failure, Metric};

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

/// All metrics of these predictions; those that are undefined there are absent.
pub fn judge(truth: &Target, predicted: &[f64], threshold: f64) -> Result<BTreeMap<&'static str, f64>, Failure> {
    let all: Vec<(&'static str, Option<f64>)> = match truth {
        Target::Classes { labels, names } if names.len() == 2 => {
            let predictions = Predictions::new(labels, predicted).map_err(Failure::refused)?;
            let confusion = predictions.confusion(threshold);
            vec![
                ("log_loss", predictions.log_loss()),
                ("auc", predictions.auc()),
                ("accuracy", confusion.accuracy().map(|share| share.estimate)),
                ("sensitivity", confusion.sensitivity().map(|share| share.estimate)),
                ("specificity", confusion.specificity().map(|share| share.estimate)),
                ("precision", confusion.precision().map(|share| share.estimate)),
                ("f1", confusion.f1()),
                ("brier", predictions.brier()),
            ]
        }
        Target::Classes { labels, names } => {
            let predictions = ClassPredictions::new(labels, predicted, names.len()).map_err(Failure::refused)?;
            vec![
                ("log_loss", predictions.log_loss()),
                ("auc", predictions.auc()),
                ("accuracy", predictions.accuracy().map(|share| share.estimate)),
                ("balanced_accuracy", predictions.balanced_accuracy()),
                ("macro_f1", predictions.macro_f1()),
            ]
        }
        Target::Numbers(numbers) => {
            let predictions = NumberPredictions::new(numbers, predicted).map_err(Failure::refused)?;
            vec![("rmse", predictions.rmse()), ("mae", predictions.mae()), ("r2", predictions.r2())]
        }
    };
    Ok(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}
