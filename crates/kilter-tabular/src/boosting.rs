//! Gradient boosting: a sum of small regression trees, each fitted to what the ones before it left over.
//!
//! Friedman, *Greedy Function Approximation: A Gradient Boosting Machine* (2001), in the second-order, histogram-based
//! and leaf-wise form of Ke and others, *LightGBM: A Highly Efficient Gradient Boosting Decision Tree* (2017), with
//! scikit-learn's defaults and rules, so that both agree where chance has no say. Losses: squared error, log-loss of two
//! classes, log-loss of more (softmax, a tree per class and round). A missing value (NaN) is learnt from: at each split it
//! goes to the side that gains more.
//!
//! Cost: binning O(d n log n) once; a tree O(d n) per level of its larger half, bytes and sums only; memory one byte per
//! value and `columns * 256` sums per open leaf.

mod bins;
mod grow;

use kilter_numerics::Stream;
use thiserror::Error;

use crate::{Examples, Model, TableError, Target};
use bins::Bins;
use grow::Grower;

/// Hyperparameters of [`Boosting::fit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoostingConfig {
    /// Number of rounds: at least 1, default 100; more fits closer, and too closely if `learning_rate` is large.
    pub rounds: usize,
    /// Share of each tree that is added: above 0, default 0.1; smaller needs more rounds.
    pub learning_rate: f64,
    /// Leaves of a tree at most: at least 2, default 31; more lets more columns act together.
    pub max_leaves: usize,
    /// Splits between root and leaf at most: default none.
    pub max_depth: Option<usize>,
    /// Rows of a leaf at least: at least 1, default 20; more is steadier.
    pub min_samples_leaf: usize,
    /// Charge on the square of a leaf's value: not negative, default 0.
    pub l2: f64,
    /// Share of the columns that a tree may look at, drawn anew for each: in (0, 1], default 1.
    pub max_features: f64,
}

impl Default for BoostingConfig {
    fn default() -> Self {
        Self {
            rounds: 100,
            learning_rate: 0.1,
            max_leaves: 31,
            max_depth: None,
            min_samples_leaf: 20,
            l2: 0.0,
            max_features: 1.0,
        }
    }
}

/// Why boosting could not be fitted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum BoostingError {
    /// Out of range.
    #[error("{name}: {found} must be {expected}")]
    Config {
        /// The hyperparameter.
        name: &'static str,
        /// Its value.
        found: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// The log odds of one class would be infinite.
    #[error("labels: a class has no row with a positive weight; every class needs one")]
    EmptyClass,
    /// The examples are not fit for it.
    #[error(transparent)]
    Examples(#[from] TableError),
}

impl BoostingConfig {
    fn check(&self) -> Result<(), BoostingError> {
        let rules = [
            ("rounds", self.rounds as f64, self.rounds >= 1, "at least 1"),
            (
                "learning_rate",
                self.learning_rate,
                self.learning_rate.is_finite() && self.learning_rate > 0.0,
                "finite and above 0; the default is 0.1",
            ),
            ("max_leaves", self.max_leaves as f64, self.max_leaves >= 2, "at least 2"),
            ("max_depth", 0.0, self.max_depth != Some(0), "at least 1"),
            ("min_samples_leaf", self.min_samples_leaf as f64, self.min_samples_leaf >= 1, "at least 1"),
            ("l2", self.l2, self.l2.is_finite() && self.l2 >= 0.0, "finite and not negative"),
            (
                "max_features",
                self.max_features,
                self.max_features > 0.0 && self.max_features <= 1.0,
                "above 0 and at most 1",
            ),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((name, found, _, expected)) => Err(BoostingError::Config { name, found, expected }),
            None => Ok(()),
        }
    }
}

/// A node of a boosted tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Asks whether the value of a column is at most the threshold.
    Ask {
        /// The column.
        feature: usize,
        /// Left if the value is at most this.
        threshold: f64,
        /// Whether a missing value goes left.
        missing_left: bool,
        /// Index of the node for yes.
        left: usize,
        /// Index of the node for no.
        right: usize,
    },
    /// A leaf and what it adds.
    Add(f64),
}

/// A fitted sum of trees.
#[derive(Clone, Debug, PartialEq)]
pub struct Boosting {
    loss: Loss,
    columns: usize,
    /// The sum before the first tree, `[outputs]`.
    baseline: Vec<f64>,
    /// The trees, round by round, `[rounds * outputs]`; the root is node 0.
    trees: Vec<Vec<Step>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Squared,
    TwoClasses,
    Classes,
}

impl Boosting {
    /// Fits the examples; `stream` is drawn from only where `max_features` leaves columns out.
    ///
    /// # Errors
    /// A hyperparameter out of its range, or a class without rows.
    pub fn fit(examples: Examples<'_>, config: &BoostingConfig, stream: &Stream) -> Result<Self, BoostingError> {
        config.check()?;
        let (rows, columns) = (examples.table().rows(), examples.table().columns());
        let target = examples.target();
        let outputs = target.outputs();
        let loss = match target {
            Target::Numbers(_) => Loss::Squared,
            Target::Classes { count: 2, .. } => Loss::TwoClasses,
            Target::Classes { .. } => Loss::Classes,
        };
        let baseline = baseline(examples)?;
        let bins = Bins::new(examples.table());
        let weights: Vec<f64> = (0..rows).map(|row| examples.weight(row)).collect();
        let mut grower = Grower::new(&bins, config, weights.iter().map(|w| *w > 0.0));
        let mut raw: Vec<f64> = (0..rows).flat_map(|_| &baseline).copied().collect();
        let mut slopes = vec![[0.0_f32; 2]; rows];
        let mut shares = vec![0.0; if loss == Loss::Classes { rows * outputs } else { 0 }];
        let mut trees = Vec::with_capacity(config.rounds * outputs);
        for round in 0..config.rounds {
            if loss == Loss::Classes {
                shares.copy_from_slice(&raw);
                shares.chunks_exact_mut(outputs).for_each(softmax);
            }
            for output in 0..outputs {
                for (row, slope) in slopes.iter_mut().enumerate() {
                    let (g, h) = match target {
                        Target::Numbers(y) => (raw[row] - y[row], 1.0),
                        Target::Classes { labels, count: 2 } => {
                            let p = sigmoid(raw[row]);
                            (p - f64::from(labels[row]), p * (1.0 - p))
                        }
                        Target::Classes { labels, .. } => {
                            let p = shares[row * outputs + output];
                            (p - f64::from(u8::from(usize::from(labels[row]) == output)), p * (1.0 - p))
                        }
                    };
                    *slope = [(weights[row] * g) as f32, (weights[row] * h) as f32];
                }
                let mut stream = stream.child(&format!("tree {round} of {output}"));
                let add = |row: usize, value: f64| raw[row * outputs + output] += value;
                trees.push(grower.grow(&slopes, &mut stream, add));
            }
        }
        Ok(Self { loss, columns, baseline, trees })
    }

    /// The trees, round by round and within a round class by class.
    pub fn trees(&self) -> &[Vec<Step>] {
        &self.trees
    }
}

impl Model for Boosting {
    fn outputs(&self) -> usize {
        self.baseline.len()
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        assert_eq!(row.len(), self.columns, "columns of the row and of the training rows");
        out.copy_from_slice(&self.baseline);
        for trees in self.trees.chunks_exact(out.len()) {
            for (out, tree) in out.iter_mut().zip(trees) {
                *out += walk(tree, row);
            }
        }
        match self.loss {
            Loss::Squared => {}
            Loss::TwoClasses => out[0] = sigmoid(out[0]),
            Loss::Classes => softmax(out),
        }
    }
}

fn walk(tree: &[Step], row: &[f64]) -> f64 {
    let mut index = 0;
    loop {
        match tree[index] {
            Step::Add(value) => return value,
            Step::Ask { feature, threshold, missing_left, left, right } => {
                let value = row[feature];
                let goes_left = if value.is_nan() { missing_left } else { value <= threshold };
                index = if goes_left { left } else { right };
            }
        }
    }
}

/// The best constant: the mean, or the classes' log odds (of more than two classes: logs of the shares, about their mean).
fn baseline(examples: Examples<'_>) -> Result<Vec<f64>, BoostingError> {
    let rows = 0..examples.table().rows();
    let total: f64 = rows.clone().map(|row| examples.weight(row)).sum();
    Ok(match examples.target() {
        Target::Numbers(y) => vec![rows.map(|row| examples.weight(row) * y[row]).sum::<f64>() / total],
        Target::Classes { labels, count } => {
            let mut shares = vec![0.0; count];
            rows.for_each(|row| shares[usize::from(labels[row])] += examples.weight(row) / total);
            if shares.contains(&0.0) {
                return Err(BoostingError::EmptyClass);
            }
            if count == 2 {
                return Ok(vec![(shares[1] / shares[0]).ln()]);
            }
            let mean = shares.iter().map(|share| share.ln()).sum::<f64>() / count as f64;
            shares.into_iter().map(|share| share.ln() - mean).collect()
        }
    })
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax(values: &mut [f64]) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter_mut().for_each(|v| *v = (*v - largest).exp());
    let sum: f64 = values.iter().sum();
    values.iter_mut().for_each(|v| *v /= sum);
}
