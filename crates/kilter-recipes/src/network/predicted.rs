//! What networks say of examples of classes.

use std::collections::BTreeMap;

use kilter_data::Target;
use kilter_study::Failure;

use crate::tabular;

/// Probabilities `[rows, classes]` of logits.
pub fn softmax(logits: &[f64], classes: usize) -> impl Iterator<Item = f64> {
    logits.chunks(classes).flat_map(|row| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|logit| (logit - top).exp()).sum();
        row.iter().map(move |logit| (logit - top).exp() / sum)
    })
}

/// All metrics of these probabilities.
pub fn judge(names: &[String], labels: &[u8], probabilities: &[f64]) -> Result<BTreeMap<&'static str, f64>, Failure> {
    let truth = Target::Classes { labels: labels.to_vec(), names: names.to_vec() };
    if names.len() == 2 {
        let positive: Vec<f64> = probabilities.iter().skip(1).step_by(2).copied().collect();
        return tabular::judge(&truth, &positive);
    }
    tabular::judge(&truth, probabilities)
}
