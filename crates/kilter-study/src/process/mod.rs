//! Trials as child processes: anybody's command, or a recipe in a process of its own.
//!
//! A trial's process tree hangs on a tiny supervisor, which holds a socket to the tuner; supervisors are forked from this
//! binary, started once more (`nursery.rs`). When the tuner dies, however it dies, the socket ends, and the supervisor
//! ends the whole tree. So nothing survives a killed tuner, nothing survives its own trial, and the kernel's accounts of
//! the tree are complete.

mod child;
mod command;
mod figures;
mod log;
mod nursery;
mod own;
mod secrets;
mod supervisor;
mod wire;

pub use command::{CommandRecipe, Template, TemplateError};
pub use figures::{MetricError, MetricSource};
pub use nursery::supervise;
pub use own::{OwnProcess, Task, run_task};
pub use secrets::SecretNeeded;
pub use wire::{Client, Reply, SOCKET_VARIABLE, WireError};

/// Only argument that makes this binary the nursery of a tuner's supervisors.
pub const SUPERVISE: &str = "__supervise";

/// First argument that makes this binary run one trial of a recipe; the path of its [`Task`] follows.
pub const RUN_TASK: &str = "__trial";
