#![doc = include_str!("../README.md")]

pub mod compare;
mod fall;
pub mod normal;
pub mod ranks;
pub mod stream;

pub use fall::Fall;
pub use stream::{Stream, philox4x32, philox4x32_lanes};
