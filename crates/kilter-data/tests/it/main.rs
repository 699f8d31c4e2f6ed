//! One test binary for the crate.
mod breast_cancer;
mod split;
