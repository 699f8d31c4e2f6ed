//! How flat the loss is around the best learning rate and batch of one (N, D): a quadratic surface and its ellipse.
//!
//! `loss = c + (x - x0)ᵀ H (x - x0)` with `x = (ln lr, ln batch)`, least squares over the rows within 2 % of the best; the
//! plateau is the ellipse in which the surface is within a relative distance of its own minimum `c`. Cost: O(rows).

use faer::{Mat, Side};
use serde::Serialize;
use thiserror::Error;

use super::Run;
use crate::power_law::{FitError, least_squares};

/// Rows further above the best loss than this (relatively) do not shape the surface.
const SURFACE_WITHIN: f64 = 0.02;

/// The surface at one (N, D).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Plateau {
    /// Learning rate at the minimum.
    pub learning_rate: f64,
    /// Sequences per step at the minimum.
    pub batch_sequences: f64,
    /// The surface's minimum.
    pub loss: f64,
    /// H over (ln lr, ln batch): `[lr lr, lr batch, batch batch]`.
    pub curvature: [f64; 3],
    /// By which factor the learning rate alone may be off, to either side, before the plateau is left for every batch.
    pub learning_rate_factor: f64,
    /// The same for the batch.
    pub batch_factor: f64,
    /// Half the axes of the ellipse in (ln lr, ln batch), the longer first.
    pub half_axes: [f64; 2],
    /// Direction of the longer axis, a unit vector in (ln lr, ln batch) with a first entry that is not negative.
    pub long_axis: [f64; 2],
    /// Rows that shaped the surface.
    pub rows: usize,
}

impl Plateau {
    /// The rim of the plateau moved to another centre: `points` pairs of learning rate and batch, closed. The batch is in
    /// the unit of `batch`.
    pub fn rim_about(&self, learning_rate: f64, batch: f64, points: usize) -> Vec<(f64, f64)> {
        let [long, short] = self.half_axes;
        let [u, v] = self.long_axis;
        let at = |k: usize| {
            let (sin, cos) = (std::f64::consts::TAU * k as f64 / points.max(1) as f64).sin_cos();
            let (along, across) = (long * cos, short * sin);
            (learning_rate * (along * u - across * v).exp(), batch * (along * v + across * u).exp())
        };
        (0..=points).map(at).collect()
    }

    /// The surface's loss relative to its minimum, minus 1.
    pub fn excess(&self, learning_rate: f64, batch_sequences: f64) -> f64 {
        let (u, v) = ((learning_rate / self.learning_rate).ln(), (batch_sequences / self.batch_sequences).ln());
        let [a, b, c] = self.curvature;
        (a * u * u + 2.0 * b * u * v + c * v * v) / self.loss
    }
}

/// The plateau of the released runs whose (N, D) is nearest in logarithms, of those grids that have one: its N, its D and
/// the plateau, which tells how exact a prediction need be.
pub fn nearest_released(parameters: f64, tokens: f64, relative: f64) -> Option<(f64, f64, Plateau)> {
    let runs = super::dense_runs();
    let mut sizes: Vec<(f64, f64)> = runs.iter().map(|run| (run.parameters, run.tokens)).collect();
    let distance = |(n, d): &(f64, f64)| (n / parameters).ln().powi(2) + (d / tokens).ln().powi(2);
    sizes.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.0.total_cmp(&b.0)).then(a.1.total_cmp(&b.1)));
    sizes.dedup();
    sizes.into_iter().find_map(|(n, d)| {
        let grid: Vec<Run> = runs.iter().filter(|run| (run.parameters, run.tokens) == (n, d)).copied().collect();
        // Smaller grids of the release are lines and crosses.
        (grid.len() >= 40).then(|| plateau(&grid, relative).ok()).flatten().map(|found| (n, d, found))
    })
}

/// Why there is no plateau.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PlateauError {
    /// The surface has no minimum.
    #[error(
        "the fitted surface has no minimum (curvatures {0:.2e} and {1:.2e} along its axes must both be above 0); widen \
         the grid until the loss rises on every side"
    )]
    NotConvex(f64, f64),
    /// The rows do not determine a surface.
    #[error("{rows} rows within 2 % of the best loss do not determine a quadratic surface ({why}); run a wider grid")]
    Undetermined {
        /// Rows within 2 %.
        rows: usize,
        /// What is missing.
        why: FitError,
    },
    /// The relative distance is out of range.
    #[error("plateau: {0} must be above 0 and finite; the default is 0.0025")]
    Relative(f64),
}

/// The plateau of runs that share one (N, D): where the surface is below `(1 + relative) * minimum` (default of the law:
/// 0.0025). Runs without a loss are left out.
///
/// # Errors
/// Too few different runs near the best, a surface without a minimum, or a `relative` that is not positive.
pub fn plateau(runs: &[Run], relative: f64) -> Result<Plateau, PlateauError> {
    if !(relative.is_finite() && relative > 0.0) {
        return Err(PlateauError::Relative(relative));
    }
    let best = runs.iter().filter_map(|run| run.loss).fold(f64::INFINITY, f64::min);
    let mut near: Vec<([f64; 2], f64)> = Vec::new();
    for run in runs {
        if let Some(loss) = run.loss.filter(|loss| loss / best - 1.0 < SURFACE_WITHIN) {
            near.push(([run.learning_rate.ln(), run.batch_sequences.ln()], loss));
        }
    }
    let undetermined = |why| PlateauError::Undetermined { rows: near.len(), why };
    let mean = |axis: usize| near.iter().map(|(x, _)| x[axis]).sum::<f64>() / near.len() as f64;
    let centre = [mean(0), mean(1)];
    let column = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
        near.iter().map(|(x, _)| of(x[0] - centre[0], x[1] - centre[1])).collect()
    };
    let columns = [
        column(&|_, _| 1.0),
        column(&|u, _| u),
        column(&|_, v| v),
        column(&|u, _| u * u),
        column(&|u, v| u * v),
        column(&|_, v| v * v),
    ];
    let losses: Vec<f64> = near.iter().map(|(_, loss)| *loss).collect();
    let found = least_squares(&columns.each_ref().map(Vec::as_slice), &losses).map_err(undetermined)?;
    let (gradient, h) = ([found[1], found[2]], [found[3], 0.5 * found[4], found[5]]);
    let hessian = Mat::from_fn(2, 2, |i, j| h[i + j]);
    // Two by two and symmetric; were it not to converge, it would not be finite, and so no minimum either.
    let (values, axes) = match hessian.self_adjoint_eigen(Side::Lower) {
        Ok(found) => {
            let axis = found.U().col(0);
            ([found.S()[0], found.S()[1]], [axis[0], axis[1]])
        }
        Err(_) => ([f64::NAN; 2], [f64::NAN; 2]),
    };
    let flattest = values[0].min(values[1]);
    if flattest.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return Err(PlateauError::NotConvex(values[0], values[1]));
    }
    let determinant = h[0] * h[2] - h[1] * h[1];
    let inverse = [h[2] / determinant, -h[1] / determinant, h[0] / determinant];
    let offset = [
        -0.5 * (inverse[0] * gradient[0] + inverse[1] * gradient[1]),
        -0.5 * (inverse[1] * gradient[0] + inverse[2] * gradient[1]),
    ];
    let loss = found[0] + 0.5 * (gradient[0] * offset[0] + gradient[1] * offset[1]);
    let height = relative * loss;
    let sign = if axes[0] < 0.0 { -1.0 } else { 1.0 };
    Ok(Plateau {
        learning_rate: (centre[0] + offset[0]).exp(),
        batch_sequences: (centre[1] + offset[1]).exp(),
        loss,
        curvature: h,
        learning_rate_factor: (height * inverse[0]).sqrt().exp(),
        batch_factor: (height * inverse[2]).sqrt().exp(),
        half_axes: [(height / values[0]).sqrt(), (height / values[1]).sqrt()],
        long_axis: [sign * axes[0], sign * axes[1]],
        rows: near.len(),
    })
}
