//! The memory of studies: synchronous, one transaction per method, the same contract for every storage.
//!
//! - Every change appends one event to its study's log, whose revisions have no gaps.
//! - A running trial is held by a *lease*. Whoever ends the trial shows the lease; if the trial has since been given to
//!   somebody else, the result is kept as a late attempt and never counted.
//! - A proposal is made for a number, and the trial begins under it if nobody was quicker; whoever was too late has the
//!   next number reserved, since asking the sampler may take minutes. A number whose holder died is given out again, lowest
//!   first, so a resumed study continues as if it had never stopped.

mod address;
mod adopt;
mod memory;
mod sqlite;
mod worker;

use std::path::PathBuf;

use kilter_space::{Domain, Expr, Name, Outline, Value};
use serde::{Deserialize, Serialize};

pub use address::Address;
pub use memory::Memory;
pub use sqlite::{Checked, Durability, Opening, Sqlite};
pub use worker::{Clock, SystemClock, Worker};

use crate::duplicates::Duplicates;
use crate::event::{Amendment, End, Event, Opened, Point};
use crate::goal::Goal;
use crate::limits::Limits;

/// A study's key within its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StudyId(pub i64);

/// What a study is, as given at its making.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudySpec {
    /// Its name, unique in its storage.
    pub name: String,
    /// Its space.
    pub outline: Outline,
    /// Its directions.
    pub goals: Vec<Goal>,
    /// Its sampler, as written on the command line: `tpe:candidates=24`.
    pub sampler: String,
    /// Its pruner, likewise.
    pub pruner: String,
    /// Its seed.
    pub seed: u64,
    /// How many trials are wanted; nothing: as many as the sampler proposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<u64>,
    /// How its trials are asked for and begun anew, whoever runs them.
    #[serde(default, skip_serializing_if = "Conduct::is_usual")]
    pub conduct: Conduct,
    /// What a trial must measure up to: one that does not is complete but never the best.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<Expr>,
    /// When the study has had enough.
    #[serde(default, skip_serializing_if = "is_unlimited")]
    pub limits: Limits,
    /// What the front end needs to run its trials again (command, metrics, limits); opaque to the study.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub plan: serde_json::Value,
}

/// How a study's trials are asked for and begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conduct {
    /// Each trial sees exactly what those up to so many before it gave, in the order of numbers, and waits for them: a
    /// parallel study becomes repeatable. Nothing: each sees all that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_order: Option<u64>,
    /// Each configuration is run so often, under chance that is the same for all of them, and its value is the mean;
    /// those that lose the race against the best are stopped before. Nothing: once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    /// What becomes of a proposal that was asked before.
    pub duplicates: Duplicates,
    /// How often a trial whose worker died is begun anew.
    pub retry: Retry,
}

impl Conduct {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

fn is_unlimited(limits: &Limits) -> bool {
    *limits == Limits::default()
}

/// The right to run and end a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The study.
    pub study: StudyId,
    /// The trial.
    pub number: u64,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// The fence: drawn anew for every attempt.
    pub token: u128,
}

/// A waiting trial that a worker got.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The lease.
    pub lease: Lease,
    /// The trial as it was opened.
    pub opened: Opened,
}

/// What opening a trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It runs.
    Running(Lease),
    /// Its number is another's by now; this one is reserved instead.
    Reserved(u64),
    /// Somebody asked its question meanwhile; nothing was changed.
    Asked,
}

impl Begun {
    /// The lease, if the trial runs.
    pub fn lease(self) -> Option<Lease> {
        match self {
            Self::Running(lease) => Some(lease),
            Self::Reserved(_) | Self::Asked => None,
        }
    }
}

/// What became of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It counts.
    Counted,
    /// The trial had been given to somebody else; kept as a late attempt.
    Late,
}

/// A number that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The number.
    pub number: u64,
    /// Does its trial run, or is it only reserved?
    pub running: bool,
    /// Whose it is.
    pub by: Holder,
}

impl Held {
    /// Is it a running trial whose worker died, and that nobody has taken up again yet?
    pub fn is_stale(&self) -> bool {
        self.running && self.by == Holder::Lost
    }
}

/// Who holds a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process that lives, as far as can be told.
    Process,
    /// A process that died, or whose time is up where it cannot be looked for.
    Lost,
    /// Somebody who asked by hand.
    Person,
}

/// How often a trial whose worker died is begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all; after the last the trial has failed.
    pub attempts: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3 }
    }
}

/// A stretch of a study's log.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Events in revision order, without gaps.
    pub events: Vec<Event>,
    /// Are there more?
    pub more: bool,
}

/// A study in a list.
#[derive(Clone, Debug)]
pub struct StudyEntry {
    /// Its key.
    pub id: StudyId,
    /// What it is.
    pub spec: StudySpec,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

/// Why a storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A study of this name exists.
    #[error(
        "there is a study named `{0}` already; choose another name with --study, or continue it with: kilter resume {0}"
    )]
    NameTaken(String),
    /// No such study.
    #[error("there is no study {0:?} in this storage")]
    NoStudy(StudyId),
    /// Somebody works on the study.
    #[error("trials of the study run now, so it cannot be {0}; end them first with: kilter stop")]
    InUse(&'static str),
    /// The file is no database.
    #[error("{} is not a kilter database: {why}; name another file with --storage sqlite:FILE", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The file was written by a newer kilter.
    #[error("{} was written by a newer kilter (schema {found}, this one knows up to {known}); update kilter", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// The file lies on a network file system.
    #[error(
        "{} lies on a network file system ({system}), where SQLite's log does not work and a study could be damaged; \
         name a file on a local disk with --storage sqlite:FILE",
        .path.display()
    )]
    Network {
        /// The file.
        path: PathBuf,
        /// The file system.
        system: String,
    },
    /// The file cannot be opened or written.
    #[error("cannot use {}: {why}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// The file was deleted, moved or replaced while it was in use.
    #[error("{} is not there any more, or is another file now: it was moved, deleted or replaced while in use", .0.display())]
    Gone(PathBuf),
    /// What the storage holds cannot be read.
    #[error("the storage holds something unreadable ({what}): {why}")]
    Corrupt {
        /// Where.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl StorageError {
    /// The disk is full where `path` lies.
    pub(crate) fn full(path: PathBuf) -> Self {
        Self::Unusable {
            path,
            why: "the disk is full; what was completed is kept, free some space and resume".to_owned(),
        }
    }
}

/// The memory of studies. Every method is one transaction.
pub trait Storage: Send + Sync {
    /// Makes a study.
    ///
    /// # Errors
    /// If the name is taken.
    fn create(&self, spec: &StudySpec) -> Result<StudyId, StorageError>;

    /// All studies, oldest first.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn studies(&self) -> Result<Vec<StudyEntry>, StorageError>;

    /// Reserves the next free number: the lowest whose holder died, else a new one. Where the holder's process cannot be
    /// looked for, its number is free again after [`LEASE_MS`].
    ///
    /// # Errors
    /// If there is no such study.
    fn reserve(&self, study: StudyId, by: &Worker) -> Result<u64, StorageError>;

    /// Gives a reserved number back.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn give_back(&self, study: StudyId, number: u64, by: &Worker) -> Result<(), StorageError>;

    /// The number that [`Storage::reserve`] would give out now. Changes nothing.
    ///
    /// # Errors
    /// If there is no such study.
    fn next_free(&self, study: StudyId) -> Result<u64, StorageError>;

    /// Begins a trial under a number that is free or reserved by this worker. If it is another's by now, the next free
    /// one is reserved for the worker in the same transaction. A trial that is to be `fresh` does not begin if its
    /// question was asked by an event after [`Opened::seen`].
    ///
    /// # Errors
    /// If there is no such study.
    fn open(
        &self,
        study: StudyId,
        number: u64,
        opened: &Opened,
        by: &Worker,
        fresh: bool,
    ) -> Result<Begun, StorageError>;

    /// Adds a trial that waits for a worker; gives its number.
    ///
    /// # Errors
    /// If there is no such study.
    fn enqueue(&self, study: StudyId, opened: &Opened) -> Result<u64, StorageError>;

    /// Takes the waiting trial with the lowest number, if there is one.
    ///
    /// # Errors
    /// If there is no such study.
    fn claim(&self, study: StudyId, by: &Worker) -> Result<Option<Claimed>, StorageError>;

    /// Stores what a define-by-run trial answered beyond its proposal. Ignored if the lease is no longer valid.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn answer(&self, lease: &Lease, late: &[(Name, Domain, Value)]) -> Result<(), StorageError>;

    /// Stores what a trial reported. Ignored if the lease is no longer valid.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn report(&self, lease: &Lease, points: &[Point]) -> Result<(), StorageError>;

    /// Ends a trial.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn finish(&self, lease: &Lease, end: &End) -> Result<Ended, StorageError>;

    /// Lets a running trial wait for a worker again, without counting the attempt against it: its run was interrupted.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn release(&self, lease: &Lease) -> Result<(), StorageError>;

    /// Extends leases by the storage's clock; tells which are still valid.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, StorageError>;

    /// Finds trials whose worker died: they wait again, or have failed if they used up their attempts. Gives their
    /// numbers.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn reap(&self, study: StudyId, retry: Retry) -> Result<Vec<u64>, StorageError>;

    /// The numbers that somebody holds, lowest first: reserved ones and running trials. Changes nothing.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn held(&self, study: StudyId) -> Result<Vec<Held>, StorageError>;

    /// Puts a running trial into a person's hands, or into those of a program that nobody can look for: its lease has no
    /// heartbeat and does not end until the trial is told or released. Tells whether the lease was still valid.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn entrust(&self, lease: &Lease) -> Result<bool, StorageError>;

    /// The lease of a running trial that was entrusted, to tell it by its number.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn entrusted(&self, study: StudyId, number: u64) -> Result<Option<Lease>, StorageError>;

    /// Changes how many trials are wanted.
    ///
    /// # Errors
    /// If there is no such study.
    fn want_trials(&self, study: StudyId, trials: u64) -> Result<(), StorageError>;

    /// Changes the space, and what must go with it (the command that takes other hyperparameters): all of it or nothing.
    /// Trials that there are stay as they are.
    ///
    /// # Errors
    /// If there is no such study.
    fn change_space(&self, study: StudyId, outline: &Outline, with: &[Amendment]) -> Result<(), StorageError>;

    /// Changes something about the study, or writes something on one of its trials; no trial moves.
    ///
    /// # Errors
    /// If there is no such study.
    fn amend(&self, study: StudyId, number: Option<u64>, what: &Amendment) -> Result<(), StorageError>;

    /// Lets a trial that was pruned or has failed wait for a worker again, with its answers and its streams; what it
    /// reported no longer counts. Tells whether there was such a trial.
    ///
    /// # Errors
    /// If there is no such study.
    fn retry(&self, study: StudyId, number: u64) -> Result<bool, StorageError>;

    /// Gives a study another name.
    ///
    /// # Errors
    /// If the name is taken, or a trial runs whose worker may live.
    fn rename(&self, study: StudyId, name: &str) -> Result<(), StorageError>;

    /// Removes a study and everything that happened to it.
    ///
    /// # Errors
    /// If there is no such study, or a trial runs whose worker may live.
    fn delete(&self, study: StudyId) -> Result<(), StorageError>;

    /// Makes a study that has a history: a copy, or what another program did. Trials that run in it wait in the new one.
    /// Revisions are counted anew; moments are kept.
    ///
    /// # Errors
    /// If the name is taken.
    fn adopt(&self, spec: &StudySpec, created_ms: i64, events: &[Event]) -> Result<StudyId, StorageError>;

    /// What happened after revision `since`: at most `limit` events.
    ///
    /// # Errors
    /// If there is no such study.
    fn changes(&self, study: StudyId, since: u64, limit: usize) -> Result<Changes, StorageError>;
}

/// How long a lease or a reserved number is valid without renewal, in milliseconds. It decides only where a worker's process cannot be looked
/// for: another machine or another process namespace.
pub const LEASE_MS: i64 = 60_000;
