//! Rounding with feedback: what rounding a weight spoils, the weights that are still to be rounded make good.
//!
//! Frantar et al., *GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers* (ICLR 2023),
//! algorithm 1 without its blocks, for any grid. With H the second moments of a layer's inputs, a hundredth of their mean
//! added to the diagonal, and U the upper Cholesky factor of H^-1, the error of input j over U_jj, times U_jk, is taken from
//! every later input k. Changed: the largest weight of a row keeps its level, so that the scale stays what it is. Cost: O(inputs³) once, O(inputs²) for each output.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use super::grid::{Grid, Scratch};
use crate::fault::WeightsError;

/// Share of the mean second moment that is added to each (the authors').
const DAMPING: f64 = 0.01;

/// What the codes of a weight `[outputs, inputs]` stand for, a scale for each row, given the second moments
/// `[inputs, inputs]` of what reaches it.
///
/// # Errors
/// If the sizes do not fit, or the moments are none.
pub fn with_feedback(weight: &[f64], moments: &[f64], grid: &Grid) -> Result<Vec<f64>, WeightsError> {
    let inputs = moments.len().isqrt();
    if inputs == 0 || inputs * inputs != moments.len() || !weight.len().is_multiple_of(inputs) {
        return Err(WeightsError::Setting(format!(
            "{} weights and {} second moments are of no one layer",
            weight.len(),
            moments.len()
        )));
    }
    let mean = (0..inputs).map(|j| moments[j * inputs + j]).sum::<f64>() / inputs as f64;
    let damping = if mean > 0.0 { DAMPING * mean } else { 1.0 };
    let none = || WeightsError::setting("these are no second moments: they are not positive definite");
    let moments = Mat::from_fn(inputs, inputs, |i, j| {
        0.5 * (moments[i * inputs + j] + moments[j * inputs + i]) + if i == j { damping } else { 0.0 }
    });
    let identity = Mat::<f64>::identity(inputs, inputs);
    let inverse = moments.llt(Side::Lower).map_err(|_| none())?.solve(&identity);
    let factor = inverse.llt(Side::Lower).map_err(|_| none())?;
    let lower = factor.L();
    let mut out = Vec::with_capacity(weight.len());
    let mut scratch = Scratch::default();
    for row in weight.chunks(inputs) {
        let scale = row.iter().fold(0.0_f64, |largest, w| largest.max(w.abs()));
        let largest = row.iter().position(|w| w.abs() == scale);
        let mut rest = row.to_vec();
        for j in 0..inputs {
            let mut code = [0];
            // Beyond the largest there is no level.
            let wanted = if largest == Some(j) { row[j] } else { rest[j].clamp(-scale, scale) };
            grid.encode(&[wanted], scale, &mut code, &mut scratch);
            let rounded = grid.decode(code[0], scale);
            let error = (rest[j] - rounded) / lower[(j, j)];
            for (k, later) in rest.iter_mut().enumerate().skip(j + 1) {
                *later -= error * lower[(k, j)];
            }
            out.push(rounded);
        }
    }
    Ok(out)
}
