//! Task arithmetic: theta = theta_0 + scale * sum_t w_t (theta_t - theta_0).
//!
//! Ilharco et al., *Editing Models with Task Arithmetic* (ICLR 2023). A negative scale makes a model forget. Cost: one pass.

use kilter_space::Outline;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::average::divisor;
use super::{Merge, Method, Rule, Rules, add_scaled, at_least_one, checked_scale, flag, number, weights, weights_of};
use crate::fault::WeightsError;
use crate::stream::{Stack, Tile};

/// Settings of task arithmetic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskArithmetic {
    /// What the summed task vectors are multiplied with: -2 to 2, default 0.3.
    pub scale: f64,
    /// One weight per model.
    pub weights: Vec<f64>,
    /// Divide the sum by the weights' sum, if that is at least 1e-8 from zero. Default no.
    pub normalize: bool,
}

pub(super) const METHOD: Method = Method {
    name: "task-arithmetic",
    about: "base plus the scaled sum of the models' differences from it",
    outline: |models| {
        let mut entries = vec![
            number("scale", -2.0, 2.0, 0.3, "factor of the summed task vectors; negative forgets")?,
            flag("normalize", "divide by the sum of the weights")?.setting(),
        ];
        entries.extend(weights(models)?);
        Outline::new(entries)
    },
    statistics: None,
    build: |config, models, _| {
        let (scale, normalize) = (config.float("scale")?, config.flag("normalize")?);
        Ok(Box::new(TaskArithmetic { scale, weights: weights_of(config, models)?, normalize }))
    },
};

/// `sum_t w_t v_t`: the models' weighted differences from the base (row 0).
fn sum(tile: &Tile<'_>, weights: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for (t, &weight) in weights.iter().enumerate() {
        let pairs = tile.row(t + 1).iter().zip(tile.row(0));
        out.iter_mut().zip(pairs).for_each(|(sum, (tuned, base))| *sum += weight * (tuned - base));
    }
}

impl Merge for TaskArithmetic {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn needs_base(&self) -> bool {
        true
    }

    fn settings(&self) -> serde_json::Value {
        json!(self)
    }

    fn takes(&self, models: usize) -> Result<(), WeightsError> {
        checked_scale(self.scale)?;
        at_least_one(self.name(), &self.weights, models)
    }

    fn prepare<'a>(&'a self, _: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        let scale = if self.normalize { self.scale / divisor(self.weights.iter().sum()) } else { self.scale };
        Ok(Box::new(move |_| {
            let apply = move |tile: &Tile<'_>, out: &mut [f64]| {
                let mut delta = vec![0.0; out.len()];
                sum(tile, &self.weights, &mut delta);
                add_scaled(tile.row(0), scale, &delta, out);
            };
            Ok(Rule { align: 1, apply: Box::new(apply) })
        }))
    }
}
