//! What every fitted two-class model can do, so that a comparison can hold several kinds in one list.

use crate::Table;

/// A fitted model of P(class = 1 | row).
pub trait Classifier {
    /// The probability of class 1 for one row, in [0, 1].
    ///
    /// # Panics
    /// If the row has another number of columns than the training rows.
    fn predict(&self, row: &[f64]) -> f64;

    /// The probability of class 1 for every row of `table`, `[rows]`.
    ///
    /// # Panics
    /// As [`Self::predict`].
    fn predict_table(&self, table: Table<'_>) -> Vec<f64> {
        table.iter().map(|row| self.predict(row)).collect()
    }
}
