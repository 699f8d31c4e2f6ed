//! Growing a boosted tree: the leaf that gains most is split next.
//!
//! A leaf keeps, for every column and bin, the sums of its rows' slopes. Of two new leaves only the smaller one is summed
//! up; the larger one's sums are the parent's less those. Buffers live as long as the grower.

use kilter_numerics::Stream;

use super::bins::{Bins, MISSING};
use super::{BoostingConfig, Step};

/// A side of less curvature than this is not made.
const LEAST_CURVATURE: f64 = 1e-3;

/// Kept from a division by zero where all curvature is gone.
const TINY: f64 = 1e-15;

/// Sums over the rows of a bin.
#[derive(Clone, Copy, Default)]
struct Sums {
    slope: f64,
    curvature: f64,
    rows: u32,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            slope: self.slope + other.slope,
            curvature: self.curvature + other.curvature,
            rows: self.rows + other.rows,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            slope: self.slope - other.slope,
            curvature: self.curvature - other.curvature,
            rows: self.rows - other.rows,
        }
    }

    /// The value that minimises the loss's second-order model over these rows.
    fn value(self, l2: f64) -> f64 {
        -self.slope / (self.curvature + l2 + TINY)
    }

    /// What that value takes off the loss, doubled.
    fn worth(self, l2: f64) -> f64 {
        -self.slope * self.value(l2)
    }
}

/// Bins of a column in a histogram, the missing one included.
const WIDTH: usize = 256;

/// Grows trees over one table, one after the other.
pub(super) struct Grower<'a> {
    bins: &'a Bins,
    config: &'a BoostingConfig,
    /// The rows that count; every leaf owns a range.
    rows: Vec<u32>,
    /// Slopes and curvatures of a leaf's rows, in their order.
    ordered: Vec<[f32; 2]>,
    /// Rows that go right, while a leaf is parted.
    right: Vec<u32>,
    /// The columns that this tree may look at.
    features: Vec<usize>,
    /// Histograms not in use.
    spare: Vec<Vec<Sums>>,
}

/// A leaf that may still be split.
struct Leaf {
    node: usize,
    start: usize,
    end: usize,
    depth: usize,
    sums: Sums,
    histogram: Vec<Sums>,
    best: Option<Cut>,
}

/// A split of a leaf: rows of bin at most `below` go left.
struct Cut {
    gain: f64,
    feature: usize,
    below: u8,
    missing_left: bool,
    left: Sums,
}

impl<'a> Grower<'a> {
    pub fn new(bins: &'a Bins, config: &'a BoostingConfig, counts: impl Iterator<Item = bool>) -> Self {
        let rows: Vec<u32> = (0..).zip(counts).filter(|(_, counts)| *counts).map(|(row, _)| row).collect();
        Self {
            bins,
            config,
            ordered: Vec::with_capacity(rows.len()),
            right: Vec::with_capacity(rows.len()),
            rows,
            features: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// One tree against these slopes and curvatures; `add` is told what it adds to each row that counts.
    pub fn grow(&mut self, slopes: &[[f32; 2]], stream: &mut Stream, mut add: impl FnMut(usize, f64)) -> Vec<Step> {
        let columns = self.bins.columns;
        self.features.clear();
        self.features.extend(0..columns);
        let count = ((self.config.max_features * columns as f64 - 1e-9).ceil() as usize).clamp(1, columns);
        if count < columns {
            for i in 0..count {
                self.features.swap(i, i + stream.index(columns - i));
            }
            self.features.truncate(count);
            self.features.sort_unstable();
        }

        let mut histogram = self.empty();
        let sums = self.sum_up(0, self.rows.len(), slopes, &mut histogram);
        let mut root = Leaf { node: 0, start: 0, end: self.rows.len(), depth: 0, sums, histogram, best: None };
        root.best = self.best(&root);
        let mut steps = vec![Step::Add(0.0)];
        let mut open = vec![root];
        while open.len() < self.config.max_leaves {
            // Of equal gains the leaf made first.
            let next = open.iter().enumerate().filter_map(|(i, leaf)| Some((i, leaf.best.as_ref()?.gain, leaf.node)));
            let Some((next, ..)) = next.max_by(|a, b| a.1.total_cmp(&b.1).then(b.2.cmp(&a.2))) else { break };
            let mut leaf = open.swap_remove(next);
            let Some(cut) = leaf.best.take() else { break };
            let middle = self.part(leaf.start, leaf.end, &cut);
            let (left_node, right_node) = (steps.len(), steps.len() + 1);
            steps.extend([Step::Add(0.0), Step::Add(0.0)]);
            steps[leaf.node] = Step::Ask {
                feature: cut.feature,
                threshold: self.bins.thresholds[cut.feature]
                    .get(usize::from(cut.below))
                    .copied()
                    .unwrap_or(f64::INFINITY),
                missing_left: cut.missing_left,
                left: left_node,
                right: right_node,
            };
            let (left_sums, right_sums) = (cut.left, leaf.sums.minus(cut.left));
            let depth = leaf.depth + 1;
            let more = open.len() + 2 < self.config.max_leaves;
            let may_split = |sums: Sums| {
                more && self.config.max_depth.is_none_or(|most| depth < most)
                    && sums.rows as usize >= 2 * self.config.min_samples_leaf
                    && sums.curvature >= LEAST_CURVATURE
            };
            let (mut small, mut large) = (Vec::new(), Vec::new());
            let left_is_small = middle - leaf.start <= leaf.end - middle;
            if may_split(left_sums) || may_split(right_sums) {
                small = self.empty();
                let (from, to) = if left_is_small { (leaf.start, middle) } else { (middle, leaf.end) };
                self.sum_up(from, to, slopes, &mut small);
                large = std::mem::take(&mut leaf.histogram);
                for &feature in &self.features {
                    let range = feature * WIDTH..(feature + 1) * WIDTH;
                    for (large, small) in large[range.clone()].iter_mut().zip(&small[range]) {
                        *large = large.minus(*small);
                    }
                }
            }
            self.give_back(std::mem::take(&mut leaf.histogram));
            let (left_histogram, right_histogram) = if left_is_small { (small, large) } else { (large, small) };
            let sides = [
                (left_node, leaf.start, middle, left_sums, left_histogram),
                (right_node, middle, leaf.end, right_sums, right_histogram),
            ];
            for (node, start, end, sums, histogram) in sides {
                let mut side = Leaf { node, start, end, depth, sums, histogram, best: None };
                if may_split(sums) {
                    side.best = self.best(&side);
                }
                if side.best.is_none() {
                    let histogram = std::mem::take(&mut side.histogram);
                    self.give_back(histogram);
                }
                open.push(side);
            }
        }
        for leaf in open {
            let value = self.config.learning_rate * leaf.sums.value(self.config.l2);
            steps[leaf.node] = Step::Add(value);
            self.rows[leaf.start..leaf.end].iter().for_each(|&row| add(row as usize, value));
            self.give_back(leaf.histogram);
        }
        steps
    }

    /// A histogram of zeros.
    fn empty(&mut self) -> Vec<Sums> {
        let mut histogram = self.spare.pop().unwrap_or_default();
        histogram.clear();
        histogram.resize(self.bins.columns * WIDTH, Sums::default());
        histogram
    }

    fn give_back(&mut self, histogram: Vec<Sums>) {
        if histogram.capacity() > 0 {
            self.spare.push(histogram);
        }
    }

    /// Sums the rows of a range by column and bin into `histogram`; their sums.
    fn sum_up(&mut self, start: usize, end: usize, slopes: &[[f32; 2]], histogram: &mut [Sums]) -> Sums {
        let rows = &self.rows[start..end];
        self.ordered.clear();
        self.ordered.extend(rows.iter().map(|&row| slopes[row as usize]));
        for &feature in &self.features {
            let codes = self.bins.column(feature);
            let histogram = &mut histogram[feature * WIDTH..(feature + 1) * WIDTH];
            for (&row, slope) in rows.iter().zip(&self.ordered) {
                let bin = &mut histogram[usize::from(codes[row as usize])];
                bin.slope += f64::from(slope[0]);
                bin.curvature += f64::from(slope[1]);
                bin.rows += 1;
            }
        }
        let add = |sums: Sums, slope: &[f32; 2]| {
            sums.plus(Sums { slope: f64::from(slope[0]), curvature: f64::from(slope[1]), rows: 1 })
        };
        self.ordered.iter().fold(Sums::default(), add)
    }

    /// The split of `leaf` that gains most, the lowest column and threshold of equal ones.
    fn best(&self, leaf: &Leaf) -> Option<Cut> {
        let least = self.config.min_samples_leaf;
        if (leaf.sums.rows as usize) < 2 * least || leaf.sums.curvature < LEAST_CURVATURE {
            return None;
        }
        let (l2, whole) = (self.config.l2, leaf.sums.worth(self.config.l2));
        let mut best: Option<Cut> = None;
        let mut bar = 0.0;
        let mut consider = |feature: usize, below: usize, missing_left: bool, left: Sums| {
            let right = leaf.sums.minus(left);
            let allowed = |side: Sums| side.rows as usize >= least && side.curvature >= LEAST_CURVATURE;
            if !(allowed(left) && allowed(right)) {
                return;
            }
            let gain = left.worth(l2) + right.worth(l2) - whole;
            if gain > bar {
                bar = gain;
                best = Some(Cut { gain, feature, below: below as u8, missing_left, left });
            }
        };
        for &feature in &self.features {
            let histogram = &leaf.histogram[feature * WIDTH..(feature + 1) * WIDTH];
            let bins = self.bins.thresholds[feature].len() + 1;
            let missing = histogram[usize::from(MISSING)];
            let has_missing = missing.rows > 0;
            // Where the column never had a missing value, one that comes later goes with the larger side.
            let absent_left = |left: Sums| !self.bins.has_missing[feature] && left.rows > leaf.sums.rows - left.rows;
            let mut left = Sums::default();
            for (below, bin) in histogram[..bins].iter().enumerate() {
                left = left.plus(*bin);
                if bin.rows == 0 {
                    continue;
                }
                if has_missing {
                    consider(feature, below, false, left);
                    if below + 1 < bins {
                        consider(feature, below, true, left.plus(missing));
                    }
                } else if below + 1 < bins {
                    consider(feature, below, absent_left(left), left);
                }
            }
        }
        best
    }

    /// Moves the rows that go left to the front of the range, keeping their order; where the others begin.
    fn part(&mut self, start: usize, end: usize, cut: &Cut) -> usize {
        let codes = self.bins.column(cut.feature);
        self.right.clear();
        let mut front = start;
        for i in start..end {
            let row = self.rows[i];
            let code = codes[row as usize];
            let goes_left = if code == MISSING { cut.missing_left } else { code <= cut.below };
            if goes_left {
                self.rows[front] = row;
                front += 1;
            } else {
                self.right.push(row);
            }
        }
        self.rows[front..end].copy_from_slice(&self.right);
        front
    }
}
