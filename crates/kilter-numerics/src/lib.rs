#![doc = include_str!("../README.md")]

pub mod compare;
pub mod normal;
pub mod ranks;
pub mod stream;

pub use stream::{Stream, philox4x32};
