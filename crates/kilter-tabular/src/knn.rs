//! Nearest neighbours: a row is predicted by the training rows nearest to it.
//!
//! Cover and Hart, *Nearest Neighbor Pattern Classification* (1967); weights by inverse distance as in Dudani (1976) and
//! scikit-learn. Of equally near rows the earlier one counts. Scale the columns first: a distance treats them alike.
//! Cost: nothing to fit; O(n d) per prediction.

use thiserror::Error;

use crate::{Examples, Model, TableError, Target};

/// How far two rows are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distance {
    /// Root of the summed squares.
    #[default]
    Euclidean,
    /// Sum of the absolute differences.
    Manhattan,
}

/// Hyperparameters of [`Knn::fit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnnConfig {
    /// Number of neighbours: at least 1, default 5; more is smoother. Where there are fewer rows, all of them.
    pub neighbours: usize,
    /// Whether a neighbour counts by the inverse of its distance: default no. A row at distance 0 then decides alone.
    pub by_distance: bool,
    /// Default Euclidean.
    pub distance: Distance,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self { neighbours: 5, by_distance: false, distance: Distance::default() }
    }
}

/// Why there are no neighbours to ask.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum KnnError {
    /// Out of range.
    #[error("neighbours: 0 must be at least 1; the usual number is 5")]
    NoNeighbours,
    /// The examples are not fit for it.
    #[error(transparent)]
    Examples(#[from] TableError),
}

/// The training rows, and how they are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Knn {
    config: KnnConfig,
    columns: usize,
    outputs: usize,
    /// Of rows with a positive weight, row-major.
    values: Vec<f64>,
    /// Their class, or their number.
    targets: Vec<f64>,
    weights: Vec<f64>,
}

impl Knn {
    /// Remembers the examples.
    ///
    /// # Errors
    /// No neighbours, or a missing value.
    pub fn fit(examples: Examples<'_>, config: &KnnConfig) -> Result<Self, KnnError> {
        if config.neighbours == 0 {
            return Err(KnnError::NoNeighbours);
        }
        let table = examples.complete()?.table();
        let counts = || (0..table.rows()).filter(|&row| examples.weight(row) > 0.0);
        let target = |row: usize| match examples.target() {
            Target::Classes { labels, .. } => f64::from(labels[row]),
            Target::Numbers(numbers) => numbers[row],
        };
        Ok(Self {
            config: *config,
            columns: table.columns(),
            outputs: examples.target().outputs(),
            values: counts().flat_map(|row| table.row(row)).copied().collect(),
            targets: counts().map(target).collect(),
            weights: counts().map(|row| examples.weight(row)).collect(),
        })
    }

    /// The nearest rows and their distances, in no particular order.
    fn nearest(&self, row: &[f64]) -> Vec<(f64, usize)> {
        let mut all: Vec<(f64, usize)> =
            self.values.chunks_exact(self.columns).map(|other| self.apart(row, other)).zip(0..).collect();
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if self.config.neighbours < all.len() {
            all.select_nth_unstable_by(self.config.neighbours - 1, order);
            all.truncate(self.config.neighbours);
        }
        all
    }

    /// The distance, of Euclid's its square.
    fn apart(&self, a: &[f64], b: &[f64]) -> f64 {
        match self.config.distance {
            Distance::Euclidean => summed(a, b, |difference| difference * difference),
            Distance::Manhattan => summed(a, b, f64::abs),
        }
    }
}

/// The sum of `term` over differences, in four sums side by side: one after the other, each would wait for the last.
fn summed(a: &[f64], b: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 4];
    let (fours, others) = (a.chunks_exact(4).zip(b.chunks_exact(4)), a.len() - a.len() % 4);
    for (a, b) in fours {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a - b);
        }
    }
    let rest: f64 = a[others..].iter().zip(&b[others..]).map(|(a, b)| term(a - b)).sum();
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

impl Model for Knn {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        assert_eq!(row.len(), self.columns, "columns of the row and of the training rows");
        let nearest = self.nearest(row);
        let same = nearest.iter().any(|(apart, _)| *apart == 0.0);
        let weight = |apart: f64, row: usize| {
            let by_distance = match (self.config.by_distance, self.config.distance) {
                (false, _) => 1.0,
                (true, _) if same => f64::from(u8::from(apart == 0.0)),
                (true, Distance::Euclidean) => 1.0 / apart.sqrt(),
                (true, Distance::Manhattan) => 1.0 / apart,
            };
            by_distance * self.weights[row]
        };
        out.fill(0.0);
        let mut total = 0.0;
        for (apart, row) in nearest {
            let weight = weight(apart, row);
            total += weight;
            match &mut *out {
                // A class of two is a number as well: 1 or 0.
                [mean] => *mean += weight * self.targets[row],
                shares => shares[self.targets[row] as usize] += weight,
            }
        }
        out.iter_mut().for_each(|out| *out /= total);
    }
}
