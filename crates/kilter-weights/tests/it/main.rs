//! One test binary for the crate.

// The lints' leave for tests does not reach functions that tests share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bad_input;
mod dtype;
mod files;
mod golden;
mod header;
mod merge;
mod mutation;
mod quantize;
mod rank;
mod soup;
mod storage;
