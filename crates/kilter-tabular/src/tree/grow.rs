//! Growing a tree.
//!
//! Columns are replaced by ranks once per table. A node sorts its rows as integers, rank above row number, which is
//! several times faster than sorting floats through an index, and scans them with running class weights. Buffers live
//! as long as the grower, which a forest keeps for all its trees.

use kilter_numerics::Stream;

use super::{Criterion, Node, Split, Tree, TreeConfig};
use crate::Table;

/// A split must beat the best one by this share of the node's weight, so that splits which are equal in exact
/// arithmetic stay equal: scores are sums of a few terms at most log2(n) times the weight, each rounded by 1e-16.
const TIE: f64 = 1e-12;

/// A table with every value replaced by its place among its column's distinct values.
pub(crate) struct Ranks {
    rows: usize,
    columns: usize,
    /// Column-major, `[columns, rows]`.
    ranks: Vec<u32>,
    /// The distinct values of each column, ascending, `[columns][distinct]`.
    distinct: Vec<Vec<f64>>,
}

impl Ranks {
    pub(crate) fn new(table: Table<'_>) -> Self {
        let (rows, columns) = (table.rows(), table.columns());
        let mut ranks = vec![0; rows * columns];
        let mut distinct = Vec::with_capacity(columns);
        let mut order: Vec<(f64, u32)> = Vec::with_capacity(rows);
        for (column, ranks) in ranks.chunks_exact_mut(rows).enumerate() {
            order.clear();
            order.extend(table.column(column).zip(0..));
            order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let mut values: Vec<f64> = Vec::new();
            for &(value, row) in &order {
                if values.last() != Some(&value) {
                    values.push(value);
                }
                ranks[row as usize] = values.len() as u32 - 1;
            }
            distinct.push(values);
        }
        Self { rows, columns, ranks, distinct }
    }

    fn column(&self, column: usize) -> &[u32] {
        &self.ranks[column * self.rows..(column + 1) * self.rows]
    }

    /// The midpoint of two distinct values of a column, on the lower one's side where rounding would reach the upper.
    fn threshold(&self, column: usize, below: u32, above: u32) -> f64 {
        let values = &self.distinct[column];
        let (below, above) = (values[below as usize], values[above as usize]);
        let middle = below.midpoint(above);
        if middle < above { middle } else { below }
    }
}

/// Grows trees over one table, one after the other.
pub(crate) struct Grower<'a> {
    ranks: &'a Ranks,
    config: &'a TreeConfig,
    /// Weight of each row under its class, the other entry zero, `[rows]`.
    weights: Vec<[f64; 2]>,
    /// The rows of weight above zero; every node owns a range.
    rows: Vec<u32>,
    /// The rows of one node by one column: rank << 32 | row.
    keys: Vec<u64>,
    /// All columns; their order is what the draws so far left.
    features: Vec<usize>,
    pending: Vec<Pending>,
}

/// A node still to be made.
struct Pending {
    start: usize,
    end: usize,
    depth: usize,
    /// The parent, if this is its right child; a left child follows its parent directly.
    right_of: Option<usize>,
}

/// The best split so far: rows of rank at most `below` go left, the next distinct rank in the node is `above`.
struct Best {
    score: f64,
    feature: usize,
    below: u32,
    above: u32,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(ranks: &'a Ranks, config: &'a TreeConfig) -> Self {
        Self {
            ranks,
            config,
            weights: vec![[0.0; 2]; ranks.rows],
            rows: Vec::with_capacity(ranks.rows),
            keys: Vec::with_capacity(ranks.rows),
            features: Vec::with_capacity(ranks.columns),
            pending: Vec::new(),
        }
    }

    /// One tree of the rows with these labels and weights (not all zero).
    pub(crate) fn grow(&mut self, labels: &[u8], weight: impl Fn(usize) -> f64, stream: &mut Stream) -> Tree {
        self.rows.clear();
        for (row, &label) in labels.iter().enumerate() {
            let weight = weight(row);
            self.weights[row] = if label == 1 { [0.0, weight] } else { [weight, 0.0] };
            if weight > 0.0 {
                self.rows.push(row as u32);
            }
        }
        self.features.clear();
        self.features.extend(0..self.ranks.columns);

        let mut nodes: Vec<Node> = Vec::new();
        self.pending.push(Pending { start: 0, end: self.rows.len(), depth: 0, right_of: None });
        while let Some(Pending { start, end, depth, right_of }) = self.pending.pop() {
            let index = nodes.len();
            if let Some(split) = right_of.and_then(|parent| nodes[parent].split.as_mut()) {
                split.right = index;
            }
            let totals = sum(&self.weights, &self.rows[start..end]);
            let weight = totals[0] + totals[1];
            let mut node = Node {
                split: None,
                impurity: self.config.criterion.impurity(totals),
                weight,
                probability: totals[1] / weight,
            };
            let may_split = end - start >= self.config.min_samples_split
                && self.config.max_depth.is_none_or(|max| depth < max)
                && totals[0] > 0.0
                && totals[1] > 0.0;
            if may_split && let Some(best) = self.best_split(start, end, totals, stream) {
                let ranks = self.ranks.column(best.feature);
                let middle = start + partition(&mut self.rows[start..end], |row| ranks[row as usize] <= best.below);
                let threshold = self.ranks.threshold(best.feature, best.below, best.above);
                node.split = Some(Split { feature: best.feature, threshold, left: index + 1, right: 0 });
                self.pending.push(Pending { start: middle, end, depth: depth + 1, right_of: Some(index) });
                self.pending.push(Pending { start, end: middle, depth: depth + 1, right_of: None });
            }
            nodes.push(node);
        }
        let mut tree = Tree { nodes, columns: self.ranks.columns };
        if self.config.ccp_alpha > 0.0 {
            tree.prune(self.config.ccp_alpha);
        }
        tree
    }

    fn best_split(&mut self, start: usize, end: usize, totals: [f64; 2], stream: &mut Stream) -> Option<Best> {
        let columns = self.features.len();
        let subset = self.config.max_features.count(columns);
        let mut best = None;
        if subset == columns {
            for feature in 0..columns {
                self.try_feature(feature, start, end, totals, &mut best);
            }
            return best;
        }
        // If all columns drawn are constant here, others are drawn in their place.
        let mut drawn = 0;
        let mut varies = false;
        while !varies && drawn < columns {
            let next = (drawn + subset).min(columns);
            for i in drawn..next {
                self.features.swap(i, i + stream.index(columns - i));
            }
            self.features[drawn..next].sort_unstable();
            for i in drawn..next {
                varies |= self.try_feature(self.features[i], start, end, totals, &mut best);
            }
            drawn = next;
        }
        best
    }

    /// Puts the best split by `feature` into `best` if it is better; whether the column varies in the node at all.
    fn try_feature(
        &mut self,
        feature: usize,
        start: usize,
        end: usize,
        totals: [f64; 2],
        best: &mut Option<Best>,
    ) -> bool {
        let ranks = self.ranks.column(feature);
        let (mut lowest, mut highest) = (u32::MAX, 0);
        self.keys.clear();
        self.keys.extend(self.rows[start..end].iter().map(|&row| {
            let rank = ranks[row as usize];
            lowest = lowest.min(rank);
            highest = highest.max(rank);
            u64::from(rank) << 32 | u64::from(row)
        }));
        if lowest == highest {
            return false;
        }
        self.keys.sort_unstable();
        let found = match self.config.criterion {
            Criterion::Gini => self.scan(totals, best.as_ref(), gini_score),
            Criterion::Entropy => self.scan(totals, best.as_ref(), entropy_score),
        };
        if let Some((score, place)) = found {
            let (below, above) = ((self.keys[place] >> 32) as u32, (self.keys[place + 1] >> 32) as u32);
            *best = Some(Best { score, feature, below, above });
        }
        true
    }

    /// The best place to cut the sorted keys after, and its score, if that beats `best`.
    fn scan(
        &self,
        totals: [f64; 2],
        best: Option<&Best>,
        score: impl Fn([f64; 2], [f64; 2]) -> f64,
    ) -> Option<(f64, usize)> {
        let margin = TIE * (totals[0] + totals[1]);
        let mut bar = best.map_or(f64::NEG_INFINITY, |best| best.score + margin);
        let (rows, min_leaf) = (self.keys.len(), self.config.min_samples_leaf);
        let mut left = [0.0; 2];
        let mut found = None;
        for (place, pair) in self.keys.windows(2).enumerate() {
            let weights = self.weights[pair[0] as u32 as usize];
            left = [left[0] + weights[0], left[1] + weights[1]];
            if pair[0] >> 32 == pair[1] >> 32 || place + 1 < min_leaf || rows - place - 1 < min_leaf {
                continue;
            }
            // Fractional weights may leave a rounding error where nothing of a class is left.
            let right = [(totals[0] - left[0]).max(0.0), (totals[1] - left[1]).max(0.0)];
            let here = score(left, right);
            if here > bar {
                bar = here + margin;
                found = Some((here, place));
            }
        }
        found
    }
}

/// The total weight of either class in `rows`.
fn sum(weights: &[[f64; 2]], rows: &[u32]) -> [f64; 2] {
    rows.iter().map(|&row| weights[row as usize]).fold([0.0; 2], |sum, w| [sum[0] + w[0], sum[1] + w[1]])
}

/// The node's weight minus the weighted Gini impurity of both sides.
fn gini_score(left: [f64; 2], right: [f64; 2]) -> f64 {
    let side = |w: [f64; 2]| (w[0] * w[0] + w[1] * w[1]) / (w[0] + w[1]);
    side(left) + side(right)
}

/// Minus the weighted entropy of both sides, in bits times weight.
fn entropy_score(left: [f64; 2], right: [f64; 2]) -> f64 {
    let bits = |w: f64| if w > 0.0 { w * w.log2() } else { 0.0 };
    let side = |w: [f64; 2]| bits(w[0]) + bits(w[1]) - bits(w[0] + w[1]);
    side(left) + side(right)
}

/// Moves the rows that satisfy the test to the front; their number.
fn partition(rows: &mut [u32], goes_left: impl Fn(u32) -> bool) -> usize {
    let mut front = 0;
    for i in 0..rows.len() {
        if goes_left(rows[i]) {
            rows.swap(front, i);
            front += 1;
        }
    }
    front
}
