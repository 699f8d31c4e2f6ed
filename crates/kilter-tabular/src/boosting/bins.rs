//! Values as bytes: the number of a bin among at most 255, or [`MISSING`].

use crate::Table;

/// The byte of a missing value.
pub(super) const MISSING: u8 = 255;

/// Bins of a column at most.
const MOST: usize = 255;

/// A table with every value replaced by its bin.
pub(super) struct Bins {
    pub rows: usize,
    pub columns: usize,
    /// Column-major, `[columns, rows]`.
    codes: Vec<u8>,
    /// Upper ends of all bins but the last, ascending, per column.
    pub thresholds: Vec<Vec<f64>>,
    /// Whether a value of the column is missing.
    pub has_missing: Vec<bool>,
}

impl Bins {
    pub fn new(table: Table<'_>) -> Self {
        let (rows, columns) = (table.rows(), table.columns());
        let mut codes = vec![0; rows * columns];
        let mut thresholds = Vec::with_capacity(columns);
        let mut has_missing = Vec::with_capacity(columns);
        let mut sorted = Vec::with_capacity(rows);
        for (column, codes) in codes.chunks_exact_mut(rows).enumerate() {
            sorted.clear();
            sorted.extend(table.column(column).filter(|v| !v.is_nan()));
            has_missing.push(sorted.len() < rows);
            sorted.sort_unstable_by(f64::total_cmp);
            let ends = ends(&sorted);
            for (code, value) in codes.iter_mut().zip(table.column(column)) {
                *code = if value.is_nan() { MISSING } else { ends.partition_point(|end| *end < value) as u8 };
            }
            thresholds.push(ends);
        }
        Self { rows, columns, codes, thresholds, has_missing }
    }

    pub fn column(&self, column: usize) -> &[u8] {
        &self.codes[column * self.rows..(column + 1) * self.rows]
    }
}

/// Midpoints of the distinct values if they are few, else midpoints at evenly spaced ranks.
fn ends(sorted: &[f64]) -> Vec<f64> {
    let mut distinct = sorted.to_vec();
    distinct.dedup();
    if distinct.len() <= MOST {
        return distinct.windows(2).map(|pair| middle(pair[0], pair[1])).collect();
    }
    let mut ends: Vec<f64> = (1..MOST)
        .map(|cut| {
            let place = cut as f64 / MOST as f64 * (sorted.len() - 1) as f64;
            middle(sorted[place.floor() as usize], sorted[place.ceil() as usize])
        })
        .collect();
    ends.dedup();
    ends
}

/// The midpoint, on the lower one's side where rounding would reach the upper.
fn middle(below: f64, above: f64) -> f64 {
    let middle = below.midpoint(above);
    if middle < above || below == above { middle } else { below }
}
