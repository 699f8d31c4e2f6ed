//! Trees by greedy, binary, axis-parallel splits (CART) for classes and for numbers, pruned by cost and complexity if
//! asked.
//!
//! Breiman, Friedman, Olshen and Stone, *Classification and Regression Trees* (1984). The best split has the largest
//! impurity decrease weighted by rows; its threshold is the midpoint of neighbouring distinct values, and a row goes
//! left if x <= threshold; among equal splits the lowest column wins, then the lowest threshold. As in scikit-learn a
//! node that is not pure is split even if no split helps by itself (exclusive or needs that), `min_samples_*` count
//! rows whatever their weight, and rows of weight 0 do not exist. Numbers are split by squared error (variance), whatever
//! the criterion says.
//!
//! Cost: ranking the columns once O(d n log n); per node of m rows O(k m log m) over k columns, on integer keys, without
//! any allocation.

mod grow;
mod prune;

use kilter_numerics::Stream;
use thiserror::Error;

pub(crate) use grow::{Grower, Ranks};

use crate::{Examples, Model, TableError};

/// What makes a node impure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Criterion {
    /// The chance that two rows drawn from the node differ in class, in [0, 0.5].
    #[default]
    Gini,
    /// The class's entropy in bits, in [0, 1].
    Entropy,
}

impl Criterion {
    /// Impurity of a node with these weights of the classes (not all zero).
    pub fn impurity(self, weights: &[f64]) -> f64 {
        let total: f64 = weights.iter().sum();
        match (self, weights) {
            (Self::Gini, &[p, q]) => 2.0 * (p / total) * (q / total),
            (Self::Gini, _) => 1.0 - weights.iter().map(|w| (w / total).powi(2)).sum::<f64>(),
            (Self::Entropy, _) => weights.iter().map(|w| w / total).filter(|p| *p > 0.0).map(|p| -p * p.log2()).sum(),
        }
    }
}

/// How many columns, drawn anew at every node, may be split there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MaxFeatures {
    /// All of them.
    #[default]
    All,
    /// `floor(sqrt(columns))`: Breiman's and scikit-learn's choice for forests.
    Sqrt,
    /// `ceil(fraction * columns)`, fraction in (0, 1].
    Fraction(f64),
}

impl MaxFeatures {
    /// The number out of `columns`, at least 1.
    pub fn count(self, columns: usize) -> usize {
        let count = match self {
            Self::All => columns,
            Self::Sqrt => columns.isqrt(),
            // A product that should be whole may be rounded up; 1e-9 is far above that and far below one column.
            Self::Fraction(fraction) => (fraction * columns as f64 - 1e-9).ceil() as usize,
        };
        count.clamp(1, columns)
    }
}

/// Hyperparameters of [`Tree::fit`]; the default grows until every leaf is pure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TreeConfig {
    /// For classes: default Gini.
    pub criterion: Criterion,
    /// Splits between root and leaf at most: default none (unlimited); smaller trees are coarser and steadier.
    pub max_depth: Option<usize>,
    /// A node of fewer rows is a leaf: at least 2, default 2.
    pub min_samples_split: usize,
    /// A split that leaves fewer rows on a side is not considered: at least 1, default 1.
    pub min_samples_leaf: usize,
    /// What one more leaf costs in total impurity (root's scale): not negative, default 0 (no pruning); usually 1e-5 to
    /// 1e-1.
    pub ccp_alpha: f64,
    /// Default all.
    pub max_features: MaxFeatures,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            criterion: Criterion::default(),
            max_depth: None,
            min_samples_split: 2,
            min_samples_leaf: 1,
            ccp_alpha: 0.0,
            max_features: MaxFeatures::default(),
        }
    }
}

impl TreeConfig {
    pub(crate) fn check(&self) -> Result<(), TreeError> {
        if self.min_samples_split < 2 {
            return Err(TreeError::MinSamplesSplit(self.min_samples_split));
        }
        if self.min_samples_leaf < 1 {
            return Err(TreeError::MinSamplesLeaf);
        }
        if !(self.ccp_alpha.is_finite() && self.ccp_alpha >= 0.0) {
            return Err(TreeError::CcpAlpha(self.ccp_alpha));
        }
        match self.max_features {
            MaxFeatures::Fraction(fraction) if !(fraction > 0.0 && fraction <= 1.0) => {
                Err(TreeError::MaxFeatures(fraction))
            }
            _ => Ok(()),
        }
    }
}

/// Why a tree or a forest cannot be grown.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TreeError {
    /// Out of range.
    #[error("min_samples_split: {0} must be at least 2; one row cannot be split")]
    MinSamplesSplit(usize),
    /// Out of range.
    #[error("min_samples_leaf: 0 must be at least 1; a leaf holds rows")]
    MinSamplesLeaf,
    /// Out of range.
    #[error("ccp_alpha: {0} must be finite and not negative; 0 prunes nothing")]
    CcpAlpha(f64),
    /// Out of range.
    #[error("max_features: {0} must be above 0 and at most 1; 1 looks at every column")]
    MaxFeatures(f64),
    /// Out of range.
    #[error("trees: 0 must be at least 1; the usual number is 100")]
    NoTrees,
    /// The examples are not fit for it.
    #[error(transparent)]
    Examples(#[from] TableError),
}

/// A question: is the row's value at most the threshold?
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Column asked about.
    pub feature: usize,
    /// Left if the value is at most this.
    pub threshold: f64,
    /// Index of the node for yes.
    pub left: usize,
    /// Index of the node for no.
    pub right: usize,
}

/// A node of a [`Tree`] and what is known of the training rows in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// The question, or `None` at a leaf.
    pub split: Option<Split>,
    /// Impurity of the rows by the tree's criterion; for numbers their variance.
    pub impurity: f64,
    /// Their total weight.
    pub weight: f64,
    /// The weighted share of class 1 among them, or their mean: a leaf's prediction (of more than two classes see
    /// [`Tree::shares`]).
    pub value: f64,
}

/// A fitted tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
    columns: usize,
    outputs: usize,
    /// Of more than two classes: every class's share, `[nodes, outputs]`; else empty.
    shares: Vec<f64>,
}

impl Tree {
    /// Grows and prunes a tree; `stream` is drawn from only where `max_features` leaves columns out.
    ///
    /// # Errors
    /// A hyperparameter out of its range, or a missing value.
    pub fn fit(examples: Examples<'_>, config: &TreeConfig, stream: &mut Stream) -> Result<Self, TreeError> {
        config.check()?;
        let ranks = Ranks::new(examples.complete()?.table());
        Ok(Grower::new(&ranks, examples.target(), config).grow(|row| examples.weight(row), stream))
    }

    /// The nodes in depth-first order, left child first; the root is the first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The weighted share of every class among a node's training rows, of a tree of more than two classes.
    pub fn shares(&self, node: usize) -> Option<&[f64]> {
        self.shares.get(node * self.outputs..(node + 1) * self.outputs)
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.nodes.iter().filter(|node| node.split.is_none()).count()
    }

    /// Splits on the longest way from the root to a leaf.
    pub fn depth(&self) -> usize {
        let mut depths = vec![0; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(split) = node.split {
                depths[split.left] = depths[index] + 1;
                depths[split.right] = depths[index] + 1;
            }
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// The index of the leaf that a row falls into.
    ///
    /// # Panics
    /// If the row has another number of columns than the training rows.
    pub fn leaf(&self, row: &[f64]) -> usize {
        assert_eq!(row.len(), self.columns, "columns of the row and of the training rows");
        let mut index = 0;
        while let Some(split) = self.nodes[index].split {
            index = if row[split.feature] <= split.threshold { split.left } else { split.right };
        }
        index
    }
}

impl Tree {
    /// Adds the prediction for `row` to `sums`.
    pub(crate) fn add_to(&self, row: &[f64], sums: &mut [f64]) {
        let leaf = self.leaf(row);
        match self.shares(leaf) {
            Some(shares) => sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share),
            None => sums[0] += self.nodes[leaf].value,
        }
    }
}

impl Model for Tree {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        let leaf = self.leaf(row);
        match self.shares(leaf) {
            Some(shares) => out.copy_from_slice(shares),
            None => out[0] = self.nodes[leaf].value,
        }
    }

    fn predict(&self, row: &[f64]) -> f64 {
        self.nodes[self.leaf(row)].value
    }
}
