#![doc = include_str!("../README.md")]

pub mod grid;
pub mod hypervolume;
pub mod importance;
pub mod median;
pub mod partial;
pub mod quasi;
pub mod random;
pub mod tpe;

mod front;
mod fronts;
mod registry;
mod turn;

pub use front::front_course;

pub use registry::{Listed, PRUNERS, RegistryError, SAMPLERS, check_sampler, planned, pruner, sampler};
