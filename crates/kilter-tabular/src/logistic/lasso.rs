//! Coordinate descent inside Newton steps for the L1 penalty (newGLMNET).
//!
//! Each outer iteration replaces the loss by its second-order model over the columns in play (those with a weight, and
//! the worst offenders among the rest), minimises model plus penalty by coordinate descent on the Gram matrix, and
//! walks that way until the true objective has fallen enough. Added to the paper: between sweeps the weights that are
//! not zero are solved for at once by Cholesky's method, because coordinate descent alone crawls where columns say
//! nearly the same (radius, perimeter, area) and the penalty is weak.

use super::{Logistic, LogisticConfig, Problem, add_scaled, dot, largest};

/// At least so many columns may join per iteration: all of them in an ordinary table, while in a wide one the Gram
/// matrix stays small.
const MIN_JOINING: usize = 64;

/// Rounds of sweeping and solving per Newton step. A handful solves the model; what is left over at the end only makes
/// this step less exact and the next one necessary.
const MAX_ROUNDS: usize = 1_000;

/// Sweeps of coordinate descent before the weights that are not zero are solved for: they decide which those are.
const SWEEPS: usize = 3;

pub(super) fn minimise(problem: &Problem<'_>, config: &LogisticConfig) -> Logistic {
    let (rows, columns) = (problem.signs.len(), problem.columns);
    let mut point = problem.start();
    let (mut z, mut dz, mut trial) = (vec![0.0; rows], vec![0.0; rows], vec![0.0; rows]);
    let (mut gradient, mut direction) = (vec![0.0; columns + 1], vec![0.0; columns + 1]);
    let mut model = Model::default();

    problem.times(&point, &mut z);
    let mut loss = problem.loss_and_gradient(&z, &mut gradient);
    let mut violation = largest_violation(&point, &gradient);
    let mut iterations = 0;
    while violation > config.tolerance && iterations < config.max_iterations {
        model.build(problem, &point, &gradient, &z);
        // Solved ever more exactly as the end nears, which keeps Newton's rate (Yuan, Ho and Lin, section 4.2).
        model.descend(0.1 * (violation.min(1.0) * violation).max(config.tolerance));
        direction.fill(0.0);
        for (&column, (proposed, weight)) in model.columns.iter().zip(model.proposed.iter().zip(&model.weights)) {
            direction[column] = proposed - weight;
        }
        problem.times(&direction, &mut dz);

        let penalty = absolute_sum(&point[..columns]);
        let moved = |step: f64| point.iter().zip(&direction).take(columns).map(move |(w, d)| (w + step * d).abs());
        let decrease =
            gradient.iter().zip(&direction).map(|(g, d)| g * d).sum::<f64>() + moved(1.0).sum::<f64>() - penalty;
        // Rounding of the objective, below which no comparison of two of its values means anything.
        let rounding = 1e-13 * (loss + penalty);
        let falls_enough = |step: f64| {
            let value: f64 = (0..rows).map(|i| problem.row_loss(i, z[i] + step * dz[i]).value).sum();
            value + moved(step).sum::<f64>() <= loss + penalty + 0.01 * step * decrease + rounding
        };
        let Some(step) = (0..40).map(|halvings| 0.5_f64.powi(halvings)).find(|&step| falls_enough(step)) else {
            break;
        };
        add_scaled(&mut point, step, &direction);
        problem.times(&point, &mut trial);
        std::mem::swap(&mut z, &mut trial);
        loss = problem.loss_and_gradient(&z, &mut gradient);
        violation = largest_violation(&point, &gradient);
        iterations += 1;
    }
    let intercept = point[columns];
    point.truncate(columns);
    let objective = loss + absolute_sum(&point);
    let converged = violation <= config.tolerance;
    Logistic { coefficients: point, intercept, objective, iterations, violation, converged }
}

/// How far the point is from the conditions of an optimum (Karush, Kuhn and Tucker), at the worst place.
fn largest_violation(point: &[f64], gradient: &[f64]) -> f64 {
    let columns = point.len() - 1;
    let of_weights = (0..columns).map(|j| violation(point[j], gradient[j]));
    largest(of_weights.chain([gradient[columns]]))
}

/// Zero is a minimum of `gradient * w + |w|` nearby exactly where this is zero.
fn violation(weight: f64, gradient: f64) -> f64 {
    if weight == 0.0 { (gradient.abs() - 1.0).max(0.0) } else { (gradient + weight.signum()).abs() }
}

fn absolute_sum(weights: &[f64]) -> f64 {
    weights.iter().map(|w| w.abs()).sum()
}

/// The second-order model of the loss over the columns in play; the intercept comes first.
#[derive(Default)]
struct Model {
    /// Columns in play, ascending after the intercept (whose number is the number of columns).
    columns: Vec<usize>,
    /// Their weights and the loss's gradient there.
    weights: Vec<f64>,
    gradient: Vec<f64>,
    /// Their Gram matrix weighted by the rows' curvature, `[in play, in play]`, symmetric.
    gram: Vec<f64>,
    /// The weights proposed (not their changes, so that a zero is exactly zero), and `gram * (proposed - weights)`.
    proposed: Vec<f64>,
    pull: Vec<f64>,
    /// One row's values in play.
    gathered: Vec<f64>,
    /// Columns by how much they want to join.
    joining: Vec<(usize, f64)>,
    /// Places of the intercept and of the weights that are not zero; their part of `gram`, factored; their step.
    support: Vec<usize>,
    factor: Vec<f64>,
    step: Vec<f64>,
}

impl Model {
    fn build(&mut self, problem: &Problem<'_>, point: &[f64], gradient: &[f64], z: &[f64]) {
        let intercept = problem.columns;
        let columns = 0..problem.columns;
        self.joining.clear();
        self.joining.extend(
            columns.clone().filter(|&j| point[j] == 0.0 && gradient[j].abs() > 1.0).map(|j| (j, gradient[j].abs())),
        );
        self.joining.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let in_play = columns.clone().filter(|&j| point[j] != 0.0).count();
        self.joining.truncate(in_play.max(MIN_JOINING));

        self.columns.clear();
        self.columns.extend(columns.filter(|&j| point[j] != 0.0));
        self.columns.extend(self.joining.iter().map(|(j, _)| j));
        self.columns.sort_unstable();
        self.columns.insert(0, intercept);
        self.weights.clear();
        self.weights.extend(self.columns.iter().map(|&j| point[j]));
        self.gradient.clear();
        self.gradient.extend(self.columns.iter().map(|&j| gradient[j]));

        let size = self.columns.len();
        self.gram.clear();
        self.gram.resize(size * size, 0.0);
        for ((i, row), &z) in problem.values.chunks_exact(problem.columns).enumerate().zip(z) {
            let curvature = problem.row_loss(i, z).curvature;
            self.gathered.clear();
            self.gathered.push(1.0);
            self.gathered.extend(self.columns[1..].iter().map(|&j| row[j]));
            for (a, &value) in self.gathered.iter().enumerate() {
                add_scaled(&mut self.gram[a * size + a..(a + 1) * size], curvature * value, &self.gathered[a..]);
            }
        }
        let trace: f64 = (0..size).map(|a| self.gram[a * size + a]).sum();
        for a in 0..size {
            // newGLMNET's ridge: rows that are certain have no curvature left, and a step must stay finite.
            self.gram[a * size + a] += 1e-12 * (1.0 + trace);
            for b in 0..a {
                self.gram[a * size + b] = self.gram[b * size + a];
            }
        }
    }

    /// Minimises model plus penalty over the weights, until no coordinate's violation exceeds `tolerance`.
    fn descend(&mut self, tolerance: f64) {
        self.proposed.clone_from(&self.weights);
        self.pull.clear();
        self.pull.resize(self.weights.len(), 0.0);
        for _ in 0..MAX_ROUNDS {
            for _ in 0..SWEEPS {
                if self.sweep() <= tolerance {
                    return;
                }
            }
            self.solve_support();
        }
    }

    /// Minimises over each coordinate in turn; the largest violation met.
    fn sweep(&mut self) -> f64 {
        let size = self.columns.len();
        let mut worst = 0.0_f64;
        for a in 0..size {
            let gram = &self.gram[a * size..(a + 1) * size];
            let curvature = gram[a];
            let target = self.proposed[a] - (self.gradient[a] + self.pull[a]) / curvature;
            // Soft threshold; the intercept, first, is free.
            let shrink = if a == 0 { 0.0 } else { 1.0 / curvature };
            let weight = target.signum() * (target.abs() - shrink).max(0.0);
            let moved = weight - self.proposed[a];
            if moved != 0.0 {
                worst = worst.max(moved.abs() * curvature);
                self.proposed[a] = weight;
                add_scaled(&mut self.pull, moved, gram);
            }
        }
        worst
    }

    /// Minimises over all weights that are not zero at once, as far as none of them changes sign; the first that would
    /// becomes zero. On that way the penalty is linear, so the model falls throughout.
    fn solve_support(&mut self) {
        let size = self.columns.len();
        let Self { proposed, support, factor, step, gram, gradient, pull, .. } = self;
        support.clear();
        support.extend((0..size).filter(|&a| a == 0 || proposed[a] != 0.0));
        factor.clear();
        for &a in &*support {
            factor.extend(support.iter().map(|&b| gram[a * size + b]));
        }
        step.clear();
        step.extend(support.iter().map(|&a| {
            let penalty = if a == 0 { 0.0 } else { proposed[a].signum() };
            -(gradient[a] + pull[a] + penalty)
        }));
        if !solve(factor, step) {
            return;
        }
        let (mut share, mut vanishing) = (1.0, None);
        for (&a, step) in support.iter().zip(&*step).skip(1) {
            let reach = -proposed[a] / step;
            if reach > 0.0 && reach < share {
                (share, vanishing) = (reach, Some(a));
            }
        }
        for (&a, step) in support.iter().zip(&*step) {
            let weight = if vanishing == Some(a) { 0.0 } else { proposed[a] + share * step };
            add_scaled(pull, weight - proposed[a], &gram[a * size..(a + 1) * size]);
            proposed[a] = weight;
        }
    }
}

/// Solves `matrix * x = vector` in place by Cholesky's method; false, with both spoilt, if rounding has made the matrix
/// (row-major, symmetric) indefinite.
fn solve(matrix: &mut [f64], vector: &mut [f64]) -> bool {
    let size = vector.len();
    for row in 0..size {
        let (above, this) = matrix.split_at_mut(row * size);
        for column in 0..row {
            let other = &above[column * size..(column + 1) * size];
            this[column] = (this[column] - dot(&this[..column], &other[..column])) / other[column];
        }
        let pivot = this[row] - dot(&this[..row], &this[..row]);
        if pivot.is_nan() || pivot <= 0.0 {
            return false;
        }
        this[row] = pivot.sqrt();
        vector[row] = (vector[row] - dot(&this[..row], &vector[..row])) / this[row];
    }
    for row in (0..size).rev() {
        vector[row] /= matrix[row * size + row];
        let (rest, solved) = vector.split_at_mut(row);
        add_scaled(rest, -solved[0], &matrix[row * size..row * size + row]);
    }
    true
}
