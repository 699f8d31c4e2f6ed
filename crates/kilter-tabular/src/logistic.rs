//! Logistic regression: P(class = 1 | x) = 1 / (1 + exp(-(b + w·x))), with an L2 or L1 penalty and a free intercept.
//!
//! Minimises `C * sum_i s_i * log-loss_i + penalty(w)`, `penalty` being `|w|²/2` or `|w|₁` and `s_i` the sample weight
//! times the class weight. L2 by L-BFGS (Liu and Nocedal, *On the Limited Memory BFGS Method for Large Scale
//! Optimization*, 1989), L1 by coordinate descent inside Newton steps (Yuan, Ho and Lin, *An Improved GLMNET for
//! L1-regularized Logistic Regression*, 2012). Both stop at the same sign of optimality, so their answers are equally
//! exact. Scale the columns first: the penalty treats all weights alike.
//!
//! Cost per iteration, n rows, d columns, a columns in play: O(n d) for L2; O(n (d + a²)) and O(a²) memory for L1.

mod lasso;
mod lbfgs;

use thiserror::Error;

use crate::{Examples, Model, TableError};

/// What the weights are charged for; the intercept is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Penalty {
    /// `|w|₁`: many weights become exactly zero.
    L1,
    /// `|w|²/2`.
    #[default]
    L2,
}

/// How much an example of either class counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassWeight {
    /// Every example counts as its own weight says.
    #[default]
    None,
    /// Examples of a class are weighted by n/(2 n_class), so that both classes count the same.
    Balanced,
}

/// Hyperparameters of [`Logistic::fit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticConfig {
    /// Weight of the loss against the penalty: positive, usually 1e-4 to 1e4, default 1; smaller shrinks the weights.
    pub c: f64,
    /// Default L2.
    pub penalty: Penalty,
    /// Default none.
    pub class_weight: ClassWeight,
    /// Stop when no optimality condition is violated by more than this: positive, default 1e-6. For L2 it bounds the
    /// objective's gradient (largest component).
    pub tolerance: f64,
    /// Stop after so many iterations, converged or not: default 10,000; C = 1e4 on the breast-cancer table takes 1,600.
    pub max_iterations: usize,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self {
            c: 1.0,
            penalty: Penalty::default(),
            class_weight: ClassWeight::default(),
            tolerance: 1e-6,
            max_iterations: 10_000,
        }
    }
}

/// Why a logistic regression could not be fitted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LogisticError {
    /// The intercept of one class would be infinite.
    #[error("labels: every row with a positive weight is of class {class}; both classes are needed")]
    OneClass {
        /// The only class.
        class: u8,
    },
    /// `c` is out of range.
    #[error("c: {0} must be finite and above 0; the default is 1")]
    C(f64),
    /// The examples are not fit for it.
    #[error(transparent)]
    Examples(#[from] TableError),
    /// `tolerance` is out of range.
    #[error("tolerance: {0} must be finite and above 0; the default is 1e-6")]
    Tolerance(f64),
}

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// One weight per column, `[columns]`.
    pub coefficients: Vec<f64>,
    /// The log odds at the origin.
    pub intercept: f64,
    /// The objective at the end: `C * sum s_i log-loss_i + penalty`.
    pub objective: f64,
    /// Steps taken.
    pub iterations: usize,
    /// The largest violation of an optimality condition at the end. L2: of the gradient being zero; L1: of the loss's
    /// gradient being `-sign(w_j)` where `w_j` is not zero and within ±1 where it is.
    pub violation: f64,
    /// Whether `violation` came down to the tolerance. If not, either the iterations ran out or rounding stopped them;
    /// the model is the best found and can be used, knowing that.
    pub converged: bool,
}

impl Logistic {
    /// Fits examples of two classes; deterministic. Of more classes, see [`OneVsRest`].
    ///
    /// # Errors
    /// One class only, or a `c` or `tolerance` that is not above zero.
    pub fn fit(examples: Examples<'_>, config: &LogisticConfig) -> Result<Self, LogisticError> {
        match examples.classes()? {
            (labels, 2) => Ok(Self::minimise(&Problem::new(examples, labels, config)?, config)),
            _ => Err(TableError::Kind { needs: "two classes (OneVsRest: more)", found: "more" }.into()),
        }
    }

    fn minimise(problem: &Problem<'_>, config: &LogisticConfig) -> Self {
        match config.penalty {
            Penalty::L2 => lbfgs::minimise(problem, config),
            Penalty::L1 => lasso::minimise(problem, config),
        }
    }

    /// The log odds of class 1 for one row.
    ///
    /// # Panics
    /// If the row has another number of columns than the training rows.
    pub fn log_odds(&self, row: &[f64]) -> f64 {
        assert_eq!(row.len(), self.coefficients.len(), "columns of the row and of the training rows");
        self.intercept + dot(row, &self.coefficients)
    }
}

impl Model for Logistic {
    fn outputs(&self) -> usize {
        1
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        out[0] = 1.0 / (1.0 + (-self.log_odds(row)).exp());
    }
}

/// A logistic regression per class, each class against all others; the probabilities are brought to the sum 1.
#[derive(Clone, Debug, PartialEq)]
pub struct OneVsRest {
    /// One model per class; none for a class without rows, which gets probability 0.
    pub models: Vec<Option<Logistic>>,
}

impl OneVsRest {
    /// Fits examples of any number of classes; deterministic. Cost: a logistic regression per class.
    ///
    /// # Errors
    /// As [`Logistic::fit`].
    pub fn fit(examples: Examples<'_>, config: &LogisticConfig) -> Result<Self, LogisticError> {
        let (labels, count) = examples.classes()?;
        let mut is_class = vec![0; labels.len()];
        let mut models = Vec::with_capacity(count);
        for class in 0..count {
            is_class.iter_mut().zip(labels).for_each(|(is, &label)| *is = u8::from(usize::from(label) == class));
            models.push(match Problem::new(examples, &is_class, config) {
                Err(LogisticError::OneClass { class: 0 }) => None,
                problem => Some(Logistic::minimise(&problem?, config)),
            });
        }
        Ok(Self { models })
    }
}

impl Model for OneVsRest {
    fn outputs(&self) -> usize {
        self.models.len()
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        for (out, model) in out.iter_mut().zip(&self.models) {
            *out = model.as_ref().map_or(0.0, |model| model.predict(row));
        }
        let sum: f64 = out.iter().sum();
        let classes = out.len() as f64;
        // All zero only if every probability underflows.
        out.iter_mut().for_each(|p| *p = if sum > 0.0 { *p / sum } else { 1.0 / classes });
    }
}

/// The loss both solvers minimise. A point is `[w..., b]`: one number per column, then the intercept.
struct Problem<'a> {
    /// Row-major, `[rows, columns]`.
    values: &'a [f64],
    columns: usize,
    /// +1 for class 1, -1 for class 0, per row.
    signs: Vec<f64>,
    /// `C * s_i` per row.
    costs: Vec<f64>,
}

/// Loss of one row as a function of its log odds: value, first and second derivative, all without cancellation.
struct RowLoss {
    value: f64,
    slope: f64,
    curvature: f64,
}

impl<'a> Problem<'a> {
    fn new(examples: Examples<'a>, labels: &[u8], config: &LogisticConfig) -> Result<Self, LogisticError> {
        if !(config.c.is_finite() && config.c > 0.0) {
            return Err(LogisticError::C(config.c));
        }
        if !(config.tolerance.is_finite() && config.tolerance > 0.0) {
            return Err(LogisticError::Tolerance(config.tolerance));
        }
        let examples = examples.complete()?;
        let mut counts = [0_usize; 2];
        for (row, &label) in labels.iter().enumerate() {
            counts[usize::from(label)] += usize::from(examples.weight(row) > 0.0);
        }
        if counts.contains(&0) {
            return Err(LogisticError::OneClass { class: u8::from(counts[0] == 0) });
        }
        let class_weights = match config.class_weight {
            ClassWeight::None => [1.0; 2],
            ClassWeight::Balanced => counts.map(|count| (counts[0] + counts[1]) as f64 / (2.0 * count as f64)),
        };
        Ok(Self {
            values: examples.table().values(),
            columns: examples.table().columns(),
            signs: labels.iter().map(|&label| if label == 1 { 1.0 } else { -1.0 }).collect(),
            costs: labels
                .iter()
                .enumerate()
                .map(|(row, &label)| config.c * examples.weight(row) * class_weights[usize::from(label)])
                .collect(),
        })
    }

    /// All weights zero, the intercept at the log odds of the weighted classes: the best model without columns.
    fn start(&self) -> Vec<f64> {
        let cost_of = |sign: f64| self.costs.iter().zip(&self.signs).filter(|(_, s)| **s == sign).map(|(c, _)| c).sum();
        let (positive, negative): (f64, f64) = (cost_of(1.0), cost_of(-1.0));
        let mut point = vec![0.0; self.columns + 1];
        point[self.columns] = (positive / negative).ln();
        point
    }

    /// `out[i] = point · [x_i, 1]`.
    fn times(&self, point: &[f64], out: &mut [f64]) {
        let (weights, intercept) = (&point[..self.columns], point[self.columns]);
        for (row, out) in self.values.chunks_exact(self.columns).zip(out) {
            *out = intercept + dot(row, weights);
        }
    }

    /// Loss of row `i` at log odds `z`.
    fn row_loss(&self, i: usize, z: f64) -> RowLoss {
        // In terms of u = sign * z the loss is ln(1 + e^-u); e = exp(-|u|) never overflows.
        let (u, cost) = (self.signs[i] * z, self.costs[i]);
        let e = (-u.abs()).exp();
        let wrong = if u >= 0.0 { e } else { 1.0 } / (1.0 + e);
        RowLoss {
            value: cost * ((-u).max(0.0) + e.ln_1p()),
            slope: -self.signs[i] * cost * wrong,
            curvature: cost * e / ((1.0 + e) * (1.0 + e)),
        }
    }

    /// The loss at log odds `z`, and its gradient with respect to the point, `[columns + 1]`.
    fn loss_and_gradient(&self, z: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut loss = 0.0;
        for ((i, row), &z) in self.values.chunks_exact(self.columns).enumerate().zip(z) {
            let at = self.row_loss(i, z);
            loss += at.value;
            add_scaled(gradient, at.slope, row);
            gradient[self.columns] += at.slope;
        }
        loss
    }
}

/// `a · b` in eight partial sums: a single running sum would wait for itself at every step.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a8.zip(b8) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `into += scale * from`, as far as both go.
fn add_scaled(into: &mut [f64], scale: f64, from: &[f64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += scale * from;
    }
}

/// The largest absolute value.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |largest, value| largest.max(value.abs()))
}
