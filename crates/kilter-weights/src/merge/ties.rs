//! TIES: trim each task vector, elect a sign per entry, average those that agree.
//!
//! Yadav et al., *TIES-Merging: Resolving Interference When Merging Models* (NeurIPS 2023). Trimming ranks entries per
//! tensor (as mergekit) or over the whole model (as the paper's code); a zero sum elects plus (mergekit) or the sign of the
//! tensor's elected signs together (the paper's code). Cost: three passes (four where zero sums must be settled).

use kilter_space::Outline;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Merge, Method, Rule, Rules, TaskVector, add_scaled, at_least_one, checked_scale, checked_share, difference, number,
    weights, weights_of, words,
};
use crate::fault::WeightsError;
use crate::rank::{ALL, Span, Survivors, key, span};
use crate::stream::{Stack, Tile};

/// What a zero sum elects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroSign {
    /// Plus (mergekit).
    #[default]
    Plus,
    /// The sign of the sum of the tensor's elected signs, plus if that is zero (the paper's code).
    Total,
}

/// What entries are ranked among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// The entries of their tensor.
    #[default]
    Tensor,
    /// The entries of the whole model.
    Model,
}

/// Settings of TIES.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ties {
    /// What the merged task vector is multiplied with (the paper's lambda): -2 to 2, default 1.
    pub scale: f64,
    /// Share of entries that trimming leaves: above 0 to 1, default 0.2.
    pub density: f64,
    /// What a zero sum elects.
    pub zero_sign: ZeroSign,
    /// What trimming ranks entries among.
    pub granularity: Among,
    /// One weight per model.
    pub weights: Vec<f64>,
}

pub(super) const METHOD: Method = Method {
    name: "ties",
    about: "trim task vectors, elect signs, average what agrees",
    outline: |models| {
        let mut entries = vec![
            number("scale", -2.0, 2.0, 1.0, "factor of the merged task vector")?,
            number("density", 0.01, 1.0, 0.2, "share of entries that trimming leaves")?,
            words("granularity", &["tensor", "model"], "what entries are ranked among")?.setting(),
            words("zero_sign", &["plus", "total"], "what a zero sum elects")?.setting(),
        ];
        entries.extend(weights(models)?);
        Outline::new(entries)
    },
    statistics: None,
    build: |config, models, _| {
        Ok(Box::new(Ties {
            scale: config.float("scale")?,
            density: config.float("density")?,
            zero_sign: if config.text("zero_sign")? == "total" { ZeroSign::Total } else { ZeroSign::Plus },
            granularity: if config.text("granularity")? == "model" { Among::Model } else { Among::Tensor },
            weights: weights_of(config, models)?,
        }))
    },
};

/// The sign of an entry's weighted sum: -1, 0 or 1.
fn sign_of_sum(vectors: &[Vec<f64>], weights: &[f64], entry: usize) -> f64 {
    let sum: f64 = vectors.iter().zip(weights).map(|(vector, weight)| weight * vector[entry]).sum();
    if sum == 0.0 { 0.0 } else { sum.signum() }
}

/// Weighted mean, entry by entry, of the values whose sign is the elected one; `zero` is what a zero sum elects (1 or -1).
/// `vectors` is `[models][entries]`; a zero agrees with nobody. Where nobody agrees stands 0.
pub fn elect(vectors: &[Vec<f64>], weights: &[f64], zero: f64, out: &mut [f64]) {
    for (entry, out) in out.iter_mut().enumerate() {
        let sign = sign_of_sum(vectors, weights, entry);
        let sign = if sign == 0.0 { zero } else { sign };
        let (mut sum, mut divisor) = (0.0, 0.0);
        for (vector, &weight) in vectors.iter().zip(weights) {
            let agrees = vector[entry] * sign > 0.0;
            sum += if agrees { weight * vector[entry] } else { 0.0 };
            divisor += if agrees { weight } else { 0.0 };
        }
        *out = if divisor == 0.0 { sum } else { sum / divisor };
    }
}

/// What a zero sum elects if it follows the others: the sign of the elected signs' sum, plus if that is zero.
pub fn sign_of_total(sum_of_signs: f64) -> f64 {
    if sum_of_signs < 0.0 { -1.0 } else { 1.0 }
}

/// Sum of the signs of the weighted sums of all entries: what [`sign_of_total`] takes.
pub fn sum_of_signs(vectors: &[Vec<f64>], weights: &[f64]) -> f64 {
    (0..vectors.first().map_or(0, Vec::len)).map(|entry| sign_of_sum(vectors, weights, entry)).sum()
}

/// Merged task vectors of a tile, by election, from whatever sparsifies them.
pub(super) fn elected<'a>(
    stack: &'a Stack<'a>,
    weights: &'a [f64],
    scale: f64,
    zero_sign: ZeroSign,
    sparse: impl Fn(&Tile<'_>, usize, &mut Vec<f64>) + Send + Sync + 'a,
) -> Result<Rule<'a>, WeightsError> {
    let vectors = move |tile: &Tile<'_>| -> Vec<Vec<f64>> {
        let vector = |t| {
            let mut vector = Vec::with_capacity(tile.entries());
            sparse(tile, t, &mut vector);
            vector
        };
        (0..weights.len()).map(vector).collect()
    };
    let zero = match zero_sign {
        ZeroSign::Plus => 1.0,
        ZeroSign::Total => {
            let sums = stack.survey(1, |sum: &mut f64, tile| *sum += sum_of_signs(&vectors(tile), weights))?;
            sign_of_total(sums.iter().sum())
        }
    };
    let apply = move |tile: &Tile<'_>, out: &mut [f64]| {
        let mut delta = vec![0.0; out.len()];
        elect(&vectors(tile), weights, zero, &mut delta);
        add_scaled(tile.row(0), scale, &delta, out);
    };
    Ok(Rule { align: 1, apply: Box::new(apply) })
}

/// The `model`-th task vector (from 1) of a tile, with zeros where an entry's place (index counted from `first`) is outside
/// the span.
pub(super) fn trimmed(tile: &Tile<'_>, model: usize, span: &Span, first: u64, out: &mut Vec<f64>) {
    difference(tile, model, out);
    if *span == ALL {
        return;
    }
    for (index, v) in (first + tile.start..).zip(out.iter_mut()) {
        *v = if span.contains(&(key(*v), index)) { *v } else { 0.0 };
    }
}

/// For each model, the span of its survivors over all stacks together.
pub(super) fn spans_of_model<'a>(
    stacks: &'a [Stack<'a>],
    models: usize,
    survivors: impl Fn(u64) -> Survivors,
) -> Result<Vec<Span>, WeightsError> {
    let entries = stacks.iter().map(Stack::entries).sum();
    (1..=models).map(|model| span(&TaskVector::new(stacks, model), survivors(entries))).collect()
}

/// For each stack, the index of its first entry if all stacks are one tensor.
pub(super) fn first_entries(stacks: &[Stack<'_>]) -> Vec<u64> {
    let next = |first: &mut u64, stack: &Stack<'_>| {
        *first += stack.entries();
        Some(*first - stack.entries())
    };
    stacks.iter().scan(0, next).collect()
}

impl Merge for Ties {
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
        let models = self.weights.len();
        let survivors = |entries| Survivors::largest(entries, self.density);
        let of_model = match self.granularity {
            Among::Tensor => None,
            Among::Model => Some((spans_of_model(stacks, models, survivors)?, first_entries(stacks))),
        };
        Ok(Box::new(move |at| {
            let stack = &stacks[at];
            let (spans, first) = match &of_model {
                Some((spans, first)) => (spans.clone(), first[at]),
                // A single number is kept.
                None if stack.is_scalar() => (vec![ALL; models], 0),
                None => (spans_of_model(&stacks[at..=at], models, survivors)?, 0),
            };
            let sparse =
                move |tile: &Tile<'_>, t: usize, out: &mut Vec<f64>| trimmed(tile, t + 1, &spans[t], first, out);
            elected(stack, &self.weights, self.scale, self.zero_sign, sparse)
        }))
    }
}
