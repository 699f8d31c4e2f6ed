//! Averages of weights: the uniform soup, and the weighted mean.
//!
//! Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
//! inference time* (ICML 2022). Changed: sums are in f64 in the order given and rounded once, so that a soup of identical
//! models is that model bit for bit (types up to 32 bits). Cost: one pass, one addition per entry and model.

use std::collections::BTreeMap;

use kilter_space::Outline;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Merge, Method, Rule, Rules, at_least_one, weights, weights_of};
use crate::fault::WeightsError;
use crate::stream::{Stack, Tile};

/// The uniform soup: theta = (1/n) sum_i theta_i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uniform;

/// The weighted mean: theta = sum_i w_i theta_i / sum_i w_i.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// One weight per model, finite, usually 0 to 2.
    pub weights: Vec<f64>,
    /// Divide by the weights' sum, if that is at least 1e-8 from zero. Default yes.
    pub normalize: bool,
}

/// A weighted mean of its own for every tensor: what a learned soup comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerTensor {
    /// For each float tensor, one weight per model; a tensor without is averaged.
    pub weights: BTreeMap<String, Vec<f64>>,
    /// How they were found, for the report.
    pub settings: serde_json::Value,
}

/// The method as it is found by name.
pub(super) const LINEAR: Method = Method {
    name: "linear",
    about: "weighted mean of the models",
    outline: |models| Outline::new(weights(models)?),
    statistics: None,
    build: |config, models, _| Ok(Box::new(Linear { weights: weights_of(config, models)?, normalize: true })),
};

/// The mean of rows `0..n`, summed in that order.
fn mean(tile: &Tile<'_>, n: usize, out: &mut [f64]) {
    out.copy_from_slice(tile.row(0));
    for i in 1..n {
        out.iter_mut().zip(tile.row(i)).for_each(|(sum, x)| *sum += x);
    }
    let n = n as f64;
    out.iter_mut().for_each(|sum| *sum /= n);
}

impl Merge for Uniform {
    fn name(&self) -> &'static str {
        "soup"
    }

    fn needs_base(&self) -> bool {
        false
    }

    fn settings(&self) -> serde_json::Value {
        json!({ "kind": "uniform" })
    }

    fn takes(&self, models: usize) -> Result<(), WeightsError> {
        at_least_one(self.name(), &vec![1.0; models], models)
    }

    fn prepare<'a>(&'a self, stacks: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        Ok(Box::new(move |at| {
            let n = stacks[at].height();
            Ok(Rule { align: 1, apply: Box::new(move |tile, out| mean(tile, n, out)) })
        }))
    }
}

impl Merge for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn needs_base(&self) -> bool {
        false
    }

    fn settings(&self) -> serde_json::Value {
        json!(self)
    }

    fn takes(&self, models: usize) -> Result<(), WeightsError> {
        at_least_one(self.name(), &self.weights, models)
    }

    fn prepare<'a>(&'a self, _: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        let sum: f64 = self.weights.iter().sum();
        let divisor = if self.normalize { divisor(sum) } else { 1.0 };
        Ok(Box::new(move |_| {
            let apply = move |tile: &Tile<'_>, out: &mut [f64]| weighted_mean(tile, &self.weights, divisor, out);
            Ok(Rule { align: 1, apply: Box::new(apply) })
        }))
    }
}

impl Merge for PerTensor {
    fn name(&self) -> &'static str {
        "soup"
    }

    fn needs_base(&self) -> bool {
        false
    }

    fn settings(&self) -> serde_json::Value {
        self.settings.clone()
    }

    fn takes(&self, models: usize) -> Result<(), WeightsError> {
        self.weights.values().try_for_each(|weights| at_least_one(self.name(), weights, models))
    }

    fn prepare<'a>(&'a self, stacks: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        Ok(Box::new(move |at| {
            let stack = &stacks[at];
            let weights = self.weights.get(stack.name()).cloned().unwrap_or_else(|| vec![1.0; stack.height()]);
            let divisor = divisor(weights.iter().sum());
            let apply = move |tile: &Tile<'_>, out: &mut [f64]| weighted_mean(tile, &weights, divisor, out);
            Ok(Rule { align: 1, apply: Box::new(apply) })
        }))
    }
}

/// The weighted sum of the first rows over `divisor`.
pub(super) fn weighted_mean(tile: &Tile<'_>, weights: &[f64], divisor: f64, out: &mut [f64]) {
    out.fill(0.0);
    for (i, &weight) in weights.iter().enumerate() {
        out.iter_mut().zip(tile.row(i)).for_each(|(sum, x)| *sum += weight * x);
    }
    out.iter_mut().for_each(|sum| *sum /= divisor);
}

/// What a weighted sum is divided by: weights that cancel are not divided by (mergekit's rule, below 1e-8).
pub(super) fn divisor(sum_of_weights: f64) -> f64 {
    if sum_of_weights.abs() < 1e-8 { 1.0 } else { sum_of_weights }
}
