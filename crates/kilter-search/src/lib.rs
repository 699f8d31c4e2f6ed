#![doc = include_str!("../README.md")]

pub mod hypervolume;
pub mod median;
pub mod random;
pub mod tpe;

mod front;
mod registry;

pub use front::front_course;

pub use registry::{Listed, PRUNERS, RegistryError, SAMPLERS, pruner, sampler};
