//! `x·Wᵀ + b` in one pass: the product is added to rows that hold the bias already; three products in all with the
//! backward pass, none of which moves a matrix to transpose it.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::gemm::{Matrix, multiply, product};
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

/// Rows per piece of work that writes the bias to each.
const BIASES: usize = 16;

/// Rows per piece of a sum over rows: fixed, so that it does not depend on the number of threads.
const ROWS: usize = 256;

impl Kernel for Linear {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let ([rows, width], outputs) = (sides(&inputs[0]), sizes(&inputs[1])[0]);
        assert_eq!(width, sizes(&inputs[1])[1], "width of what goes into a linear layer");
        by_precision!(inputs[0], R => {
            let (x, weight) = (numbers::<R>(&inputs[0]), numbers::<R>(&inputs[1]));
            let (x, weight) = (Matrix::new(x, rows, width), Matrix::new(weight, outputs, width));
            let y = match inputs.get(2).map(numbers::<R>) {
                Some(bias) => {
                    let repeat = |_, y: &mut [R]| y.chunks_mut(outputs).for_each(|y| y.copy_from_slice(bias));
                    let mut y = filled(rows * outputs, outputs * BIASES, repeat);
                    multiply(&mut y, outputs, x, weight.t(), R::of(1.0), R::of(1.0), true);
                    y
                }
                None => product(x, weight.t(), true),
            };
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
            let dy = Matrix::new(numbers::<R>(gradient), rows, outputs);
            let dx = wanted[0].then(|| {
                let weight = Matrix::new(numbers::<R>(&inputs[1]), outputs, width);
                tensor(product(dy, weight, true), [rows, width])
            });
            let dw = wanted[1].then(|| {
                let x = Matrix::new(numbers::<R>(&inputs[0]), rows, width);
                tensor(product(dy.t(), x, true), [outputs, width])
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
    let piece = |rows: &[R]| {
        let mut sums = vec![R::zero(); columns];
        add_rows(&mut sums, rows);
        sums
    };
    let parts: Vec<Vec<R>> = rows.par_chunks((columns * ROWS).max(1)).map(piece).collect();
    piece(&parts.concat())
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn add_rows<R: Real>(sums: &mut [R], rows: &[R]) {
    for row in rows.chunks_exact(sums.len().max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
    }
}
