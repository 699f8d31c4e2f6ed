//! A small Xception (Chollet, *Xception: Deep Learning with Depthwise Separable Convolutions*, 2017): convolutions that look
//! at every channel by itself, each followed by one that only mixes channels, beside shortcuts.
//!
//! As in the paper's entry flow, a block is two separable convolutions and a pooling, beside a pointwise convolution of
//! stride 2. Smaller: one convolution before the blocks keeps the sides, and neither middle nor exit flow follows.

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::Context;
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::layer::{BatchNorm, Conv, Linear};
use crate::op::{Conv2dShape, relu};
use crate::params::{Declared, Params, Scope};
use crate::view::{Dual, Pair};

/// Xception for small images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Xception {
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Channels before the first block.
    pub width: usize,
    /// Blocks, each with twice the channels and half the sides.
    pub blocks: usize,
    /// Side of the kernels, odd.
    pub kernel: usize,
    /// Classes.
    pub classes: usize,
    /// Share of the last numbers that training drops.
    #[serde(default)]
    pub dropout: f64,
}

fn convolution(inputs: usize, outputs: usize, kernel: usize, shape: Conv2dShape) -> Conv {
    // Gain √2 over outputs (He et al. 2015).
    let fan_out = outputs / shape.groups * kernel * kernel;
    let init = Init::Normal { deviation: (2.0 / fan_out as f64).sqrt() };
    Conv { inputs, outputs, kernel, shape, bias: false, init }
}

/// A convolution in two: space first, channel by channel; then the channels.
#[derive(Clone, Copy)]
struct Separable {
    inputs: usize,
    outputs: usize,
    kernel: usize,
}

impl Separable {
    fn depthwise(&self) -> Conv {
        let shape = Conv2dShape { groups: self.inputs, ..Conv2dShape::same(self.kernel) };
        convolution(self.inputs, self.inputs, self.kernel, shape)
    }

    fn pointwise(&self) -> Conv {
        convolution(self.inputs, self.outputs, 1, Conv2dShape::default())
    }

    fn declare(&self, declared: &mut Declared) {
        declared.part("depthwise", |d| self.depthwise().declare(d));
        declared.part("pointwise", |d| self.pointwise().declare(d));
        declared.part("norm", |d| BatchNorm::new(self.outputs).declare(d));
    }

    fn forward(&self, weights: &Scope<'_>, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<4> {
        let y = self.depthwise().forward(&weights.of("depthwise"), x, context);
        let y = self.pointwise().forward(&weights.of("pointwise"), y, context);
        BatchNorm::new(self.outputs).forward(&weights.of("norm"), y, context)
    }

    fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<4> {
        let y = self.depthwise().dual(&weights.of("depthwise"), x);
        let y = self.pointwise().dual(&weights.of("pointwise"), y);
        BatchNorm::new(self.outputs).dual(&weights.of("norm"), y)
    }

    fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let y = self.depthwise().trace(&mut tracer.of("depthwise"), x);
        let y = self.pointwise().trace(&mut tracer.of("pointwise"), y);
        BatchNorm::new(self.outputs).trace(&mut tracer.of("norm"), y)
    }
}

/// Two separable convolutions and a pooling, beside a shortcut.
#[derive(Clone, Copy)]
struct Block {
    inputs: usize,
    outputs: usize,
    kernel: usize,
}

impl Block {
    fn separable(&self) -> [Separable; 2] {
        let Self { inputs, outputs, kernel } = *self;
        [inputs, outputs].map(|inputs| Separable { inputs, outputs, kernel })
    }

    fn shortcut(&self) -> Conv {
        convolution(self.inputs, self.outputs, 1, Conv2dShape { stride: [2, 2], ..Conv2dShape::default() })
    }

    fn declare(&self, declared: &mut Declared) {
        for (i, separable) in self.separable().into_iter().enumerate() {
            declared.part(&format!("separable{}", i + 1), |d| separable.declare(d));
        }
        declared.part("shortcut", |d| self.shortcut().declare(d));
        declared.part("shortcut_norm", |d| BatchNorm::new(self.outputs).declare(d));
    }

    fn forward(&self, weights: &Scope<'_>, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let beside = self.shortcut().forward(&weights.of("shortcut"), x.clone(), context);
        let beside = BatchNorm::new(self.outputs).forward(&weights.of("shortcut_norm"), beside, context);
        let mut y = x;
        for (i, separable) in self.separable().into_iter().enumerate() {
            y = separable.forward(&weights.of(&format!("separable{}", i + 1)), relu(y), context);
        }
        let y = max_pool2d(y, pooling());
        debug_assert_eq!(y.dims()[2..], [height.div_ceil(2), width.div_ceil(2)]);
        y + beside
    }

    fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<4> {
        let beside = self.shortcut().dual(&weights.of("shortcut"), x.clone());
        let beside = BatchNorm::new(self.outputs).dual(&weights.of("shortcut_norm"), beside);
        let mut y = x;
        for (i, separable) in self.separable().into_iter().enumerate() {
            y = separable.dual(&weights.of(&format!("separable{}", i + 1)), y.relu());
        }
        y.max_pool2d(pooling()).plus(beside)
    }

    fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let beside = self.shortcut().trace(&mut tracer.of("shortcut"), x);
        let beside = BatchNorm::new(self.outputs).trace(&mut tracer.of("shortcut_norm"), beside);
        let mut y = x;
        for (i, separable) in self.separable().into_iter().enumerate() {
            let tracer = &mut tracer.of(&format!("separable{}", i + 1));
            let seen = tracer.of("relu").each(Operation::Relu, &[y]);
            y = separable.trace(tracer, seen);
        }
        let halved = tracer.shape(beside).to_vec();
        let y = tracer.of("pool").resized(Operation::MaxPool { side: 3, stride: 2 }, &[y], &halved);
        tracer.of("sum").each(Operation::Sum, &[y, beside])
    }
}

/// An odd side is pooled to the larger half, as the shortcut's stride leaves it.
fn pooling() -> MaxPoolOptions<2> {
    MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1])
}

impl Xception {
    fn first(&self) -> Conv {
        convolution(self.image[0], self.width, self.kernel, Conv2dShape::same(self.kernel))
    }

    fn all_blocks(&self) -> impl Iterator<Item = (String, Block)> {
        let kernel = self.kernel;
        (0..self.blocks).map(move |block| {
            let inputs = self.width << block;
            (format!("blocks.{block}"), Block { inputs, outputs: 2 * inputs, kernel })
        })
    }

    fn head(&self) -> Linear {
        Linear::new(self.width << self.blocks, self.classes)
    }

    /// `[batch, channels, height, width]` to `[batch, classes]`.
    pub fn forward(&self, params: &Params, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let x = self.first().forward(&scope.of("first"), x, context);
        let mut x = BatchNorm::new(self.width).forward(&scope.of("first_norm"), x, context);
        for (name, block) in self.all_blocks() {
            x = block.forward(&scope.of(&name), x, context);
        }
        let [batch, channels, height, width] = x.dims();
        let x = relu(x).reshape([batch, channels, height * width]);
        let x: Tensor<2> = x.mean_dim(2).reshape([batch, channels]);
        let x = context.dropout(x, self.dropout);
        self.head().forward(&scope.of("head"), x, context)
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<2> {
        let x = self.first().dual(&weights.of("first"), x);
        let mut x = BatchNorm::new(self.width).dual(&weights.of("first_norm"), x);
        for (name, block) in self.all_blocks() {
            x = block.dual(&weights.of(&name), x);
        }
        let x = x.relu().linear(|x| {
            let [batch, channels, height, width] = x.dims();
            x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
        });
        self.head().dual(&weights.of("head"), x)
    }
}

impl Network for Xception {
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
        let mut x = BatchNorm::new(self.width).trace(&mut tracer.of("first_norm"), x);
        for (name, block) in self.all_blocks() {
            x = block.trace(&mut tracer.of(&name), x);
        }
        let x = tracer.of("relu").each(Operation::Relu, &[x]);
        let x = tracer.of("mean").resized(Operation::Mean, &[x], &[self.head().inputs]);
        let x = tracer.dropout(x, self.dropout);
        self.head().trace(&mut tracer.of("head"), x)
    }

    fn check(&self) -> Result<(), ModelError> {
        must("xception", "the number of blocks", self.blocks, (1..=6).contains(&self.blocks), "from 1 to 6")?;
        must("xception", "the width", self.width, self.width > 0, "at least 1")?;
        must("xception", "the kernel", self.kernel, self.kernel % 2 == 1, "odd")?;
        must("xception", "the number of classes", self.classes, self.classes > 0, "at least 1")
    }
}
