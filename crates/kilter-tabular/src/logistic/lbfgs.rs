//! L-BFGS for the L2 penalty.
//!
//! The objective is convex and, along a line, costs O(n) once the rows' log odds of the direction are known; so the
//! line search is a safeguarded Newton iteration on the slope, which stays exact where differences of the objective
//! drown in rounding.

use std::collections::VecDeque;

use super::{Logistic, LogisticConfig, Problem, add_scaled, dot, largest};

/// Pairs remembered (Liu and Nocedal use 3 to 20).
const MEMORY: usize = 20;

/// A step is long enough when the slope has fallen to this share, and not too long while the slope behind the minimum
/// stays under the other (the curvature condition, and Hager and Zhang's approximate Wolfe condition, 2005).
const SLOPE_LEFT: f64 = 0.9;
const SLOPE_BEHIND: f64 = 0.8;

pub(super) fn minimise(problem: &Problem<'_>, config: &LogisticConfig) -> Logistic {
    let (rows, size) = (problem.signs.len(), problem.columns + 1);
    let mut point = problem.start();
    let (mut z, mut dz) = (vec![0.0; rows], vec![0.0; rows]);
    let (mut gradient, mut next_gradient) = (vec![0.0; size], vec![0.0; size]);
    let mut direction = vec![0.0; size];
    let mut history = History::default();

    problem.times(&point, &mut z);
    let mut objective = objective_and_gradient(problem, &point, &z, &mut gradient);
    let mut violation = largest(gradient.iter().copied());
    let mut iterations = 0;
    while violation > config.tolerance && iterations < config.max_iterations {
        history.direction(&gradient, &mut direction);
        problem.times(&direction, &mut dz);
        let line = Line { problem, point: &point, direction: &direction, z: &z, dz: &dz };
        let Some(step) = line.search(objective, dot(&gradient, &direction), history.pairs.is_empty()) else {
            if history.pairs.is_empty() {
                break;
            }
            // The remembered curvature is stale; one more try straight downhill.
            history.pairs.clear();
            continue;
        };
        add_scaled(&mut point, step, &direction);
        // From the point and not by adding dz, so that rounding does not pile up over the iterations.
        problem.times(&point, &mut z);
        objective = objective_and_gradient(problem, &point, &z, &mut next_gradient);
        history.remember(step, &direction, &gradient, &next_gradient);
        std::mem::swap(&mut gradient, &mut next_gradient);
        violation = largest(gradient.iter().copied());
        iterations += 1;
    }
    let intercept = point[problem.columns];
    point.truncate(problem.columns);
    let converged = violation <= config.tolerance;
    Logistic { coefficients: point, intercept, objective, iterations, violation, converged }
}

fn objective_and_gradient(problem: &Problem<'_>, point: &[f64], z: &[f64], gradient: &mut [f64]) -> f64 {
    let weights = &point[..problem.columns];
    let loss = problem.loss_and_gradient(z, gradient);
    add_scaled(gradient, 1.0, weights);
    loss + 0.5 * dot(weights, weights)
}

/// The objective along `point + step * direction`; `z` and `dz` are the rows' log odds of both.
struct Line<'a> {
    problem: &'a Problem<'a>,
    point: &'a [f64],
    direction: &'a [f64],
    z: &'a [f64],
    dz: &'a [f64],
}

impl Line<'_> {
    /// Value, slope and curvature.
    fn at(&self, step: f64) -> (f64, f64, f64) {
        let columns = self.problem.columns;
        let (w, dw) = (&self.point[..columns], &self.direction[..columns]);
        let (w_dw, dw_dw) = (dot(w, dw), dot(dw, dw));
        let mut value = 0.5 * dot(w, w) + step * (w_dw + 0.5 * step * dw_dw);
        let (mut slope, mut curvature) = (w_dw + step * dw_dw, dw_dw);
        for (i, (&z, &dz)) in self.z.iter().zip(self.dz).enumerate() {
            let loss = self.problem.row_loss(i, z + step * dz);
            value += loss.value;
            slope += loss.slope * dz;
            curvature += loss.curvature * dz * dz;
        }
        (value, slope, curvature)
    }

    /// A step that lowers the objective enough, or `None` where rounding allows none; `start` and `start_slope` are
    /// value and slope at step 0. A first step has no curvature to go by and takes the line's own.
    fn search(&self, start: f64, start_slope: f64, first: bool) -> Option<f64> {
        if start_slope >= 0.0 {
            return None;
        }
        // Differences of two values of the objective mean nothing below this.
        let rounding = 1e-12 * start.abs();
        let (mut low, mut high) = (0.0, f64::INFINITY);
        let mut step = if first { -start_slope / self.at(0.0).2 } else { 1.0 };
        for _ in 0..60 {
            let (value, slope, curvature) = self.at(step);
            if slope < SLOPE_LEFT * start_slope {
                low = step;
            } else if slope > -SLOPE_BEHIND * start_slope || value > start + 1e-4 * step * start_slope + rounding {
                high = step;
            } else {
                return Some(step);
            }
            let newton = step - slope / curvature;
            step = if newton > low && newton < high {
                newton
            } else if high.is_finite() {
                0.5 * (low + high)
            } else {
                2.0 * step
            };
        }
        None
    }
}

/// The last steps and what they did to the gradient: an approximation of the inverse Hessian.
#[derive(Default)]
struct History {
    pairs: VecDeque<Pair>,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// `step · change`, positive.
    product: f64,
}

impl History {
    /// Forgets the oldest pair if there is no room, and remembers a step of `scale * direction`.
    fn remember(&mut self, scale: f64, direction: &[f64], before: &[f64], after: &[f64]) {
        let mut pair = if self.pairs.len() == MEMORY { self.pairs.pop_front() } else { None }.unwrap_or_else(|| Pair {
            step: Vec::new(),
            change: Vec::new(),
            product: 0.0,
        });
        pair.step.clear();
        pair.step.extend(direction.iter().map(|d| scale * d));
        pair.change.clear();
        pair.change.extend(after.iter().zip(before).map(|(after, before)| after - before));
        pair.product = dot(&pair.step, &pair.change);
        // Convexity makes it positive; where rounding does not, the pair says nothing.
        if pair.product > 0.0 {
            self.pairs.push_back(pair);
        }
    }

    /// The two-loop recursion: `direction = -H * gradient`.
    fn direction(&self, gradient: &[f64], direction: &mut [f64]) {
        for (direction, gradient) in direction.iter_mut().zip(gradient) {
            *direction = -gradient;
        }
        let mut shares = [0.0; MEMORY];
        for (pair, share) in self.pairs.iter().zip(&mut shares).rev() {
            *share = dot(&pair.step, direction) / pair.product;
            add_scaled(direction, -*share, &pair.change);
        }
        if let Some(newest) = self.pairs.back() {
            let scale = newest.product / dot(&newest.change, &newest.change);
            direction.iter_mut().for_each(|d| *d *= scale);
        }
        for (pair, share) in self.pairs.iter().zip(&shares) {
            let correction = share - dot(&pair.change, direction) / pair.product;
            add_scaled(direction, correction, &pair.step);
        }
    }
}
