//! Gaussian error linear unit (Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016): `x·Φ(x)`, exact or by the
//! hyperbolic tangent that GPT-2 was trained with.

use burn::tensor::Tensor;
use burn::tensor::activation;
use burn_flex::FlexTensor;

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::kernel::{Kernel, apply1, numbers, on_host, sizes, tensor};
use crate::op::real::{Real, erf_f32, exp_one};

/// Which of the two curves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// `x·Φ(x)`.
    #[default]
    Exact,
    /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
    Tanh,
}

/// `x·Φ(x)` of every number.
pub fn gelu<const D: usize>(x: Tensor<D>, curve: Curve) -> Tensor<D> {
    if on_host(&x) {
        return apply1(Gelu(curve), x);
    }
    match curve {
        Curve::Exact => activation::gelu(x),
        Curve::Tanh => activation::gelu_approximate(x),
    }
}

#[derive(Debug)]
struct Gelu(Curve);

/// Numbers per piece of work.
const PIECE: usize = 8192;

/// √(2/π), 1/√2 and 1/√(2π).
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
const INV_SQRT_2: f64 = std::f64::consts::FRAC_1_SQRT_2;
const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_7;
const CUBIC: f64 = 0.044_715;

/// Value and slope at `x`.
fn at<R: Real>(curve: Curve, x: R) -> (R, R) {
    let (one, half) = (R::one(), R::of(0.5));
    match curve {
        Curve::Exact => {
            let phi = half * (one + Real::erf(x * R::of(INV_SQRT_2)));
            (x * phi, phi + x * R::of(INV_SQRT_TAU) * (-half * x * x).exp())
        }
        Curve::Tanh => {
            let inner = R::of(SQRT_2_OVER_PI) * (x + R::of(CUBIC) * x * x * x);
            let t = inner.tanh();
            let slope = R::of(SQRT_2_OVER_PI) * (one + R::of(3.0 * CUBIC) * x * x);
            (half * x * (one + t), half * (one + t) + half * x * (one - t * t) * slope)
        }
    }
}

/// The same in f32 without branches.
#[inline(always)]
fn at_f32(curve: Curve, x: f32) -> (f32, f32) {
    match curve {
        Curve::Exact => {
            let phi = 0.5 * (1.0 + erf_f32(x * INV_SQRT_2 as f32));
            (x * phi, phi + x * INV_SQRT_TAU as f32 * exp_one(-0.5 * x * x))
        }
        Curve::Tanh => {
            let inner = SQRT_2_OVER_PI as f32 * (x + CUBIC as f32 * x * x * x);
            let t = 1.0 - 2.0 / (1.0 + exp_one(2.0 * inner));
            let slope = SQRT_2_OVER_PI as f32 * (1.0 + 3.0 * CUBIC as f32 * x * x);
            (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
        }
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn values_f32(curve: Curve, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = at_f32(curve, x).0;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn slopes_f32(curve: Curve, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
        *dx = dy * at_f32(curve, x).1;
    }
}

impl Kernel for Gelu {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = sizes(&inputs[0]).to_vec();
        let y = by_precision!(inputs[0], R => {
            let x = numbers::<R>(&inputs[0]);
            let y = filled(x.len(), PIECE, |piece, y| {
                let x = &x[piece * PIECE..][..y.len()];
                match (bytemuck::try_cast_slice(x), bytemuck::try_cast_slice_mut(&mut *y)) {
                    (Ok(x), Ok(y)) if size_of::<R>() == 4 => values_f32(self.0, x, y),
                    _ => y.iter_mut().zip(x).for_each(|(y, &x)| *y = at(self.0, x).0),
                }
            });
            tensor(y, shape)
        });
        (y, Vec::new())
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        _: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let shape = sizes(&inputs[0]).to_vec();
        by_precision!(gradient, R => {
            let (x, dy) = (numbers::<R>(&inputs[0]), numbers::<R>(gradient));
            let dx = filled(x.len(), PIECE, |piece, dx: &mut [R]| {
                let [x, dy] = [x, dy].map(|all| &all[piece * PIECE..][..dx.len()]);
                let cast = (bytemuck::try_cast_slice(x), bytemuck::try_cast_slice(dy));
                match (cast, bytemuck::try_cast_slice_mut(&mut *dx)) {
                    ((Ok(x), Ok(dy)), Ok(dx)) if size_of::<R>() == 4 => slopes_f32(self.0, x, dy, dx),
                    _ => dx.iter_mut().zip(x).zip(dy).for_each(|((dx, &x), &dy)| *dx = dy * at(self.0, x).1),
                }
            });
            vec![Some(tensor(dx, shape))]
        })
    }
}
