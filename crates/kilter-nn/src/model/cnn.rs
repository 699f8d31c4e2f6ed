//! A plain convolutional network: convolution, rectifier and pooling, some times over; then fully connected layers.

use burn::tensor::Tensor;
use burn::tensor::ops::MaxPoolOptions;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::Context;
use crate::graph::{Operation, Tracer};
use crate::layer::{Conv, Linear};
use crate::op::{max_pool2d, relu};
use crate::params::{Declared, Params, Scope};
use crate::view::{Dual, Pair};

/// Convolutions with pooling, then a hidden layer and the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cnn {
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Channels after each convolution; each halves the image's sides.
    pub channels: Vec<usize>,
    /// Side of the kernels, odd.
    pub kernel: usize,
    /// Does only the mean and the largest number of each channel reach the fully connected layers, wherever in the image
    /// it stands?
    #[serde(default)]
    pub pooled: bool,
    /// Width of the hidden layer; 0 for none.
    pub hidden: usize,
    /// Classes.
    pub classes: usize,
    /// Share of the last hidden numbers that training drops.
    #[serde(default)]
    pub dropout: f64,
}

impl Cnn {
    fn convolutions(&self) -> impl Iterator<Item = (usize, Conv)> {
        let inputs = std::iter::once(self.image[0]).chain(self.channels.iter().copied());
        let pairs = inputs.zip(&self.channels);
        pairs.map(|(inputs, &outputs)| Conv::same(inputs, outputs, self.kernel)).enumerate()
    }

    /// Numbers that reach the fully connected layers.
    fn features(&self) -> usize {
        if self.pooled {
            return 2 * self.channels.last().copied().unwrap_or(self.image[0]);
        }
        let halvings = self.channels.len() as u32;
        let side = |side: usize| side >> halvings;
        self.channels.last().copied().unwrap_or(self.image[0]) * side(self.image[1]) * side(self.image[2])
    }

    fn head(&self) -> Vec<Linear> {
        match self.hidden {
            0 => vec![Linear::new(self.features(), self.classes)],
            hidden => vec![Linear::new(self.features(), hidden), Linear::new(hidden, self.classes)],
        }
    }

    /// `[batch, channels, height, width]` to `[batch, classes]`.
    pub fn forward(&self, params: &Params, mut x: Tensor<4>, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        for (i, layer) in self.convolutions() {
            let y = relu(layer.forward(&scope.of(&format!("convolutions.{i}")), x, context));
            x = max_pool2d(y, 2);
        }
        let mut x: Tensor<2> = match self.pooled {
            true => {
                let x: Tensor<3> = x.flatten(2, 3);
                Tensor::cat(vec![x.clone().mean_dim(2), x.max_dim(2)], 1).flatten(1, 2)
            }
            false => x.flatten(1, 3),
        };
        let head = self.head();
        let last = head.len() - 1;
        for (i, layer) in head.into_iter().enumerate() {
            x = context.dropout(x, self.dropout);
            x = layer.forward(&scope.of(&format!("head.{i}")), x, context);
            if i < last {
                x = relu(x);
            }
        }
        x
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, mut x: Dual<4>) -> Dual<2> {
        for (i, layer) in self.convolutions() {
            let y = layer.dual(&weights.of(&format!("convolutions.{i}")), x).relu();
            x = y.max_pool2d(MaxPoolOptions::new([2, 2]));
        }
        let mut x: Dual<2> = match self.pooled {
            true => {
                let mean = x.clone().linear(|x| x.flatten::<3>(2, 3).mean_dim(2).flatten::<2>(1, 2));
                let places = x.value.clone().flatten::<3>(2, 3).argmax(2);
                let largest = x.linear(|x| x.flatten::<3>(2, 3).gather(2, places.clone()).flatten::<2>(1, 2));
                Dual::cat(vec![mean, largest], 1)
            }
            false => x.linear(|x| x.flatten(1, 3)),
        };
        let head = self.head();
        let last = head.len() - 1;
        for (i, layer) in head.into_iter().enumerate() {
            x = layer.dual(&weights.of(&format!("head.{i}")), x);
            if i < last {
                x = x.relu();
            }
        }
        x
    }
}

impl Network for Cnn {
    fn declare(&self, declared: &mut Declared) {
        for (i, layer) in self.convolutions() {
            declared.part(&format!("convolutions.{i}"), |d| layer.declare(d));
        }
        for (i, layer) in self.head().into_iter().enumerate() {
            declared.part(&format!("head.{i}"), |d| layer.declare(d));
        }
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let mut x = tracer.input(&self.image);
        for (i, layer) in self.convolutions() {
            let tracer = &mut tracer.of(&format!("convolutions.{i}"));
            x = layer.trace(tracer, x);
            x = tracer.of("relu").each(Operation::Relu, &[x]);
            let halved = [layer.outputs, tracer.shape(x)[1] / 2, tracer.shape(x)[2] / 2];
            x = tracer.of("pool").resized(Operation::MaxPool { side: 2, stride: 2 }, &[x], &halved);
        }
        let channels = tracer.shape(x)[0];
        x = match self.pooled {
            true => {
                let mean = tracer.of("mean").resized(Operation::Mean, &[x], &[channels]);
                let largest = tracer.of("largest").resized(Operation::Largest, &[x], &[channels]);
                tracer.of("features").resized(Operation::Concatenated, &[mean, largest], &[2 * channels])
            }
            false => tracer.of("features").resized(Operation::Reshaped, &[x], &[self.features()]),
        };
        let head = self.head();
        let last = head.len() - 1;
        for (i, layer) in head.into_iter().enumerate() {
            let tracer = &mut tracer.of(&format!("head.{i}"));
            x = tracer.dropout(x, self.dropout);
            x = layer.trace(tracer, x);
            if i < last {
                x = tracer.of("relu").each(Operation::Relu, &[x]);
            }
        }
        x
    }

    fn check(&self) -> Result<(), ModelError> {
        must("cnn", "the kernel", self.kernel, self.kernel % 2 == 1, "odd")?;
        must("cnn", "the number of classes", self.classes, self.classes > 0, "at least 1")?;
        let least = 1 << self.channels.len();
        for side in [self.image[1], self.image[2]] {
            must(
                "cnn",
                "a side of the image",
                side,
                side >= least,
                &format!("at least {least}: every convolution halves it"),
            )?;
        }
        Ok(())
    }
}
