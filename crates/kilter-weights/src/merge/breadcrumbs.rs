//! Model Breadcrumbs: task vectors without their largest and smallest entries.
//!
//! Davari and Belilovsky, *Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks* (ECCV 2024):
//! theta = theta_0 + scale * sum_t w_t (m_t * v_t), where m_t drops the largest `drop_top` of the entries of v_t (outliers)
//! and the smallest (noise), and keeps the `keep` share between. Survivors keep their value. Counts are floors, ties go by
//! index, and nothing dropped at the top means just that (mergekit's slice is empty then). Cost: three passes.

use kilter_space::Outline;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ties::{first_entries, spans_of_model, trimmed};
use super::{
    Merge, Method, Rule, Rules, add_scaled, at_least_one, checked_scale, checked_share, difference, number, weights,
    weights_of, words,
};
use crate::fault::WeightsError;
use crate::rank::{ALL, Survivors, key, span_of_slice};
use crate::stream::{Stack, Tile};

/// What the shares are shares of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// The entries of a tensor (the paper, mergekit).
    #[default]
    Tensor,
    /// The entries of a row, along the last axis (the authors' code). One row per model is held in memory.
    Row,
    /// The entries of the whole model.
    Model,
}

/// Settings of Model Breadcrumbs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breadcrumbs {
    /// What the summed survivors are multiplied with (alpha): -2 to 2, default 0.3.
    pub scale: f64,
    /// Share of entries that survive (the authors' beta): above 0 to 1, default 0.15. 1 keeps all.
    pub keep: f64,
    /// Share of entries that is dropped for being largest (gamma): 0 to 0.5, default 0.006.
    pub drop_top: f64,
    /// What the shares are shares of.
    pub granularity: Granularity,
    /// One weight per model.
    pub weights: Vec<f64>,
}

pub(super) const METHOD: Method = Method {
    name: "breadcrumbs",
    about: "task vectors without their largest and smallest entries",
    outline: |models| {
        let mut entries = vec![
            number("scale", -2.0, 2.0, 0.3, "factor of the summed task vectors (alpha)")?,
            number("keep", 0.01, 1.0, 0.15, "share of entries that survive (beta)")?,
            number("drop_top", 0.0, 0.5, 0.006, "share of entries dropped for being largest (gamma)")?,
            words("granularity", &["tensor", "row", "model"], "what the shares are shares of")?.setting(),
        ];
        entries.extend(weights(models)?);
        Outline::new(entries)
    },
    statistics: None,
    build: |config, models, _| {
        Ok(Box::new(Breadcrumbs {
            scale: config.float("scale")?,
            keep: config.float("keep")?,
            drop_top: config.float("drop_top")?,
            granularity: match config.text("granularity")? {
                "row" => Granularity::Row,
                "model" => Granularity::Model,
                _ => Granularity::Tensor,
            },
            weights: weights_of(config, models)?,
        }))
    },
};

/// The survivors of a row: the largest `floor(drop_top * n)` go first, then all but the `floor(keep * n)` largest of what
/// is left.
pub fn survivors_of_row(entries: u64, keep: f64, drop_top: f64) -> Survivors {
    let share = |of: f64| ((of * entries as f64).floor() as u64).min(entries);
    let top = share(drop_top);
    let kept = share(keep).min(entries - top);
    Survivors { ranks: (entries - top - kept, entries - top) }
}

/// Sets to zero what does not survive, row by row of `row` entries.
pub fn trim_rows(vector: &mut [f64], row: usize, keep: f64, drop_top: f64, scratch: &mut Vec<u64>) {
    let survivors = survivors_of_row(row as u64, keep, drop_top);
    for row in vector.chunks_mut(row.max(1)) {
        let span = span_of_slice(row, survivors, scratch);
        for (index, v) in (0..).zip(row.iter_mut()) {
            *v = if span.contains(&(key(*v), index)) { *v } else { 0.0 };
        }
    }
}

impl Breadcrumbs {
    /// Base plus the weighted sum of what `sparse` leaves of each task vector.
    fn rule<'a>(&'a self, align: u64, sparse: impl Fn(&Tile<'_>, usize, &mut Vec<f64>) + Send + Sync + 'a) -> Rule<'a> {
        let apply = move |tile: &Tile<'_>, out: &mut [f64]| {
            let (mut delta, mut vector) = (vec![0.0; out.len()], Vec::with_capacity(out.len()));
            for (t, &weight) in self.weights.iter().enumerate() {
                sparse(tile, t, &mut vector);
                delta.iter_mut().zip(&vector).for_each(|(sum, v)| *sum += weight * v);
            }
            add_scaled(tile.row(0), self.scale, &delta, out);
        };
        Rule { align, apply: Box::new(apply) }
    }
}

impl Merge for Breadcrumbs {
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
        checked_share("keep", self.keep)?;
        if !(0.0..1.0).contains(&self.drop_top) {
            return Err(WeightsError::Setting(format!("drop_top={} must be from 0 to below 1", self.drop_top)));
        }
        at_least_one(self.name(), &self.weights, models)
    }

    fn prepare<'a>(&'a self, stacks: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        let models = self.weights.len();
        let survivors = |entries| Survivors::middle(entries, self.keep, self.drop_top);
        let of_model = match self.granularity {
            Granularity::Model => Some((spans_of_model(stacks, models, survivors)?, first_entries(stacks))),
            Granularity::Tensor | Granularity::Row => None,
        };
        Ok(Box::new(move |at| {
            let stack = &stacks[at];
            let (spans, first) = match (&of_model, self.granularity, stack.shape().last()) {
                (Some((spans, first)), ..) => (spans.clone(), first[at]),
                // A single number is kept.
                (None, _, None) => (vec![ALL; models], 0),
                (None, Granularity::Row, Some(&columns)) => {
                    let sparse = move |tile: &Tile<'_>, t: usize, out: &mut Vec<f64>| {
                        difference(tile, t + 1, out);
                        trim_rows(out, columns as usize, self.keep, self.drop_top, &mut Vec::new());
                    };
                    return Ok(self.rule(columns.max(1), sparse));
                }
                (None, _, Some(_)) => (spans_of_model(&stacks[at..=at], models, survivors)?, 0),
            };
            let sparse =
                move |tile: &Tile<'_>, t: usize, out: &mut Vec<f64>| trimmed(tile, t + 1, &spans[t], first, out);
            Ok(self.rule(1, sparse))
        }))
    }
}
