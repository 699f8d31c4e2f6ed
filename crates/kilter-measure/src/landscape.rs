//! Between two networks: how high the loss rises on the way, and how their ways from a common start differ.
//!
//! Frankle et al., *Linear Mode Connectivity and the Lottery Ticket Hypothesis* (ICML 2020), the barrier; Wortsman et al.,
//! *Model soups* (ICML 2022), section 4, the angle. Cost: linear.

/// The most by which the losses on an even path from one end to the other lie above the line between the ends' losses;
/// at least 0, since the ends lie on it. NaN counts as higher than anything.
pub fn barrier(losses: &[f64]) -> f64 {
    let (Some(first), Some(last)) = (losses.first(), losses.last()) else { return 0.0 };
    let steps = (losses.len() - 1).max(1) as f64;
    let line = |at: usize| first + (last - first) * at as f64 / steps;
    let above = losses.iter().enumerate().map(|(at, loss)| loss - line(at));
    above.fold(0.0, |highest, above| if above.is_nan() || above > highest { above } else { highest })
}

/// The angle in degrees between the ways from `start` to `a` and to `b`; nothing if one of them has no length.
pub fn angle(start: &[f64], a: &[f64], b: &[f64]) -> Option<f64> {
    let mut sums = [0.0; 3];
    for ((start, a), b) in start.iter().zip(a).zip(b) {
        let (a, b) = (a - start, b - start);
        sums = [sums[0] + a * a, sums[1] + b * b, sums[2] + a * b];
    }
    let norms = (sums[0] * sums[1]).sqrt();
    (norms > 0.0).then(|| (sums[2] / norms).clamp(-1.0, 1.0).acos().to_degrees())
}

/// Pearson's correlation of two lists of one length; nothing if one of them does not vary.
pub fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let count = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / count, y.iter().sum::<f64>() / count);
    let mut sums = [0.0; 3];
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        sums = [sums[0] + x * x, sums[1] + y * y, sums[2] + x * y];
    }
    let norms = (sums[0] * sums[1]).sqrt();
    (norms > 0.0).then(|| sums[2] / norms)
}
