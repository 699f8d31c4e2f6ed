//! Muon (Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024): the momentum of a matrix is
//! replaced by the nearest orthogonal one, by five Newton-Schulz steps. Vectors take AdamW steps.
//!
//! Cost: per step about `15·n²·m` multiplications for an `n × m` matrix (n ≤ m); one more number per weight.

use serde::{Deserialize, Serialize};

use super::{AdamConfig, Parameter};
use crate::op::{Matrix, Real, multiply};

/// How the step of a matrix is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MuonScale {
    /// `√max(1, rows/columns)`, as the original.
    #[default]
    Original,
    /// `0.2·√max(rows, columns)`: steps of AdamW's usual size (Liu et al., *Muon is Scalable*, 2025).
    MatchAdamw,
}

/// Hyperparameters of Muon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MuonConfig {
    /// Decay of the momentum, in [0, 1). Default 0.95.
    pub momentum: f64,
    /// Looks ahead by the momentum. Default true.
    pub nesterov: bool,
    /// Newton-Schulz steps, at least 1. Default 5.
    pub steps: u32,
    /// How a matrix's step is scaled. Default `original`.
    pub scale: MuonScale,
    /// Taken from the weights themselves, times the learning rate. Default 0.1.
    pub weight_decay: f64,
    /// The learning rate of vectors, as a factor of the one of matrices. Default 0.15 (3e-3 beside 0.02).
    pub vector_rate: f64,
}

impl Default for MuonConfig {
    fn default() -> Self {
        let (momentum, weight_decay, vector_rate) = (0.95, 0.1, 0.15);
        Self { momentum, nesterov: true, steps: 5, scale: MuonScale::Original, weight_decay, vector_rate }
    }
}

/// The quintic iteration's coefficients, which maximise its slope at zero (Jordan et al.).
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Brings all singular values of a `rows × columns` matrix near 1 (between about 0.7 and 1.2).
pub fn orthogonalise<R: Real>(matrix: &[R], rows: usize, columns: usize, steps: u32) -> Vec<R> {
    let [a, b, c] = COEFFICIENTS.map(R::of);
    let norm = matrix.iter().map(|x| x.wide() * x.wide()).sum::<f64>().sqrt().max(1e-7);
    let tall = rows > columns;
    // The products are of the shorter side.
    let (n, m) = if tall { (columns, rows) } else { (rows, columns) };
    let scale = R::of(1.0 / norm);
    let mut x: Vec<R> = if tall {
        (0..n * m).map(|i| matrix[(i % m) * columns + i / m] * scale).collect()
    } else {
        matrix.iter().map(|&x| x * scale).collect()
    };
    let (mut gram, mut poly, mut next) = (vec![R::zero(); n * n], vec![R::zero(); n * n], vec![R::zero(); n * m]);
    for _ in 0..steps {
        let flat = Matrix::new(&x, n, m);
        multiply(&mut gram, n, flat, flat.t(), R::one(), R::zero(), true);
        poly.copy_from_slice(&gram);
        let square = Matrix::new(&gram, n, n);
        multiply(&mut poly, n, square, square, c, b, true);
        next.copy_from_slice(&x);
        multiply(&mut next, m, Matrix::new(&poly, n, n), flat, R::one(), a, true);
        std::mem::swap(&mut x, &mut next);
    }
    if tall { (0..n * m).map(|i| x[(i % columns) * m + i / columns]).collect() } else { x }
}

impl MuonConfig {
    /// One step. Axes of a tensor beyond the first are taken together: a convolution is a matrix of outputs by patches.
    pub fn update<R: Real>(&self, mut parameter: Parameter<'_, R>) {
        if parameter.shape.len() < 2 {
            let weight_decay = parameter.weight_decay;
            parameter.learning_rate *= self.vector_rate;
            return AdamConfig { decoupled: true, weight_decay, ..AdamConfig::default() }.update(parameter);
        }
        let Parameter { weights, gradient, shape, state, learning_rate, weight_decay, .. } = parameter;
        let [momentum] = state.vectors([("momentum", weights.len())]);
        let (mu, rest) = (R::of(self.momentum), R::of(1.0 - self.momentum));
        let mut moved = Vec::with_capacity(weights.len());
        for (m, &g) in momentum.iter_mut().zip(gradient) {
            *m = *m + rest * (g - *m);
            moved.push(if self.nesterov { g + mu * (*m - g) } else { *m });
        }
        let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
        let moved = orthogonalise(&moved, rows, columns, self.steps);
        let (rows, columns) = (rows as f64, columns as f64);
        let scale = match self.scale {
            MuonScale::Original => (rows / columns).max(1.0).sqrt(),
            MuonScale::MatchAdamw => 0.2 * rows.max(columns).sqrt(),
        };
        let (rate, shrink) = (R::of(learning_rate * scale), R::of(1.0 - learning_rate * weight_decay));
        for (w, u) in weights.iter_mut().zip(moved) {
            *w = *w * shrink - rate * u;
        }
    }
}
