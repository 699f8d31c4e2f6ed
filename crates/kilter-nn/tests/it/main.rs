//! One test binary for the crate.
#![allow(clippy::unwrap_used, clippy::panic)]

mod gradients;
mod mixture;
mod model;
mod optim;
mod quantize;
mod train;
