//! Random forests: the mean of many trees, each grown on a bootstrap sample with few columns to choose from at a node.
//!
//! Breiman, *Random Forests* (2001); as in scikit-learn the trees' leaf frequencies are averaged, not their votes, and
//! a row drawn twice is one row of weight 2 (so `min_samples_*` count it once). Every tree has a random stream of its
//! own, so that neither the number of trees nor who grows them changes another tree. Cost: the columns are ranked once;
//! then per tree O(k n log n * depth) over k columns per node, and O(nodes) memory.

use kilter_numerics::Stream;

use crate::tree::{Grower, MaxFeatures, Ranks, TreeError};
use crate::{Examples, Model, Table, Tree, TreeConfig};

/// Hyperparameters of [`Forest::fit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForestConfig {
    /// Number of trees: at least 1, default 100; more is steadier and slower, never less accurate on average.
    pub trees: usize,
    /// Whether each tree learns from as many rows drawn with replacement: default yes; otherwise from all rows.
    pub bootstrap: bool,
    /// How each tree grows: default unlimited, with `max_features` the square root of the columns.
    pub tree: TreeConfig,
}

impl Default for ForestConfig {
    fn default() -> Self {
        let tree = TreeConfig { max_features: MaxFeatures::Sqrt, ..TreeConfig::default() };
        Self { trees: 100, bootstrap: true, tree }
    }
}

/// A fitted forest.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    trees: Vec<Tree>,
}

impl Forest {
    /// Grows the trees; tree number `t` draws from the child "tree t" of `stream`.
    ///
    /// # Errors
    /// No trees, a tree's hyperparameter out of its range, or a missing value.
    pub fn fit(examples: Examples<'_>, config: &ForestConfig, stream: &Stream) -> Result<Self, TreeError> {
        config.tree.check()?;
        if config.trees == 0 {
            return Err(TreeError::NoTrees);
        }
        let ranks = Ranks::new(examples.complete()?.table());
        let mut grower = Grower::new(&ranks, examples.target(), &config.tree);
        let mut counts = vec![1_u32; examples.table().rows()];
        let mut grow = |number: usize| {
            let mut stream = stream.child(&format!("tree {number}"));
            if config.bootstrap {
                draw(&mut counts, |row| examples.weight(row) > 0.0, &mut stream);
            }
            grower.grow(|row| f64::from(counts[row]) * examples.weight(row), &mut stream)
        };
        Ok(Self { trees: (0..config.trees).map(&mut grow).collect() })
    }

    /// The trees, in the order of their numbers.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }
}

impl Model for Forest {
    fn outputs(&self) -> usize {
        self.trees[0].outputs()
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for tree in &self.trees {
            tree.add_to(row, out);
        }
        out.iter_mut().for_each(|sum| *sum /= self.trees.len() as f64);
    }

    /// One tree after the other, which keeps a tree's nodes in the cache while all rows pass through it.
    fn predict_table(&self, table: Table<'_>) -> Vec<f64> {
        let outputs = self.outputs();
        let mut sums = vec![0.0; table.rows() * outputs];
        for tree in &self.trees {
            for (sum, row) in sums.chunks_exact_mut(outputs).zip(table.iter()) {
                tree.add_to(row, sum);
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= self.trees.len() as f64);
        sums
    }
}

/// Counts of a bootstrap sample: as many draws as rows. A sample without any row that counts is drawn again.
fn draw(counts: &mut [u32], counts_for_something: impl Fn(usize) -> bool, stream: &mut Stream) {
    loop {
        counts.fill(0);
        let mut useful = false;
        for _ in 0..counts.len() {
            let row = stream.index(counts.len());
            counts[row] += 1;
            useful |= counts_for_something(row);
        }
        if useful {
            return;
        }
    }
}
