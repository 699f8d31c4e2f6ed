//! The tree-structured Parzen estimator: split the finished trials into the better few and the rest, estimate the
//! density of the parameters in each, and try where the better ones are dense and the others thin.
//!
//! Bergstra, Bardenet, Bengio and Kégl, *Algorithms for Hyper-Parameter Optimization* (2011). [`parzen`] holds the
//! estimators of the Optuna flavour (the default; Watanabe 2023 for several parameters at once), [`hyperopt`] those of
//! the Hyperopt flavour, [`split`] the rules that both share.

mod bandwidth;
mod density;
mod dimension;
mod draft;
pub mod hyperopt;
mod kept;
mod log_sum_exp;
mod masses;
pub mod parzen;
mod ranking;
mod sampler;
mod seen;
pub mod split;
mod spread;

pub use dimension::Dimension;
pub use sampler::{Flavour, Gamma, Tpe, TpeConfig, Weights};

/// The candidate to try: the first that maximises ln l(x) - ln g(x), which maximises the expected improvement (Bergstra
/// et al. 2011, equation 9).
///
/// Takes each candidate's log density among the better trials and among the others; none only if there are none.
pub fn best_candidate(log_below: &[f64], log_above: &[f64]) -> Option<usize> {
    let mut best = None;
    for (i, (below, above)) in log_below.iter().zip(log_above).enumerate() {
        let score = below - above;
        // A candidate that neither density can produce scores NaN, the worst.
        let score = if score.is_nan() { f64::NEG_INFINITY } else { score };
        if best.is_none_or(|(_, top)| score > top) {
            best = Some((i, score));
        }
    }
    best.map(|(i, _)| i)
}
