//! Fisher-weighted averages: every entry of every model counts by how surely it is known.
//!
//! Matena and Raffel, *Merging Models with Fisher-Weighted Averaging* (NeurIPS 2022), eq. 3 with the diagonal of the Fisher
//! information: theta = sum_i w_i F_i theta_i / sum_i w_i F_i, entry by entry. F_i is the mean over examples of the squared
//! gradient of log p(y|x) with y drawn from the model, and comes as a checkpoint of the model's architecture. As in the
//! authors' code F is at least a floor, so that entries that no example depends on are averaged. Cost: one pass over models
//! and statistics.

use kilter_space::{Domain, Entry, Float, Outline, SpaceError};
use serde::Serialize;
use serde_json::json;

use super::{Merge, Method, Rule, Rules, Statistics, at_least_one, one_each, weights, weights_of};
use crate::fault::WeightsError;
use crate::storage::Checkpoint;
use crate::stream::{Stack, Tile};

/// Settings of a Fisher-weighted average.
#[derive(Clone, Debug, Serialize)]
pub struct Fisher {
    /// One weight per model.
    pub weights: Vec<f64>,
    /// Least information of an entry, above 0. Default 1e-6; larger comes nearer to the plain mean.
    pub floor: f64,
    /// The diagonal of each model's information.
    #[serde(skip)]
    pub information: Vec<Checkpoint>,
}

pub(super) const METHOD: Method = Method {
    name: "fisher",
    about: "mean of the models, each entry weighted by its Fisher information",
    statistics: Some("the diagonal of its Fisher information, a checkpoint of the same tensors"),
    outline: |models| {
        let range = Float::log(1e-12, 1.0).map_err(|why| SpaceError::Domain { name: "floor".to_owned(), why })?;
        let floor = Entry::new("floor", Domain::Float(range))?.default(1e-6)?;
        let mut entries = vec![floor.about("least information of an entry; larger comes nearer to the plain mean")];
        entries.extend(weights(models)?);
        Outline::new(entries)
    },
    build: |config, models, information| {
        Ok(Box::new(Fisher { weights: weights_of(config, models)?, floor: config.float("floor")?, information }))
    },
};

impl Merge for Fisher {
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
        if !(self.floor.is_finite() && self.floor > 0.0) {
            return Err(WeightsError::Setting(format!("floor={} must be above 0; usual is 1e-6", self.floor)));
        }
        at_least_one(self.name(), &self.weights, models)?;
        one_each(&METHOD, self.information.len(), models)
    }

    fn statistics(&self) -> Statistics<'_> {
        Statistics::Stacked(&self.information)
    }

    fn prepare<'a>(&'a self, _: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        let models = self.weights.len();
        Ok(Box::new(move |_| {
            let apply = move |tile: &Tile<'_>, out: &mut [f64]| {
                out.fill(0.0);
                let mut total = vec![0.0; out.len()];
                for (i, &weight) in self.weights.iter().enumerate() {
                    let known = tile.row(i).iter().zip(tile.row(models + i));
                    for ((sum, total), (x, information)) in out.iter_mut().zip(&mut total).zip(known) {
                        let counts = weight * information.max(self.floor);
                        *sum += counts * x;
                        *total += counts;
                    }
                }
                // Weights of 0 for every model leave nothing to divide by.
                out.iter_mut().zip(&total).for_each(|(sum, &total)| *sum /= if total == 0.0 { 1.0 } else { total });
            };
            Ok(Rule { align: 1, apply: Box::new(apply) })
        }))
    }
}
