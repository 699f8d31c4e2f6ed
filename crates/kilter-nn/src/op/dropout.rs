//! Dropout (Srivastava et al., JMLR 2014), inverted: what is kept is scaled up. The mask is drawn from a counter, so it
//! is never stored, is the same on any number of threads, and follows from the run's seed alone.

use std::array::from_fn;

use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use kilter_numerics::{Stream, philox4x32_lanes};

use crate::op::by_precision;
use crate::op::fresh::filled;
use crate::op::kernel::{Kernel, apply1, numbers, on_host, sizes, tensor};
use crate::op::real::Real;

/// Sets each number to zero with probability `share` in [0, 1), and divides the others by `1 - share`. One draw of
/// `stream` decides the whole mask.
pub fn dropout<const D: usize>(x: Tensor<D>, share: f64, stream: &mut Stream) -> Tensor<D> {
    if share <= 0.0 {
        return x;
    }
    let key = stream.bits();
    let mask = Dropout { share, key: [key as u32, (key >> 32) as u32] };
    if on_host(&x) {
        return apply1(mask, x);
    }
    let (shape, device) = (x.shape(), x.device());
    let factors = mask.of(&vec![1.0_f32; shape.num_elements()]);
    let factors = TensorData::new(factors, shape).convert_dtype(x.dtype());
    let factors = Tensor::from_data(factors, (&device, x.dtype()));
    x * factors
}

#[derive(Debug)]
struct Dropout {
    share: f64,
    key: [u32; 2],
}

/// Blocks of the cipher that are drawn side by side; each gives four words.
const BLOCKS: usize = 16;

/// Numbers per piece of work, a multiple of those that are drawn together.
const PIECE: usize = 8192;

impl Dropout {
    fn of<R: Real>(&self, x: &[R]) -> Vec<R> {
        let threshold = (self.share * 4_294_967_296.0).min(4_294_967_295.0) as u32;
        let scale = R::of(1.0 / (1.0 - self.share));
        filled(x.len(), PIECE, |piece, y| {
            let x = &x[piece * PIECE..][..y.len()];
            masked(x, y, (piece * (PIECE / 4)) as u64, self.key, threshold, scale);
        })
    }

    fn masked(&self, x: &FlexTensor) -> FlexTensor {
        by_precision!(x, R => tensor(self.of(numbers::<R>(x)), sizes(x).to_vec()))
    }
}

/// Four numbers for each block from `first` on.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn masked<R: Real>(x: &[R], y: &mut [R], first: u64, key: [u32; 2], threshold: u32, scale: R) {
    let groups = y.chunks_mut(4 * BLOCKS).zip(x.chunks(4 * BLOCKS));
    for (first, (y, x)) in (first..).step_by(BLOCKS).zip(groups) {
        let counters: [u64; BLOCKS] = from_fn(|block| first + block as u64);
        let (low, high) = (counters.map(|counter| counter as u32), counters.map(|counter| (counter >> 32) as u32));
        let drawn = philox4x32_lanes([low, high, [0; BLOCKS], [0; BLOCKS]], key);
        // The words of a block side by side.
        let mut words = [0; 4 * BLOCKS];
        for (block, words) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *words = from_fn(|word| drawn[word][block]);
        }
        for ((y, &x), word) in y.iter_mut().zip(x).zip(words) {
            *y = if word < threshold { R::zero() } else { x * scale };
        }
    }
}

impl Kernel for Dropout {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        (self.masked(&inputs[0]), Vec::new())
    }

    fn backward(
        &self,
        _: &[FlexTensor],
        _: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        vec![Some(self.masked(gradient))]
    }
}
