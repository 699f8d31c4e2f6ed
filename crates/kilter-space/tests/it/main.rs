//! What kilter-space promises.
// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
mod constrained;
mod domain;
mod edges;
mod expression;
mod given;
mod inline;
mod misspelt;
mod outline;
mod random;
mod text;
mod uniform;
