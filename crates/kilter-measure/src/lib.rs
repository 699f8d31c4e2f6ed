#![doc = include_str!("../README.md")]

pub mod classes;
pub mod classification;
pub mod diagnosis;
pub mod landscape;
pub mod regression;

use thiserror::Error;

pub use classes::ClassPredictions;
pub use classification::{Confusion, Predictions};
pub use diagnosis::Diagnosis;
pub use regression::NumberPredictions;

/// Why predictions cannot be scored.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ScoreError {
    /// Not as many predictions as there should be.
    #[error("predictions: {found} for {rows} rows of {outputs}; give rows x {outputs}")]
    Length {
        /// Predictions given.
        found: usize,
        /// Rows.
        rows: usize,
        /// Predictions a row.
        outputs: usize,
    },
    /// A label names no class.
    #[error("labels, row {row}: found {found}; the class must be from 0 to {}", count - 1)]
    Label {
        /// Row, from 0.
        row: usize,
        /// The label.
        found: u8,
        /// Number of classes.
        count: usize,
    },
    /// A prediction is infinite or not a number.
    #[error("predictions, row {row}: {found} is not finite; did the model's fit diverge?")]
    Prediction {
        /// Row, from 0.
        row: usize,
        /// The prediction.
        found: f64,
    },
}

fn check(rows: usize, outputs: usize, predictions: &[f64]) -> Result<(), ScoreError> {
    if predictions.len() != rows * outputs {
        return Err(ScoreError::Length { found: predictions.len(), rows, outputs });
    }
    match predictions.iter().position(|p| !p.is_finite()) {
        Some(place) => Err(ScoreError::Prediction { row: place / outputs, found: predictions[place] }),
        None => Ok(()),
    }
}

fn check_labels(labels: &[u8], count: usize) -> Result<(), ScoreError> {
    match labels.iter().position(|&label| usize::from(label) >= count) {
        Some(row) => Err(ScoreError::Label { row, found: labels[row], count }),
        None => Ok(()),
    }
}
