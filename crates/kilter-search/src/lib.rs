#![doc = include_str!("../README.md")]

pub mod hypervolume;
pub mod median;
pub mod random;
pub mod tpe;

mod registry;

pub use registry::{Listed, PRUNERS, RegistryError, SAMPLERS, pruner, sampler};
