//! Views of tables and labelled examples; one that exists is consistent, so the methods behind them need not look again.

use thiserror::Error;

/// A row-major table of numbers that somebody else owns. It may hold NaN (a missing value) until it becomes
/// [`Examples`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Table<'a> {
    values: &'a [f64],
    columns: usize,
}

impl<'a> Table<'a> {
    /// A view of `values` as rows of `columns` numbers.
    ///
    /// # Errors
    /// No columns, or a number of values that is not a multiple of them.
    pub fn new(values: &'a [f64], columns: usize) -> Result<Self, TableError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(TableError::Shape { values: values.len(), columns });
        }
        Ok(Self { values, columns })
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.values.len() / self.columns
    }

    /// Number of columns, at least 1.
    pub fn columns(self) -> usize {
        self.columns
    }

    /// All values, row-major.
    pub fn values(self) -> &'a [f64] {
        self.values
    }

    /// The values of row `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Self::rows`].
    pub fn row(self, index: usize) -> &'a [f64] {
        &self.values[index * self.columns..(index + 1) * self.columns]
    }

    /// The rows, in order.
    pub fn iter(self) -> std::slice::ChunksExact<'a, f64> {
        self.values.chunks_exact(self.columns)
    }

    /// The values of column `index`, top to bottom.
    ///
    /// # Panics
    /// If `index` is not below [`Self::columns`].
    pub fn column(self, index: usize) -> impl Iterator<Item = f64> + Clone + 'a {
        assert!(index < self.columns, "column {index} of a table with {} columns", self.columns);
        self.values.iter().skip(index).step_by(self.columns).copied()
    }
}

/// Rows with a class each (0 or 1) and, if given, a weight each: what a classifier learns from. At least one row, all
/// values finite.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    table: Table<'a>,
    labels: &'a [u8],
    weights: Option<&'a [f64]>,
}

impl<'a> Examples<'a> {
    /// Joins rows and classes; every row weighs 1.
    ///
    /// # Errors
    /// No rows, another number of labels, a label other than 0 and 1, or a value that is not finite.
    pub fn new(table: Table<'a>, labels: &'a [u8]) -> Result<Self, TableError> {
        check_labels(labels, table.rows())?;
        if table.rows() == 0 {
            return Err(TableError::Empty);
        }
        if let Some(place) = table.values.iter().position(|v| !v.is_finite()) {
            let (row, column) = (place / table.columns, place % table.columns);
            return Err(TableError::NotFinite { row, column, found: table.values[place] });
        }
        Ok(Self { table, labels, weights: None })
    }

    /// The same examples with a weight per row; a row of weight 2 counts as two equal rows, one of weight 0 as none.
    ///
    /// # Errors
    /// Another number of weights, a weight that is negative or not finite, or no positive weight at all.
    pub fn weighted(self, weights: &'a [f64]) -> Result<Self, TableError> {
        if weights.len() != self.labels.len() {
            return Err(TableError::Length { what: "weights", found: weights.len(), rows: self.labels.len() });
        }
        if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(TableError::Weight { row, found: weights[row] });
        }
        if weights.iter().all(|&w| w == 0.0) {
            return Err(TableError::Empty);
        }
        Ok(Self { weights: Some(weights), ..self })
    }

    /// The rows' values.
    pub fn table(self) -> Table<'a> {
        self.table
    }

    /// The rows' classes, 0 or 1.
    pub fn labels(self) -> &'a [u8] {
        self.labels
    }

    /// The weight of row `index`.
    ///
    /// # Panics
    /// If `index` is not below the number of rows and weights were given.
    pub fn weight(self, index: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[index])
    }
}

/// Why numbers do not make a table, examples or predictions; every variant says where.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TableError {
    /// The values do not fill whole rows.
    #[error("table: {values} values don't fill rows of {columns} columns; give rows x columns values, row by row")]
    Shape {
        /// Number of values.
        values: usize,
        /// Number of columns.
        columns: usize,
    },
    /// Something that comes once per row has another length.
    #[error("{what}: {found} for {rows} rows; give one per row")]
    Length {
        /// What comes once per row.
        what: &'static str,
        /// How many were given.
        found: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// A table of another width than the one learnt from.
    #[error("table: {found} columns, learnt from {expected}; give the same columns in the same order")]
    Width {
        /// Columns given.
        found: usize,
        /// Columns of the training table.
        expected: usize,
    },
    /// There is nothing to learn from.
    #[error("table: no row with a positive weight; at least one is needed")]
    Empty,
    /// A label is neither 0 nor 1.
    #[error("labels, row {row}: found {found}; the class must be 0 (negative) or 1 (positive)")]
    Label {
        /// Row, from 0.
        row: usize,
        /// The label.
        found: u8,
    },
    /// A value is infinite or missing.
    #[error("table, row {row}, column {column}: {found} is not finite; impute missing values first (MedianImputer)")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The value.
        found: f64,
    },
    /// A prediction is infinite or not a number.
    #[error("scores, row {row}: {found} is not finite; did the model's fit diverge?")]
    Score {
        /// Row, from 0.
        row: usize,
        /// The score.
        found: f64,
    },
    /// A weight is negative or not finite.
    #[error("weights, row {row}: {found} must be finite and not negative")]
    Weight {
        /// Row, from 0.
        row: usize,
        /// The weight.
        found: f64,
    },
    /// A column has no value at all, so it has no median.
    #[error("table, column {column}: every value is missing; drop the column")]
    NoValues {
        /// Column, from 0.
        column: usize,
    },
}

/// One label per row, each 0 or 1.
pub(crate) fn check_labels(labels: &[u8], rows: usize) -> Result<(), TableError> {
    if labels.len() != rows {
        return Err(TableError::Length { what: "labels", found: labels.len(), rows });
    }
    match labels.iter().position(|&label| label > 1) {
        Some(row) => Err(TableError::Label { row, found: labels[row] }),
        None => Ok(()),
    }
}
