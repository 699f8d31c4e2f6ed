//! Trials as child processes: anybody's command, or a recipe in a process of its own.
//!
//! A trial's process tree hangs on a tiny supervisor (this binary again), which holds a socket to the tuner. When the
//! tuner dies, however it dies, the socket ends, and the supervisor ends the whole tree. So nothing survives a killed
//! tuner, nothing survives its own trial, and the kernel's accounts of the tree are complete.

mod child;
mod command;
mod figures;
mod log;
mod own;
mod secrets;
mod supervisor;
mod wire;

pub use command::{CommandRecipe, Template, TemplateError};
pub use figures::{MetricError, MetricSource};
pub use own::{OwnProcess, Task, run_task};
pub use secrets::SecretNeeded;
pub use supervisor::supervise;
pub use wire::{Client, Reply, SOCKET_VARIABLE, WireError};

/// First argument that makes this binary a supervisor; the trial's command follows.
pub const SUPERVISE: &str = "__supervise";

/// First argument that makes this binary run one trial of a recipe; the path of its [`Task`] follows.
pub const RUN_TASK: &str = "__trial";
