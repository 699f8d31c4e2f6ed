//! Residual networks for small images (He et al., *Deep Residual Learning*, 2016, section 4.2): a first convolution, three
//! stages of blocks with twice the channels and half the sides each, the mean of every channel, a linear layer.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::Context;
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::layer::{BatchNorm, Conv, Linear};
use crate::op::{Conv2dShape, relu};
use crate::params::{Declared, Params, Scope};
use crate::view::{Dual, Pair};

/// ResNet for small images; `6·blocks + 2` layers with three stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResNet {
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Channels of the first stage.
    pub width: usize,
    /// Stages.
    pub stages: usize,
    /// Blocks of two convolutions per stage.
    pub blocks: usize,
    /// Side of the blocks' kernels, odd.
    #[serde(default = "three")]
    pub kernel: usize,
    /// Classes.
    pub classes: usize,
    /// Share of the last numbers that training drops.
    #[serde(default)]
    pub dropout: f64,
}

fn three() -> usize {
    3
}

/// One block: two convolutions beside the identity, or beside a pointwise convolution where sizes change.
#[derive(Clone, Copy)]
struct Block {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
}

fn kernel(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Conv {
    let shape = Conv2dShape { stride: [stride, stride], ..Conv2dShape::same(kernel) };
    // Gain √2 over outputs, as the paper draws (He et al. 2015).
    let fan_out = outputs * kernel * kernel;
    let init = Init::Normal { deviation: (2.0 / fan_out as f64).sqrt() };
    Conv { inputs, outputs, kernel, shape, bias: false, init }
}

impl Block {
    fn first(&self) -> Conv {
        kernel(self.inputs, self.outputs, self.kernel, self.stride)
    }

    fn second(&self) -> Conv {
        kernel(self.outputs, self.outputs, self.kernel, 1)
    }

    fn shortcut(&self) -> Option<Conv> {
        (self.inputs != self.outputs || self.stride != 1).then(|| kernel(self.inputs, self.outputs, 1, self.stride))
    }

    fn declare(&self, declared: &mut Declared) {
        declared.part("conv1", |d| self.first().declare(d));
        declared.part("norm1", |d| BatchNorm::new(self.outputs).declare(d));
        declared.part("conv2", |d| self.second().declare(d));
        declared.part("norm2", |d| BatchNorm::new(self.outputs).declare(d));
        if let Some(shortcut) = self.shortcut() {
            declared.part("shortcut", |d| shortcut.declare(d));
            declared.part("shortcut_norm", |d| BatchNorm::new(self.outputs).declare(d));
        }
    }

    fn forward(&self, weights: &Scope<'_>, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<4> {
        let norm = BatchNorm::new(self.outputs);
        let y = self.first().forward(&weights.of("conv1"), x.clone(), context);
        let y = relu(norm.forward(&weights.of("norm1"), y, context));
        let y = self.second().forward(&weights.of("conv2"), y, context);
        let y = norm.forward(&weights.of("norm2"), y, context);
        let x = match self.shortcut() {
            Some(shortcut) => {
                let x = shortcut.forward(&weights.of("shortcut"), x, context);
                norm.forward(&weights.of("shortcut_norm"), x, context)
            }
            None => x,
        };
        relu(x + y)
    }

    fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<4> {
        let norm = |name: &str, x: Dual<4>| BatchNorm::new(self.outputs).dual(&weights.of(name), x);
        let y = norm("norm1", self.first().dual(&weights.of("conv1"), x.clone())).relu();
        let y = norm("norm2", self.second().dual(&weights.of("conv2"), y));
        let x = match self.shortcut() {
            Some(shortcut) => norm("shortcut_norm", shortcut.dual(&weights.of("shortcut"), x)),
            None => x,
        };
        x.plus(y).relu()
    }

    fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let norm =
            |tracer: &mut Tracer<'_>, name: &str, x: usize| BatchNorm::new(self.outputs).trace(&mut tracer.of(name), x);
        let y = self.first().trace(&mut tracer.of("conv1"), x);
        let y = norm(tracer, "norm1", y);
        let y = tracer.of("relu1").each(Operation::Relu, &[y]);
        let y = self.second().trace(&mut tracer.of("conv2"), y);
        let y = norm(tracer, "norm2", y);
        let x = match self.shortcut() {
            Some(shortcut) => {
                let x = shortcut.trace(&mut tracer.of("shortcut"), x);
                norm(tracer, "shortcut_norm", x)
            }
            None => x,
        };
        let x = tracer.of("sum").each(Operation::Sum, &[x, y]);
        tracer.of("relu2").each(Operation::Relu, &[x])
    }
}

impl ResNet {
    fn first(&self) -> Conv {
        kernel(self.image[0], self.width, 3, 1)
    }

    fn all_blocks(&self) -> impl Iterator<Item = (String, Block)> {
        (0..self.stages).flat_map(move |stage| {
            (0..self.blocks).map(move |block| {
                let outputs = self.width << stage;
                let changes = stage > 0 && block == 0;
                let (inputs, stride) = if changes { (outputs / 2, 2) } else { (outputs, 1) };
                (format!("stages.{stage}.{block}"), Block { inputs, outputs, kernel: self.kernel, stride })
            })
        })
    }

    fn head(&self) -> Linear {
        Linear::new(self.width << (self.stages - 1), self.classes)
    }

    /// `[batch, channels, height, width]` to `[batch, classes]`.
    pub fn forward(&self, params: &Params, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let x = self.first().forward(&scope.of("first"), x, context);
        let mut x = relu(BatchNorm::new(self.width).forward(&scope.of("first_norm"), x, context));
        for (name, block) in self.all_blocks() {
            x = block.forward(&scope.of(&name), x, context);
        }
        let [batch, channels, height, width] = x.dims();
        let x: Tensor<2> = x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        let x = context.dropout(x, self.dropout);
        self.head().forward(&scope.of("head"), x, context)
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<2> {
        let x = self.first().dual(&weights.of("first"), x);
        let mut x = BatchNorm::new(self.width).dual(&weights.of("first_norm"), x).relu();
        for (name, block) in self.all_blocks() {
            x = block.dual(&weights.of(&name), x);
        }
        let x = x.linear(|x| {
            let [batch, channels, height, width] = x.dims();
            x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
        });
        self.head().dual(&weights.of("head"), x)
    }
}

impl Network for ResNet {
    fn declare(&self, declared: &mut Declared) {
        declared.part("first", |d| self.first().declare(d));
        declared.part("first_norm", |d| BatchNorm::new(self.width).declare(d));
        for (name, block) in self.all_blocks() {
            declared.part(&name, |d| block.declare(d));
        }
        declared.part("head", |d| self.head().declare(d));
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let x = tracer.input(&self.image);
        let x = self.first().trace(&mut tracer.of("first"), x);
        let x = BatchNorm::new(self.width).trace(&mut tracer.of("first_norm"), x);
        let mut x = tracer.of("first_relu").each(Operation::Relu, &[x]);
        for (name, block) in self.all_blocks() {
            x = block.trace(&mut tracer.of(&name), x);
        }
        let x = tracer.of("mean").resized(Operation::Mean, &[x], &[self.head().inputs]);
        let x = tracer.dropout(x, self.dropout);
        self.head().trace(&mut tracer.of("head"), x)
    }

    fn check(&self) -> Result<(), ModelError> {
        must("resnet", "the number of stages", self.stages, (1..=6).contains(&self.stages), "from 1 to 6")?;
        must("resnet", "the number of blocks", self.blocks, self.blocks > 0, "at least 1")?;
        must("resnet", "the width", self.width, self.width > 0, "at least 1")?;
        must("resnet", "the kernel", self.kernel, self.kernel % 2 == 1, "odd")?;
        must("resnet", "the number of classes", self.classes, self.classes > 0, "at least 1")
    }
}
