//! One test binary for the crate.
#![allow(clippy::unwrap_used, clippy::panic)]

mod gradients;
mod optim;
mod train;
