#![doc = include_str!("../README.md")]

pub mod compute_class;
pub mod curve;
pub mod laws;
pub mod limits;
pub mod mup;
pub mod parallel;
pub mod power_law;
pub mod power_scheduler;
pub mod step_law;
pub mod transformer_cost;
