//! Stratified splits: every part keeps the classes' shares, and the same seed gives the same split.
//!
//! Kohavi, *A Study of Cross-Validation and Bootstrap for Accuracy Estimation and Model Selection* (1995). Shares are
//! rounded by largest remainder, so the parts' sizes differ from the exact ones by less than one row. Cost: one shuffle.

use std::collections::BTreeMap;

use kilter_numerics::Stream;
use thiserror::Error;

/// Two disjoint sets of row indices, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows to be judged on: the test set of a split, the held-out part of a fold.
    pub test: Vec<usize>,
}

/// Why a table cannot be split as asked.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SplitError {
    /// All rows have one class (or there is none), so nothing can be told apart.
    #[error("target: only class {class:?} in {rows} rows; a split needs rows of at least two classes")]
    OneClass {
        /// The only class, if there is any row.
        class: Option<u8>,
        /// Rows looked at.
        rows: usize,
    },
    /// A class would be missing from some fold.
    #[error(
        "folds: class {class} has {rows} rows, fewer than {folds} folds; use folds = {rows} or fewer (at least 2), or \
         add rows of class {class}"
    )]
    TooFewForFolds {
        /// The class.
        class: u8,
        /// Its rows.
        rows: usize,
        /// Folds asked for.
        folds: usize,
    },
    /// A class would be missing from one side of the split.
    #[error(
        "test_fraction: {fraction} of {rows} rows of class {class} leaves one side without it; use a fraction nearer \
         0.5, or add rows of class {class}"
    )]
    TooFewForTest {
        /// The class.
        class: u8,
        /// Its rows.
        rows: usize,
        /// Fraction asked for.
        fraction: f64,
    },
    /// The fraction is not inside (0, 1).
    #[error("test_fraction: {0} must be between 0 and 1 (both excluded), for example 0.2")]
    Fraction(f64),
    /// Fewer than two folds leave nothing to train on.
    #[error("folds: {0} must be at least 2; the usual numbers are 5 and 10")]
    Folds(usize),
    /// A row index is outside the table.
    #[error("row {row} is outside the table of {rows} rows; indices start at 0")]
    RowOutside {
        /// The index.
        row: usize,
        /// Rows of the table.
        rows: usize,
    },
}

/// Splits all rows of `target` into training and test rows; `test_fraction` (0.2 for 80/20) is of the rows.
///
/// # Errors
/// One class only, a fraction outside (0, 1), or a class so small that one side would be without it.
pub fn stratified_split(target: &[u8], test_fraction: f64, seed: u64) -> Result<Split, SplitError> {
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        return Err(SplitError::Fraction(test_fraction));
    }
    let all: Vec<usize> = (0..target.len()).collect();
    let classes = shuffled_classes(target, &all, &mut Stream::new(&[seed], "stratified split"))?;

    let wanted = (test_fraction * target.len() as f64).round() as usize;
    let exact = |rows: &[usize]| wanted as f64 * rows.len() as f64 / target.len() as f64;
    let mut counts: Vec<usize> = classes.values().map(|rows| exact(rows) as usize).collect();
    let mut by_remainder: Vec<(usize, f64)> = classes.values().map(|rows| exact(rows).fract()).enumerate().collect();
    by_remainder.sort_by(|a, b| b.1.total_cmp(&a.1));
    let missing = wanted - counts.iter().sum::<usize>();
    for &(class, _) in by_remainder.iter().take(missing) {
        counts[class] += 1;
    }

    let mut split = Split { train: Vec::new(), test: Vec::new() };
    for ((&class, rows), &count) in classes.iter().zip(&counts) {
        if count == 0 || count == rows.len() {
            return Err(SplitError::TooFewForTest { class, rows: rows.len(), fraction: test_fraction });
        }
        split.test.extend(&rows[..count]);
        split.train.extend(&rows[count..]);
    }
    split.train.sort_unstable();
    split.test.sort_unstable();
    Ok(split)
}

/// Deals `rows` (indices into `target`, each at most once) into `folds` parts, and gives one [`Split`] per part: that
/// part held out, the rest to learn from. The parts are disjoint, cover `rows`, hold every class, and differ in size by
/// at most one row. Indices in the result are indices into `target`, so a row outside `rows` can't appear.
///
/// # Errors
/// Fewer than two folds, an index outside the table, one class only, or a class with fewer rows than folds.
pub fn stratified_folds(target: &[u8], rows: &[usize], folds: usize, seed: u64) -> Result<Vec<Split>, SplitError> {
    if folds < 2 {
        return Err(SplitError::Folds(folds));
    }
    let classes = shuffled_classes(target, rows, &mut Stream::new(&[seed], "stratified folds"))?;
    if let Some((&class, rows)) = classes.iter().find(|(_, rows)| rows.len() < folds) {
        return Err(SplitError::TooFewForFolds { class, rows: rows.len(), folds });
    }
    // One class after the other goes round the folds without starting again, which evens out the remainders.
    let mut dealt: Vec<(usize, usize)> =
        classes.values().flatten().enumerate().map(|(turn, &row)| (row, turn % folds)).collect();
    dealt.sort_unstable();
    let part = |keep: &dyn Fn(usize) -> bool| {
        dealt.iter().filter(|&&(_, fold)| keep(fold)).map(|&(row, _)| row).collect::<Vec<_>>()
    };
    Ok((0..folds).map(|held| Split { train: part(&|fold| fold != held), test: part(&|fold| fold == held) }).collect())
}

/// The rows of each class in random order, at least two classes.
fn shuffled_classes(
    target: &[u8],
    rows: &[usize],
    stream: &mut Stream,
) -> Result<BTreeMap<u8, Vec<usize>>, SplitError> {
    let mut classes: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for &row in rows {
        let class = *target.get(row).ok_or(SplitError::RowOutside { row, rows: target.len() })?;
        classes.entry(class).or_default().push(row);
    }
    if classes.len() < 2 {
        return Err(SplitError::OneClass { class: classes.keys().next().copied(), rows: rows.len() });
    }
    for rows in classes.values_mut() {
        stream.shuffle(rows);
    }
    Ok(classes)
}
