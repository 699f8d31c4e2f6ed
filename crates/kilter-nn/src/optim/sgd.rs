//! Stochastic gradient descent with momentum (Polyak 1964) and Nesterov's look-ahead (Sutskever et al., ICML 2013).
//!
//! Cost: one pass over the weights; with momentum one more number per weight.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{PIECE, Parameter};
use crate::op::Real;

/// Hyperparameters of SGD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Share of the last step that is kept, in [0, 1). Default 0.
    pub momentum: f64,
    /// Looks ahead by the momentum. Default false.
    pub nesterov: bool,
    /// Added to the gradient, times the weights. Default 0.
    pub weight_decay: f64,
}

impl SgdConfig {
    /// One step.
    pub fn update<R: Real>(&self, parameter: Parameter<'_, R>) {
        let Parameter { weights, gradient, state, step, learning_rate, weight_decay, .. } = parameter;
        let (rate, decay, mu) = (R::of(learning_rate), R::of(weight_decay), R::of(self.momentum));
        if self.momentum == 0.0 {
            let pieces = weights.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
            pieces.for_each(|(weights, gradient)| {
                for (w, &g) in weights.iter_mut().zip(gradient) {
                    *w -= rate * (g + decay * *w);
                }
            });
            return;
        }
        let [momentum] = state.vectors([("momentum", weights.len())]);
        let first = step == 1;
        let pieces = weights.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(momentum.par_chunks_mut(PIECE));
        pieces.for_each(|((weights, gradient), momentum)| {
            for ((w, &g), m) in weights.iter_mut().zip(gradient).zip(momentum) {
                let g = g + decay * *w;
                *m = if first { g } else { mu * *m + g };
                *w -= rate * if self.nesterov { g + mu * *m } else { *m };
            }
        });
    }
}
