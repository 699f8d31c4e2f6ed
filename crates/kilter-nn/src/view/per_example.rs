//! The gradient of every example of a batch from one forward and one backward pass: each layer's gradient is a product of
//! what came in and of the gradient of what went out, and the sum over examples is left out (Goodfellow, *Efficient
//! Per-Example Gradient Computations*, 2015; convolutions after Rochette, Manoel and Tramel, 2019).
//!
//! Cost: the two passes, and `examples · numbers` of memory for the gradients that are asked for.

use std::cell::RefCell;

use burn::tensor::module::unfold4d;
use burn::tensor::ops::UnfoldOptions;
use burn::tensor::{Tensor, TensorData};

use crate::context::{Context, Passed, Rule};
use crate::params::{Params, Role, numbers};

/// Why a view cannot be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ViewError {
    /// A layer has no rule, or mixes examples.
    #[error(
        "the gradient of `{0}` by each example is unknown: no layer told an observer of what it does with it (a \
         normalisation over the batch never does)"
    )]
    NoRule(String),
    /// The rows of a layer are no whole number per example.
    #[error("`{name}` has {rows} rows, which is no whole number for each of {examples} examples")]
    Rows {
        /// Its weights.
        name: String,
        /// Its rows.
        rows: usize,
        /// The examples.
        examples: usize,
    },
    /// A direction has another length than the weights.
    #[error("the direction has {got} numbers, and the network learns {wanted}")]
    Direction {
        /// Numbers of the direction.
        got: usize,
        /// Numbers that are learned.
        wanted: usize,
    },
}

/// A batch's layers with the gradients of their outputs.
#[derive(Debug)]
pub struct PerExample {
    examples: usize,
    params: Params,
    /// Each layer with the gradient of its output, flat.
    layers: Vec<(Passed, Tensor<1>)>,
}

/// Runs a batch in evaluation: `loss` gives the **sum** of its examples' losses, `[1]`, each of which may depend on its own
/// example only.
///
/// # Errors
/// If a learned tensor belongs to no layer that observers see.
pub fn per_example(
    params: &Params,
    examples: usize,
    loss: impl FnOnce(&Params, &mut Context<'_>) -> Tensor<1>,
) -> Result<PerExample, ViewError> {
    let taps: RefCell<Vec<(Passed, Tensor<1>)>> = RefCell::default();
    // The weights' own gradients are not wanted, so they stay off the tape.
    let still = params.on_tape();
    let values = still.values().iter().map(|value| value.clone().inner().autodiff()).collect();
    // The same tensors, so they fit.
    let still = still.with_values(values).unwrap_or(still);
    let mut context = Context::evaluation().with_observer(|layer, y| {
        let tap = Tensor::<1>::zeros(y.dims(), (&y.device(), y.dtype())).require_grad();
        taps.borrow_mut().push((layer, tap.clone()));
        y + tap
    });
    let loss = loss(&still, &mut context);
    drop(context);
    let taps = taps.into_inner();
    let told = |name: &str| taps.iter().any(|(layer, _)| layer.weight == name || layer.bias.as_deref() == Some(name));
    let learned = params.specs().iter().filter(|spec| spec.role != Role::Statistic);
    if let Some(spec) = learned.into_iter().find(|spec| !told(&spec.name)) {
        return Err(ViewError::NoRule(spec.name.clone()));
    }
    let gradients = loss.backward();
    let layers = taps.into_iter().map(|(layer, tap)| {
        let gradient = tap.grad(&gradients).unwrap_or_else(|| tap.inner().zeros_like());
        (layer, gradient)
    });
    Ok(PerExample { examples, params: off_tape(params), layers: layers.collect() })
}

fn off_tape(params: &Params) -> Params {
    if params.device().is_autodiff() { params.detached() } else { params.clone() }
}

/// Numbers off the tape.
fn off<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    if x.device().is_autodiff() { x.clone().inner() } else { x.clone() }
}

impl PerExample {
    /// The layers in the order they were passed, each with its input and the gradient of its output, flat: from them norms
    /// and sums of gradients follow without the gradients themselves.
    pub fn layers(&self) -> &[(Passed, Tensor<1>)] {
        &self.layers
    }

    /// The gradients of a tensor, `[examples, numbers]`.
    ///
    /// # Errors
    /// If no layer has it, or a layer's rows are no whole number per example.
    pub fn of(&self, name: &str) -> Result<Tensor<2>, ViewError> {
        let mut sum: Option<Tensor<2>> = None;
        let mut add = |part: Tensor<2>| sum = Some(sum.take().map_or(part.clone(), |sum| sum + part));
        for (layer, gradient) in &self.layers {
            if layer.weight == name {
                add(self.of_weight(layer, gradient)?);
            }
            if layer.bias.as_deref() == Some(name) {
                add(self.of_bias(layer, gradient)?);
            }
        }
        sum.ok_or_else(|| ViewError::NoRule(name.to_owned()))
    }

    /// All gradients, one row of all learned numbers per example, in the order of [`Params::flat`].
    ///
    /// # Errors
    /// As [`PerExample::of`].
    pub fn flat(&self) -> Result<Vec<Vec<f64>>, ViewError> {
        let mut all = vec![Vec::with_capacity(self.params.learned()); self.examples];
        for spec in self.params.specs().iter().filter(|spec| spec.role != Role::Statistic) {
            let gradients = numbers(&self.of(&spec.name)?);
            for (row, gradient) in all.iter_mut().zip(gradients.chunks(spec.count().max(1))) {
                row.extend(gradient);
            }
        }
        Ok(all)
    }

    /// Rows of a layer for each example.
    fn positions(&self, layer: &Passed, rows: usize) -> Result<usize, ViewError> {
        let examples = self.examples;
        if examples > 0 && rows.is_multiple_of(examples) {
            return Ok(rows / examples);
        }
        Err(ViewError::Rows { name: layer.weight.clone(), rows, examples })
    }

    /// The gradient of an output as `[examples, positions, width]`, with the width last.
    fn by_rows(&self, layer: &Passed, gradient: &Tensor<1>) -> Result<Tensor<3>, ViewError> {
        let width = layer.shape.last().copied().unwrap_or(1);
        let rows = layer.shape.iter().product::<usize>() / width.max(1);
        Ok(gradient.clone().reshape([self.examples, self.positions(layer, rows)?, width]))
    }

    /// The gradient of an output image as `[examples, channels, pixels]`.
    fn by_channels(&self, layer: &Passed, gradient: &Tensor<1>) -> Result<Tensor<3>, ViewError> {
        let [batch, channels] = [0, 1].map(|axis| layer.shape.get(axis).copied().unwrap_or(1));
        let pixels = layer.shape.iter().skip(2).product();
        match batch == self.examples {
            true => Ok(gradient.clone().reshape([batch, channels, pixels])),
            false => Err(ViewError::Rows { name: layer.weight.clone(), rows: batch, examples: self.examples }),
        }
    }

    fn of_weight(&self, layer: &Passed, gradient: &Tensor<1>) -> Result<Tensor<2>, ViewError> {
        let examples = self.examples;
        Ok(match &layer.rule {
            Rule::Linear(x) => {
                let dy = self.by_rows(layer, gradient)?;
                let [_, positions, outputs] = dy.dims();
                let inputs = x.dims()[1];
                let x: Tensor<3> = off(x).reshape([examples, positions, inputs]);
                dy.swap_dims(1, 2).matmul(x).reshape([examples, outputs * inputs])
            }
            Rule::Convolution(x, shape) => {
                let dy = self.by_channels(layer, gradient)?;
                let [_, outputs, pixels] = dy.dims();
                let at = self.params.place(&layer.weight).map_err(|_| ViewError::NoRule(layer.weight.clone()))?;
                let kernel = &self.params.specs()[at].shape;
                let (inputs, kernel) = (kernel[1], [kernel[2], kernel[3]]);
                let patch = inputs * kernel[0] * kernel[1];
                let options = UnfoldOptions::new(shape.stride, shape.padding, [1, 1]);
                let x = off(x);
                let [_, _, height, width] = x.dims();
                let each = outputs / shape.groups;
                let of_group = |group: usize| {
                    let x = x.clone().slice([0..examples, group * inputs..(group + 1) * inputs, 0..height, 0..width]);
                    let patches: Tensor<3> = unfold4d(x, kernel, options.clone());
                    let dy = dy.clone().slice([0..examples, group * each..(group + 1) * each, 0..pixels]);
                    dy.matmul(patches.swap_dims(1, 2)).reshape([examples, each * patch])
                };
                Tensor::cat((0..shape.groups).map(of_group).collect(), 1)
            }
            Rule::Lookup(indices) => {
                let dy = self.by_rows(layer, gradient)?;
                let [_, positions, width] = dy.dims();
                let at = self.params.place(&layer.weight).map_err(|_| ViewError::NoRule(layer.weight.clone()))?;
                let count = self.params.specs()[at].count();
                let mut tables = vec![0.0; examples * count];
                for (row, dy) in numbers(&dy).chunks(width.max(1)).enumerate() {
                    let begin = row / positions.max(1) * count + indices[row] as usize * width;
                    tables[begin..begin + width].iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
                }
                let data = TensorData::new(tables, [examples, count]).convert_dtype(dy.dtype());
                Tensor::from_data(data, (&dy.device(), dy.dtype()))
            }
            Rule::Scale(normalised) => {
                let dy = self.by_rows(layer, gradient)?;
                let shape = dy.dims();
                (dy * off(normalised).reshape(shape)).sum_dim(1).reshape([examples, shape[2]])
            }
            Rule::ScaleChannels(normalised) => {
                let dy = self.by_channels(layer, gradient)?;
                let shape = dy.dims();
                (dy * off(normalised).reshape(shape)).sum_dim(2).reshape([examples, shape[1]])
            }
            Rule::Added => {
                let count = layer.shape.iter().product::<usize>() / examples.max(1);
                gradient.clone().reshape([examples, count])
            }
        })
    }

    fn of_bias(&self, layer: &Passed, gradient: &Tensor<1>) -> Result<Tensor<2>, ViewError> {
        Ok(match &layer.rule {
            Rule::Convolution(..) | Rule::ScaleChannels(_) => {
                let dy = self.by_channels(layer, gradient)?;
                let channels = dy.dims()[1];
                dy.sum_dim(2).reshape([self.examples, channels])
            }
            Rule::Linear(_) | Rule::Lookup(_) | Rule::Scale(_) | Rule::Added => {
                let dy = self.by_rows(layer, gradient)?;
                let width = dy.dims()[2];
                dy.sum_dim(1).reshape([self.examples, width])
            }
        })
    }
}
