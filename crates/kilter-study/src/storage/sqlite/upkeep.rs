//! Looking after the file: is it whole, a copy of it, its space.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::super::{Storage, StorageError};
use super::contract::stage;
use super::{Sqlite, Trouble, file, lock};
use crate::history::{History, State};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many studies the file holds.
    pub studies: usize,
    /// How many trials.
    pub trials: usize,
    /// How many events.
    pub events: usize,
    /// What is wrong, in words; nothing, if all is well.
    pub faults: Vec<String>,
}

impl Sqlite {
    /// Checks that the file is whole, that no study's log has a gap or an event that cannot be read, and that the trials
    /// are where their events say.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub fn check(&self) -> Result<Checked, StorageError> {
        let mut found = Checked { faults: self.read(damage)?, ..Checked::default() };
        let studies = match self.studies() {
            Ok(studies) => studies,
            Err(why) => {
                found.faults.push(why.to_string());
                return Ok(found);
            }
        };
        found.studies = studies.len();
        for study in studies {
            // One look at both tables, so that what others write meanwhile does not come between.
            let faults = self.read(|on| {
                let moment = on.unchecked_transaction()?;
                let (events, trials, faults) = check_study(&moment, study.id.0)?;
                found.events += events;
                found.trials += trials;
                Ok(faults)
            })?;
            found.faults.extend(faults.into_iter().map(|fault| format!("study {}: {fault}", study.spec.name)));
        }
        Ok(found)
    }

    /// Copies the studies as they are at one moment into a new file, while others may go on writing; gives the copy's size
    /// in bytes. The copy appears whole or not at all.
    ///
    /// # Errors
    /// If the new file is there already or cannot be written.
    pub fn copy_to(&self, to: &Path) -> Result<u64, StorageError> {
        let unusable = |why: std::io::Error| StorageError::Unusable { path: to.to_owned(), why: why.to_string() };
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let part = tempfile::Builder::new().prefix(".copy-").suffix(".part").tempfile_in(folder).map_err(unusable)?;
        // SQLite takes an empty file for a new one.
        self.read(|on| on.execute("VACUUM INTO ?1", [part.path().to_string_lossy()]).map(drop).map_err(Trouble::from))
            .map_err(|why| match why {
                // It is the new file that is full or cannot be written.
                StorageError::Unusable { why, .. } => StorageError::Unusable { path: to.to_owned(), why },
                other => other,
            })?;
        part.as_file().sync_all().map_err(unusable)?;
        let copy = part.persist_noclobber(to).map_err(|why| unusable(why.error))?;
        Ok(copy.metadata().map_err(unusable)?.len())
    }

    /// Gives unused space back to the disk; gives the file's size before and after, in bytes.
    ///
    /// # Errors
    /// If the file cannot be written, or the disk has no room for a second copy meanwhile.
    pub fn vacuum(&self) -> Result<(u64, u64), StorageError> {
        let size = || std::fs::metadata(&self.path).map_or(0, |data| data.len());
        let connection = lock(&self.writer);
        let run = |sql: &str| connection.execute_batch(sql).map_err(|why| file::explain(&self.path, &why));
        run("PRAGMA wal_checkpoint(TRUNCATE)")?;
        let before = size();
        run("VACUUM")?;
        run("PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok((before, size()))
    }
}

/// What SQLite itself finds wrong.
fn damage(on: &Connection) -> Result<Vec<String>, Trouble> {
    let mut faults: Vec<String> = on
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get(0))?
        .filter(|line| !line.as_ref().is_ok_and(|line| line == "ok"))
        .collect::<Result<_, _>>()?;
    let orphans: i64 = on.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if orphans > 0 {
        faults.push(format!("{orphans} rows belong to no study"));
    }
    Ok(faults)
}

/// How many events and trials a study has, and what is wrong with them.
fn check_study(on: &Connection, study: i64) -> Result<(usize, usize, Vec<String>), Trouble> {
    let (mut faults, mut history, mut events) = (Vec::new(), History::default(), 0);
    let mut statement =
        on.prepare("SELECT revision, number, at_ms, change FROM events WHERE study = ?1 ORDER BY revision")?;
    let mut rows = statement.query([study])?;
    while let Some(row) = rows.next()? {
        events += 1;
        let revision: i64 = row.get(0)?;
        if revision as u64 != history.revision() + 1 {
            faults.push(format!("events {} to {} are missing", history.revision() + 1, revision - 1));
        }
        match super::contract::event(row) {
            Ok(event) => history.apply(&event),
            Err(why) => {
                faults.push(format!("event {revision}: {}", why.explain(Path::new("it"))));
                // The count goes on behind it.
                history.skip_to(revision as u64);
            }
        }
    }
    let told: i64 = on.query_row("SELECT revision FROM studies WHERE id = ?1", [study], |row| row.get(0))?;
    if told as u64 != history.revision() {
        faults.push(format!("the log ends at event {}, and should at {told}", history.revision()));
    }
    let mut trials: BTreeMap<u64, i64> = on
        .prepare("SELECT number, stage FROM trials WHERE study = ?1 AND stage <> 0")?
        .query_map([study], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let count = trials.len();
    for row in history.rows() {
        let expected = match row.state {
            State::Waiting => stage::WAITING,
            State::Running | State::Stale => stage::RUNNING,
            State::Complete | State::Pruned | State::Failed => stage::ENDED,
        };
        if trials.remove(&row.number) != Some(expected) {
            faults.push(format!(
                "trial {} is {} by its events, and something else in its table",
                row.number,
                row.state.name()
            ));
        }
    }
    faults.extend(trials.keys().map(|number| format!("no event tells of trial {number}")));
    Ok((events, count, faults))
}
