//! Multilayer perceptron.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::Context;
use crate::graph::{Operation, Tracer};
use crate::layer::Linear;
use crate::op::{Curve, gelu, relu};
use crate::params::{Declared, Params, Scope};
use crate::view::{Dual, Pair};

/// What stands between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(0, x)`.
    #[default]
    Relu,
    /// `x·Φ(x)`.
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// Nothing.
    Identity,
}

impl Activation {
    /// Of every number.
    pub fn of<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => relu(x),
            Self::Gelu => gelu(x, Curve::Exact),
            Self::Tanh => x.tanh(),
            Self::Identity => x,
        }
    }

    /// The same along a direction.
    pub fn dual<const D: usize>(self, x: Dual<D>) -> Dual<D> {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu(Curve::Exact),
            Self::Tanh => x.tanh(),
            Self::Identity => x,
        }
    }

    /// Its node, where there is one, from that of `x`; see [`Tracer`].
    pub fn trace(self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        match self {
            Self::Relu => tracer.of("relu").each(Operation::Relu, &[x]),
            Self::Gelu => tracer.of("gelu").each(Operation::Gelu { curve: Curve::Exact }, &[x]),
            Self::Tanh => tracer.of("tanh").each(Operation::Tanh, &[x]),
            Self::Identity => x,
        }
    }
}

/// Fully connected layers with activations between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mlp {
    /// Widths from input to output, at least two.
    pub widths: Vec<usize>,
    /// What stands between layers.
    #[serde(default)]
    pub activation: Activation,
    /// Share of hidden numbers that training drops.
    #[serde(default)]
    pub dropout: f64,
}

impl Mlp {
    /// Rectifiers, no dropout.
    pub fn new(widths: &[usize]) -> Self {
        Self { widths: widths.to_vec(), activation: Activation::Relu, dropout: 0.0 }
    }

    fn layers(&self) -> impl Iterator<Item = (usize, Linear)> {
        self.widths.windows(2).enumerate().map(|(i, pair)| (i, Linear::new(pair[0], pair[1])))
    }

    /// `[batch, input]` to `[batch, output]`.
    pub fn forward(&self, params: &Params, mut x: Tensor<2>, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let last = self.widths.len() - 2;
        for (i, layer) in self.layers() {
            x = layer.forward(&scope.of(&format!("layers.{i}")), x, context);
            if i < last {
                x = context.dropout(self.activation.of(x), self.dropout);
            }
        }
        x
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, mut x: Dual<2>) -> Dual<2> {
        let last = self.widths.len() - 2;
        for (i, layer) in self.layers() {
            x = layer.dual(&weights.of(&format!("layers.{i}")), x);
            if i < last {
                x = self.activation.dual(x);
            }
        }
        x
    }
}

impl Network for Mlp {
    fn declare(&self, declared: &mut Declared) {
        for (i, layer) in self.layers() {
            declared.part(&format!("layers.{i}"), |d| layer.declare(d));
        }
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let mut x = tracer.input(&self.widths[..1]);
        let last = self.widths.len() - 2;
        for (i, layer) in self.layers() {
            let tracer = &mut tracer.of(&format!("layers.{i}"));
            x = layer.trace(tracer, x);
            if i < last {
                x = self.activation.trace(tracer, x);
                x = tracer.dropout(x, self.dropout);
            }
        }
        x
    }

    fn check(&self) -> Result<(), ModelError> {
        must("mlp", "the number of widths", self.widths.len(), self.widths.len() >= 2, "at least 2: input and output")?;
        self.widths.iter().try_for_each(|&width| must("mlp", "a width", width, width > 0, "at least 1"))
    }
}
