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

/// What is to be predicted, one per row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// Classes.
    Classes {
        /// A class per row, below `count`.
        labels: &'a [u8],
        /// Number of classes, at least 2; a class may be without rows.
        count: usize,
    },
    /// Numbers.
    Numbers(&'a [f64]),
}

impl Target<'_> {
    /// Numbers that a model of this target gives for a row: P(class = 1) for two classes, a probability per class for
    /// more, the expected number.
    pub fn outputs(self) -> usize {
        match self {
            Self::Classes { count, .. } if count > 2 => count,
            _ => 1,
        }
    }
}

/// Rows with a target each and, if given, a weight each: what a model learns from. At least one row; all values finite,
/// unless made by [`Self::with_missing`].
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    table: Table<'a>,
    target: Target<'a>,
    weights: Option<&'a [f64]>,
}

impl<'a> Examples<'a> {
    /// Joins rows and classes 0 or 1; every row weighs 1.
    ///
    /// # Errors
    /// No rows, another number of labels, a label other than 0 and 1, or a value that is not finite.
    pub fn new(table: Table<'a>, labels: &'a [u8]) -> Result<Self, TableError> {
        Self::of(table, Target::Classes { labels, count: 2 })
    }

    /// Joins rows and what is to be predicted; every row weighs 1.
    ///
    /// # Errors
    /// No rows, another number of targets, a class that is none, or a number that is not finite.
    pub fn of(table: Table<'a>, target: Target<'a>) -> Result<Self, TableError> {
        let examples = Self::with_missing(table, target)?;
        match table.values.iter().position(|v| !v.is_finite()) {
            Some(place) => Err(examples.not_finite(place)),
            None => Ok(examples),
        }
    }

    /// As [`Self::of`], but a value may be NaN, which is a missing one. [`crate::Boosting`] learns from such rows;
    /// every other model needs the values imputed.
    ///
    /// # Errors
    /// As [`Self::of`]; of the values, infinite ones.
    pub fn with_missing(table: Table<'a>, target: Target<'a>) -> Result<Self, TableError> {
        match target {
            Target::Classes { labels, count } => check_labels(labels, count, table.rows())?,
            Target::Numbers(numbers) => {
                if numbers.len() != table.rows() {
                    return Err(TableError::Length { what: "targets", found: numbers.len(), rows: table.rows() });
                }
                if let Some(row) = numbers.iter().position(|y| !y.is_finite()) {
                    return Err(TableError::Target { row, found: numbers[row] });
                }
            }
        }
        if table.rows() == 0 {
            return Err(TableError::Empty);
        }
        let examples = Self { table, target, weights: None };
        match table.values.iter().position(|v| v.is_infinite()) {
            Some(place) => Err(examples.not_finite(place)),
            None => Ok(examples),
        }
    }

    fn not_finite(self, place: usize) -> TableError {
        let (row, column) = (place / self.table.columns, place % self.table.columns);
        TableError::NotFinite { row, column, found: self.table.values[place] }
    }

    /// The same examples with a weight per row; a row of weight 2 counts as two equal rows, one of weight 0 as none.
    ///
    /// # Errors
    /// Another number of weights, a weight that is negative or not finite, or no positive weight at all.
    pub fn weighted(self, weights: &'a [f64]) -> Result<Self, TableError> {
        let rows = self.table.rows();
        if weights.len() != rows {
            return Err(TableError::Length { what: "weights", found: weights.len(), rows });
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

    /// What is to be predicted.
    pub fn target(self) -> Target<'a> {
        self.target
    }

    /// The rows' classes and their number.
    ///
    /// # Errors
    /// If numbers are to be predicted.
    pub fn classes(self) -> Result<(&'a [u8], usize), TableError> {
        match self.target {
            Target::Classes { labels, count } => Ok((labels, count)),
            Target::Numbers(_) => Err(TableError::Kind { needs: "classes", found: "numbers" }),
        }
    }

    /// The rows' numbers.
    ///
    /// # Errors
    /// If classes are to be predicted.
    pub fn numbers(self) -> Result<&'a [f64], TableError> {
        match self.target {
            Target::Numbers(numbers) => Ok(numbers),
            Target::Classes { .. } => Err(TableError::Kind { needs: "numbers", found: "classes" }),
        }
    }

    /// The same examples, for a model that cannot do without a value.
    ///
    /// # Errors
    /// If a value is missing.
    pub(crate) fn complete(self) -> Result<Self, TableError> {
        match self.table.values.iter().position(|v| v.is_nan()) {
            Some(place) => Err(self.not_finite(place)),
            None => Ok(self),
        }
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
    /// A number to be predicted is infinite or missing.
    #[error("targets, row {row}: {found} is not finite; leave out rows without a target")]
    Target {
        /// Row, from 0.
        row: usize,
        /// The number.
        found: f64,
    },
    /// The model predicts another kind of target.
    #[error("target: this model predicts {needs}, and the examples have {found}")]
    Kind {
        /// What it predicts.
        needs: &'static str,
        /// What the examples have.
        found: &'static str,
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

/// One label per row, each below `count`.
fn check_labels(labels: &[u8], count: usize, rows: usize) -> Result<(), TableError> {
    if labels.len() != rows {
        return Err(TableError::Length { what: "labels", found: labels.len(), rows });
    }
    match labels.iter().position(|&label| usize::from(label) >= count) {
        Some(row) => Err(TableError::Label { row, found: labels[row], count }),
        None => Ok(()),
    }
}
