//! Fully connected layers and tables of vectors.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Rule};
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::op::{embedding, linear};
use crate::params::{Declared, Role, Scope};
use crate::view::{Dual, Pair};

/// `x·Wᵀ + b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// Is there a bias?
    pub bias: bool,
    /// How the weights are drawn; the bias begins within `1/√inputs` under [`Init::LECUN`], else at zero.
    pub init: Init,
}

impl Linear {
    /// With a bias, drawn as PyTorch draws.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, bias: true, init: Init::LECUN }
    }

    /// Declares `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    pub fn declare(&self, declared: &mut Declared) {
        declared.tensor("weight", &[self.outputs, self.inputs], self.init, Role::Weight);
        if self.bias {
            let bound = 1.0 / (self.inputs as f64).sqrt();
            let init = if self.init == Init::LECUN { Init::Uniform { bound } } else { Init::ZERO };
            declared.tensor("bias", &[self.outputs], init, Role::Vector);
        }
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<2>, context: &mut Context<'_>) -> Tensor<2> {
        let place = weights.full("weight");
        let place = place.trim_end_matches(".weight");
        let x = context.pass(place, "in", x);
        let bias = self.bias.then(|| weights.get::<1>("bias"));
        let y = linear(x.clone(), weights.get("weight"), bias);
        let bias = || self.bias.then(|| weights.full("bias"));
        let y = context.observed(y, || (weights.full("weight"), bias(), Rule::Linear(x)));
        context.pass(place, "out", y)
    }

    /// The same along a direction.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<2>) -> Dual<2> {
        let y = x.matmul(weights.get::<2>("weight").linear(Tensor::transpose));
        if !self.bias {
            return y;
        }
        let rows = y.value.dims()[0];
        y.plus(weights.get::<1>("bias").linear(|bias| bias.unsqueeze::<2>().expand([rows, self.outputs])))
    }

    /// Its node, from that of `x`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let weights = ["weight"].into_iter().chain(self.bias.then_some("bias"));
        tracer.linear(weights.map(|name| tracer.full(name)).collect(), x, self.outputs)
    }
}

/// A table of vectors, looked up by index.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// How many vectors.
    pub rows: usize,
    /// Their width.
    pub width: usize,
    /// How they are drawn.
    pub init: Init,
}

impl Embedding {
    /// Declares `weight` `[rows, width]`.
    pub fn declare(&self, declared: &mut Declared) {
        declared.tensor("weight", &[self.rows, self.width], self.init, Role::Weight);
    }

    /// The vectors of `indices`: `[indices, width]`.
    pub fn forward(&self, weights: &Scope<'_>, indices: Arc<[i64]>, context: &mut Context<'_>) -> Tensor<2> {
        let y = embedding(weights.get("weight"), indices.clone());
        context.observed(y, || (weights.full("weight"), None, Rule::Lookup(indices)))
    }

    /// The same along a direction.
    pub fn dual(&self, weights: &Pair<'_>, indices: &Arc<[i64]>) -> Dual<2> {
        weights.get::<2>("weight").embedding(indices)
    }

    /// Its node, from that of the tokens `[tokens]` which say what is looked up; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, tokens: usize) -> usize {
        let shape = [tracer.shape(tokens), &[self.width]].concat();
        let operation = Operation::Lookup { rows: self.rows, width: self.width };
        tracer.node(operation, vec![tracer.full("weight")], &[tokens], &shape, 0)
    }

    /// The logits of every row of `x` from the same table: a row's product with each of its vectors. `table` is its full
    /// name.
    pub fn trace_tied(&self, tracer: &mut Tracer<'_>, table: &str, x: usize) -> usize {
        tracer.linear(vec![table.to_owned()], x, self.rows)
    }
}
