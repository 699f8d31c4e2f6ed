//! Convolutions.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Rule};
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

    /// The sides of the output for an image of these sides.
    pub fn out(&self, height: usize, width: usize) -> (usize, usize) {
        (self.shape.out(0, height, self.kernel), self.shape.out(1, width, self.kernel))
    }

    /// Multiply-adds per image of these sides.
    pub fn multiply_adds(&self, height: usize, width: usize) -> u64 {
        let (height, width) = self.out(height, width);
        let patch = self.inputs / self.shape.groups * self.kernel * self.kernel;
        (height * width * self.outputs * patch) as u64
    }
}
