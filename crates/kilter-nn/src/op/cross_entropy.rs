//! Softmax with cross-entropy in one pass: the loss of logits against classes, without the probabilities ever being
//! stored in the forward pass.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::kernel::{Kernel, apply1, numbers, on_host, sizes, tensor, widened};
use crate::op::real::Real;
use crate::op::reduce::{largest, sum};

/// A row that counts for nothing: padding.
pub const IGNORED: i64 = -100;

/// The mean of `-log softmax(logits)[class]` over the rows of `logits` `[rows, classes]` whose class is not [`IGNORED`];
/// `smoothing` in [0, 1) spreads that part of each target evenly over all classes. Zero if every row is ignored.
/// Computed in f32 at least, as is the loss.
///
/// # Panics
/// If a class is none of the columns, or there are not as many as rows: data sets check that.
pub fn cross_entropy(logits: Tensor<2>, classes: Arc<[i64]>, smoothing: f64) -> Tensor<1> {
    let [rows, columns] = logits.dims();
    assert_eq!(rows, classes.len(), "rows of logits, and classes");
    let odd = classes.iter().find(|&&class| class != IGNORED && !(0..columns as i64).contains(&class));
    assert!(odd.is_none(), "class {odd:?} of {columns}");
    let logits = widened(logits);
    if on_host(&logits) {
        return apply1(CrossEntropy { classes, smoothing }, logits);
    }
    let device = logits.device();
    let counted = classes.iter().filter(|&&class| class != IGNORED).count().max(1);
    let log_p = activation::log_softmax(logits, 1);
    let index: Vec<i64> = classes.iter().map(|&class| class.max(0)).collect();
    let weight: Vec<f32> = classes.iter().map(|&class| f32::from(u8::from(class != IGNORED))).collect();
    let index = Tensor::<2, Int>::from_data(TensorData::new(index, [rows, 1]), &device);
    let weight = Tensor::<2>::from_data(TensorData::new(weight, [rows, 1]), &device);
    let hit = log_p.clone().gather(1, index) * (1.0 - smoothing) + log_p.mean_dim(1) * smoothing;
    (hit * weight).sum() / -(counted as f64)
}

#[derive(Debug)]
struct CrossEntropy {
    classes: Arc<[i64]>,
    smoothing: f64,
}

/// Rows per piece of work.
const ROWS: usize = 16;

impl CrossEntropy {
    fn counted(&self) -> usize {
        self.classes.iter().filter(|&&class| class != IGNORED).count().max(1)
    }

    /// The mean loss, and each row's largest logit and log of the sum of exponentials.
    fn forward<R: Real>(&self, logits: &[R], columns: usize) -> (R, Vec<R>) {
        let mut norms = vec![R::zero(); 2 * self.classes.len()];
        let losses: Vec<f64> = norms
            .par_chunks_mut(2 * ROWS)
            .zip(logits.par_chunks(columns * ROWS).zip(self.classes.par_chunks(ROWS)))
            .map_init(
                || vec![R::zero(); columns],
                |scratch, (norms, (logits, classes))| {
                    let mut loss = 0.0;
                    for ((norm, row), &class) in norms.chunks_mut(2).zip(logits.chunks(columns)).zip(classes) {
                        let top = largest(row);
                        scratch.copy_from_slice(row);
                        let log_sum = R::exp_about(scratch, top).ln();
                        norm.copy_from_slice(&[top, log_sum]);
                        if class != IGNORED {
                            let norm = (top + log_sum).wide();
                            let hit = row[class as usize].wide();
                            let even = if self.smoothing > 0.0 { sum(row).wide() / columns as f64 } else { 0.0 };
                            loss += norm - (1.0 - self.smoothing) * hit - self.smoothing * even;
                        }
                    }
                    loss
                },
            )
            .collect();
        (R::of(losses.into_iter().sum::<f64>() / self.counted() as f64), norms)
    }

    fn backward<R: Real>(&self, logits: &[R], columns: usize, norms: &[R], dy: R) -> Vec<R> {
        let scale = dy / R::of(self.counted() as f64);
        let even = R::of(self.smoothing / columns as f64) * scale;
        let hit = R::of(1.0 - self.smoothing) * scale;
        filled(logits.len(), columns, |row, gradient| {
            let class = self.classes[row];
            if class != IGNORED {
                R::exp_scaled(
                    gradient,
                    &logits[row * columns..][..columns],
                    [norms[2 * row], norms[2 * row + 1]],
                    scale,
                    even,
                );
                gradient[class as usize] -= hit;
            }
        })
    }
}

impl Kernel for CrossEntropy {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let columns = sizes(&inputs[0])[1];
        by_precision!(inputs[0], R => {
            let (loss, norms) = self.forward::<R>(numbers(&inputs[0]), columns);
            let shape = [norms.len() / 2, 2];
            (tensor(vec![loss], [1]), vec![tensor(norms, shape)])
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
        by_precision!(gradient, R => {
            let dy = numbers::<R>(gradient)[0];
            let d = self.backward::<R>(numbers(&inputs[0]), shape[1], numbers(&saved[0]), dy);
            vec![Some(tensor(d, shape))]
        })
    }
}
