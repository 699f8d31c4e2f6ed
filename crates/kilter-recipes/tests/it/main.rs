//! One test binary for the crate.
#![allow(clippy::unwrap_used, clippy::panic)]

mod breast_cancer;
mod claim;
mod laws;
mod network;
mod tabular;
mod texts;
mod weights;
