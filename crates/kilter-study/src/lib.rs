#![doc = include_str!("../README.md")]

mod event;
mod goal;
mod history;
mod optimize;
mod order;
mod pruner;
mod recipe;
mod recompute;
mod run;
mod sampler;
mod study;

pub mod process;
pub mod storage;

pub use event::{Change, End, EndState, Event, Opened, Point};
pub use goal::{Better, Goal, Metric};
pub use history::{History, Row, State};
pub use kilter_meter::{Stopwatch, Usage};
pub use optimize::{Interrupt, Summary, Tick, Workers};
pub use pruner::{NoPruner, Pruner, Running, Verdict};
pub use recipe::{Failure, Fidelity, Outcome, Recipe};
pub use recompute::{Recomputed, recompute};
pub use run::{Flow, Run, RunPort, Why};
pub use sampler::{Ask, Next, Note, Proposal, QueueOnly, Sampler, SearchError};
pub use storage::{Conduct, Lease, Memory, Sqlite, Storage, StorageError, StudyId, StudySpec, Worker};
pub use study::{Asked, Study, StudyError, Trial};
