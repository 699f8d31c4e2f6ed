//! Optimizers: pure functions from (weights, gradient, state, hyperparameters) to weights and state, one parameter at a
//! time, in one pass over memory. Clipping, groups and schedules are composed around them, never inside.

mod adafactor;
mod adam;
mod lion;
mod muon;
mod nadam;
pub mod sam;
mod sgd;

pub use adafactor::AdafactorConfig;
pub use adam::AdamConfig;
pub use lion::LionConfig;
pub use muon::{MuonConfig, MuonScale, orthogonalise};
pub use nadam::NAdamConfig;
pub use sgd::SgdConfig;

use serde::{Deserialize, Serialize};

use crate::op::Real;

/// One parameter at one step.
#[derive(Debug)]
pub struct Parameter<'a, R> {
    /// The weights, changed in place.
    pub weights: &'a mut [R],
    /// The gradient of the loss by each.
    pub gradient: &'a [R],
    /// The sizes of the tensor's axes.
    pub shape: &'a [usize],
    /// What the optimizer remembers; empty before the first step.
    pub state: &'a mut State<R>,
    /// Which step this is, from 1.
    pub step: u64,
    /// The learning rate now: after the schedule and the group's factor.
    pub learning_rate: f64,
    /// Weight decay now: after the group's factor.
    pub weight_decay: f64,
}

/// What an optimizer remembers of one parameter: vectors under names, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State<R> {
    /// Names and numbers.
    pub vectors: Vec<(String, Vec<R>)>,
}

impl<R: Real> State<R> {
    /// The vectors of these names, made of zeros (so many numbers each) where they do not exist yet.
    fn vectors<const N: usize>(&mut self, wanted: [(&str, usize); N]) -> [&mut Vec<R>; N] {
        if self.vectors.len() != N {
            self.vectors = wanted.map(|(name, count)| (name.to_owned(), vec![R::zero(); count])).to_vec();
        }
        let mut found = self.vectors.iter_mut().map(|(_, vector)| vector);
        // There are N of them, by the line above.
        std::array::from_fn(|_| found.next().unwrap_or_else(|| unreachable!()))
    }
}

/// An optimizer and its hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam, also with decoupled decay (AdamW).
    Adam(AdamConfig),
    /// Adam with Nesterov momentum.
    #[serde(rename = "nadam")]
    NAdam(NAdamConfig),
    /// Factored second moments.
    Adafactor(AdafactorConfig),
    /// Signs of interpolated momentum.
    Lion(LionConfig),
    /// Orthogonalised momentum for matrices, AdamW for the rest.
    Muon(MuonConfig),
}

impl Optimizer {
    /// AdamW with the defaults of its paper.
    pub fn adamw() -> Self {
        Self::Adam(AdamConfig { decoupled: true, weight_decay: 0.01, ..AdamConfig::default() })
    }

    /// One step on one parameter.
    pub fn update<R: Real>(&self, parameter: Parameter<'_, R>) {
        match self {
            Self::Sgd(config) => config.update(parameter),
            Self::Adam(config) => config.update(parameter),
            Self::NAdam(config) => config.update(parameter),
            Self::Adafactor(config) => config.update(parameter),
            Self::Lion(config) => config.update(parameter),
            Self::Muon(config) => config.update(parameter),
        }
    }

    /// How many numbers it remembers of a tensor of this shape.
    pub fn remembers(&self, shape: &[usize]) -> usize {
        let count: usize = shape.iter().product();
        match (self, shape) {
            (Self::Sgd(config), _) if config.momentum == 0.0 => 0,
            (Self::Sgd(_) | Self::Lion(_), _) | (Self::Muon(_), [_, _, ..]) => count,
            (Self::Adam(_) | Self::Muon(_), _) => 2 * count,
            (Self::NAdam(_), _) => 2 * count + 1,
            (Self::Adafactor(_), [.., rows, columns]) => count / columns.max(&1) + count / rows.max(&1),
            (Self::Adafactor(_), _) => count,
        }
    }

    /// The weight decay of its configuration, before any group's factor.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd(config) => config.weight_decay,
            Self::Adam(config) => config.weight_decay,
            Self::NAdam(config) => config.weight_decay,
            Self::Adafactor(config) => config.weight_decay,
            Self::Lion(config) => config.weight_decay,
            Self::Muon(config) => config.weight_decay,
        }
    }
}

/// Numbers per piece of work in a threaded update.
const PIECE: usize = 65_536;
