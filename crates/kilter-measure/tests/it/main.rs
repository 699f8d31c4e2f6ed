//! One test binary for the crate.

// The lints' leave for tests does not reach functions that tests share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod classification;
mod diagnosis;
mod golden;
mod landscape;
mod other_targets;
