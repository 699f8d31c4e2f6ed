//! The contract of every storage, kept by a SQLite file.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use kilter_space::{Domain, Name, Outline, Value};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::adopt::{Adopted, Standing, at_work};
use super::super::memory::after_loss;
use super::super::worker::token;
use super::super::{
    Begun, Changes, Claimed, Ended, Held, Holder, LEASE_MS, Lease, Retry, Storage, StorageError, StudyEntry, StudyId,
    StudySpec, Worker,
};
use super::{Sqlite, Trouble};
use crate::event::{Amendment, Change, End, EndState, Event, Opened, Point};

/// Stages of a trial. A reserved number has no event yet. Queries that look for trials by their stage spell its number
/// out, since only then SQLite takes the stage's own index.
pub(super) mod stage {
    pub const RESERVED: i64 = 0;
    pub const WAITING: i64 = 1;
    pub const RUNNING: i64 = 2;
    pub const ENDED: i64 = 3;
}

/// How long a worker that was found alive is taken to live without another look: the others wait while it is looked for,
/// and of many workers each comes to ask a few times a second only.
const SURELY_ALIVE: Duration = Duration::from_secs(1);

impl Sqlite {
    /// Was this worker found alive a moment ago?
    fn lives(&self, worker: &str) -> bool {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.get(worker).is_some_and(|found| found.elapsed() < SURELY_ALIVE)
    }

    fn found_alive(&self, worker: String) {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|_, found| found.elapsed() < SURELY_ALIVE);
        alive.insert(worker, Instant::now());
    }

    /// The lowest reserved number whose holder is gone.
    fn lost_number(&self, on: &Connection, study: StudyId, now: i64) -> Result<Option<i64>, Trouble> {
        let select = "SELECT number, worker, deadline_ms FROM trials INDEXED BY trials_reserved WHERE study = ?1 AND stage = 0 \
             ORDER BY number";
        let mut statement = on.prepare_cached(select)?;
        let mut held = statement.query([study.0])?;
        while let Some(row) = held.next()? {
            let holder: String = row.get(1)?;
            // Looked for now and then only: in a change the others wait for its end.
            if self.lives(&holder) {
                continue;
            }
            let worker: Worker = parse("trials.worker", &holder)?;
            if worker.as_holder(row.get(2)?, now) == Holder::Lost {
                return Ok(Some(row.get(0)?));
            }
            // Of a worker that cannot be looked for only the deadline tells.
            if worker.is_alive() == Some(true) {
                self.found_alive(holder);
            }
        }
        Ok(None)
    }

    fn reserve_in(&self, on: &Transaction<'_>, study: StudyId, by: &Worker, now: i64) -> Result<u64, Trouble> {
        let number = match self.lost_number(on, study, now)? {
            Some(number) => number,
            None => next_number(on, study)?,
        };
        let reserve = "INSERT INTO trials (study, number, stage, attempt, worker, deadline_ms) \
                       VALUES (?1, ?2, ?3, 0, ?4, ?5) \
                       ON CONFLICT DO UPDATE SET worker = excluded.worker, deadline_ms = excluded.deadline_ms";
        on.prepare_cached(reserve)?.execute(params![study.0, number, stage::RESERVED, text(by)?, now + LEASE_MS])?;
        Ok(number as u64)
    }

    /// # Errors
    /// If there is no such study.
    fn exists(&self, study: StudyId) -> Result<(), StorageError> {
        self.read(|on| {
            let found = on.prepare_cached("SELECT 1 FROM studies WHERE id = ?1")?.exists([study.0])?;
            if found { Ok(()) } else { Err(StorageError::NoStudy(study).into()) }
        })
    }
}

fn text(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|why| StorageError::Corrupt { what: "writing", why: why.to_string() })
}

fn parse<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|why| StorageError::Corrupt { what, why: why.to_string() })
}

fn log(on: &Transaction<'_>, study: StudyId, number: Option<u64>, now: i64, change: &Change) -> Result<(), Trouble> {
    let revision: i64 = on
        .prepare_cached("UPDATE studies SET revision = revision + 1 WHERE id = ?1 RETURNING revision")?
        .query_row([study.0], |row| row.get(0))
        .optional()?
        .ok_or(StorageError::NoStudy(study))?;
    on.prepare_cached("INSERT INTO events (study, revision, number, at_ms, change) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![study.0, revision, number.map(|n| n as i64), now, text(change)?])?;
    Ok(())
}

/// The event in a row of revision, number, time and change.
pub(super) fn event(row: &Row<'_>) -> Result<Event, Trouble> {
    let change = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(Event {
        revision: row.get::<_, i64>(0)? as u64,
        number: row.get::<_, Option<i64>>(1)?.map(|n| n as u64),
        at_ms: row.get(2)?,
        change: parse("events.change", change)?,
    })
}

/// Is the holder gone? Asked of the process where it can be seen, else of the deadline.
fn is_lost(holder: &str, deadline_ms: i64, now: i64) -> Result<bool, StorageError> {
    Ok(parse::<Worker>("trials.worker", holder)?.as_holder(deadline_ms, now) == Holder::Lost)
}

/// A new number for the study.
fn next_number(on: &Transaction<'_>, study: StudyId) -> Result<i64, Trouble> {
    on.prepare_cached("UPDATE studies SET next = next + 1 WHERE id = ?1 RETURNING next - 1")?
        .query_row([study.0], |row| row.get(0))
        .optional()?
        .ok_or(Trouble::Ours(StorageError::NoStudy(study)))
}

/// A new study, under a key that no study ever had.
fn add(on: &Transaction<'_>, spec: &StudySpec, created_ms: i64, next: u64) -> Result<StudyId, Trouble> {
    let id: i64 = on.query_row("UPDATE last_study SET id = id + 1 RETURNING id", [], |row| row.get(0))?;
    let insert =
        "INSERT INTO studies (id, name, spec, created_ms, next) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    match on.execute(insert, params![id, spec.name, text(spec)?, created_ms, next as i64])? {
        0 => Err(StorageError::NameTaken(spec.name.clone()).into()),
        _ => Ok(StudyId(id)),
    }
}

/// Is this number reserved by `holder`, or by somebody who is gone?
fn is_free_for(on: &Transaction<'_>, study: StudyId, number: u64, holder: &str, now: i64) -> Result<bool, Trouble> {
    let select = "SELECT worker, deadline_ms FROM trials WHERE study = ?1 AND number = ?2 AND stage = ?3";
    let reserved: Option<(String, i64)> = on
        .prepare_cached(select)?
        .query_row(params![study.0, number as i64, stage::RESERVED], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match reserved {
        Some((by, deadline_ms)) => Ok(by == holder || is_lost(&by, deadline_ms, now)?),
        None => Ok(false),
    }
}

/// Was this question asked by an event that it was not made from?
fn asked_since(on: &Transaction<'_>, study: StudyId, opened: &Opened) -> Result<bool, Trouble> {
    let select = "SELECT change FROM events WHERE study = ?1 AND revision > ?2";
    let mut statement = on.prepare_cached(select)?;
    let mut changes = statement.query([study.0, opened.seen as i64])?;
    while let Some(row) = changes.next()? {
        let change = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if parse::<Change>("events.change", change)?.asks(opened) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts a trial into `worker`'s hands.
fn run(on: &Transaction<'_>, study: StudyId, number: i64, by: &Worker, now: i64) -> Result<Lease, Trouble> {
    let token = token();
    let attempt: u32 = on
        .prepare_cached(
            "UPDATE trials SET stage = ?3, attempt = attempt + 1, token = ?4, worker = ?5, deadline_ms = ?6 \
             WHERE study = ?1 AND number = ?2 RETURNING attempt",
        )?
        .query_row(
            params![study.0, number, stage::RUNNING, format!("{token:x}"), text(by)?, now + LEASE_MS],
            |row| row.get(0),
        )?;
    Ok(Lease { study, number: number as u64, attempt, token })
}

/// Does the lease still hold its trial?
fn holds(on: &Transaction<'_>, lease: &Lease) -> Result<bool, Trouble> {
    let found = on
        .prepare_cached(
            "SELECT 1 FROM trials WHERE study = ?1 AND number = ?2 AND stage = ?3 AND attempt = ?4 AND token = ?5",
        )?
        .query_row(
            params![lease.study.0, lease.number as i64, stage::RUNNING, lease.attempt, format!("{:x}", lease.token)],
            |_| Ok(()),
        )
        .optional()?;
    Ok(found.is_some())
}

fn set_stage(on: &Transaction<'_>, study: StudyId, number: u64, to: i64) -> Result<(), Trouble> {
    on.prepare_cached(
        "UPDATE trials SET stage = ?3, token = NULL, worker = NULL, deadline_ms = NULL WHERE study = ?1 AND number = ?2",
    )?
    .execute(params![study.0, number as i64, to])?;
    Ok(())
}

/// Refuses what would be done to a study under the feet of those who work on it.
fn unused(on: &Transaction<'_>, study: StudyId, what: &'static str, now: i64) -> Result<(), Trouble> {
    let select = "SELECT worker, deadline_ms FROM trials INDEXED BY trials_reserved WHERE study = ?1 AND stage = 0 \
                  UNION ALL SELECT worker, deadline_ms FROM trials INDEXED BY trials_running WHERE study = ?1 AND stage = 2";
    let mut statement = on.prepare_cached(select)?;
    let mut rows = statement.query([study.0])?;
    while let Some(row) = rows.next()? {
        let holder: Worker = parse("trials.worker", &row.get::<_, String>(0)?)?;
        if at_work(holder.as_holder(row.get(1)?, now)) {
            return Err(StorageError::InUse(what).into());
        }
    }
    Ok(())
}

impl Storage for Sqlite {
    fn create(&self, spec: &StudySpec) -> Result<StudyId, StorageError> {
        self.write(|on, now| add(on, spec, now, 0))
    }

    fn studies(&self) -> Result<Vec<StudyEntry>, StorageError> {
        self.read(|on| {
            let mut statement = on.prepare_cached("SELECT id, spec, created_ms FROM studies ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
            rows.map(|row| {
                let (id, spec, created_ms) = row?;
                Ok(StudyEntry { id: StudyId(id), spec: parse("studies.spec", &spec)?, created_ms })
            })
            .collect()
        })
    }

    fn reserve(&self, study: StudyId, by: &Worker) -> Result<u64, StorageError> {
        self.write(|on, now| self.reserve_in(on, study, by, now))
    }

    fn next_free(&self, study: StudyId) -> Result<u64, StorageError> {
        let now = self.clock.now_ms();
        self.read(|on| {
            if let Some(number) = self.lost_number(on, study, now)? {
                return Ok(number as u64);
            }
            let select = "SELECT next FROM studies WHERE id = ?1";
            let next: Option<i64> = on.prepare_cached(select)?.query_row([study.0], |row| row.get(0)).optional()?;
            Ok(next.ok_or(StorageError::NoStudy(study))? as u64)
        })
    }

    fn give_back(&self, study: StudyId, number: u64, by: &Worker) -> Result<(), StorageError> {
        self.write(|on, _| {
            let update =
                "UPDATE trials SET worker = ?4 WHERE study = ?1 AND number = ?2 AND stage = ?3 AND worker = ?5";
            on.execute(update, params![study.0, number as i64, stage::RESERVED, text(&Worker::nobody())?, text(by)?])?;
            Ok(())
        })
    }

    fn open(
        &self,
        study: StudyId,
        number: u64,
        opened: &Opened,
        by: &Worker,
        fresh: bool,
    ) -> Result<Begun, StorageError> {
        let (holder, opened_text) = (text(by)?, text(opened)?);
        self.write(|on, now| {
            if fresh && asked_since(on, study, opened)? {
                return Ok(Begun::Asked);
            }
            let take_new = "UPDATE studies SET next = next + 1 WHERE id = ?1 AND next = ?2";
            let is_new = on.prepare_cached(take_new)?.execute([study.0, number as i64])? > 0;
            if !is_new && !is_free_for(on, study, number, &holder, now)? {
                return self.reserve_in(on, study, by, now).map(Begun::Reserved);
            }
            let token = token();
            let begin = "INSERT INTO trials (study, number, stage, attempt, token, worker, deadline_ms, opened) \
                         VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET stage = excluded.stage, \
                         attempt = attempt + 1, token = excluded.token, worker = excluded.worker, \
                         deadline_ms = excluded.deadline_ms, opened = excluded.opened RETURNING attempt";
            let fence = format!("{token:x}");
            let attempt = on.prepare_cached(begin)?.query_row(
                params![study.0, number as i64, stage::RUNNING, fence, holder, now + LEASE_MS, opened_text],
                |row| row.get(0),
            )?;
            log(on, study, Some(number), now, &Change::Opened(opened.clone()))?;
            Ok(Begun::Running(Lease { study, number, attempt, token }))
        })
    }

    fn enqueue(&self, study: StudyId, opened: &Opened) -> Result<u64, StorageError> {
        self.write(|on, now| {
            let number = next_number(on, study)?;
            on.prepare_cached("INSERT INTO trials (study, number, stage, attempt, opened) VALUES (?1, ?2, ?3, 0, ?4)")?
                .execute(params![study.0, number, stage::WAITING, text(opened)?])?;
            log(on, study, Some(number as u64), now, &Change::Queued(opened.clone()))?;
            Ok(number as u64)
        })
    }

    fn claim(&self, study: StudyId, by: &Worker) -> Result<Option<Claimed>, StorageError> {
        let waiting = "SELECT number, opened FROM trials INDEXED BY trials_waiting WHERE study = ?1 AND stage = 1 \
                       ORDER BY number LIMIT 1";
        // Looked for without the write lock first: most asks find nothing waiting.
        let any = self.read(|on| Ok(on.prepare_cached(waiting)?.query_row([study.0], |_| Ok(())).optional()?))?;
        if any.is_none() {
            return self.exists(study).map(|()| None);
        }
        self.write(|on, now| {
            let row: Option<(i64, String)> =
                on.prepare_cached(waiting)?.query_row([study.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((number, opened)) = row else { return Ok(None) };
            let opened: Opened = parse("trials.opened", &opened)?;
            let lease = run(on, study, number, by, now)?;
            log(on, study, Some(lease.number), now, &Change::Claimed { attempt: lease.attempt })?;
            Ok(Some(Claimed { lease, opened }))
        })
    }

    fn answer(&self, lease: &Lease, late: &[(Name, Domain, Value)]) -> Result<(), StorageError> {
        self.write(|on, now| {
            if !holds(on, lease)? {
                return Ok(());
            }
            let key = params![lease.study.0, lease.number as i64];
            let opened: String =
                on.query_row("SELECT opened FROM trials WHERE study = ?1 AND number = ?2", key, |row| row.get(0))?;
            let mut opened: Opened = parse("trials.opened", &opened)?;
            for (name, _, value) in late {
                opened.config.set(name.clone(), value.clone());
            }
            on.execute(
                "UPDATE trials SET opened = ?3 WHERE study = ?1 AND number = ?2",
                params![lease.study.0, lease.number as i64, text(&opened)?],
            )?;
            log(on, lease.study, Some(lease.number), now, &Change::Answered(late.to_vec()))
        })
    }

    fn report(&self, lease: &Lease, points: &[Point]) -> Result<(), StorageError> {
        self.write(|on, now| match holds(on, lease)? {
            true => log(on, lease.study, Some(lease.number), now, &Change::Reported(points.to_vec())),
            false => Ok(()),
        })
    }

    fn finish(&self, lease: &Lease, end: &End) -> Result<Ended, StorageError> {
        self.write(|on, now| {
            let (change, ended) = match holds(on, lease)? {
                true => (Change::Ended(end.clone()), Ended::Counted),
                false => (Change::Late(end.clone()), Ended::Late),
            };
            if ended == Ended::Counted {
                set_stage(on, lease.study, lease.number, stage::ENDED)?;
            }
            log(on, lease.study, Some(lease.number), now, &change)?;
            Ok(ended)
        })
    }

    fn release(&self, lease: &Lease) -> Result<(), StorageError> {
        self.write(|on, now| {
            if holds(on, lease)? {
                set_stage(on, lease.study, lease.number, stage::WAITING)?;
                on.execute(
                    "UPDATE trials SET attempt = attempt - 1 WHERE study = ?1 AND number = ?2",
                    params![lease.study.0, lease.number as i64],
                )?;
                log(on, lease.study, Some(lease.number), now, &Change::Requeued)?;
            }
            Ok(())
        })
    }

    fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, StorageError> {
        self.write(|on, now| {
            let mut valid = Vec::with_capacity(leases.len());
            for lease in leases {
                let held = holds(on, lease)?;
                if held {
                    on.prepare_cached("UPDATE trials SET deadline_ms = ?3 WHERE study = ?1 AND number = ?2")?
                        .execute(params![lease.study.0, lease.number as i64, now + LEASE_MS])?;
                }
                valid.push(held);
            }
            Ok(valid)
        })
    }

    fn reap(&self, study: StudyId, retry: Retry) -> Result<Vec<u64>, StorageError> {
        // Looked for without the write lock first: workers that wait look often.
        if !self.held(study)?.iter().any(Held::is_stale) {
            return self.exists(study).map(|()| Vec::new());
        }
        self.write(|on, now| {
            let select = "SELECT number, attempt, worker, deadline_ms FROM trials INDEXED BY trials_running \
                 WHERE study = ?1 AND stage = 2 ORDER BY number";
            let running: Vec<(i64, u32, String, i64)> = on
                .prepare_cached(select)?
                .query_map([study.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<Result<_, _>>()?;
            let mut lost = Vec::new();
            for (number, attempt, holder, deadline_ms) in running {
                if is_lost(&holder, deadline_ms, now)? {
                    let change = after_loss(attempt, retry);
                    let to = if matches!(change, Change::Requeued) { stage::WAITING } else { stage::ENDED };
                    set_stage(on, study, number as u64, to)?;
                    log(on, study, Some(number as u64), now, &change)?;
                    lost.push(number as u64);
                }
            }
            Ok(lost)
        })
    }

    fn held(&self, study: StudyId) -> Result<Vec<Held>, StorageError> {
        let now = self.clock.now_ms();
        self.read(|on| {
            let select = "SELECT number, stage, worker, deadline_ms FROM trials INDEXED BY trials_reserved \
                          WHERE study = ?1 AND stage = 0 \
                          UNION ALL SELECT number, stage, worker, deadline_ms FROM trials INDEXED BY trials_running \
                          WHERE study = ?1 AND stage = 2 ORDER BY number";
            let mut statement = on.prepare_cached(select)?;
            let mut rows = statement.query([study.0])?;
            let mut held = Vec::new();
            while let Some(row) = rows.next()? {
                let holder: Worker = parse("trials.worker", &row.get::<_, String>(2)?)?;
                if !holder.is_nobody() {
                    let running = row.get::<_, i64>(1)? == stage::RUNNING;
                    let by = holder.as_holder(row.get(3)?, now);
                    held.push(Held { number: row.get::<_, i64>(0)? as u64, running, by });
                }
            }
            Ok(held)
        })
    }

    fn entrust(&self, lease: &Lease) -> Result<bool, StorageError> {
        self.write(|on, _| {
            let held = holds(on, lease)?;
            if held {
                let update = "UPDATE trials SET worker = ?3 WHERE study = ?1 AND number = ?2";
                on.execute(update, params![lease.study.0, lease.number as i64, text(&Worker::by_hand())?])?;
            }
            Ok(held)
        })
    }

    fn entrusted(&self, study: StudyId, number: u64) -> Result<Option<Lease>, StorageError> {
        self.read(|on| {
            let select = "SELECT attempt, token FROM trials \
                          WHERE study = ?1 AND number = ?2 AND stage = ?3 AND worker = ?4";
            let held: Option<(u32, String)> = on
                .prepare_cached(select)?
                .query_row(params![study.0, number as i64, stage::RUNNING, text(&Worker::by_hand())?], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((attempt, token)) = held else { return Ok(None) };
            let token = u128::from_str_radix(&token, 16)
                .map_err(|why| StorageError::Corrupt { what: "trials.token", why: why.to_string() })?;
            Ok(Some(Lease { study, number, attempt, token }))
        })
    }

    fn want_trials(&self, study: StudyId, trials: u64) -> Result<(), StorageError> {
        self.write(|on, now| log(on, study, None, now, &Change::TrialsWanted(trials)))
    }

    fn change_space(&self, study: StudyId, outline: &Outline, with: &[Amendment]) -> Result<(), StorageError> {
        self.write(|on, now| {
            log(on, study, None, now, &Change::SpaceChanged(outline.clone()))?;
            with.iter().try_for_each(|what| log(on, study, None, now, &Change::Amended(what.clone())))
        })
    }

    fn amend(&self, study: StudyId, number: Option<u64>, what: &Amendment) -> Result<(), StorageError> {
        self.write(|on, now| log(on, study, number, now, &Change::Amended(what.clone())))
    }

    fn retry(&self, study: StudyId, number: u64) -> Result<bool, StorageError> {
        self.exists(study)?;
        self.write(|on, now| {
            let key = params![study.0, number as i64, stage::ENDED];
            let ended = on
                .prepare_cached("SELECT 1 FROM trials WHERE study = ?1 AND number = ?2 AND stage = ?3")?
                .exists(key)?;
            let select = "SELECT change FROM events WHERE study = ?1 AND number = ?2 ORDER BY revision DESC";
            let mut statement = on.prepare_cached(select)?;
            let mut changes = statement.query(params![study.0, number as i64])?;
            let mut end = None;
            while let (true, None, Some(row)) = (ended, end, changes.next()?) {
                if let Change::Ended(ended) =
                    parse("events.change", row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?
                {
                    end = Some(ended.state);
                }
            }
            if end.is_none_or(|end| end == EndState::Complete) {
                return Ok(false);
            }
            set_stage(on, study, number, stage::WAITING)?;
            on.execute(
                "UPDATE trials SET attempt = 0 WHERE study = ?1 AND number = ?2",
                params![study.0, number as i64],
            )?;
            log(on, study, Some(number), now, &Change::Requeued)?;
            Ok(true)
        })
    }

    fn rename(&self, study: StudyId, name: &str) -> Result<(), StorageError> {
        self.write(|on, now| {
            let spec: Option<String> =
                on.query_row("SELECT spec FROM studies WHERE id = ?1", [study.0], |row| row.get(0)).optional()?;
            let spec = spec.ok_or(StorageError::NoStudy(study))?;
            unused(on, study, "renamed", now)?;
            let spec = StudySpec { name: name.to_owned(), ..parse("studies.spec", &spec)? };
            let update = "UPDATE OR IGNORE studies SET name = ?2, spec = ?3 WHERE id = ?1";
            if on.execute(update, params![study.0, name, text(&spec)?])? == 0 {
                return Err(StorageError::NameTaken(name.to_owned()).into());
            }
            log(on, study, None, now, &Change::Renamed(name.to_owned()))
        })
    }

    fn delete(&self, study: StudyId) -> Result<(), StorageError> {
        self.write(|on, now| {
            unused(on, study, "deleted", now)?;
            on.execute("DELETE FROM events WHERE study = ?1", [study.0])?;
            on.execute("DELETE FROM trials WHERE study = ?1", [study.0])?;
            match on.execute("DELETE FROM studies WHERE id = ?1", [study.0])? {
                0 => Err(StorageError::NoStudy(study).into()),
                _ => Ok(()),
            }
        })
    }

    fn adopt(&self, spec: &StudySpec, created_ms: i64, events: &[Event]) -> Result<StudyId, StorageError> {
        let Adopted { events, numbers, next } = Adopted::new(events);
        self.write(|on, _| {
            let study = add(on, spec, created_ms, next)?;
            for event in &events {
                log(on, study, event.number, event.at_ms, &event.change)?;
            }
            let nobody = text(&Worker::nobody())?;
            let mut place = on.prepare_cached(
                "INSERT INTO trials (study, number, stage, attempt, worker, deadline_ms, opened) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for (number, standing) in &numbers {
                let number = *number as i64;
                let nothing: Option<&str> = None;
                match standing {
                    Standing::Free => {
                        place.execute(params![study.0, number, stage::RESERVED, 0, nobody, 0, nothing])?
                    }
                    Standing::Waiting(opened) => {
                        place.execute(params![study.0, number, stage::WAITING, 0, nothing, nothing, text(opened)?])?
                    }
                    Standing::Ended(opened, attempt) => place.execute(params![
                        study.0,
                        number,
                        stage::ENDED,
                        attempt,
                        nothing,
                        nothing,
                        text(opened)?
                    ])?,
                };
            }
            Ok(study)
        })
    }

    fn changes(&self, study: StudyId, since: u64, limit: usize) -> Result<Changes, StorageError> {
        self.read(|on| {
            let select = "SELECT revision, number, at_ms, change FROM events \
                          WHERE study = ?1 AND revision > ?2 ORDER BY revision LIMIT ?3";
            let mut statement = on.prepare_cached(select)?;
            let limit_and_one = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let since = i64::try_from(since).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![study.0, since, limit_and_one])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(event(row)?);
            }
            let more = events.len() > limit;
            events.truncate(limit);
            Ok(Changes { events, more })
        })
        .and_then(|changes| match changes.events.is_empty() {
            true => self.exists(study).map(|()| changes),
            false => Ok(changes),
        })
    }
}
