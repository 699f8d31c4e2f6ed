//! How much memory a training takes at least, before it begins.

use super::{Precision, TrainConfig, TrainError};
use crate::params::{Role, Spec};

/// Bytes that a training keeps at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The weights, twice where the gradient is taken elsewhere, and once more where they are averaged; those that passes
    /// compute with, where these are others.
    pub weights: u64,
    /// Their gradients.
    pub gradients: u64,
    /// What the optimizer remembers.
    pub optimizer: u64,
    /// What a forward pass keeps for the backward pass, of the examples that are learnt from at a time.
    pub activations: u64,
    /// Those examples.
    pub examples: u64,
}

const NUMBER: u64 = 4;

impl Memory {
    /// Of a network with these tensors that keeps so many numbers of each example (see
    /// [`crate::model::Network::activations`]). A lower bound: what libraries and allocators need comes on top.
    pub fn of(specs: &[Spec], activations: u64, config: &TrainConfig) -> Self {
        let learned = || specs.iter().filter(|spec| spec.role != Role::Statistic);
        let count: u64 = learned().map(|spec| spec.count() as u64).sum();
        let copies = 1 + u64::from(config.sam.is_some()) + u64::from(config.average.is_some());
        let passes = config.precision.bytes();
        let others = if config.precision == Precision::F32 { 0 } else { passes };
        let examples = config.batch.div_ceil(config.accumulation.max(1)) as u64;
        Self {
            weights: (NUMBER * copies + others) * count,
            gradients: NUMBER * count,
            optimizer: NUMBER * learned().map(|spec| config.optimizer.remembers(&spec.shape) as u64).sum::<u64>(),
            activations: passes.saturating_mul(activations).saturating_mul(examples),
            examples,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        [self.gradients, self.optimizer, self.activations].iter().fold(self.weights, |sum, &x| sum.saturating_add(x))
    }

    /// It fits into so many bytes.
    ///
    /// # Errors
    /// If it does not; says which part is the largest and what makes it smaller.
    pub fn fits(&self, free: u64) -> Result<(), TrainError> {
        if self.total() <= free { Ok(()) } else { Err(TrainError::Memory { needs: *self, free }) }
    }

    /// What makes the largest part smaller.
    fn advice(&self) -> &'static str {
        if self.activations >= self.weights.max(self.optimizer) {
            "lower the batch, or raise the accumulation, which learns from a batch in parts"
        } else if self.optimizer > self.weights {
            "an optimizer that remembers less (adafactor, or sgd without momentum) or a smaller network fits"
        } else {
            "a smaller network fits"
        }
    }
}

/// Bytes in words.
fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        few if few < 1e6 => format!("{:.1} kB", few / 1e3),
        some if some < 1e9 => format!("{:.1} MB", some / 1e6),
        many => format!("{:.1} GB", many / 1e9),
    }
}

/// What is needed, by part, beside what is free.
pub(super) fn too_little(needs: &Memory, free: u64) -> String {
    let Memory { weights, gradients, optimizer, activations, examples } = *needs;
    format!(
        "the training needs at least {} of memory (weights {}, gradients {}, optimizer {}, activations of {examples} \
         examples {}), and {} are free; {}",
        bytes(needs.total()),
        bytes(weights),
        bytes(gradients),
        bytes(optimizer),
        bytes(activations),
        bytes(free),
        needs.advice()
    )
}
