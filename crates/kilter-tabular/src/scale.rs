//! What is learnt about columns before a model sees them: mean and deviation, the median that stands in for a missing
//! value, the categories that become columns of their own.
//!
//! All are fitted on training rows and applied to any others, so nothing of a held-out row leaks into the model. Cost:
//! one pass over the table per column; the median sorts each column.

use crate::{Table, TableError};

/// Shifts and scales every column to mean 0 and population deviation 1 over the rows it was fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardiser {
    /// Mean per column, `[columns]`.
    pub means: Vec<f64>,
    /// Population deviation per column, `[columns]`; 1 for a constant column, which therefore becomes 0.
    pub deviations: Vec<f64>,
}

impl Standardiser {
    /// Learns the columns' means and deviations from training rows.
    ///
    /// # Errors
    /// No rows, or a value that is not finite.
    pub fn fit(table: Table<'_>) -> Result<Self, TableError> {
        let rows = table.rows() as f64;
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for column in 0..table.columns() {
            let values = table.column(column);
            let first = values.clone().next().ok_or(TableError::Empty)?;
            if let Some((row, found)) = values.clone().enumerate().find(|(_, v)| !v.is_finite()) {
                return Err(TableError::NotFinite { row, column, found });
            }
            // Taken from the first value, so that a constant column has deviation zero and not a rounding error.
            let mean = first + values.clone().map(|v| v - first).sum::<f64>() / rows;
            let deviation = (values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / rows).sqrt();
            means.push(mean);
            deviations.push(if deviation > 0.0 { deviation } else { 1.0 });
        }
        Ok(Self { means, deviations })
    }

    /// The standardised values of `table`, row-major.
    ///
    /// # Errors
    /// Another number of columns than was learnt from.
    pub fn apply(&self, table: Table<'_>) -> Result<Vec<f64>, TableError> {
        check_width(table, self.means.len())?;
        let learnt = || self.means.iter().zip(&self.deviations);
        Ok(table.iter().flat_map(|row| row.iter().zip(learnt()).map(|(v, (mean, sd))| (v - mean) / sd)).collect())
    }
}

/// Puts the column's median in the place of a missing value (NaN).
#[derive(Clone, Debug, PartialEq)]
pub struct MedianImputer {
    /// Median of the values present per column, `[columns]`; the middle two's mean where their number is even.
    pub medians: Vec<f64>,
}

impl MedianImputer {
    /// Learns the columns' medians from training rows.
    ///
    /// # Errors
    /// A column without any value.
    pub fn fit(table: Table<'_>) -> Result<Self, TableError> {
        let mut present = Vec::with_capacity(table.rows());
        let mut medians = Vec::with_capacity(table.columns());
        for column in 0..table.columns() {
            present.clear();
            present.extend(table.column(column).filter(|v| !v.is_nan()));
            if present.is_empty() {
                return Err(TableError::NoValues { column });
            }
            present.sort_unstable_by(f64::total_cmp);
            let (low, high) = (present[(present.len() - 1) / 2], present[present.len() / 2]);
            medians.push(low.midpoint(high));
        }
        Ok(Self { medians })
    }

    /// The values of `table`, row-major, with every NaN replaced.
    ///
    /// # Errors
    /// Another number of columns than was learnt from.
    pub fn apply(&self, table: Table<'_>) -> Result<Vec<f64>, TableError> {
        check_width(table, self.medians.len())?;
        let fill = |(&value, &median): (&f64, &f64)| if value.is_nan() { median } else { value };
        Ok(table.iter().flat_map(|row| row.iter().zip(&self.medians).map(fill)).collect())
    }
}

/// Makes a column of zeros and ones of every category of the columns that hold categories, and leaves the others as they
/// are. A missing or a rare category is zero in all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct OneHot {
    /// Per column: nothing for a number, else the categories' codes that get a column, ascending.
    categories: Vec<Option<Vec<f64>>>,
}

impl OneHot {
    /// Categories of a column that get one of their own at most: the most frequent ones.
    pub const MOST: usize = 50;

    /// Learns the categories of the columns that `is_category` names, from training rows; a category is any number.
    ///
    /// # Errors
    /// Another number of flags than columns.
    pub fn fit(table: Table<'_>, is_category: &[bool]) -> Result<Self, TableError> {
        check_width(table, is_category.len())?;
        let learn = |(column, &is_category): (usize, &bool)| {
            is_category.then(|| {
                let mut sorted: Vec<f64> = table.column(column).filter(|v| !v.is_nan()).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                let mut found: Vec<(usize, f64)> = sorted.chunk_by(|a, b| a == b).map(|c| (c.len(), c[0])).collect();
                // Stable: of equally frequent ones the lower code.
                found.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
                found.truncate(Self::MOST);
                let mut codes: Vec<f64> = found.into_iter().map(|(_, code)| code).collect();
                codes.sort_unstable_by(f64::total_cmp);
                codes
            })
        };
        Ok(Self { categories: is_category.iter().enumerate().map(learn).collect() })
    }

    /// Number of columns that come out, at least 1.
    pub fn columns(&self) -> usize {
        self.categories.iter().map(|c| c.as_ref().map_or(1, Vec::len)).sum::<usize>().max(1)
    }

    /// The values of `table` with categories as columns, row-major, `[rows, Self::columns()]`.
    ///
    /// # Errors
    /// Another number of columns than was learnt from.
    pub fn apply(&self, table: Table<'_>) -> Result<Vec<f64>, TableError> {
        check_width(table, self.categories.len())?;
        let mut out = Vec::with_capacity(table.rows() * self.columns());
        for row in table.iter() {
            let start = out.len();
            for (&value, categories) in row.iter().zip(&self.categories) {
                match categories {
                    None => out.push(value),
                    Some(codes) => out.extend(codes.iter().map(|&code| f64::from(u8::from(code == value)))),
                }
            }
            // Nothing but columns that have no category at all: a model still needs a column.
            if out.len() == start {
                out.push(0.0);
            }
        }
        Ok(out)
    }
}

fn check_width(table: Table<'_>, expected: usize) -> Result<(), TableError> {
    if table.columns() == expected {
        return Ok(());
    }
    Err(TableError::Width { found: table.columns(), expected })
}
