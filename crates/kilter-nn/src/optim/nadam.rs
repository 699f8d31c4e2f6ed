//! NAdam: Adam with Nesterov momentum and a warming momentum schedule (Dozat, *Incorporating Nesterov Momentum into
//! Adam*, ICLR workshop 2016).
//!
//! Cost: one pass over the weights; two more numbers per weight and one per parameter.

use serde::{Deserialize, Serialize};

use super::Parameter;
use crate::op::Real;

/// Hyperparameters of NAdam.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NAdamConfig {
    /// The momentum that the schedule warms up to, β₁, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay of the second moment, β₂, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment, ε. Default 1e-8.
    pub epsilon: f64,
    /// How fast the momentum warms up, ψ: `μₜ = β₁·(1 - 0.96^(ψ·t) / 2)`. Default 0.004.
    pub momentum_decay: f64,
    /// Taken from the weights themselves, times the learning rate. Default 0.
    pub weight_decay: f64,
}

impl Default for NAdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, momentum_decay: 0.004, weight_decay: 0.0 }
    }
}

impl NAdamConfig {
    /// One step.
    pub fn update<R: Real>(&self, parameter: Parameter<'_, R>) {
        let Parameter { weights, gradient, state, step, learning_rate, weight_decay, .. } = parameter;
        let count = weights.len();
        let [m, v, product] = state.vectors([("m", count), ("v", count), ("momentum_product", 1)]);
        let t = step as f64;
        let momentum = |t: f64| self.beta1 * (1.0 - 0.5 * 0.96_f64.powf(t * self.momentum_decay));
        let (now, next) = (momentum(t), momentum(t + 1.0));
        let so_far = now * if step == 1 { 1.0 } else { product[0].wide() };
        product[0] = R::of(so_far);
        let of_gradient = R::of(learning_rate * (1.0 - now) / (1.0 - so_far));
        let of_momentum = R::of(learning_rate * next / (1.0 - so_far * next));
        let correction = R::of(1.0 / (1.0 - self.beta2.powf(t)).sqrt());
        let (beta1, beta2, epsilon) = (R::of(self.beta1), R::of(self.beta2), R::of(self.epsilon));
        let (rest1, rest2) = (R::of(1.0 - self.beta1), R::of(1.0 - self.beta2));
        let shrink = R::of(1.0 - learning_rate * weight_decay);
        for ((w, &g), (m, v)) in weights.iter_mut().zip(gradient).zip(m.iter_mut().zip(v.iter_mut())) {
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            let root = v.sqrt() * correction + epsilon;
            *w = *w * shrink - (of_gradient * g + of_momentum * *m) / root;
        }
    }
}
