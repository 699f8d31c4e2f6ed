//! Adafactor (Shazeer and Stern, *Adafactor: Adaptive Learning Rates with Sublinear Memory Cost*, ICML 2018,
//! algorithms 4 and 5): second moments of a matrix from its row and column means, steps relative to the weights' size.
//!
//! Without a first moment, as the paper recommends. Cost: two passes; `rows + columns` more numbers per matrix.

use serde::{Deserialize, Serialize};

use super::Parameter;
use crate::op::Real;

/// Hyperparameters of Adafactor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdafactorConfig {
    /// The second moment decays by `1 - t^decay_power`; below 0. Default -0.8.
    pub decay_power: f64,
    /// ε₁: the least second moment is its square. Default: the precision's rounding unit.
    pub epsilon_gradient: Option<f64>,
    /// ε₂: the least size of the weights that steps are relative to. Default 1e-3.
    pub epsilon_weights: f64,
    /// d: steps of a larger root mean square are scaled down to it. Default 1.
    pub clip: f64,
    /// Taken from the weights themselves, times the learning rate. Default 0.
    pub weight_decay: f64,
}

impl Default for AdafactorConfig {
    fn default() -> Self {
        Self { decay_power: -0.8, epsilon_gradient: None, epsilon_weights: 1e-3, clip: 1.0, weight_decay: 0.0 }
    }
}

fn root_mean_square<R: Real>(x: &[R]) -> f64 {
    (x.iter().map(|x| x.wide() * x.wide()).sum::<f64>() / x.len().max(1) as f64).sqrt()
}

impl AdafactorConfig {
    /// One step. The learning rate is the relative step's upper bound, ρₜ = min(rate, 1/√t).
    pub fn update<R: Real>(&self, parameter: Parameter<'_, R>) {
        let Parameter { weights, gradient, shape, state, step, learning_rate, weight_decay } = parameter;
        let rest = R::of((step as f64).powf(self.decay_power));
        let relative = learning_rate.min(1.0 / (step as f64).sqrt());
        let size = self.epsilon_weights.max(root_mean_square(weights)) * relative;
        let epsilon = self.epsilon_gradient.unwrap_or(R::epsilon().wide());
        let least = R::of(epsilon * epsilon);
        let shrink = R::of(1.0 - learning_rate * weight_decay);
        let mut moved = gradient.to_vec();
        if let &[.., rows, columns] = shape {
            let matrices = gradient.len() / (rows * columns).max(1);
            let [row, column] = state.vectors([("row", matrices * rows), ("column", matrices * columns)]);
            for i in 0..matrices {
                let g = &gradient[i * rows * columns..][..rows * columns];
                let (row, column) = (&mut row[i * rows..][..rows], &mut column[i * columns..][..columns]);
                let mut sums = vec![R::zero(); columns];
                for (row, g) in row.iter_mut().zip(g.chunks(columns)) {
                    let mut sum = R::zero();
                    for (total, &g) in sums.iter_mut().zip(g) {
                        sum += g * g;
                        *total += g * g;
                    }
                    *row = *row + rest * (sum / R::of(columns as f64) - *row);
                }
                for (column, sum) in column.iter_mut().zip(sums) {
                    *column = *column + rest * (sum / R::of(rows as f64) - *column);
                }
                let mean = row.iter().copied().sum::<R>() / R::of(rows as f64);
                let norm = R::one() / mean.max(R::of(epsilon));
                for (moved, &row) in moved[i * rows * columns..].chunks_mut(columns).zip(&*row) {
                    for (u, &column) in moved.iter_mut().zip(&*column) {
                        *u /= (row * column * norm).max(least).sqrt();
                    }
                }
            }
        } else {
            let [variance] = state.vectors([("variance", gradient.len())]);
            for ((u, v), &g) in moved.iter_mut().zip(variance.iter_mut()).zip(gradient) {
                *v = *v + rest * (g * g - *v);
                *u /= v.max(least).sqrt();
            }
        }
        let factor = R::of(size / (root_mean_square(&moved) / self.clip).max(1.0));
        for (w, u) in weights.iter_mut().zip(moved) {
            *w = *w * shrink - factor * u;
        }
    }
}
