//! One test binary for the crate.
mod compare;
mod normal;
mod stream;
