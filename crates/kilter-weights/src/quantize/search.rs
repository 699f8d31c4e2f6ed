//! The exponent that fits a set of weights, found without data.
//!
//! Minimised is the p-norm of the error of quantising. A [`Profile`] keeps what that needs: how much weight lies at which
//! size. Up to [`EXACT`] entries it keeps each, so errors are exact; beyond, sizes are counted in 512 bins per factor of two
//! (a bin is 0.1 to 0.2 % wide), so that one pass over any number of weights is enough for all exponents. Exponents 0.02
//! apart are tried, then a golden section (Kiefer 1953) between the best one's neighbours until 1e-4. Errors are only
//! piecewise smooth, so the answer is the best exponent that was evaluated anywhere, ties to the larger; 1 is always among
//! them. Cost: one pass to fill, then about 66 walks over at most 32,768 points.

use super::grid::Grid;

/// Up to so many entries are kept as they are.
const EXACT: usize = 1 << 15;

/// Bits of fraction that tell bins apart.
const FRACTION: u32 = 9;

/// Sizes below 2^-24 of the largest share a bin: no grid tells them apart.
const LEAST: u64 = (1023 - 24) << FRACTION;

/// One bin for each step of exponent and fraction up to 1.
const BINS: usize = ((1023 << FRACTION) - LEAST + 1) as usize;

/// How much weight lies at which size.
#[derive(Clone, Debug)]
pub struct Profile {
    p: f64,
    /// Size in units of the group's largest, and its weight: the largest to the power p.
    points: Vec<(f64, f64)>,
    /// Per bin, summed weight and summed weight times size; empty while every entry is kept.
    bins: Vec<(f64, f64)>,
}

/// An exponent and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The best exponent.
    pub exponent: f64,
    /// Its error: the p-norm over the profile's entries.
    pub error: f64,
    /// The error of exponent 1.
    pub uniform: f64,
}

impl Profile {
    /// An empty profile for errors in the p-norm.
    pub fn new(p: f64) -> Self {
        Self { p, points: Vec::new(), bins: Vec::new() }
    }

    /// Adds weights of a group whose largest size is `max`.
    pub fn add(&mut self, weights: &[f64], max: f64) {
        if max == 0.0 {
            return;
        }
        let mass = if self.p == 2.0 { max * max } else { max.powf(self.p) };
        if self.bins.is_empty() && self.points.len() + weights.len() <= EXACT {
            self.points.extend(weights.iter().map(|w| (w.abs() / max, mass)));
            return;
        }
        self.spread();
        for weight in weights {
            put(&mut self.bins, weight.abs() / max, mass);
        }
    }

    fn spread(&mut self) {
        if self.bins.is_empty() {
            self.bins = vec![(0.0, 0.0); BINS];
            for (size, mass) in self.points.drain(..) {
                put(&mut self.bins, size, mass);
            }
        }
    }

    /// Adds another profile of the same p.
    pub fn absorb(&mut self, mut other: Self) {
        if self.bins.is_empty() && other.bins.is_empty() && self.points.len() + other.points.len() <= EXACT {
            self.points.append(&mut other.points);
            return;
        }
        self.spread();
        other.spread();
        for (mine, theirs) in self.bins.iter_mut().zip(other.bins) {
            *mine = (mine.0 + theirs.0, mine.1 + theirs.1);
        }
    }

    /// The points by size, ready for [`Sorted::error`].
    fn sorted(&self) -> Sorted {
        let filled = self.bins.iter().filter(|(mass, _)| *mass > 0.0);
        let mut points: Vec<(f64, f64)> =
            self.points.iter().copied().chain(filled.map(|&(mass, moment)| (moment / mass, mass))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Sorted { p: self.p, points }
    }

    /// The p-norm of the error with `grid`.
    pub fn error(&self, grid: &Grid) -> f64 {
        self.sorted().error(grid)
    }
}

fn put(bins: &mut [(f64, f64)], size: f64, mass: f64) {
    let bin = (size.to_bits() >> (52 - FRACTION)).saturating_sub(LEAST) as usize;
    let (sum, moment) = &mut bins[bin.min(BINS - 1)];
    *sum += mass;
    *moment += mass * size;
}

/// A profile's points, ascending by size.
struct Sorted {
    p: f64,
    points: Vec<(f64, f64)>,
}

impl Sorted {
    /// The p-norm of the error with `grid`: points between two thresholds have one level.
    fn error(&self, grid: &Grid) -> f64 {
        let mut rest = self.points.as_slice();
        let mut total = 0.0;
        for (k, &level) in grid.levels().iter().enumerate() {
            let here = match grid.thresholds().get(k) {
                Some(&threshold) => rest.partition_point(|&(size, _)| size <= threshold),
                None => rest.len(),
            };
            let (now, later) = rest.split_at(here);
            let off = now.iter().map(|&(size, mass)| (size - level, mass));
            total += if self.p == 2.0 {
                off.map(|(e, mass)| mass * e * e).sum::<f64>()
            } else {
                off.map(|(e, mass)| mass * e.abs().powf(self.p)).sum::<f64>()
            };
            rest = later;
        }
        total.powf(1.0 / self.p)
    }
}

/// Distance of the exponents first tried.
const STEP: f64 = 0.02;

/// The golden section ends when its bracket is shorter.
const NARROW: f64 = 1e-4;

/// The exponent from `low` to `high` (1 is between them) that minimises the sum of the profiles' errors, for codes of
/// `bits` bits.
pub fn search(profiles: &[Profile], bits: u32, low: f64, high: f64) -> Found {
    let sorted: Vec<Sorted> = profiles.iter().map(Profile::sorted).collect();
    let error = |exponent: f64| {
        let grid = Grid::power(bits, exponent);
        sorted.iter().map(|points| points.error(&grid)).sum::<f64>()
    };
    let uniform = error(1.0);
    let mut best = Found { exponent: 1.0, error: uniform, uniform };
    let mut weigh = |exponent: f64| {
        let error = error(exponent);
        if error < best.error || (error == best.error && exponent > best.exponent) {
            best = Found { exponent, error, uniform };
        }
        (error, best.exponent)
    };
    let steps = ((high - low) / STEP + 1e-9).floor() as i32;
    // Hundredths first: 0.2 + 3 * 0.02 is not 0.26.
    let tried = |i: i32| ((low * 100.0 + f64::from(2 * i)).round() / 100.0).clamp(low, high);
    let mut center = 1.0;
    for i in 0..=steps {
        center = weigh(tried(i)).1;
    }
    let (mut left, mut right) = ((center - STEP).max(low), (center + STEP).min(high));
    let inner = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = (right - inner * (right - left), left + inner * (right - left));
    let (mut at_a, mut at_b) = (weigh(a).0, weigh(b).0);
    while right - left >= NARROW {
        if at_a < at_b {
            (right, b, at_b) = (b, a, at_a);
            a = right - inner * (right - left);
            at_a = weigh(a).0;
        } else {
            (left, a, at_a) = (a, b, at_b);
            b = left + inner * (right - left);
            at_b = weigh(b).0;
        }
    }
    best
}
