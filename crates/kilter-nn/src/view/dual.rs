//! Derivatives along a direction, carried forwards beside the values (Wengert 1964), and exact products with the Hessian:
//! a backward pass over a forward derivative, `H·v = ∇(∇L·v)` (Pearlmutter, *Fast Exact Multiplication by the Hessian*,
//! 1994).
//!
//! Cost: a [`Dual`] pass is about three passes; a product with the Hessian about twice that, whatever the number of weights.
//! In evaluation: nothing is dropped, and batches are normalised by running statistics.

use std::sync::Arc;

use burn::tensor::module::max_pool2d_with_indices;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Int, Tensor, TensorData, activation};

use super::ViewError;
use crate::op::quasi_lstm::FORGET_BIAS;
use crate::op::{Conv2dShape, Curve, IGNORED, Mask, conv2d, cross_entropy, embedding, gelu};
use crate::params::{Params, Role, Scope};

/// A tensor and its derivative along a direction.
#[derive(Clone, Debug)]
pub struct Dual<const D: usize> {
    /// The tensor.
    pub value: Tensor<D>,
    /// Its derivative, of the same sizes.
    pub tangent: Tensor<D>,
}

impl<const D: usize> Dual<D> {
    /// What does not move.
    pub fn constant(value: Tensor<D>) -> Self {
        let tangent = value.zeros_like();
        Self { value, tangent }
    }

    /// A linear function of both: another shape, a slice, a sum.
    #[must_use]
    pub fn linear<const E: usize>(self, of: impl Fn(Tensor<D>) -> Tensor<E>) -> Dual<E> {
        Dual { value: of(self.value), tangent: of(self.tangent) }
    }

    /// One behind the other along an axis.
    pub fn cat(parts: Vec<Self>, axis: usize) -> Self {
        let (values, tangents) = parts.into_iter().map(|part| (part.value, part.tangent)).unzip();
        Self { value: Tensor::cat(values, axis), tangent: Tensor::cat(tangents, axis) }
    }

    /// A function of every number, from its value and its slope there.
    #[must_use]
    pub fn each(self, value: impl FnOnce(Tensor<D>) -> Tensor<D>, slope: impl FnOnce(Tensor<D>) -> Tensor<D>) -> Self {
        let slope = slope(self.value.clone());
        Self { value: value(self.value), tangent: slope * self.tangent }
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, tangent: self.tangent + other.tangent }
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.times_number(-1.0))
    }

    /// The product of numbers in the same place.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let tangent = self.value.clone() * other.tangent + self.tangent * other.value.clone();
        Self { value: self.value * other.value, tangent }
    }

    /// The product with a number that does not move.
    #[must_use]
    pub fn times_number(self, number: f64) -> Self {
        self.linear(|x| x * number)
    }

    /// The product of matrices, over the last two axes.
    #[must_use]
    pub fn matmul(self, other: Self) -> Self {
        let tangent = self.value.clone().matmul(other.tangent) + self.tangent.matmul(other.value.clone());
        Self { value: self.value.matmul(other.value), tangent }
    }

    /// `max(0, x)`, with slope 0 at 0.
    #[must_use]
    pub fn relu(self) -> Self {
        self.each(activation::relu, |x| x.zeros_like().mask_fill(x.greater_elem(0.0), 1.0))
    }

    /// Hyperbolic tangent.
    #[must_use]
    pub fn tanh(self) -> Self {
        self.each(Tensor::tanh, |x| x.tanh().square() * -1.0 + 1.0)
    }

    /// `1 / (1 + exp(-x))`.
    #[must_use]
    pub fn sigmoid(self) -> Self {
        let slope = |x: Tensor<D>| {
            let y = activation::sigmoid(x);
            y.clone() * (y * -1.0 + 1.0)
        };
        self.each(activation::sigmoid, slope)
    }

    /// `x·Φ(x)`.
    #[must_use]
    pub fn gelu(self, curve: Curve) -> Self {
        self.each(|x| gelu(x, curve), |x| slope_of_gelu(x, curve))
    }

    /// Softmax along the last axis.
    #[must_use]
    pub fn softmax(self) -> Self {
        let p = activation::softmax(self.value, D - 1);
        let mean = (p.clone() * self.tangent.clone()).sum_dim(D - 1);
        Self { tangent: p.clone() * (self.tangent - mean), value: p }
    }

    /// Every row of the last axis, shifted and scaled to mean 0 and variance 1; `epsilon` is added to the variance.
    #[must_use]
    pub fn normalised(self, epsilon: f64) -> Self {
        let centred = self.value.clone() - self.value.mean_dim(D - 1);
        let deviation = (centred.clone().square().mean_dim(D - 1) + epsilon).sqrt();
        let value = centred / deviation.clone();
        let moved = self.tangent.clone() - self.tangent.mean_dim(D - 1);
        let along = (value.clone() * moved.clone()).mean_dim(D - 1);
        Self { tangent: (moved - value.clone() * along) / deviation, value }
    }

    /// Every row of the last axis, divided by its length, or by `least` where that is more.
    #[must_use]
    pub fn of_length_one(self, least: f64) -> Self {
        let length = self.value.clone().square().sum_dim(D - 1).sqrt();
        let long = length.zeros_like().mask_fill(length.clone().greater_elem(least), 1.0);
        let length = length.clamp_min(least);
        let value = self.value / length.clone();
        let along = (value.clone() * self.tangent.clone()).sum_dim(D - 1) * long;
        Self { tangent: (self.tangent - value.clone() * along) / length, value }
    }
}

fn slope_of_gelu<const D: usize>(x: Tensor<D>, curve: Curve) -> Tensor<D> {
    match curve {
        Curve::Exact => {
            let below = (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5;
            let density = (x.clone().square() * -0.5).exp() * (1.0 / std::f64::consts::TAU.sqrt());
            below + x * density
        }
        Curve::Tanh => {
            let (scale, cubic) = ((2.0 / std::f64::consts::PI).sqrt(), 0.044_715);
            let square = x.clone().square();
            let t = (x.clone() * (square.clone() * cubic + 1.0) * scale).tanh();
            let inner = (square * (3.0 * cubic) + 1.0) * scale;
            (t.clone() + 1.0) * 0.5 + x * (t.square() * -1.0 + 1.0) * inner * 0.5
        }
    }
}

impl Dual<4> {
    /// Convolution, see [`conv2d()`].
    #[must_use]
    pub fn conv2d(self, weight: Self, bias: Option<Dual<1>>, shape: Conv2dShape) -> Self {
        let (bias, moved) = bias.map_or((None, None), |bias| (Some(bias.value), Some(bias.tangent)));
        let tangent = conv2d(self.tangent, weight.value.clone(), moved, shape)
            + conv2d(self.value.clone(), weight.tangent, None, shape);
        Self { value: conv2d(self.value, weight.value, bias, shape), tangent }
    }

    /// The largest numbers of windows.
    #[must_use]
    pub fn max_pool2d(self, options: MaxPoolOptions<2>) -> Self {
        let [batch, channels, height, width] = self.value.dims();
        let (value, places) = max_pool2d_with_indices(self.value, options);
        let shape = value.dims();
        let places: Tensor<3, Int> = places.reshape([batch, channels, shape[2] * shape[3]]);
        let tangent = self.tangent.reshape([batch, channels, height * width]).gather(2, places).reshape(shape);
        Self { value, tangent }
    }

    /// Scaled dot-product attention, see [`crate::op::attention()`].
    #[must_use]
    pub fn attention(self, k: Self, v: Self, mask: &Mask) -> Self {
        let [batch, heads, queries, width] = self.value.dims();
        let keys = k.value.dims()[2];
        let mut scores = self.matmul(k.linear(|k| k.swap_dims(2, 3))).times_number(1.0 / (width as f64).sqrt());
        if let Some(hidden) = mask.hidden([batch, heads, queries, keys], &scores.value.device()) {
            scores.value = scores.value.mask_fill(hidden.clone(), f64::NEG_INFINITY);
            scores.tangent = scores.tangent.mask_fill(hidden, 0.0);
        }
        scores.softmax().matmul(v)
    }
}

impl Dual<2> {
    /// Rows of this table, see [`embedding()`].
    #[must_use]
    pub fn embedding(self, indices: &Arc<[i64]>) -> Self {
        self.linear(|table| embedding(table, indices.clone()))
    }

    /// Outputs of cells from what their gates see, see [`crate::op::quasi_lstm()`], from a state of zeros, step by step.
    #[must_use]
    pub fn quasi_lstm(self, batch: usize) -> Self {
        let [rows, width] = self.value.dims();
        let (time, units) = (rows / batch, width / 4);
        let gates: Dual<3> = self.linear(|x| x.reshape([batch, time, width]));
        let gate = |i: usize| gates.clone().linear(|x| x.slice([0..batch, 0..time, i * units..(i + 1) * units]));
        let mut forget = gate(0);
        forget.value = forget.value + FORGET_BIAS;
        let forget = forget.sigmoid();
        let new = gate(1).sigmoid().times(gate(2).tanh());
        let mut cells: Vec<Dual<3>> = Vec::with_capacity(time);
        for t in 0..time {
            let now = |x: &Dual<3>| x.clone().linear(|x| x.slice([0..batch, t..t + 1, 0..units]));
            let new = now(&new);
            cells.push(match cells.last() {
                Some(before) => now(&forget).times(before.clone()).plus(new),
                None => new,
            });
        }
        let outputs = gate(3).sigmoid().times(Dual::cat(cells, 1).tanh());
        outputs.linear(|y| y.reshape([rows, units]))
    }

    /// The mean cross-entropy of these logits, see [`cross_entropy()`], without smoothing.
    #[must_use]
    pub fn cross_entropy(self, classes: &Arc<[i64]>) -> Dual<1> {
        let [rows, _] = self.value.dims();
        let (device, dtype) = (self.value.device(), self.value.dtype());
        let counts = |class: &i64| *class != IGNORED;
        let share = 1.0 / classes.iter().filter(|class| counts(class)).count().max(1) as f64;
        let shares: Vec<f64> = classes.iter().map(|class| if counts(class) { share } else { 0.0 }).collect();
        let shares = Tensor::<2>::from_data(TensorData::new(shares, [rows, 1]).convert_dtype(dtype), (&device, dtype));
        let places: Vec<i64> = classes.iter().map(|&class| class.max(0)).collect();
        let places = Tensor::<2, Int>::from_data(TensorData::new(places, [rows, 1]), &device);
        // Row by row Σ (p - y)·dz.
        let expected = (activation::softmax(self.value.clone(), 1) * self.tangent.clone()).sum_dim(1);
        let tangent = ((expected - self.tangent.gather(1, places)) * shares).sum();
        Dual { value: cross_entropy(self.value, classes.clone(), 0.0), tangent }
    }
}

/// A network's weights and a direction in their space, or a part of both.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    value: Scope<'a>,
    tangent: Scope<'a>,
}

impl<'a> Pair<'a> {
    /// Weights and a direction of the same network: see [`direction`].
    pub fn new(weights: &'a Params, direction: &'a Params) -> Self {
        Self { value: Scope::new(weights), tangent: Scope::new(direction) }
    }

    /// The part under `name.`.
    #[must_use]
    pub fn of(&self, name: &str) -> Self {
        Self { value: self.value.of(name), tangent: self.tangent.of(name) }
    }

    /// The tensor of this name; see [`Params::get`].
    pub fn get<const D: usize>(&self, name: &str) -> Dual<D> {
        Dual { value: self.value.get(name), tangent: self.tangent.get(name) }
    }
}

/// A direction in the space of the learned numbers, in the order of [`Params::flat`], as tensors of the network; what is not
/// learned does not move.
///
/// # Errors
/// If it has another length.
pub fn direction(like: &Params, along: &[f64]) -> Result<Params, ViewError> {
    let wanted = like.learned();
    if along.len() != wanted {
        return Err(ViewError::Direction { got: along.len(), wanted });
    }
    let mut rest = along;
    let on = (like.device(), like.dtype());
    let tensors = like.specs().iter().map(|spec| {
        let count = spec.count();
        if spec.role == Role::Statistic {
            return Tensor::<1>::zeros([count], on);
        }
        let (here, later) = rest.split_at(count);
        rest = later;
        Tensor::from_data(TensorData::new(here.to_vec(), [count]).convert_dtype(like.dtype()), on)
    });
    like.with_values(tensors.collect()).map_err(|_| ViewError::Direction { got: along.len(), wanted })
}

/// The product of the Hessian of a loss with a direction, both in the order of [`Params::flat`]. Exact but for rounding.
///
/// # Errors
/// If the direction has another length.
pub fn hessian_vector(
    params: &Params,
    along: &[f64],
    loss: impl FnOnce(&Pair<'_>) -> Dual<1>,
) -> Result<Vec<f64>, ViewError> {
    let weights = params.on_tape();
    let direction = direction(&weights, along)?;
    let gradients = loss(&Pair::new(&weights, &direction)).tangent.backward();
    Ok(weights.flat_gradient(&gradients))
}

/// The same of any loss, by central differences of its gradient: for f64, where it is good to about eight digits. The loss
/// is of weights on the tape, and must be computed in their precision.
///
/// # Errors
/// If the direction has another length.
pub fn hessian_vector_by_differences(
    params: &Params,
    along: &[f64],
    loss: impl Fn(&Params) -> Tensor<1>,
) -> Result<Vec<f64>, ViewError> {
    let wanted = params.learned();
    let other_length = || ViewError::Direction { got: along.len(), wanted };
    if along.len() != wanted {
        return Err(other_length());
    }
    let weights = params.on_tape();
    let longest = along.iter().fold(0.0_f64, |longest, x| longest.max(x.abs()));
    if longest == 0.0 {
        return Ok(vec![0.0; wanted]);
    }
    let (flat, step) = (weights.flat(), 1e-5 / longest);
    let gradient = |step: f64| -> Result<Vec<f64>, ViewError> {
        let moved: Vec<f64> = flat.iter().zip(along).map(|(w, v)| w + step * v).collect();
        let moved = weights.with_flat(&moved).map_err(|_| other_length())?;
        Ok(moved.flat_gradient(&loss(&moved).backward()))
    };
    let (up, down) = (gradient(step)?, gradient(-step)?);
    Ok(up.into_iter().zip(down).map(|(up, down)| (up - down) / (2.0 * step)).collect())
}
