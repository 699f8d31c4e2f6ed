//! Our own operations, with gradients of their own: fused, threaded, in a fixed order of summation, so that the same
//! step gives the same bits on any number of threads.

mod direct;
mod fresh;
pub(crate) mod gemm;
mod kernel;
mod real;
mod reduce;

pub mod attention;
pub mod batch_norm;
pub mod conv2d;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod gelu;
pub mod layer_norm;
pub mod linear;
pub mod max_pool2d;
pub mod quasi_lstm;
pub mod relu;

pub use attention::{Mask, attention};
pub use batch_norm::{Moments, batch_norm};
pub use conv2d::{Conv2dShape, conv2d};
pub use cross_entropy::{IGNORED, cross_entropy};
pub use dropout::dropout;
pub use embedding::embedding;
pub use gelu::{Curve, gelu};
pub use gemm::{Matrix, multiply, product};
pub(crate) use kernel::widened;
pub use kernel::{Kernel, is_host, on_host};
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use max_pool2d::max_pool2d;
pub use quasi_lstm::{quasi_lstm, quasi_lstm_in_blocks, quasi_lstm_state};
pub use real::Real;
pub(crate) use reduce::wide_square_norm;
pub use relu::relu;

/// Runs `$body` with the precision of a tensor as the type `$R`.
macro_rules! by_precision {
    ($tensor:expr, $R:ident => $body:expr) => {
        match $tensor.dtype() {
            burn::tensor::DType::F64 => {
                type $R = f64;
                $body
            }
            _ => {
                type $R = f32;
                $body
            }
        }
    };
}
use by_precision;
