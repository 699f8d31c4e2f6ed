//! Rows of a table by their index.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use burn_flex::FlexTensor;

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::kernel::{Kernel, apply1, numbers, on_host, sizes, tensor, widened};

/// The rows `indices` of `table` `[rows, width]`; gives `[indices, width]`. Gradients of a row are added up in f32 at least.
///
/// # Panics
/// If an index is no row: tokenizers and data sets check that.
pub fn embedding(table: Tensor<2>, indices: Arc<[i64]>) -> Tensor<2> {
    let rows = table.dims()[0] as i64;
    let odd = indices.iter().find(|index| !(0..rows).contains(*index));
    assert!(odd.is_none(), "row {odd:?} of an embedding of {rows}");
    let dtype = table.dtype();
    let table = widened(table);
    if on_host(&table) {
        return apply1::<2, 2>(Embedding { indices }, table).cast(dtype);
    }
    let device = table.device();
    let count = indices.len();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices.to_vec(), [count]), &device);
    table.select(0, indices).cast(dtype)
}

#[derive(Debug)]
struct Embedding {
    indices: Arc<[i64]>,
}

/// Rows per piece of work.
const ROWS: usize = 64;

impl Kernel for Embedding {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let width = sizes(&inputs[0])[1];
        by_precision!(inputs[0], R => {
            let table = numbers::<R>(&inputs[0]);
            let rows = filled(self.indices.len() * width, ROWS * width, |piece, rows: &mut [R]| {
                for (row, &index) in rows.chunks_mut(width).zip(&self.indices[piece * ROWS..]) {
                    row.copy_from_slice(&table[index as usize * width..][..width]);
                }
            });
            (tensor(rows, [self.indices.len(), width]), Vec::new())
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        _: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let shape = sizes(&inputs[0]).to_vec();
        let width = shape[1];
        by_precision!(gradient, R => {
            let dy = numbers::<R>(gradient);
            // Each piece of the table goes through all indices, and takes its own.
            let table = filled(shape[0] * width, ROWS * width, |piece, table: &mut [R]| {
                let first = (piece * ROWS) as i64;
                for (&index, dy) in self.indices.iter().zip(dy.chunks(width)) {
                    if (first..first + ROWS as i64).contains(&index) {
                        let row = &mut table[(index - first) as usize * width..][..width];
                        row.iter_mut().zip(dy).for_each(|(sum, &d)| *sum += d);
                    }
                }
            });
            vec![Some(tensor(table, shape))]
        })
    }
}
