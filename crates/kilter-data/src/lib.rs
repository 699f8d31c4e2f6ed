#![doc = include_str!("../README.md")]

pub mod breast_cancer;
pub mod dataset;
pub mod split;

pub use breast_cancer::breast_cancer;
pub use dataset::{Dataset, DatasetError};
