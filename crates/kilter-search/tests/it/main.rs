//! One test binary for the crate.

// The lints' leave for tests does not reach functions that tests share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod constrained;
mod determinism;
mod faults;
mod golden;
mod hyperopt;
mod hypervolume;
mod importance;
mod median;
mod parzen;
mod quasi;
mod registry;
mod split;
mod studies;
