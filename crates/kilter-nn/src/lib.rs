#![doc = include_str!("../README.md")]

pub mod context;
pub mod graph;
pub mod init;
pub mod layer;
pub mod mixture;
pub mod model;
pub mod op;
pub mod optim;
pub mod params;
pub mod pretrained;
pub mod quantize;
pub mod schedule;
pub mod tokens;
pub mod train;
pub mod view;

pub use burn::tensor::{DType, Device, Tensor, TensorData};
