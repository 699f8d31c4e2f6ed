//! Batch normalisation (Ioffe and Szegedy, *Batch Normalization*, 2015): every channel is shifted and scaled to mean 0
//! and variance 1 over the batch, then by learned factors.

use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::kernel::{Kernel, apply3, numbers, on_host, sizes, tensor, widened};
use crate::op::real::Real;
use crate::op::reduce::{dot_about, squares_about, sum};

/// What a batch was like: each channel's mean and variance (over its numbers, divided by their count).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Means.
    pub mean: Vec<f64>,
    /// Variances, biased.
    pub variance: Vec<f64>,
    /// Numbers per channel.
    pub count: usize,
}

/// Normalises `x` `[batch, channels, pixels]` by its own moments, times `gamma` plus `beta` (both `[channels]`); tells
/// the moments. Computed in f32 at least.
pub fn batch_norm(x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> (Tensor<3>, Moments) {
    let dtype = x.dtype();
    let (y, moments) = normalise(widened(x), widened(gamma), widened(beta), epsilon);
    (y.cast(dtype), moments)
}

fn normalise(x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> (Tensor<3>, Moments) {
    let [batch, channels, pixels] = x.dims();
    let count = batch * pixels;
    if on_host(&x) {
        let told = Arc::new(Mutex::new(Moments::default()));
        let y = apply3(BatchNorm { epsilon, told: told.clone() }, x, gamma, beta);
        let moments = told.lock().map(|moments| moments.clone()).unwrap_or_default();
        return (y, moments);
    }
    let over = |x: Tensor<3>| x.mean_dim(2).mean_dim(0);
    let mean = over(x.clone());
    let centred = x - mean.clone();
    let variance = over(centred.clone().square());
    let wide = |x: &Tensor<3>| x.clone().inner().into_data().iter::<f64>().collect();
    let moments = Moments { mean: wide(&mean), variance: wide(&variance), count };
    let scale = gamma.reshape([1, channels, 1]) / (variance + epsilon).sqrt();
    (centred * scale + beta.reshape([1, channels, 1]), moments)
}

#[derive(Debug)]
struct BatchNorm {
    epsilon: f64,
    told: Arc<Mutex<Moments>>,
}

/// The places of one channel in `[batch, channels, pixels]`.
fn planes<R>(x: &[R], channel: usize, channels: usize, pixels: usize) -> impl Iterator<Item = &[R]> {
    x.chunks(channels * pixels).map(move |image| &image[channel * pixels..][..pixels])
}

/// Makes every plane of an output by `work`, from its channel and where it begins, shared out among threads.
fn each_plane<R: Real>(
    count: usize,
    channels: usize,
    pixels: usize,
    work: impl Fn(&mut [R], usize, usize) + Send + Sync,
) -> Vec<R> {
    filled(count, pixels, |plane, out| work(out, plane % channels, plane * pixels))
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn scaled<R: Real>(x: &[R], [mean, factor, shift]: [R; 3], y: &mut [R]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (x - mean) * factor + shift;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn slopes<R: Real>(x: &[R], dy: &[R], [mean, factor, mean_dy, slope]: [R; 4], dx: &mut [R]) {
    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
        *dx = factor * (dy - mean_dy - (x - mean) * slope);
    }
}

impl Kernel for BatchNorm {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = sizes(&inputs[0]).to_vec();
        let (channels, pixels) = (shape[1], shape[2]);
        let count = shape[0] * pixels;
        by_precision!(inputs[0], R => {
            let (x, gamma, beta) = (numbers::<R>(&inputs[0]), numbers::<R>(&inputs[1]), numbers::<R>(&inputs[2]));
            let moments: Vec<(R, R)> = (0..channels)
                .into_par_iter()
                .map(|c| {
                    let mean = planes(x, c, channels, pixels).map(sum).sum::<R>() / R::of(count as f64);
                    let squares = planes(x, c, channels, pixels).map(|x| squares_about(x, mean)).sum::<R>();
                    (mean, squares / R::of(count as f64))
                })
                .collect();
            let epsilon = R::of(self.epsilon);
            let inverse: Vec<R> = moments.iter().map(|m| R::of(1.0) / num_traits::Float::sqrt(m.1 + epsilon)).collect();
            let y = each_plane(x.len(), channels, pixels, |plane, c, at| {
                scaled(&x[at..], [moments[c].0, inverse[c] * gamma[c], beta[c]], plane);
            });
            if let Ok(mut told) = self.told.lock() {
                *told = Moments {
                    mean: moments.iter().map(|m| m.0.wide()).collect(),
                    variance: moments.iter().map(|m| m.1.wide()).collect(),
                    count,
                };
            }
            let means: Vec<R> = moments.into_iter().map(|m| m.0).collect();
            (tensor(y, shape), vec![tensor(means, [channels]), tensor(inverse, [channels])])
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        saved: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let shape = sizes(&inputs[0]).to_vec();
        let (channels, pixels) = (shape[1], shape[2]);
        let count = shape[0] * pixels;
        by_precision!(gradient, R => {
            let (x, gamma, dy) = (numbers::<R>(&inputs[0]), numbers::<R>(&inputs[1]), numbers::<R>(gradient));
            let (mean, inverse) = (numbers::<R>(&saved[0]), numbers::<R>(&saved[1]));
            let (dbeta, dgamma): (Vec<R>, Vec<R>) = (0..channels)
                .into_par_iter()
                .map(|c| {
                    let beside = planes(dy, c, channels, pixels).zip(planes(x, c, channels, pixels));
                    let dgamma = beside.map(|(dy, x)| dot_about(dy, x, mean[c])).sum::<R>() * inverse[c];
                    (planes(dy, c, channels, pixels).map(sum).sum::<R>(), dgamma)
                })
                .unzip();
            let n = R::of(count as f64);
            // dx = gamma·inverse·(dy - mean(dy) - h·mean(dy·h)) with h = (x - mean)·inverse.
            let dx = each_plane(x.len(), channels, pixels, |plane, c, at| {
                let factors = [mean[c], gamma[c] * inverse[c], dbeta[c] / n, dgamma[c] / n * inverse[c]];
                slopes(&x[at..], &dy[at..], factors, plane);
            });
            vec![Some(tensor(dx, shape)), Some(tensor(dgamma, [channels])), Some(tensor(dbeta, [channels]))]
        })
    }
}
