//! `x·Wᵀ + b` in one pass: the product is added to rows that hold the bias already; three products in all with the
//! backward pass, none of which moves a matrix to transpose it.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::op::by_precision;
use crate::op::gemm::{Matrix, multiply};
use crate::op::kernel::{Kernel, apply2, apply3, numbers, on_host, sizes, tensor};
use crate::op::real::Real;

/// `x` `[rows, inputs]` times the transposed `weight` `[outputs, inputs]`, plus `bias` `[outputs]`: `[rows, outputs]`.
///
/// # Panics
/// If the sizes do not fit: layers check them.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    if !on_host(&x) {
        let y = x.matmul(weight.transpose());
        return match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        };
    }
    match bias {
        Some(bias) => apply3(Linear, x, weight, bias),
        None => apply2(Linear, x, weight),
    }
}

#[derive(Debug)]
struct Linear;

/// Rows per piece of a sum over rows: fixed, so that it does not depend on the number of threads.
const ROWS: usize = 256;

impl Kernel for Linear {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let ([rows, width], outputs) = (sides(&inputs[0]), sizes(&inputs[1])[0]);
        assert_eq!(width, sizes(&inputs[1])[1], "width of what goes into a linear layer");
        by_precision!(inputs[0], R => {
            let (x, weight) = (numbers::<R>(&inputs[0]), numbers::<R>(&inputs[1]));
            let (mut y, keep) = match inputs.get(2).map(numbers::<R>) {
                Some(bias) => (bias.repeat(rows), R::of(1.0)),
                None => (vec![R::of(0.0); rows * outputs], R::of(0.0)),
            };
            let (x, weight) = (Matrix::new(x, rows, width), Matrix::new(weight, outputs, width));
            multiply(&mut y, outputs, x, weight.t(), R::of(1.0), keep, true);
            (tensor(y, [rows, outputs]), Vec::new())
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        _: &[FlexTensor],
        gradient: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let ([rows, width], outputs) = (sides(&inputs[0]), sizes(&inputs[1])[0]);
        by_precision!(gradient, R => {
            let (one, zero) = (R::of(1.0), R::of(0.0));
            let dy = Matrix::new(numbers::<R>(gradient), rows, outputs);
            let dx = wanted[0].then(|| {
                let mut dx = vec![zero; rows * width];
                let weight = Matrix::new(numbers::<R>(&inputs[1]), outputs, width);
                multiply(&mut dx, width, dy, weight, one, zero, true);
                tensor(dx, [rows, width])
            });
            let dw = wanted[1].then(|| {
                let mut dw = vec![zero; outputs * width];
                let x = Matrix::new(numbers::<R>(&inputs[0]), rows, width);
                multiply(&mut dw, width, dy.t(), x, one, zero, true);
                tensor(dw, [outputs, width])
            });
            let db = wanted.get(2).map(|&wanted| wanted.then(|| tensor(column_sums(numbers::<R>(gradient), outputs), [outputs])));
            [dx, dw].into_iter().chain(db).collect()
        })
    }
}

fn sides(tensor: &FlexTensor) -> [usize; 2] {
    let sizes = sizes(tensor);
    [sizes[0], sizes[1]]
}

/// The sum of each column.
fn column_sums<R: Real>(rows: &[R], columns: usize) -> Vec<R> {
    let add = |mut sums: Vec<R>, row: &[R]| {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
        sums
    };
    let zeros = || vec![R::zero(); columns];
    let piece = |rows: &[R]| rows.chunks_exact(columns).fold(zeros(), add);
    let parts: Vec<Vec<R>> = rows.par_chunks((columns * ROWS).max(1)).map(piece).collect();
    parts.iter().fold(zeros(), |sums, part| add(sums, part))
}
