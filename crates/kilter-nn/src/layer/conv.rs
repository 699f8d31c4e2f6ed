//! Convolutions.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Rule};
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::op::{Conv2dShape, conv2d};
use crate::params::{Declared, Role, Scope};
use crate::view::{Dual, Pair};

/// A convolution with square kernels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// How it walks.
    pub shape: Conv2dShape,
    /// Is there a bias?
    pub bias: bool,
    /// How the kernels are drawn.
    pub init: Init,
}

impl Conv {
    /// Keeps the image's size, with a bias, drawn as PyTorch draws.
    pub fn same(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self { inputs, outputs, kernel, shape: Conv2dShape::same(kernel), bias: true, init: Init::LECUN }
    }

    /// Declares `weight` `[outputs, inputs / groups, kernel, kernel]` and `bias` `[outputs]`.
    pub fn declare(&self, declared: &mut Declared) {
        let inputs = self.inputs / self.shape.groups;
        declared.tensor("weight", &[self.outputs, inputs, self.kernel, self.kernel], self.init, Role::Weight);
        if self.bias {
            let bound = 1.0 / ((inputs * self.kernel * self.kernel) as f64).sqrt();
            let init = if self.init == Init::LECUN { Init::Uniform { bound } } else { Init::ZERO };
            declared.tensor("bias", &[self.outputs], init, Role::Vector);
        }
    }

    /// `[batch, inputs, height, width]` to `[batch, outputs, height', width']`.
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<4> {
        let bias = self.bias.then(|| weights.get::<1>("bias"));
        let y = conv2d(x.clone(), weights.get("weight"), bias, self.shape);
        let bias = || self.bias.then(|| weights.full("bias"));
        context.observed(y, || (weights.full("weight"), bias(), Rule::Convolution(x, self.shape)))
    }

    /// The same along a direction.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<4> {
        let bias = self.bias.then(|| weights.get::<1>("bias"));
        x.conv2d(weights.get("weight"), bias, self.shape)
    }

    /// Its node, from that of `x` `[inputs, height, width]`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let Self { inputs, outputs, kernel, shape, .. } = *self;
        let image = tracer.shape(x);
        let (height, width) = (shape.out(0, image[1], kernel), shape.out(1, image[2], kernel));
        let multiply_adds = (height * width * outputs * (inputs / shape.groups * kernel * kernel)) as u64;
        let weights = ["weight"].into_iter().chain(self.bias.then_some("bias"));
        let weights = weights.map(|name| tracer.full(name)).collect();
        let operation = Operation::Convolution { inputs, outputs, kernel, shape };
        tracer.node(operation, weights, &[x], &[outputs, height, width], multiply_adds)
    }
}
