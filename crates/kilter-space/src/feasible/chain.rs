//! Hit and run in the cube of shares (Smith 1984, *Efficient Monte Carlo procedures for generating points uniformly
//! distributed over bounded regions*), along the axes and along differences of other members of an ensemble (adaptive
//! direction sampling, Gilks, Roberts and George 1994), which follows long thin sets of any orientation.
//!
//! A step draws on the line until a feasible point is found, each miss shrinking the line towards the present point
//! (Neal 2003, *Slice sampling*, figure 5): the uniform distribution stays what it is, even on lines that leave the set
//! and return. The ensemble is mixed once, with a fixed stream; each draw starts at a random member of it and takes
//! [`SWEEPS`] sweeps of its own, so that it is a function of its stream alone.
//!
//! Cost: about ten tests of the constraints per step, twice as many steps in a sweep as coordinates.

use kilter_numerics::Stream;

/// A mixed ensemble of feasible points.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    members: Vec<Vec<f64>>,
}

/// Sweeps of a draw.
const SWEEPS: usize = 12;

/// A line is given up after so many misses: by then it has shrunk to rounding.
const MISSES: usize = 60;

impl Chain {
    /// How many members an ensemble in so many dimensions has.
    pub(crate) fn members(dimensions: usize) -> usize {
        (2 * dimensions).clamp(32, 128)
    }

    /// Mixes an ensemble that starts at these feasible points (at least one).
    pub(crate) fn new(starts: Vec<Vec<f64>>, stream: &Stream, mut feasible: impl FnMut(&[f64]) -> bool) -> Self {
        let dimensions = starts.first().map_or(0, Vec::len);
        let count = Self::members(dimensions);
        let mut members: Vec<Vec<f64>> = starts.into_iter().cycle().take(count).collect();
        let mut stream = stream.clone();
        // Fewer sweeps in high dimensions keep this within about a million tests.
        let sweeps = (200_000 / (count * 2 * dimensions.max(1))).clamp(8, 50);
        for _ in 0..sweeps {
            for at in 0..members.len() {
                let mut point = std::mem::take(&mut members[at]);
                // The direction must not depend on the point that moves.
                let (a, b) = (other(at, count, &mut stream), other(at, count, &mut stream));
                let (a, b) = (members[a].clone(), members[b].clone());
                sweep(&mut point, &mut stream, &mut feasible, |_| (&a, &b));
                members[at] = point;
            }
        }
        Self { members }
    }

    /// A feasible point.
    pub(crate) fn draw(&self, stream: &mut Stream, mut feasible: impl FnMut(&[f64]) -> bool) -> Vec<f64> {
        let mut point = self.members[stream.index(self.members.len())].clone();
        for _ in 0..SWEEPS {
            sweep(&mut point, stream, &mut feasible, |stream| {
                (&self.members[stream.index(self.members.len())], &self.members[stream.index(self.members.len())])
            });
        }
        point
    }
}

/// A member that is not `at`.
fn other(at: usize, count: usize, stream: &mut Stream) -> usize {
    (at + 1 + stream.index(count - 1)) % count
}

/// One step along every axis, and as many along differences of two points.
fn sweep<'a>(
    point: &mut [f64],
    stream: &mut Stream,
    feasible: &mut impl FnMut(&[f64]) -> bool,
    mut pair: impl FnMut(&mut Stream) -> (&'a Vec<f64>, &'a Vec<f64>),
) {
    let mut direction = vec![0.0; point.len()];
    for axis in 0..point.len() {
        direction.fill(0.0);
        direction[axis] = 1.0;
        step(point, &direction, stream, feasible);
        let (a, b) = pair(stream);
        direction.iter_mut().zip(a.iter().zip(b)).for_each(|(direction, (a, b))| *direction = a - b);
        step(point, &direction, stream, feasible);
    }
}

/// Moves `point` to a random feasible point of the line through it.
fn step(point: &mut [f64], direction: &[f64], stream: &mut Stream, feasible: &mut impl FnMut(&[f64]) -> bool) {
    // Where the line leaves the cube, in units of the direction.
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for (&x, &v) in point.iter().zip(direction).filter(|(_, v)| **v != 0.0) {
        let (a, b) = (-x / v, (1.0 - x) / v);
        low = low.max(a.min(b));
        high = high.min(a.max(b));
    }
    if !(low < high && low.is_finite() && high.is_finite()) {
        return;
    }
    let start = point.to_vec();
    for _ in 0..MISSES {
        let t = low + (high - low) * stream.uniform();
        for ((x, &from), &v) in point.iter_mut().zip(&start).zip(direction) {
            *x = v.mul_add(t, from).clamp(0.0, 1.0);
        }
        if feasible(point) {
            return;
        }
        if t < 0.0 {
            low = t;
        } else {
            high = t;
        }
    }
    point.copy_from_slice(&start);
}
