//! The two kernel limits of one wide hidden ReLU layer, for comparison with what learns features.
//!
//! Arc-cosine kernels (Cho and Saul, *Kernel Methods for Deep Learning*, 2009), halved as ReLU needs: the Gaussian process
//! of the untrained network, and the neural tangent kernel. No biases. Cost: O(d) per pair.

use std::f64::consts::PI;

/// `|x||y|/(2 pi) (sqrt(1 - c²) + c (pi - arccos c))`, c the cosine between x and y: the mean of `relu(w·x) relu(w·y)`
/// over w ~ N(0, I). Both `[d]`; a zero vector has cosine 0.
///
/// # Panics
/// If the vectors have different lengths.
pub fn relu_kernel(x: &[f64], y: &[f64]) -> f64 {
    let (c, lengths) = cosine(x, y);
    lengths / (2.0 * PI) * ((1.0 - c * c).sqrt() + c * (PI - c.acos()))
}

/// `(pi - arccos c) / (2 pi)`: the mean of `step(w·x) step(w·y)`.
///
/// # Panics
/// If the vectors have different lengths.
pub fn step_kernel(x: &[f64], y: &[f64]) -> f64 {
    (PI - cosine(x, y).0.acos()) / (2.0 * PI)
}

/// The neural tangent kernel of one hidden ReLU layer with output weights of deviation `sigma_v`.
///
/// # Panics
/// If the vectors have different lengths.
pub fn ntk_kernel(x: &[f64], y: &[f64], sigma_v: f64) -> f64 {
    relu_kernel(x, y) + sigma_v * sigma_v * step_kernel(x, y) * dot(x, y)
}

/// The cosine within -1..=1, and the product of the lengths.
fn cosine(x: &[f64], y: &[f64]) -> (f64, f64) {
    let lengths = (dot(x, x) * dot(y, y)).sqrt();
    (if lengths > 0.0 { (dot(x, y) / lengths).clamp(-1.0, 1.0) } else { 0.0 }, lengths)
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "vectors of one kernel have one length");
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
