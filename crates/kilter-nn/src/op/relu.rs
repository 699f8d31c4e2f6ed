//! `max(0, x)`.

use burn::tensor::{Tensor, activation};
use burn_flex::FlexTensor;

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::kernel::{Kernel, apply1, numbers, on_host, sizes, tensor};
use crate::op::real::Real;

/// `max(0, x)` of every number, with slope 0 at 0.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if on_host(&x) { apply1(Relu, x) } else { activation::relu(x) }
}

#[derive(Debug)]
struct Relu;

/// Numbers per piece of work.
const PIECE: usize = 8192;

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn forward<R: Real>(x: &[R], y: &mut [R]) {
    for (y, &x) in y.iter_mut().zip(x) {
        // A NaN stays one.
        *y = if x < R::zero() { R::zero() } else { x };
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn backward<R: Real>(x: &[R], dy: &[R], dx: &mut [R]) {
    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
        *dx = if x > R::zero() { dy } else { R::zero() };
    }
}

impl Kernel for Relu {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let y = by_precision!(inputs[0], R => {
            let x = numbers::<R>(&inputs[0]);
            let y = filled(x.len(), PIECE, |at, y| forward(&x[at * PIECE..], y));
            tensor(y, sizes(&inputs[0]).to_vec())
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
        by_precision!(gradient, R => {
            let (x, dy) = (numbers::<R>(&inputs[0]), numbers::<R>(gradient));
            let dx = filled(x.len(), PIECE, |at, dx| backward(&x[at * PIECE..], &dy[at * PIECE..], dx));
            vec![Some(tensor(dx, sizes(gradient).to_vec()))]
        })
    }
}
