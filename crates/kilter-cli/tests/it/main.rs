//! The `kilter` binary from outside: what a person types, and what stands on the screen, the disk and in the process
//! table afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ask;
mod bad_input;
mod classes;
mod commands;
mod crash;
mod devices;
mod duplicates;
mod enough;
mod failures;
mod faults;
mod first_minute;
mod goals;
mod help;
mod import;
mod interrupt;
mod look;
mod manage;
mod predict;
mod repeats;
mod report;
mod room;
mod schemas;
mod space;
mod storage;
mod study_file;
mod tables;
mod train;
mod weights;
mod worker;
