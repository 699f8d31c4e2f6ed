//! What every fitted model can do, so that a comparison can hold several kinds in one list.

use crate::Table;

/// A fitted model. It gives for a row P(class = 1) of two classes, a probability per class of more, or the expected
/// number.
pub trait Model {
    /// Numbers per row: 1 for two classes and for numbers, else the number of classes.
    fn outputs(&self) -> usize;

    /// Writes the prediction for one row into `out`, `[outputs]`.
    ///
    /// # Panics
    /// If the row has another number of columns than the training rows, or `out` another length.
    fn predict_into(&self, row: &[f64], out: &mut [f64]);

    /// The prediction for one row of a model with one output.
    ///
    /// # Panics
    /// As [`Self::predict_into`]; with more outputs.
    fn predict(&self, row: &[f64]) -> f64 {
        let mut out = [0.0];
        self.predict_into(row, &mut out);
        out[0]
    }

    /// The predictions for every row of `table`, `[rows, outputs]`.
    ///
    /// # Panics
    /// As [`Self::predict_into`].
    fn predict_table(&self, table: Table<'_>) -> Vec<f64> {
        let mut out = vec![0.0; table.rows() * self.outputs()];
        for (row, out) in table.iter().zip(out.chunks_exact_mut(self.outputs())) {
            self.predict_into(row, out);
        }
        out
    }
}
