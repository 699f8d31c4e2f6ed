//! Growing a tree.
//!
//! Columns are replaced by ranks once per table. A node sorts its rows as integers, rank above row number, which is
//! several times faster than sorting floats through an index, and scans them with running sums: of two classes their
//! weights, of numbers the weight and the weighted sum, both pairs; of more classes one weight each. Buffers live as long
//! as the grower, which a forest keeps for all its trees.

use kilter_numerics::Stream;

use super::{Criterion, Node, Split, Tree, TreeConfig};
use crate::{Table, Target};

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
    target: Target<'a>,
    config: &'a TreeConfig,
    /// What a row adds to the sums, `[rows]`: of two classes its weight under its class, the other entry zero; else its
    /// weight, and of numbers the weighted distance from `centre`.
    weights: Vec<[f64; 2]>,
    /// Of numbers: their plain mean, so that sums of distances from it keep their digits.
    centre: f64,
    /// Of more than two classes: weights left of and right of a cut.
    sides: [Vec<f64>; 2],
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
    pub(crate) fn new(ranks: &'a Ranks, target: Target<'a>, config: &'a TreeConfig) -> Self {
        let centre = match target {
            Target::Numbers(numbers) => numbers.iter().sum::<f64>() / numbers.len() as f64,
            Target::Classes { .. } => 0.0,
        };
        let sides = [vec![0.0; target.outputs()], vec![0.0; target.outputs()]];
        Self {
            ranks,
            target,
            config,
            weights: vec![[0.0; 2]; ranks.rows],
            centre,
            sides,
            rows: Vec::with_capacity(ranks.rows),
            keys: Vec::with_capacity(ranks.rows),
            features: Vec::with_capacity(ranks.columns),
            pending: Vec::new(),
        }
    }

    /// One tree of the rows with these weights (not all zero).
    pub(crate) fn grow(&mut self, weight: impl Fn(usize) -> f64, stream: &mut Stream) -> Tree {
        self.rows.clear();
        for row in 0..self.ranks.rows {
            let weight = weight(row);
            self.weights[row] = match self.target {
                Target::Classes { labels, count: 2 } if labels[row] == 1 => [0.0, weight],
                Target::Classes { .. } => [weight, 0.0],
                Target::Numbers(numbers) => [weight, weight * (numbers[row] - self.centre)],
            };
            if weight > 0.0 {
                self.rows.push(row as u32);
            }
        }
        self.features.clear();
        self.features.extend(0..self.ranks.columns);

        let outputs = self.target.outputs();
        let mut nodes: Vec<Node> = Vec::new();
        let mut shares: Vec<f64> = Vec::new();
        self.pending.push(Pending { start: 0, end: self.rows.len(), depth: 0, right_of: None });
        while let Some(Pending { start, end, depth, right_of }) = self.pending.pop() {
            let index = nodes.len();
            if let Some(split) = right_of.and_then(|parent| nodes[parent].split.as_mut()) {
                split.right = index;
            }
            let totals = sum(&self.weights, &self.rows[start..end]);
            let (mut node, pure) = self.node(start, end, totals, &mut shares);
            let may_split = end - start >= self.config.min_samples_split
                && self.config.max_depth.is_none_or(|max| depth < max)
                && !pure;
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
        let mut tree = Tree { nodes, columns: self.ranks.columns, outputs, shares };
        if self.config.ccp_alpha > 0.0 {
            tree.prune(self.config.ccp_alpha);
        }
        tree
    }

    /// The node of these rows, as a leaf, and whether nothing is left to tell apart in it.
    fn node(&self, start: usize, end: usize, totals: [f64; 2], shares: &mut Vec<f64>) -> (Node, bool) {
        let rows = &self.rows[start..end];
        let weight = totals[0] + totals[1];
        match self.target {
            Target::Classes { count: 2, .. } => {
                let impurity = self.config.criterion.impurity(&totals);
                let node = Node { split: None, impurity, weight, value: totals[1] / weight };
                (node, totals[0] <= 0.0 || totals[1] <= 0.0)
            }
            Target::Classes { labels, count } => {
                let mut weights = vec![0.0; count];
                rows.iter()
                    .for_each(|&row| weights[usize::from(labels[row as usize])] += self.weights[row as usize][0]);
                shares.extend(weights.iter().map(|w| w / totals[0]));
                let impurity = self.config.criterion.impurity(&weights);
                let pure = weights.iter().filter(|w| **w > 0.0).count() <= 1;
                (Node { split: None, impurity, weight: totals[0], value: weights[1] / totals[0] }, pure)
            }
            Target::Numbers(numbers) => {
                let first = numbers[rows[0] as usize];
                let pure = rows.iter().all(|&row| numbers[row as usize] == first);
                let value = if pure { first } else { self.centre + totals[1] / totals[0] };
                let squares =
                    rows.iter().map(|&row| self.weights[row as usize][0] * (numbers[row as usize] - value).powi(2));
                let impurity = squares.sum::<f64>() / totals[0];
                (Node { split: None, impurity, weight: totals[0], value }, pure)
            }
        }
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
        let found = match (self.target, self.config.criterion) {
            (Target::Numbers(_), _) => self.scan(totals, totals[0], best.as_ref(), variance_score),
            (Target::Classes { labels, count }, criterion) if count > 2 => {
                self.scan_classes(labels, criterion, best.as_ref())
            }
            (_, Criterion::Gini) => self.scan(totals, totals[0] + totals[1], best.as_ref(), gini_score),
            (_, Criterion::Entropy) => self.scan(totals, totals[0] + totals[1], best.as_ref(), entropy_score),
        };
        if let Some((score, place)) = found {
            let (below, above) = ((self.keys[place] >> 32) as u32, (self.keys[place + 1] >> 32) as u32);
            *best = Some(Best { score, feature, below, above });
        }
        true
    }

    /// The best place to cut the sorted keys after, and its score, if that beats `best`. Scores are of the size `scale`.
    fn scan(
        &self,
        totals: [f64; 2],
        scale: f64,
        best: Option<&Best>,
        score: impl Fn([f64; 2], [f64; 2]) -> f64,
    ) -> Option<(f64, usize)> {
        let mut left = [0.0; 2];
        // Fractional weights may leave a rounding error where nothing of a class is left.
        let classes = matches!(self.target, Target::Classes { .. });
        let rest = |all: f64, left: f64| if classes { (all - left).max(0.0) } else { all - left };
        self.cut(
            TIE * scale,
            best,
            |row| {
                let weights = self.weights[row];
                left = [left[0] + weights[0], left[1] + weights[1]];
                left
            },
            |left| score(left, [rest(totals[0], left[0]), rest(totals[1], left[1])]),
        )
    }

    /// As [`Self::scan`], of more than two classes.
    fn scan_classes(&mut self, labels: &[u8], criterion: Criterion, best: Option<&Best>) -> Option<(f64, usize)> {
        let mut sides = std::mem::take(&mut self.sides);
        sides.iter_mut().for_each(|side| side.fill(0.0));
        for &key in &self.keys {
            let row = key as u32 as usize;
            sides[1][usize::from(labels[row])] += self.weights[row][0];
        }
        let scale: f64 = sides[1].iter().sum();
        let score = |side: &[f64]| {
            let total: f64 = side.iter().sum();
            match criterion {
                Criterion::Gini => side.iter().map(|w| w * w).sum::<f64>() / total,
                Criterion::Entropy => side.iter().copied().map(bits).sum::<f64>() - bits(total),
            }
        };
        let shared = std::cell::RefCell::new(sides);
        let found = self.cut(
            TIE * scale,
            best,
            |row| {
                let mut sides = shared.borrow_mut();
                let (class, weight) = (usize::from(labels[row]), self.weights[row][0]);
                sides[0][class] += weight;
                sides[1][class] = (sides[1][class] - weight).max(0.0);
            },
            |()| {
                let sides = shared.borrow();
                score(&sides[0]) + score(&sides[1])
            },
        );
        self.sides = shared.into_inner();
        found
    }

    /// Takes the sorted keys' rows from the right side to the left, one by one; the first place whose score beats all
    /// before it by `margin`, and `best`.
    fn cut<S>(
        &self,
        margin: f64,
        best: Option<&Best>,
        mut take: impl FnMut(usize) -> S,
        score: impl Fn(S) -> f64,
    ) -> Option<(f64, usize)> {
        let mut bar = best.map_or(f64::NEG_INFINITY, |best| best.score + margin);
        let (rows, min_leaf) = (self.keys.len(), self.config.min_samples_leaf);
        let mut found = None;
        for (place, pair) in self.keys.windows(2).enumerate() {
            let taken = take(pair[0] as u32 as usize);
            if pair[0] >> 32 == pair[1] >> 32 || place + 1 < min_leaf || rows - place - 1 < min_leaf {
                continue;
            }
            let here = score(taken);
            if here > bar {
                bar = here + margin;
                found = Some((here, place));
            }
        }
        found
    }
}

/// The sums over `rows`.
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
    let side = |w: [f64; 2]| bits(w[0]) + bits(w[1]) - bits(w[0] + w[1]);
    side(left) + side(right)
}

fn bits(weight: f64) -> f64 {
    if weight > 0.0 { weight * weight.log2() } else { 0.0 }
}

/// The decrease of the sum of squares, up to a constant of the node.
fn variance_score(left: [f64; 2], right: [f64; 2]) -> f64 {
    left[1] * left[1] / left[0] + right[1] * right[1] / right[0]
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
