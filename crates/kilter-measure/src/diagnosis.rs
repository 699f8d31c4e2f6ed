//! A test of a diagnosis, whole: discrimination, calibration, and what every threshold would mean.
//!
//! The operating points are those of Fawcett's *An Introduction to ROC Analysis* (2006); calibration by equally full bins
//! of predicted probability, each with the Wilson interval of its observed share, summed up as the expected calibration
//! error (Naeini, Cooper and Hauskrecht, 2015). Cost: one sort.

use kilter_numerics::compare::{Interval, Z_95, wilson};
use serde::Serialize;

use crate::classification::{Confusion, Predictions};

/// What a threshold means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatingPoint {
    /// Called positive at or above this score; infinite: nobody is.
    pub threshold: f64,
    /// The four counts.
    pub counts: Confusion,
}

/// A stretch of predicted probabilities and what was observed in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationBin {
    /// Rows in it.
    pub rows: u64,
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of positives, with its Wilson 95 % interval.
    pub observed: Interval,
}

/// A test of a diagnosis.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Positives and negatives.
    pub rows: [u64; 2],
    /// See [`Predictions::auc`].
    pub auc: Option<f64>,
    /// See [`Predictions::log_loss`].
    pub log_loss: Option<f64>,
    /// See [`Predictions::brier`].
    pub brier: Option<f64>,
    /// At the threshold asked for.
    pub at: OperatingPoint,
    /// Every operating point there is, from nobody to everybody called positive.
    pub roc: Vec<OperatingPoint>,
    /// Bins in the order of probability.
    pub calibration: Vec<CalibrationBin>,
    /// Mean distance of predicted and observed over the bins, by their rows.
    pub calibration_error: Option<f64>,
    /// What looks wrong.
    pub warnings: Vec<Warning>,
}

/// What looks wrong with a diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Positives score lower than negatives.
    #[error("the AUC is below 0.5: positives score lower than negatives, so the labels may be swapped")]
    LabelsMayBeSwapped,
}

/// Bins of the calibration at most.
const BINS: usize = 10;

impl Diagnosis {
    /// Everything about these predictions, and the counts at `threshold`.
    pub fn new(predictions: Predictions<'_>, threshold: f64) -> Self {
        let mut sorted = predictions.pairs();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let calibration = calibration(&sorted);
        let rows: u64 = calibration.iter().map(|bin| bin.rows).sum();
        let apart = |bin: &CalibrationBin| bin.rows as f64 * (bin.predicted - bin.observed.estimate).abs();
        let calibration_error = (rows > 0).then(|| calibration.iter().map(apart).sum::<f64>() / rows as f64);
        let counts = predictions.confusion(threshold);
        let auc = predictions.auc();
        Self {
            rows: [counts.true_positives + counts.false_negatives, counts.true_negatives + counts.false_positives],
            auc,
            log_loss: predictions.log_loss(),
            brier: predictions.brier(),
            at: OperatingPoint { threshold, counts },
            roc: roc(&sorted),
            calibration,
            calibration_error,
            warnings: auc.filter(|auc| *auc < 0.5).map(|_| Warning::LabelsMayBeSwapped).into_iter().collect(),
        }
    }
}

/// `sorted` by score, descending; equal scores are one step.
fn roc(sorted: &[(f64, u8)]) -> Vec<OperatingPoint> {
    let positives = sorted.iter().filter(|(_, label)| *label == 1).count() as u64;
    let mut counts = Confusion {
        false_negatives: positives,
        true_negatives: sorted.len() as u64 - positives,
        ..Confusion::default()
    };
    let mut points = vec![OperatingPoint { threshold: f64::INFINITY, counts }];
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let found = tied.iter().filter(|(_, label)| *label == 1).count() as u64;
        let false_calls = tied.len() as u64 - found;
        counts.true_positives += found;
        counts.false_negatives -= found;
        counts.false_positives += false_calls;
        counts.true_negatives -= false_calls;
        points.push(OperatingPoint { threshold: tied[0].0, counts });
    }
    points
}

/// Equally full bins; equal scores stay together.
fn calibration(sorted: &[(f64, u8)]) -> Vec<CalibrationBin> {
    let mut bins = Vec::new();
    let (mut start, ascending) = (0, sorted.iter().rev().copied().collect::<Vec<_>>());
    for bin in 1..=BINS {
        let mut end = ascending.len() * bin / BINS;
        while end > 0 && end < ascending.len() && ascending[end].0 == ascending[end - 1].0 {
            end += 1;
        }
        let Some(rows) = ascending.get(start..end).filter(|rows| !rows.is_empty()) else { continue };
        let positives = rows.iter().filter(|(_, label)| *label == 1).count() as u64;
        let predicted = rows.iter().map(|(score, _)| score).sum::<f64>() / rows.len() as f64;
        if let Some(observed) = wilson(positives, rows.len() as u64, Z_95) {
            bins.push(CalibrationBin { rows: rows.len() as u64, predicted, observed });
        }
        start = end;
    }
    bins
}
