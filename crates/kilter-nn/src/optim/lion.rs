//! Lion (Chen et al., *Symbolic Discovery of Optimization Algorithms*, NeurIPS 2023, algorithm 2): the sign of an
//! interpolation between momentum and gradient.
//!
//! Cost: one pass over the weights; one more number per weight.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{PIECE, Parameter};
use crate::op::Real;

/// Hyperparameters of Lion. Its learning rate is typically 3 to 10 times smaller than AdamW's, its decay as much larger.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LionConfig {
    /// Weight of the momentum in the step, β₁, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay of the momentum, β₂, in [0, 1). Default 0.99.
    pub beta2: f64,
    /// Taken from the weights themselves, times the learning rate. Default 0.
    pub weight_decay: f64,
}

impl Default for LionConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

impl LionConfig {
    /// One step.
    pub fn update<R: Real>(&self, parameter: Parameter<'_, R>) {
        let Parameter { weights, gradient, state, learning_rate, weight_decay, .. } = parameter;
        let [m] = state.vectors([("m", weights.len())]);
        let (rate, shrink) = (R::of(learning_rate), R::of(1.0 - learning_rate * weight_decay));
        let (beta1, beta2) = (R::of(self.beta1), R::of(self.beta2));
        let (rest1, rest2) = (R::of(1.0 - self.beta1), R::of(1.0 - self.beta2));
        let pieces = weights.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(m.par_chunks_mut(PIECE));
        pieces.for_each(|((weights, gradient), m)| {
            for ((w, &g), m) in weights.iter_mut().zip(gradient).zip(m) {
                let mixed = beta1 * *m + rest1 * g;
                // The sign of zero is zero.
                let sign = if mixed == R::zero() { R::zero() } else { mixed.signum() };
                *w = *w * shrink - rate * sign;
                *m = beta2 * *m + rest2 * g;
            }
        });
    }
}
