//! RegMean: linear layers merged so that the merged layer's outputs are, in the mean of squares, nearest to every model's on
//! its own data; other tensors are averaged.
//!
//! Jin, Ren, Preotiuc-Pietro and Cheng, *Dataless Knowledge Fusion by Merging Weights of Language Models* (ICLR 2023), eq. 2.
//! With W `[outputs, inputs]`, W = (sum_i w_i W_i G_i) (sum_i w_i G_i)^-1, where G_i `[inputs, inputs]` is the mean of x·xᵀ
//! over the layer's inputs x under model i, entries off its diagonal scaled down. The statistics of a model are a
//! checkpoint with a G under the name of each weight that it is of; a weight without one is averaged. An input that never
//! was other than zero under any model has its weights averaged. Cost: one pass, O(inputs³) for each layer and model, and
//! memory for as many G as models and two more.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use kilter_space::Outline;
use serde::Serialize;
use serde_json::json;

use super::average::{divisor, weighted_mean};
use super::{Merge, Method, Rule, Rules, Statistics, at_least_one, number, one_each, weights, weights_of};
use crate::fault::WeightsError;
use crate::storage::{Checkpoint, Tensor};
use crate::stream::{Stack, Tile};

/// Settings of RegMean.
#[derive(Clone, Debug, Serialize)]
pub struct RegMean {
    /// One weight per model.
    pub weights: Vec<f64>,
    /// Factor of the entries off the diagonal, 0 to 1 (the paper's alpha). Default 0.9; 0 looks at each input by itself.
    pub off_diagonal: f64,
    /// The second moments of the layers' inputs, of each model.
    #[serde(skip)]
    pub moments: Vec<Checkpoint>,
}

pub(super) const METHOD: Method = Method {
    name: "regmean",
    about: "linear layers whose outputs are nearest to every model's on its own data",
    statistics: Some("second moments of the inputs of its linear layers, [inputs, inputs] under each weight's name"),
    outline: |models| {
        let about = "factor of the moments off the diagonal; 0 looks at each input by itself";
        let mut entries = vec![number("off_diagonal", 0.0, 1.0, 0.9, about)?];
        entries.extend(weights(models)?);
        Outline::new(entries)
    },
    build: |config, models, moments| {
        let off_diagonal = config.float("off_diagonal")?;
        Ok(Box::new(RegMean { weights: weights_of(config, models)?, off_diagonal, moments }))
    },
};

impl RegMean {
    /// What each model's rows of a weight are multiplied by, if there are moments of it.
    fn factors(&self, stack: &Stack<'_>) -> Result<Option<Vec<Mat<f64>>>, WeightsError> {
        let known: Vec<Option<&Tensor>> = self.moments.iter().map(|of| of.get(stack.name())).collect();
        if known.iter().all(Option::is_none) {
            return Ok(None);
        }
        let wrong = |of: &Checkpoint, why: &str| {
            WeightsError::Setting(format!("{}: the moments of `{}` {why}", of.path().display(), stack.name()))
        };
        let &[_, inputs] = stack.shape() else {
            return Err(wrong(&self.moments[0], "belong to no matrix; regmean merges [outputs, inputs]"));
        };
        let side = inputs as usize;
        let mut sum = Mat::<f64>::zeros(side, side);
        let mut all = Vec::with_capacity(known.len());
        for ((of, tensor), &weight) in self.moments.iter().zip(known).zip(&self.weights) {
            let tensor = tensor.ok_or_else(|| wrong(of, "are missing, and another model has them"))?;
            if tensor.shape() != [inputs, inputs] || !tensor.dtype().is_float() {
                return Err(wrong(
                    of,
                    &format!("have shape {:?}, and [{inputs}, {inputs}] belongs there", tensor.shape()),
                ));
            }
            let mut numbers = vec![0.0; side * side];
            tensor.dtype().decode(&tensor.window(0..tensor.bytes())?, &mut numbers);
            if numbers.iter().any(|x| !x.is_finite()) {
                return Err(wrong(of, "hold NaN or infinities"));
            }
            let scaled = |i: usize, j: usize| {
                // What is symmetric on paper may have been rounded on either side of the diagonal.
                let both = 0.5 * (numbers[i * side + j] + numbers[j * side + i]);
                weight * if i == j { both } else { self.off_diagonal * both }
            };
            let moments = Mat::from_fn(side, side, scaled);
            sum += &moments;
            all.push(moments);
        }
        // An input that never moved says nothing of its weights: they are averaged. What is left is positive definite but
        // for linear dependence, which a millionth of the mean square settles.
        let usual = (0..side).map(|j| sum[(j, j)]).sum::<f64>() / side.max(1) as f64;
        let ridge = if usual > 0.0 { 1e-6 * usual } else { 1.0 };
        for (moments, &weight) in all.iter_mut().zip(&self.weights) {
            for j in 0..side {
                moments[(j, j)] += ridge * weight;
                sum[(j, j)] += ridge * weight;
            }
        }
        let solver = sum.llt(Side::Lower).map_err(|_| {
            wrong(&self.moments[0], "are no second moments: with the others' they are not positive definite")
        })?;
        // Both are symmetric, so G S^-1 is the transpose of S^-1 G.
        Ok(Some(all.iter().map(|moments| solver.solve(moments).transpose().to_owned()).collect()))
    }
}

impl Merge for RegMean {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn needs_base(&self) -> bool {
        false
    }

    fn settings(&self) -> serde_json::Value {
        json!(self)
    }

    fn takes(&self, models: usize) -> Result<(), WeightsError> {
        if !(0.0..=1.0).contains(&self.off_diagonal) {
            return Err(WeightsError::Setting(format!("off_diagonal={} must be from 0 to 1", self.off_diagonal)));
        }
        at_least_one(self.name(), &self.weights, models)?;
        if self.weights.iter().any(|&weight| weight < 0.0) || self.weights.iter().sum::<f64>() <= 0.0 {
            return Err(WeightsError::setting("regmean: weights must not be negative, and one must be above 0"));
        }
        one_each(&METHOD, self.moments.len(), models)
    }

    fn statistics(&self) -> Statistics<'_> {
        Statistics::Apart(&self.moments)
    }

    fn prepare<'a>(&'a self, stacks: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        let total = divisor(self.weights.iter().sum());
        let mean = move |tile: &Tile<'_>, out: &mut [f64]| weighted_mean(tile, &self.weights, total, out);
        Ok(Box::new(move |at| {
            let Some(factors) = self.factors(&stacks[at])? else {
                return Ok(Rule { align: 1, apply: Box::new(mean) });
            };
            let side = factors.first().map_or(1, Mat::nrows);
            let apply = move |tile: &Tile<'_>, out: &mut [f64]| {
                out.fill(0.0);
                for (i, factor) in factors.iter().enumerate() {
                    for (out, row) in out.chunks_mut(side).zip(tile.row(i).chunks(side)) {
                        for (j, out) in out.iter_mut().enumerate() {
                            let column = factor.col(j);
                            *out += row.iter().enumerate().map(|(k, x)| x * column[k]).sum::<f64>();
                        }
                    }
                }
            };
            Ok(Rule { align: side.max(1) as u64, apply: Box::new(apply) })
        }))
    }
}
