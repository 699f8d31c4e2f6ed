//! Adam (Kingma and Ba, ICLR 2015, algorithm 1) and AdamW (Loshchilov and Hutter, *Decoupled Weight Decay
//! Regularization*, ICLR 2019, algorithm 2).
//!
//! Cost: one pass over the weights; two more numbers per weight.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{PIECE, Parameter};
use crate::op::Real;

/// Hyperparameters of Adam.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// Decay of the first moment, β₁, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay of the second moment, β₂, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment, ε, at least 0. Default 1e-8.
    pub epsilon: f64,
    /// How strongly weights are pulled to zero, at least 0. Default 0.
    pub weight_decay: f64,
    /// Is decay taken from the weights themselves (AdamW) rather than added to the gradient? Default false.
    pub decoupled: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

impl AdamConfig {
    /// One step.
    pub fn update<R: Real>(&self, parameter: Parameter<'_, R>) {
        let Parameter { weights, gradient, state, step, learning_rate, weight_decay, .. } = parameter;
        let count = weights.len();
        let [m, v] = state.vectors([("m", count), ("v", count)]);
        let t = step as f64;
        let numbers = Numbers {
            beta1: R::of(self.beta1),
            beta2: R::of(self.beta2),
            rest1: R::of(1.0 - self.beta1),
            rest2: R::of(1.0 - self.beta2),
            step_size: R::of(learning_rate / (1.0 - self.beta1.powf(t))),
            correction: R::of(1.0 / (1.0 - self.beta2.powf(t)).sqrt()),
            epsilon: R::of(self.epsilon),
            shrink: R::of(if self.decoupled { 1.0 - learning_rate * weight_decay } else { 1.0 }),
            decay: R::of(if self.decoupled { 0.0 } else { weight_decay }),
        };
        let moments = m.par_chunks_mut(PIECE).zip(v.par_chunks_mut(PIECE));
        let pieces = weights.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(moments);
        pieces.for_each(|((weights, gradient), (m, v))| move_piece(weights, gradient, m, v, numbers));
    }
}

/// What a step is made of, in the precision of the weights.
#[derive(Clone, Copy)]
struct Numbers<R> {
    beta1: R,
    beta2: R,
    rest1: R,
    rest2: R,
    step_size: R,
    correction: R,
    epsilon: R,
    shrink: R,
    decay: R,
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn move_piece<R: Real>(weights: &mut [R], gradient: &[R], m: &mut [R], v: &mut [R], numbers: Numbers<R>) {
    let Numbers { beta1, beta2, rest1, rest2, step_size, correction, epsilon, shrink, decay } = numbers;
    for ((w, &g), (m, v)) in weights.iter_mut().zip(gradient).zip(m.iter_mut().zip(v)) {
        let g = g + decay * *w;
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * g * g;
        *w = *w * shrink - step_size * *m / (v.sqrt() * correction + epsilon);
    }
}
