//! One test binary for the crate.
#![allow(clippy::unwrap_used, clippy::panic)]

mod gradients;
mod model;
mod optim;
mod train;
