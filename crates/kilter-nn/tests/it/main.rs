//! One test binary for the crate.
#![allow(clippy::unwrap_used, clippy::panic)]

mod golden;
mod gradients;
mod graph;
mod mixture;
mod model;
mod optim;
mod precision;
mod pretrained;
mod quantize;
mod train;
mod view;
