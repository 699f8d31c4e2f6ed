//! A labelled table in memory.

use thiserror::Error;

/// A table of numbers with a class per row. The class 1 is the positive one (the illness, the event).
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Name on the command line, for example `breast-cancer`.
    pub name: String,
    /// One name per column.
    pub feature_names: Vec<String>,
    /// What classes 0 and 1 mean, in this order.
    pub class_names: [String; 2],
    /// Row-major values, `[rows, columns]`; NaN marks a missing one.
    pub values: Vec<f64>,
    /// One class per row, 0 or 1.
    pub target: Vec<u8>,
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.target.len()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.feature_names.len()
    }

    /// The values of the given rows, row-major, in the given order.
    ///
    /// # Panics
    /// If an index is not below [`Self::rows`].
    pub fn values_of(&self, rows: &[usize]) -> Vec<f64> {
        let columns = self.columns();
        rows.iter().flat_map(|&row| &self.values[row * columns..(row + 1) * columns]).copied().collect()
    }

    /// The classes of the given rows, in the given order.
    ///
    /// # Panics
    /// If an index is not below [`Self::rows`].
    pub fn target_of(&self, rows: &[usize]) -> Vec<u8> {
        rows.iter().map(|&row| self.target[row]).collect()
    }
}

/// Why a table could not be read; every variant says where.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The text is not CSV with lines of one length.
    #[error("table {table:?}: {source}; every line needs the same number of comma-separated cells")]
    Csv {
        /// Name of the table.
        table: String,
        /// What the CSV reader said, with the line.
        source: csv::Error,
    },
    /// A cell is not what its place asks for.
    #[error("table {table:?}, line {line}, column {column}: found {found:?}, expected {expected}")]
    Cell {
        /// Name of the table.
        table: String,
        /// Line of the file, from 1.
        line: usize,
        /// Column of the file, from 1.
        column: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
    },
}
