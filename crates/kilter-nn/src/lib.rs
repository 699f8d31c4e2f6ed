#![doc = include_str!("../README.md")]

pub mod context;
pub mod init;
pub mod layer;
pub mod model;
pub mod op;
pub mod optim;
pub mod params;
pub mod schedule;
pub mod train;

pub use burn::tensor::{Device, Tensor, TensorData};
