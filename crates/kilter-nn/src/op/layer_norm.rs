//! Layer normalisation (Ba, Kiros and Hinton, *Layer Normalization*, 2016): every row is shifted and scaled to mean 0
//! and variance 1, then by learned factors.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::op::by_precision;
use crate::op::fresh::in_pieces;
use crate::op::kernel::{Kernel, apply3, numbers, on_host, sizes, tensor, widened};
use crate::op::real::Real;
use crate::op::reduce::{dot_about, squares_about, sum};

/// Normalises the last axis of `x` (`width` numbers), times `gamma` plus `beta` (both `[width]`); `epsilon` is added to
/// the variance. Computed in f32 at least.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let dtype = x.dtype();
    normalise(widened(x), widened(gamma), widened(beta), epsilon).cast(dtype)
}

fn normalise<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<D> {
    if on_host(&x) {
        return apply3(LayerNorm { epsilon }, x, gamma, beta);
    }
    let mean = x.clone().mean_dim(D - 1);
    let centred = x - mean;
    let variance = centred.clone().square().mean_dim(D - 1);
    centred / (variance + epsilon).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

#[derive(Debug)]
struct LayerNorm {
    epsilon: f64,
}

/// Rows per piece of work: fixed, so that sums over rows do not depend on the number of threads.
const ROWS: usize = 64;

impl LayerNorm {
    /// The result, and each row's mean and inverse deviation.
    fn forward<R: Real>(&self, x: &[R], gamma: &[R], beta: &[R]) -> (Vec<R>, Vec<R>) {
        let width = gamma.len();
        let scale = R::one() / R::of(width as f64);
        let piece = width * ROWS;
        let (y, moments) = in_pieces(
            x.len(),
            piece,
            || (),
            |(), at, y: &mut [R]| {
                let rows = y.chunks_mut(width).zip(x[at * piece..].chunks(width));
                let row = |(y, x): (&mut [R], &[R])| {
                    let mean = sum(x) * scale;
                    let variance = squares_about(x, mean) * scale;
                    let inverse = R::one() / (variance + R::of(self.epsilon)).sqrt();
                    scaled(x, [mean, inverse], gamma, beta, y);
                    [mean, inverse]
                };
                rows.flat_map(row).collect::<Vec<R>>()
            },
        );
        (y, moments.concat())
    }

    /// Gradients of the input, `gamma` and `beta`.
    fn backward<R: Real>(&self, x: &[R], gamma: &[R], moments: &[R], dy: &[R]) -> (Vec<R>, Vec<R>, Vec<R>) {
        let width = gamma.len();
        let scale = R::one() / R::of(width as f64);
        let piece = width * ROWS;
        let (dx, parts) = in_pieces(
            x.len(),
            piece,
            || (),
            |(), at, dx: &mut [R]| {
                let (mut dgamma, mut dbeta) = (vec![R::zero(); width], vec![R::zero(); width]);
                let [x, dy] = [x, dy].map(|all| all[at * piece..].chunks(width));
                let rows = dx.chunks_mut(width).zip(x.zip(dy)).zip(moments[2 * at * ROWS..].chunks(2));
                for ((dx, (x, dy)), moments) in rows {
                    let (mean, inverse) = (moments[0], moments[1]);
                    // With h = (x - mean)·inverse and g = dy·gamma: dx = inverse·(g - mean(g) - h·mean(g·h)).
                    product(dy, gamma, dx);
                    let means = [sum(dx) * scale, dot_about(dx, x, mean) * inverse * scale];
                    slopes(x, [mean, inverse], means, dy, dx, [&mut dgamma, &mut dbeta]);
                }
                (dgamma, dbeta)
            },
        );
        let (mut dgamma, mut dbeta) = (vec![R::zero(); width], vec![R::zero(); width]);
        for (part_gamma, part_beta) in parts {
            for i in 0..width {
                dgamma[i] += part_gamma[i];
                dbeta[i] += part_beta[i];
            }
        }
        (dx, dgamma, dbeta)
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn scaled<R: Real>(x: &[R], [mean, inverse]: [R; 2], gamma: &[R], beta: &[R], y: &mut [R]) {
    for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
        *y = (x - mean) * inverse * gamma + beta;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn product<R: Real>(dy: &[R], gamma: &[R], g: &mut [R]) {
    for ((g, &dy), &gamma) in g.iter_mut().zip(dy).zip(gamma) {
        *g = dy * gamma;
    }
}

/// From `g` to the gradient of a row, in place; adds the row's part to those of `gamma` and `beta`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn slopes<R: Real>(
    x: &[R],
    [mean, inverse]: [R; 2],
    [mean_g, mean_gh]: [R; 2],
    dy: &[R],
    dx: &mut [R],
    [dgamma, dbeta]: [&mut [R]; 2],
) {
    let sums = dgamma.iter_mut().zip(dbeta);
    for (((dx, &x), &dy), (dgamma, dbeta)) in dx.iter_mut().zip(x).zip(dy).zip(sums) {
        let h = (x - mean) * inverse;
        *dx = inverse * (*dx - mean_g - h * mean_gh);
        *dgamma += dy * h;
        *dbeta += dy;
    }
}

impl Kernel for LayerNorm {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        by_precision!(inputs[0], R => {
            let (y, moments) = self.forward::<R>(numbers(&inputs[0]), numbers(&inputs[1]), numbers(&inputs[2]));
            let shape = [moments.len() / 2, 2];
            (tensor(y, sizes(&inputs[0]).to_vec()), vec![tensor(moments, shape)])
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        saved: &[FlexTensor],
        gradient: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        by_precision!(gradient, R => {
            let (x, gamma) = (numbers::<R>(&inputs[0]), numbers(&inputs[1]));
            let (dx, dgamma, dbeta) = self.backward::<R>(x, gamma, numbers(&saved[0]), numbers(gradient));
            let width = [gamma.len()];
            vec![
                wanted[0].then(|| tensor(dx, sizes(&inputs[0]).to_vec())),
                wanted[1].then(|| tensor(dgamma, width)),
                wanted[2].then(|| tensor(dbeta, width)),
            ]
        })
    }
}
