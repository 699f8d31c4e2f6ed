#![doc = include_str!("../README.md")]

mod attempt;
mod columns;
mod driven;
mod duplicates;
mod event;
mod goal;
mod history;
mod limits;
mod live;
mod optimize;
mod order;
mod pruner;
mod recipe;
mod recompute;
mod repeats;
mod run;
mod sampler;
mod select;
mod study;

pub mod devices;
pub mod import;
pub mod process;
pub mod storage;

pub use columns::{Cells, Column};
pub use driven::{Driven, Ending};
pub use duplicates::Duplicates;
pub use event::{Amendment, Change, End, EndState, Event, Opened, Point};
pub use goal::{Better, Goal, Metric};
pub use history::{History, Row, State, Tags};
pub use kilter_meter::{Energy, EnergyKind, Stopwatch, Usage};
pub use limits::{BUILT_IN_METRICS, Limits, STOP_NAMES, built_in, measures_energy};
pub use live::Live;
pub use optimize::{Interrupt, Renew, Summary, Tick, Workers};
pub use pruner::{NoPruner, Pruner, Running, Verdict};
pub use recipe::{Failure, Fidelity, Outcome, Recipe};
pub use recompute::{Recomputed, recompute};
pub use repeats::{CONFIDENCE, RunnerUp};
pub use run::{Flow, Run, RunPort, Why};
pub use sampler::{Ask, Next, Note, Proposal, QueueOnly, Sampler, SearchError};
pub use select::{FIELDS, SelectError, Selection, check_field, fields};
pub use storage::{Conduct, Lease, Memory, Sqlite, Storage, StorageError, StudyId, StudySpec, Worker};
pub use study::{Asked, Study, StudyError, Trial};
