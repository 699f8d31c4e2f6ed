//! Studies in one SQLite file that several processes share.
//!
//! The file is in WAL mode: readers never wait for the writer. Every change is one `BEGIN IMMEDIATE` transaction on one
//! connection per process. With [`Durability::Normal`] a killed process loses nothing that was committed, and a power cut
//! may lose the last moments but never the file; with [`Durability::Full`] it loses nothing either.

mod contract;
mod file;
mod line;
mod upkeep;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use file::{Durability, Opening};
pub use upkeep::Checked;

use self::line::Line;
use super::worker::Clock;
use super::{Address, StorageError};

/// Studies in one SQLite file.
pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    line: Line,
    reader: Mutex<Connection>,
    clock: Arc<dyn Clock>,
    /// Workers that were found alive, and when.
    alive: Mutex<HashMap<String, Instant>>,
    /// Which file the path named when it was opened.
    opened: Option<(u64, u64)>,
}

impl Sqlite {
    /// Opens the file, making it if there is none.
    ///
    /// # Errors
    /// If the file is not kilter's, or newer, or on a network file system, or cannot be used.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Self::open_with(path, Opening::default())
    }

    /// Opens what an address names.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn at(address: &Address) -> Result<Self, StorageError> {
        Self::open_with(&address.file, Opening { durability: address.durability, ..Opening::default() })
    }

    /// Opens the file with a clock of its own.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn with_clock(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StorageError> {
        Self::open_with(path, Opening { clock, ..Opening::default() })
    }

    /// Opens the file as `how` says.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn open_with(path: &Path, how: Opening) -> Result<Self, StorageError> {
        let (writer, reader) = file::open(path, &how)?;
        let (line, opened, path) = (Line::of(path), file::identity(path), path.to_owned());
        Ok(Self {
            path,
            line,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            clock: how.clock,
            alive: Mutex::default(),
            opened,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One write transaction. A statement that fails rolls everything back. A file that was deleted or replaced would
    /// swallow what is written into it.
    fn write<T>(&self, act: impl FnOnce(&Transaction<'_>, i64) -> Result<T, Trouble>) -> Result<T, StorageError> {
        let now = self.clock.now_ms();
        let mut connection = lock(&self.writer);
        let transact = || -> Result<T, Trouble> {
            let turn = self.line.turn();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            drop(turn);
            if file::identity(&self.path) != self.opened {
                return Err(StorageError::Gone(self.path.clone()).into());
            }
            let result = act(&transaction, now)?;
            transaction.commit()?;
            Ok(result)
        };
        transact().map_err(|trouble| trouble.explain(&self.path))
    }

    fn read<T>(&self, act: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T, StorageError> {
        act(&lock(&self.reader)).map_err(|trouble| trouble.explain(&self.path))
    }
}

/// What goes wrong inside a transaction.
enum Trouble {
    Sql(rusqlite::Error),
    Ours(StorageError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(why: rusqlite::Error) -> Self {
        Self::Sql(why)
    }
}

impl From<StorageError> for Trouble {
    fn from(why: StorageError) -> Self {
        Self::Ours(why)
    }
}

impl Trouble {
    fn explain(self, path: &Path) -> StorageError {
        match self {
            Self::Sql(why) => file::explain(path, &why),
            Self::Ours(why) => why,
        }
    }
}

/// A panicked holder's transaction was rolled back when it was dropped.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
