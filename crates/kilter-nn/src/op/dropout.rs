//! Dropout (Srivastava et al., JMLR 2014), inverted: what is kept is scaled up. The mask is drawn from a counter, so it
//! is never stored, is the same on any number of threads, and follows from the run's seed alone.

use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use kilter_numerics::{Stream, philox4x32};
use rayon::prelude::*;

use crate::op::by_precision;
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
    let mut factors = vec![1.0_f32; shape.num_elements()];
    mask.apply(&mut factors);
    let factors = TensorData::new(factors, shape).convert_dtype(x.dtype());
    let factors = Tensor::from_data(factors, (&device, x.dtype()));
    x * factors
}

#[derive(Debug)]
struct Dropout {
    share: f64,
    key: [u32; 2],
}

/// Numbers per piece of work; a multiple of the four that a block of the cipher gives.
const PIECE: usize = 16_384;

impl Dropout {
    fn apply<R: Real>(&self, xs: &mut [R]) {
        let threshold = (self.share * 4_294_967_296.0).min(4_294_967_295.0) as u32;
        let scale = R::of(1.0 / (1.0 - self.share));
        xs.par_chunks_mut(PIECE).enumerate().for_each(|(piece, xs)| {
            for (block, xs) in xs.chunks_mut(4).enumerate() {
                let counter = (piece * (PIECE / 4) + block) as u64;
                let words = philox4x32([counter as u32, (counter >> 32) as u32, 0, 0], self.key);
                for (x, word) in xs.iter_mut().zip(words) {
                    *x = if word < threshold { R::zero() } else { *x * scale };
                }
            }
        });
    }

    fn of(&self, x: &FlexTensor) -> FlexTensor {
        by_precision!(x, R => {
            let mut y = numbers::<R>(x).to_vec();
            self.apply(&mut y);
            tensor(y, sizes(x).to_vec())
        })
    }
}

impl Kernel for Dropout {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        (self.of(&inputs[0]), Vec::new())
    }

    fn backward(
        &self,
        _: &[FlexTensor],
        _: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        vec![Some(self.of(gradient))]
    }
}
