//! The largest number of each square of an image.

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d as burn_max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn_flex::FlexTensor;

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::kernel::{Kernel, apply1, numbers, on_host, sizes, tensor};
use crate::op::real::Real;

/// The largest of each `side × side` numbers of images `[batch, channels, height, width]`, which do not overlap; rows and
/// columns that are left over are cut off. Gives `[batch, channels, height / side, width / side]`. The gradient goes to the
/// first of equal numbers; where one is NaN there is none.
pub fn max_pool2d(x: Tensor<4>, side: usize) -> Tensor<4> {
    if on_host(&x) { apply1(MaxPool { side }, x) } else { burn_max_pool2d(x, MaxPoolOptions::new([side, side])) }
}

#[derive(Debug)]
struct MaxPool {
    side: usize,
}

/// The sizes of one channel before and after.
#[derive(Clone, Copy)]
struct Plan {
    side: usize,
    height: usize,
    width: usize,
    rows: usize,
    columns: usize,
}

impl Plan {
    fn new(side: usize, x: &[usize]) -> Self {
        Self { side, height: x[2], width: x[3], rows: x[2] / side, columns: x[3] / side }
    }

    /// Rows of one channel that belong to a row of the output.
    fn lines<'a, R>(&self, x: &'a [R], row: usize) -> impl Iterator<Item = &'a [R]> {
        let kept = self.columns * self.side;
        x[row * self.side * self.width..].chunks(self.width).take(self.side).map(move |line| &line[..kept])
    }

    fn forward<R: Real>(&self, x: &[R], y: &mut [R]) {
        for (row, y) in y.chunks_mut(self.columns).enumerate() {
            y.fill(R::neg_infinity());
            for line in self.lines(x, row) {
                match self.side {
                    2 => y.iter_mut().zip(line.as_chunks::<2>().0).for_each(|(y, square)| raise(y, square)),
                    3 => y.iter_mut().zip(line.as_chunks::<3>().0).for_each(|(y, square)| raise(y, square)),
                    side => y.iter_mut().zip(line.chunks_exact(side)).for_each(|(y, square)| raise(y, square)),
                }
            }
        }
    }

    /// `left` holds the gradient of the output; what found its place is taken out of it.
    fn backward<R: Real>(&self, x: &[R], y: &[R], left: &mut [R], dx: &mut [R]) {
        for (row, (y, left)) in y.chunks(self.columns).zip(left.chunks_mut(self.columns)).enumerate() {
            let to = dx[row * self.side * self.width..].chunks_mut(self.width);
            for (line, to) in self.lines(x, row).zip(to) {
                let told = y.iter().zip(left.iter_mut());
                match self.side {
                    2 => {
                        let squares = line.as_chunks::<2>().0.iter().zip(to.as_chunks_mut::<2>().0);
                        squares.zip(told).for_each(|((square, to), (&y, left))| place(square, y, left, to));
                    }
                    3 => {
                        let squares = line.as_chunks::<3>().0.iter().zip(to.as_chunks_mut::<3>().0);
                        squares.zip(told).for_each(|((square, to), (&y, left))| place(square, y, left, to));
                    }
                    side => {
                        let squares = line.chunks_exact(side).zip(to.chunks_exact_mut(side));
                        squares.zip(told).for_each(|((square, to), (&y, left))| place(square, y, left, to));
                    }
                }
            }
        }
    }
}

/// The largest of `y` and these; a NaN is found and stays. Inlined, so that sides known beforehand need no loop.
#[inline(always)]
fn raise<R: Real>(y: &mut R, square: &[R]) {
    for &x in square {
        *y = if x > *y || x.is_nan() { x } else { *y };
    }
}

/// Puts the gradient where the largest number is, the first of several.
#[inline(always)]
fn place<R: Real>(square: &[R], y: R, left: &mut R, to: &mut [R]) {
    for (&x, to) in square.iter().zip(to) {
        let here = x == y;
        *to = if here { *left } else { R::zero() };
        *left = if here { R::zero() } else { *left };
    }
}

impl Kernel for MaxPool {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = sizes(&inputs[0]);
        let plan = Plan::new(self.side, shape);
        by_precision!(inputs[0], R => {
            let x = numbers::<R>(&inputs[0]);
            let (before, after) = (plan.height * plan.width, plan.rows * plan.columns);
            let y = filled(shape[0] * shape[1] * after, after, |plane, y| plan.forward(&x[plane * before..], y));
            let y = tensor(y, [shape[0], shape[1], plan.rows, plan.columns]);
            (y.clone(), vec![y])
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        saved: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let shape = sizes(&inputs[0]);
        let plan = Plan::new(self.side, shape);
        by_precision!(gradient, R => {
            let (x, y) = (numbers::<R>(&inputs[0]), numbers::<R>(&saved[0]));
            let dy = numbers::<R>(gradient);
            let (before, after) = (plan.height * plan.width, plan.rows * plan.columns);
            let dx = filled(x.len(), before, |plane, dx| {
                if after > 0 {
                    let [y, dy] = [y, dy].map(|all| &all[plane * after..][..after]);
                    plan.backward(&x[plane * before..], y, &mut dy.to_vec(), dx);
                }
            });
            vec![Some(tensor(dx, shape.to_vec()))]
        })
    }
}
