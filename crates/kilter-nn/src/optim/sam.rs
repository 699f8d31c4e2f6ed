//! Sharpness-aware minimisation (Foret et al., *Sharpness-Aware Minimization for Efficiently Improving Generalization*,
//! ICLR 2021, algorithm 1): the step at w follows the gradient at `w + ρ·g/‖g‖`, the worst place nearby.
//!
//! It goes around any optimizer: gradient, [`perturbed`], gradient there, step from where it was. Cost: a second forward
//! and backward pass, and the weights once more in memory.

use crate::op::Real;

/// What one gradient is multiplied by to lead `rho` away, where all gradients together have this norm; 0 where there is
/// no gradient.
pub fn reach(rho: f64, norm: f64) -> f64 {
    if norm > 0.0 { rho / norm } else { 0.0 }
}

/// The weights `reach` times the gradient further up; the given ones stay, so that the step goes from them.
pub fn perturbed<R: Real>(weights: &[R], gradient: &[R], reach: f64) -> Vec<R> {
    let reach = R::of(reach);
    weights.iter().zip(gradient).map(|(&w, &g)| w + reach * g).collect()
}
