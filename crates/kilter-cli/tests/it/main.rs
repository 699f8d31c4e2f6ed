//! The `kilter` binary from outside: what a person types, and what stands on the screen, the disk and in the process
//! table afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod commands;
mod crash;
mod failures;
mod faults;
mod first_minute;
mod help;
mod interrupt;
mod look;
mod report;
mod room;
mod storage;
mod study_file;
mod weights;
mod worker;
