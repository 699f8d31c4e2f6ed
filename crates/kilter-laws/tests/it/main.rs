//! One test binary for the crate.

// The lints' leave for tests does not reach functions that tests share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod compute_class;
mod curve;
mod golden;
mod laws;
mod mup;
mod parallel;
mod power_law;
mod power_scheduler;
mod step_law;
mod transformer_cost;
