//! One test binary for the crate.

// The lints' leave for tests does not reach functions that tests share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod boosting;
mod forest;
mod golden;
mod knn;
mod logistic;
mod ridge;
mod scale;
mod table;
mod tree;
