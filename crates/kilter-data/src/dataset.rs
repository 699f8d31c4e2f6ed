//! A labelled table in memory.

use thiserror::Error;

/// A table of numbers and categories with something to be predicted per row.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name in the catalogue, or its file.
    pub name: String,
    /// The columns to predict from.
    pub features: Vec<Feature>,
    /// Row-major values, `[rows, columns]`; NaN marks a missing one, a category is its place in [`Feature::categories`].
    pub values: Vec<f64>,
    /// Name of the column to be predicted.
    pub target_name: String,
    /// What is to be predicted.
    pub target: Target,
    /// What was left out on reading, in words.
    pub notes: Vec<String>,
    /// Rows that the source itself holds back for the test, ascending; none: whoever tests draws some.
    pub held_out: Vec<usize>,
    /// If a row is a picture: its colours, height and width. The columns are colour by colour, row by row.
    pub picture: Option<[usize; 3]>,
}

/// A column to predict from.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Of a column of categories, their names; a column of numbers has none.
    pub categories: Option<Vec<String>>,
}

/// What is to be predicted, one per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Classes. Of two, class 1 is the positive one (the illness, the event).
    Classes {
        /// A class per row.
        labels: Vec<u8>,
        /// The classes' names, at least two.
        names: Vec<String>,
    },
    /// Numbers.
    Numbers(Vec<f64>),
}

impl Target {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// The targets of the given rows, in the given order.
    ///
    /// # Panics
    /// If an index is not below [`Self::rows`].
    #[must_use]
    pub fn of(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes { labels, names } => {
                Self::Classes { labels: rows.iter().map(|&row| labels[row]).collect(), names: names.clone() }
            }
            Self::Numbers(numbers) => Self::Numbers(rows.iter().map(|&row| numbers[row]).collect()),
        }
    }

    /// A stratum per row, for [`crate::split`]: the class; of numbers the place of their rank among `strata` equal parts.
    pub fn strata(&self, strata: usize) -> Vec<u8> {
        match self {
            Self::Classes { labels, .. } => labels.clone(),
            Self::Numbers(numbers) => {
                let mut order: Vec<usize> = (0..numbers.len()).collect();
                order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
                let mut places = vec![0; numbers.len()];
                for (rank, row) in order.into_iter().enumerate() {
                    places[row] = (rank * strata / numbers.len()) as u8;
                }
                places
            }
        }
    }
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.target.rows()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.features.len()
    }

    /// The classes of all rows, if classes are to be predicted.
    pub fn labels(&self) -> Option<&[u8]> {
        match &self.target {
            Target::Classes { labels, .. } => Some(labels),
            Target::Numbers(_) => None,
        }
    }

    /// The values of the given rows, row-major, in the given order.
    ///
    /// # Panics
    /// If an index is not below [`Self::rows`].
    pub fn values_of(&self, rows: &[usize]) -> Vec<f64> {
        let columns = self.columns();
        rows.iter().flat_map(|&row| &self.values[row * columns..(row + 1) * columns]).copied().collect()
    }
}

/// Why a table could not be read; every variant says where.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no such set or file.
    #[error("{0}")]
    Unknown(String),
    /// The text is not CSV.
    #[error("{file}: {why}")]
    Csv {
        /// The table.
        file: String,
        /// What is wrong, where, and what would be right.
        why: String,
    },
    /// A line has more or fewer cells than the header.
    #[error(
        "{file}, line {line}: {found} cells, and the first line names {expected}; is a separator missing or a quote open?"
    )]
    Ragged {
        /// The table.
        file: String,
        /// Line of the file, from 1.
        line: u64,
        /// Cells of that line.
        found: usize,
        /// Cells of the header.
        expected: usize,
    },
    /// A cell is not what its place asks for.
    #[error("{file}, line {line}, column {column}: found {found:?}, expected {expected}")]
    Cell {
        /// The table.
        file: String,
        /// Line of the file, from 1.
        line: u64,
        /// Column, by name or by place from 1.
        column: String,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
    },
    /// The column to be predicted is not usable.
    #[error("{file}: {why}")]
    Target {
        /// The table.
        file: String,
        /// What is wrong, and what would be right.
        why: String,
    },
}
