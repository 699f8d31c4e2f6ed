//! What kilter-study promises.
// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod by_run;
mod driven;
mod given;
mod history;
mod import;
mod model;
mod optimize;
mod order;
mod select;
mod sqlite;
mod storage;
mod study;
