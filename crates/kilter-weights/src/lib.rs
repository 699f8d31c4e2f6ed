#![doc = include_str!("../README.md")]

pub mod fault;
pub mod merge;
pub mod quantize;
pub mod rank;
pub mod replace;
pub mod soup;
pub mod storage;
pub mod stream;

pub use fault::WeightsError;
pub use replace::replace;
pub use storage::{Checkpoint, Dtype, Tensor};
pub use stream::Options;
