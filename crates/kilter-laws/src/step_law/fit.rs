//! The law fitted to a grid of runs, and how far from the best run of each grid a law's advice is.
//!
//! Rows within `keep_within` of the best loss of their (N, D) are kept and fitted by ordinary least squares, `ln lr` on
//! `(1, ln N, ln D)` and `ln batch` on `(1, ln D)`, as the authors' `fit_tool.py` does; the kept rows are resampled for
//! means, deviations and intervals. What the rows cannot tell apart is left out and named. Cost: one pass over the rows
//! and `bootstrap` fits of the kept ones (O(kept) each).

use std::collections::BTreeMap;

use kilter_numerics::Stream;
use kilter_numerics::compare::Interval;
use serde::Serialize;
use thiserror::Error;

use super::{Coefficients, Constants, SEQUENCE_LENGTH, StepLaw};
use crate::limits::{Fitted, Quantity, serialize_interval};
use crate::power_law::{FitError, bootstrap, least_squares, percentile_interval};

/// One finished run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Parameters without embeddings and output head.
    pub parameters: f64,
    /// Training tokens.
    pub tokens: f64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Sequences per step.
    pub batch_sequences: f64,
    /// Final loss, or `None` (or not a number) for a run without one.
    pub loss: Option<f64>,
}

/// Hyperparameters of [`fit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitConfig {
    /// Rows are kept whose loss is less than this above the best of their (N, D), relatively: 0.0005 to 0.02, default
    /// 0.0025. Smaller trusts the noise of the best run more.
    pub keep_within: f64,
    /// Tokens per sequence of the runs, default 2048.
    pub seq_len: u64,
    /// Resamples, default 1000, usually 100 to 10000.
    pub bootstrap: usize,
    /// Seed of the resampling, default 0.
    pub seed: u64,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self { keep_within: 0.0025, seq_len: SEQUENCE_LENGTH, bootstrap: 1000, seed: 0 }
    }
}

/// Why runs could not be fitted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum StepLawFitError {
    /// A number of a run is impossible.
    #[error("row {row}: {what} is {value}; it must be finite and above 0")]
    Row {
        /// Its row, from 0.
        row: usize,
        /// Which column.
        what: &'static str,
        /// What stands there.
        value: f64,
    },
    /// Nothing to fit.
    #[error("none of {rows} rows has a loss; a fit needs finished runs")]
    NoLoss {
        /// Rows given.
        rows: usize,
    },
    /// The relative distance is out of range.
    #[error("keep_within: {0} must be above 0 and finite; the default is 0.0025")]
    KeepWithin(f64),
    /// The kept rows do not determine even an intercept.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Only one size, so none can be held out.
    #[error("all runs have {0} parameters; holding the largest size out needs a second one")]
    OneSize(f64),
}

/// What an optimum may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Regressor {
    /// `ln N`.
    Parameters,
    /// `ln D`.
    Tokens,
}

/// An exponent that the runs cannot identify; the law is fitted without it (exponent 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unfitted {
    /// Of which law: [`Quantity::LearningRate`] or [`Quantity::BatchTokens`].
    pub law: Quantity,
    /// Which exponent.
    pub regressor: Regressor,
    /// Whether it has several values but moves with the other one in every run (for instance 20 tokens per parameter
    /// throughout); otherwise it has one value only.
    pub confounded: bool,
}

/// A coefficient and its uncertainty over the bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Uncertain {
    /// The least-squares coefficient with its 95 % interval.
    #[serde(serialize_with = "serialize_interval")]
    pub coefficient: Interval,
    /// Mean of the bootstrap fits.
    pub mean: f64,
    /// Standard deviation of the bootstrap fits.
    pub deviation: f64,
}

/// A law of the user's own.
#[derive(Clone, Debug, PartialEq)]
pub struct UserFit {
    /// The law, ready to predict.
    pub law: StepLaw,
    /// Intercept, exponent of N, exponent of D of the learning rate.
    pub lr: [Uncertain; 3],
    /// Intercept, exponent of D of the batch in tokens.
    pub batch: [Uncertain; 2],
    /// Rows near enough to the best of their (N, D).
    pub rows_kept: usize,
    /// Rows without a loss.
    pub rows_without_loss: usize,
    /// Different (N, D).
    pub groups: usize,
    /// Exponents that the runs cannot identify.
    pub unfitted: Vec<Unfitted>,
}

/// What a law's advice costs on one grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Non-embedding parameters of the grid.
    pub parameters: f64,
    /// Its tokens.
    pub tokens: f64,
    /// Its finished runs.
    pub runs: usize,
    /// Its best loss.
    pub best_loss: f64,
    /// Learning rate of the run nearest to the advice in (ln lr, ln batch).
    pub nearest_learning_rate: f64,
    /// Sequences per step of that run.
    pub nearest_batch_sequences: f64,
    /// `loss / best_loss - 1` of that run.
    pub gap: f64,
}

/// A law that has not seen the largest size, and what its advice costs there.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// The fit without the largest size.
    pub fit: UserFit,
    /// Its gaps on the largest size's grids.
    pub gaps: Vec<Gap>,
}

/// Fits the law to finished runs.
///
/// # Errors
/// A number that is not positive (by row), no loss at all, or a `keep_within` that is not positive.
pub fn fit(runs: &[Run], config: &FitConfig) -> Result<UserFit, StepLawFitError> {
    if !(config.keep_within.is_finite() && config.keep_within > 0.0) {
        return Err(StepLawFitError::KeepWithin(config.keep_within));
    }
    let groups = grids(runs)?;
    let kept: Vec<Run> = {
        let near = |group: &Vec<Finished>| {
            let best = best_loss(group);
            let keep = config.keep_within;
            group.iter().filter(move |f| f.loss / best - 1.0 < keep).map(|f| (f.row, f.run)).collect::<Vec<_>>()
        };
        let mut kept: Vec<(usize, Run)> = groups.values().flat_map(near).collect();
        // In the rows' own order, so that a resample does not depend on how they are grouped.
        kept.sort_by_key(|&(row, _)| row);
        kept.into_iter().map(|(_, run)| run).collect()
    };
    let rows = Logarithms::of(&kept, config.seq_len);
    let (shape, unfitted) = Shape::of(&rows)?;
    let everything: Vec<usize> = (0..kept.len()).collect();
    let coefficients = shape.fit(&rows, &everything)?;
    let mut stream = Stream::new(&[config.seed], "step-law bootstrap");
    let draws = bootstrap(kept.len(), config.bootstrap, &mut stream, |sample| shape.fit(&rows, sample).ok());
    let uncertain = |of: fn(&Coefficients) -> f64| Uncertain::of(of(&coefficients), draws.iter().map(of).collect());
    let span = |quantity, of: fn(&Run) -> f64| {
        let (low, high) = kept.iter().map(of).fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
        Fitted { quantity, low, high }
    };
    Ok(UserFit {
        lr: [uncertain(|c| c.lr[0]), uncertain(|c| c.lr[1]), uncertain(|c| c.lr[2])],
        batch: [uncertain(|c| c.batch[0]), uncertain(|c| c.batch[1])],
        law: StepLaw {
            constants: Constants::Own,
            coefficients,
            bootstrap: draws,
            parameters: span(Quantity::Parameters, |run| run.parameters),
            tokens: span(Quantity::Tokens, |run| run.tokens),
        },
        rows_kept: kept.len(),
        rows_without_loss: runs.len() - groups.values().map(Vec::len).sum::<usize>(),
        groups: groups.len(),
        unfitted,
    })
}

/// What the advice `(learning rate, batch in tokens)` of a law at (N, D) costs on every grid with at least `min_runs`
/// finished runs, by N and then D.
///
/// # Errors
/// A number that is not positive (by row), or no loss at all.
pub fn gaps(
    runs: &[Run],
    seq_len: u64,
    min_runs: usize,
    advice: impl Fn(f64, f64) -> (f64, f64),
) -> Result<Vec<Gap>, StepLawFitError> {
    let gap = |group: &Vec<Finished>| {
        let Run { parameters, tokens, .. } = group[0].run;
        let (learning_rate, batch_tokens) = advice(parameters, tokens);
        let distance = |run: &Run| {
            let batch = run.batch_sequences * seq_len as f64;
            (run.learning_rate / learning_rate).ln().powi(2) + (batch / batch_tokens).ln().powi(2)
        };
        let mut nearest = group[0];
        for finished in &group[1..] {
            if distance(&finished.run) < distance(&nearest.run) {
                nearest = *finished;
            }
        }
        let best_loss = best_loss(group);
        Gap {
            parameters,
            tokens,
            runs: group.len(),
            best_loss,
            nearest_learning_rate: nearest.run.learning_rate,
            nearest_batch_sequences: nearest.run.batch_sequences,
            gap: nearest.loss / best_loss - 1.0,
        }
    };
    Ok(grids(runs)?.values().filter(|group| group.len() >= min_runs).map(gap).collect())
}

/// Fits the law without the runs of the largest size and asks it about that size.
///
/// # Errors
/// As [`fit`]; runs of one size only.
pub fn hold_out_largest(runs: &[Run], config: &FitConfig, min_runs: usize) -> Result<HeldOut, StepLawFitError> {
    let largest = runs.iter().map(|run| run.parameters).fold(0.0, f64::max);
    let (held_out, seen): (Vec<Run>, Vec<Run>) = runs.iter().partition(|run| run.parameters == largest);
    if seen.is_empty() {
        return Err(StepLawFitError::OneSize(largest));
    }
    let fit = fit(&seen, config)?;
    let gaps = gaps(&held_out, config.seq_len, min_runs, |n, d| fit.law.coefficients.at(n, d))?;
    Ok(HeldOut { fit, gaps })
}

/// Fits the law without the runs of the largest size at its greatest length and asks it about these.
///
/// # Errors
/// As [`fit`]; runs of one size only.
pub fn hold_out_cell(runs: &[Run], config: &FitConfig) -> Result<HeldOut, StepLawFitError> {
    let largest = runs.iter().map(|run| run.parameters).fold(0.0, f64::max);
    let longest = runs.iter().filter(|run| run.parameters == largest).map(|run| run.tokens).fold(0.0, f64::max);
    let is_held = |run: &&Run| run.parameters == largest && run.tokens == longest;
    let (held_out, seen): (Vec<Run>, Vec<Run>) = runs.iter().partition(is_held);
    if seen.iter().all(|run| run.parameters == largest) {
        return Err(StepLawFitError::OneSize(largest));
    }
    let fit = fit(&seen, config)?;
    let gaps = gaps(&held_out, config.seq_len, 1, |n, d| fit.law.coefficients.at(n, d))?;
    Ok(HeldOut { fit, gaps })
}

/// A run with its loss and its place in the rows.
#[derive(Clone, Copy)]
struct Finished {
    row: usize,
    run: Run,
    loss: f64,
}

/// The finished runs by exact (N, D); positive floats sort as their bits.
fn grids(runs: &[Run]) -> Result<BTreeMap<(u64, u64), Vec<Finished>>, StepLawFitError> {
    let mut grids: BTreeMap<_, Vec<Finished>> = BTreeMap::new();
    for (row, &run) in runs.iter().enumerate() {
        let columns = [
            ("N", run.parameters),
            ("D", run.tokens),
            ("learning_rate", run.learning_rate),
            ("batch_sequences", run.batch_sequences),
        ];
        if let Some(&(what, value)) = columns.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(StepLawFitError::Row { row, what, value });
        }
        let Some(loss) = run.loss.filter(|loss| !loss.is_nan()) else { continue };
        if !(loss.is_finite() && loss > 0.0) {
            return Err(StepLawFitError::Row { row, what: "loss", value: loss });
        }
        let key = (run.parameters.to_bits(), run.tokens.to_bits());
        grids.entry(key).or_default().push(Finished { row, run, loss });
    }
    if grids.is_empty() { Err(StepLawFitError::NoLoss { rows: runs.len() }) } else { Ok(grids) }
}

fn best_loss(group: &[Finished]) -> f64 {
    group.iter().map(|finished| finished.loss).fold(f64::INFINITY, f64::min)
}

/// The kept rows as columns of logarithms.
struct Logarithms {
    parameters: Vec<f64>,
    tokens: Vec<f64>,
    learning_rate: Vec<f64>,
    batch_tokens: Vec<f64>,
}

impl Logarithms {
    fn of(runs: &[Run], seq_len: u64) -> Self {
        let column = |of: &dyn Fn(&Run) -> f64| runs.iter().map(|run| of(run).ln()).collect();
        Self {
            parameters: column(&|run| run.parameters),
            tokens: column(&|run| run.tokens),
            learning_rate: column(&|run| run.learning_rate),
            batch_tokens: column(&|run| run.batch_sequences * seq_len as f64),
        }
    }

    fn column(&self, regressor: Regressor) -> &[f64] {
        match regressor {
            Regressor::Parameters => &self.parameters,
            Regressor::Tokens => &self.tokens,
        }
    }
}

/// Which exponents are fitted.
struct Shape {
    lr: Vec<Regressor>,
    batch: Vec<Regressor>,
}

impl Shape {
    /// Every exponent that the rows identify; tokens before parameters, because both laws need them.
    fn of(rows: &Logarithms) -> Result<(Self, Vec<Unfitted>), FitError> {
        let mut unfitted = Vec::new();
        let mut shape = |law, candidates: &[Regressor], target: &[f64]| {
            let mut found: Vec<Regressor> = Vec::new();
            for &regressor in candidates {
                found.push(regressor);
                match regress(rows, &found, target, None) {
                    Ok(_) => {}
                    Err(FitError::Unidentified { .. } | FitError::TooFew { .. }) => {
                        found.pop();
                        let column = rows.column(regressor);
                        let confounded = column.iter().any(|value| *value != column[0]);
                        unfitted.push(Unfitted { law, regressor, confounded });
                    }
                    Err(why) => return Err(why),
                }
            }
            Ok(found)
        };
        let lr = shape(Quantity::LearningRate, &[Regressor::Tokens, Regressor::Parameters], &rows.learning_rate)?;
        let batch = shape(Quantity::BatchTokens, &[Regressor::Tokens], &rows.batch_tokens)?;
        Ok((Self { lr, batch }, unfitted))
    }

    fn fit(&self, rows: &Logarithms, sample: &[usize]) -> Result<Coefficients, FitError> {
        let lr = regress(rows, &self.lr, &rows.learning_rate, Some(sample))?;
        let batch = regress(rows, &self.batch, &rows.batch_tokens, Some(sample))?;
        let exponent = |found: &[f64], regressors: &[Regressor], wanted| {
            regressors.iter().position(|r| *r == wanted).map_or(0.0, |place| found[place + 1])
        };
        Ok(Coefficients {
            lr: [lr[0], exponent(&lr, &self.lr, Regressor::Parameters), exponent(&lr, &self.lr, Regressor::Tokens)],
            batch: [batch[0], exponent(&batch, &self.batch, Regressor::Tokens)],
        })
    }
}

/// Least squares of `target` on 1 and the regressors' logarithms, over all rows or a resample of them.
fn regress(
    rows: &Logarithms,
    regressors: &[Regressor],
    target: &[f64],
    sample: Option<&[usize]>,
) -> Result<Vec<f64>, FitError> {
    let pick = |column: &[f64]| match sample {
        Some(sample) => sample.iter().map(|&row| column[row]).collect(),
        None => column.to_vec(),
    };
    let mut columns = vec![vec![1.0; sample.map_or(target.len(), <[usize]>::len)]];
    columns.extend(regressors.iter().map(|&regressor| pick(rows.column(regressor))));
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    least_squares(&columns, &pick(target))
}

impl Uncertain {
    /// Without a draw the coefficient stands alone: no width is known.
    fn of(estimate: f64, draws: Vec<f64>) -> Self {
        let n = draws.len() as f64;
        let mean = if draws.is_empty() { estimate } else { draws.iter().sum::<f64>() / n };
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let alone = Interval { estimate, low: f64::NEG_INFINITY, high: f64::INFINITY };
        Self { coefficient: percentile_interval(estimate, draws).unwrap_or(alone), mean, deviation: variance.sqrt() }
    }
}
