//! How good predicted numbers are. Cost: one pass.

use crate::{ScoreError, check};

/// Predicted numbers beside the true ones.
#[derive(Clone, Copy, Debug)]
pub struct NumberPredictions<'a> {
    truth: &'a [f64],
    predicted: &'a [f64],
}

impl<'a> NumberPredictions<'a> {
    /// Joins true and predicted numbers, row by row.
    ///
    /// # Errors
    /// Different lengths, or a prediction that is not finite.
    pub fn new(truth: &'a [f64], predicted: &'a [f64]) -> Result<Self, ScoreError> {
        check(truth.len(), 1, predicted)?;
        Ok(Self { truth, predicted })
    }

    /// Root of the mean squared error, in the target's unit, lower is better. `None` without rows.
    pub fn rmse(self) -> Option<f64> {
        self.mean(|error| error * error).map(f64::sqrt)
    }

    /// Mean absolute error, in the target's unit, lower is better. `None` without rows.
    pub fn mae(self) -> Option<f64> {
        self.mean(f64::abs)
    }

    /// Share of the variance that is explained: 1 is perfect, 0 as good as the mean. `None` if all true numbers are the
    /// same, or there is none.
    pub fn r2(self) -> Option<f64> {
        let mean = self.truth.iter().sum::<f64>() / self.truth.len() as f64;
        let spread = self.truth.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / self.truth.len() as f64;
        let error = self.mean(|error| error * error)?;
        (spread > 0.0).then(|| 1.0 - error / spread)
    }

    fn mean(self, of: impl Fn(f64) -> f64) -> Option<f64> {
        let sum: f64 = self.truth.iter().zip(self.predicted).map(|(y, p)| of(p - y)).sum();
        (!self.truth.is_empty()).then(|| sum / self.truth.len() as f64)
    }
}
