//! DARE: drop task-vector entries at random and rescale the rest.
//!
//! Yu et al., *Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch* (ICML 2024):
//! each entry survives with probability `density` and is divided by it, which leaves the expectation as it was; then task
//! arithmetic or the election of TIES. The draw of an entry depends on seed, model, tensor name and index alone, so it is
//! the same for any number of threads. `rescale = l1` (mergekit) restores each tensor's L1 norm instead. Cost: one pass (two
//! with l1), a quarter of a Philox block per entry and model.

use kilter_numerics::Stream;
use kilter_numerics::stream::philox4x32;
use kilter_space::{Domain, Entry, Int, Outline, SpaceError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ties::{ZeroSign, elected};
use super::{
    Merge, Method, Rule, Rules, add_scaled, at_least_one, checked_scale, checked_share, difference, number, weights,
    weights_of, words,
};
use crate::fault::WeightsError;
use crate::stream::{Stack, Tile};

/// How survivors make up for the dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rescale {
    /// Multiplied by 1/density (the paper).
    #[default]
    Density,
    /// Multiplied by sum |v| / sum |survivors| of the tensor, 1 if no survivor is non-zero (mergekit).
    L1,
}

/// How the sparse task vectors are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Summed, as in task arithmetic.
    #[default]
    Sum,
    /// Averaged where they agree with the elected sign, as in TIES.
    Ties,
}

/// Settings of DARE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dare {
    /// What the merged task vector is multiplied with: -2 to 2, default 1.
    pub scale: f64,
    /// Probability of survival: above 0 to 1, default 0.5.
    pub density: f64,
    /// How survivors make up for the dropped.
    pub rescale: Rescale,
    /// How the sparse task vectors are put together.
    pub combine: Combine,
    /// Which draw.
    pub seed: u64,
    /// One weight per model.
    pub weights: Vec<f64>,
}

pub(super) const METHOD: Method = Method {
    name: "dare",
    about: "drop task-vector entries at random, rescale the rest",
    outline: |models| {
        let seeds = Int::new(0, i64::MAX).map_err(|why| SpaceError::Domain { name: "seed".to_owned(), why })?;
        let mut entries = vec![
            number("scale", -2.0, 2.0, 1.0, "factor of the merged task vector")?,
            number("density", 0.01, 1.0, 0.5, "probability that an entry survives")?,
            words("combine", &["sum", "ties"], "how the sparse task vectors are put together")?,
            words("rescale", &["density", "l1"], "how survivors make up for the dropped")?.setting(),
            Entry::new("seed", Domain::Int(seeds))?.default(0_i64)?.about("which draw").setting(),
        ];
        entries.extend(weights(models)?);
        Outline::new(entries)
    },
    statistics: None,
    build: |config, models, _| {
        Ok(Box::new(Dare {
            scale: config.float("scale")?,
            density: config.float("density")?,
            rescale: if config.text("rescale")? == "l1" { Rescale::L1 } else { Rescale::Density },
            combine: if config.text("combine")? == "ties" { Combine::Ties } else { Combine::Sum },
            seed: config.int("seed")?.unsigned_abs(),
            weights: weights_of(config, models)?,
        }))
    },
};

/// Draws of one model's tensor: entry `i` survives if word `i % 4` of Philox block `i / 4` is below `density * 2^32`.
#[derive(Clone, Copy)]
pub struct Draws {
    key: [u32; 2],
    threshold: u64,
}

impl Draws {
    /// Draws of the `model`-th model's tensor `name`.
    pub fn new(seed: u64, model: usize, name: &str, density: f64) -> Self {
        let bits = Stream::new(&[seed, model as u64], name).bits();
        let threshold = (density.clamp(0.0, 1.0) * 2_f64.powi(32)).round() as u64;
        Self { key: [bits as u32, (bits >> 32) as u32], threshold }
    }

    /// Sets to zero what does not survive; `start` is the first entry's index.
    pub fn drop(&self, start: u64, vector: &mut [f64]) {
        let mut index = start;
        let mut left = vector;
        while !left.is_empty() {
            let words = philox4x32([(index / 4) as u32, ((index / 4) >> 32) as u32, 0, 0], self.key);
            let first = (index % 4) as usize;
            let (now, later) = left.split_at_mut((4 - first).min(left.len()));
            for (v, &word) in now.iter_mut().zip(&words[first..]) {
                *v = if u64::from(word) < self.threshold { *v } else { 0.0 };
            }
            index += now.len() as u64;
            left = later;
        }
    }
}

/// What survivors are multiplied with to restore the L1 norm, from the sums of sizes before and after.
pub fn l1_factor(before: f64, after: f64) -> f64 {
    if after > 0.0 { before / after } else { 1.0 }
}

/// The factors of each model's tensor.
fn factors(stack: &Stack<'_>, draws: &[Draws], rescale: Rescale, density: f64) -> Result<Vec<f64>, WeightsError> {
    if rescale == Rescale::Density {
        return Ok(vec![1.0 / density; draws.len()]);
    }
    let norm = |vector: &[f64]| vector.iter().map(|v| v.abs()).sum::<f64>();
    let sums = stack.survey(1, |sums: &mut Vec<(f64, f64)>, tile| {
        sums.resize(draws.len(), (0.0, 0.0));
        let mut vector = Vec::new();
        for (t, (draws, (before, after))) in draws.iter().zip(sums).enumerate() {
            difference(tile, t + 1, &mut vector);
            *before += norm(&vector);
            draws.drop(tile.start, &mut vector);
            *after += norm(&vector);
        }
    })?;
    let total = |t: usize| {
        sums.iter().filter_map(|of_piece| of_piece.get(t)).fold((0.0, 0.0), |sum, x| (sum.0 + x.0, sum.1 + x.1))
    };
    Ok((0..draws.len()).map(total).map(|(before, after)| l1_factor(before, after)).collect())
}

impl Merge for Dare {
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
        checked_share("density", self.density)?;
        at_least_one(self.name(), &self.weights, models)
    }

    fn prepare<'a>(&'a self, stacks: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        Ok(Box::new(move |at| {
            let stack = &stacks[at];
            // A single number is kept.
            let density = if stack.is_scalar() { 1.0 } else { self.density };
            let draws: Vec<Draws> =
                (0..self.weights.len()).map(|t| Draws::new(self.seed, t, stack.name(), density)).collect();
            let factors = factors(stack, &draws, self.rescale, density)?;
            let sparse = move |tile: &Tile<'_>, t: usize, out: &mut Vec<f64>| {
                difference(tile, t + 1, out);
                draws[t].drop(tile.start, out);
                out.iter_mut().for_each(|v| *v *= factors[t]);
            };
            if self.combine == Combine::Ties {
                return elected(stack, &self.weights, self.scale, ZeroSign::Plus, sparse);
            }
            let apply = move |tile: &Tile<'_>, out: &mut [f64]| {
                let (mut delta, mut vector) = (vec![0.0; out.len()], Vec::with_capacity(out.len()));
                for (t, &weight) in self.weights.iter().enumerate() {
                    sparse(tile, t, &mut vector);
                    delta.iter_mut().zip(&vector).for_each(|(sum, v)| *sum += weight * v);
                }
                add_scaled(tile.row(0), self.scale, &delta, out);
            };
            Ok(Rule { align: 1, apply: Box::new(apply) })
        }))
    }
}
