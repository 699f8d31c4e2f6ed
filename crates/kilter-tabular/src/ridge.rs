//! Ridge regression: a linear model of numbers whose weights are charged by their squares.
//!
//! Hoerl and Kennard, *Ridge Regression: Biased Estimation for Nonorthogonal Problems* (1970). Minimises
//! `sum_i s_i (y_i - b - w·x_i)² + alpha |w|²`, the intercept free, by a Cholesky factorisation of the centred normal
//! equations. Scale the columns first: the charge treats all weights alike. Cost: O(n d² + d³), O(d²) memory.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use thiserror::Error;

use crate::{Examples, Model, TableError};

/// Why a ridge regression could not be fitted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RidgeError {
    /// Out of range.
    #[error("alpha: {0} must be finite and above 0; the default is 1")]
    Alpha(f64),
    /// The equations have no answer in numbers of this size.
    #[error("the values differ so much in size that the equations cannot be solved; scale the columns (Standardiser)")]
    Scale,
    /// The examples are not fit for it.
    #[error(transparent)]
    Examples(#[from] TableError),
}

/// A fitted ridge regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    /// One weight per column, `[columns]`.
    pub coefficients: Vec<f64>,
    /// The prediction at the origin.
    pub intercept: f64,
}

impl Ridge {
    /// Fits examples of numbers; deterministic. `alpha` is above 0, usually 1e-4 to 1e4; larger shrinks the weights.
    ///
    /// # Errors
    /// Classes instead of numbers, a missing value, or an `alpha` that is not above zero.
    pub fn fit(examples: Examples<'_>, alpha: f64) -> Result<Self, RidgeError> {
        if !(alpha.is_finite() && alpha > 0.0) {
            return Err(RidgeError::Alpha(alpha));
        }
        let numbers = examples.numbers()?;
        let table = examples.complete()?.table();
        let (rows, columns) = (table.rows(), table.columns());
        let total: f64 = (0..rows).map(|row| examples.weight(row)).sum();
        let mut means = vec![0.0; columns];
        let mut mean = 0.0;
        for (index, row) in table.iter().enumerate() {
            let share = examples.weight(index) / total;
            means.iter_mut().zip(row).for_each(|(mean, x)| *mean += share * x);
            mean += share * numbers[index];
        }
        let mut left = Mat::<f64>::zeros(columns, columns);
        let mut right = Mat::<f64>::zeros(columns, 1);
        let mut centred = vec![0.0; columns];
        for (index, row) in table.iter().enumerate() {
            let weight = examples.weight(index);
            centred.iter_mut().zip(row.iter().zip(&means)).for_each(|(out, (x, mean))| *out = x - mean);
            for (j, xj) in centred.iter().enumerate() {
                let scaled = weight * xj;
                right[(j, 0)] += scaled * (numbers[index] - mean);
                for (i, xi) in centred.iter().enumerate().skip(j) {
                    left[(i, j)] += scaled * xi;
                }
            }
        }
        for j in 0..columns {
            left[(j, j)] += alpha;
        }
        let solved = left.llt(Side::Lower).map_err(|_| RidgeError::Scale)?.solve(&right);
        let coefficients: Vec<f64> = (0..columns).map(|j| solved[(j, 0)]).collect();
        let intercept = mean - coefficients.iter().zip(&means).map(|(w, mean)| w * mean).sum::<f64>();
        if !(intercept.is_finite() && coefficients.iter().all(|w| w.is_finite())) {
            return Err(RidgeError::Scale);
        }
        Ok(Self { coefficients, intercept })
    }
}

impl Model for Ridge {
    fn outputs(&self) -> usize {
        1
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        assert_eq!(row.len(), self.coefficients.len(), "columns of the row and of the training rows");
        out[0] = self.intercept + row.iter().zip(&self.coefficients).map(|(x, w)| x * w).sum::<f64>();
    }
}
