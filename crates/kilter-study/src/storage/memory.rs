//! Studies in this process's memory: nothing outlives it. Also the model that other storages are tested against.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kilter_space::{Domain, Name, Outline, Value};

use super::adopt::{Adopted, Standing, at_work};
use super::worker::{Clock, SystemClock, Worker, token};
use super::{
    Begun, Changes, Claimed, Ended, Held, Holder, LEASE_MS, Lease, Retry, Storage, StorageError, StudyEntry, StudyId,
    StudySpec,
};
use crate::event::{Amendment, Change, End, EndState, Event, Opened, Point};
use crate::recipe::Failure;

/// Studies in memory.
pub struct Memory {
    /// By key minus one; what was deleted leaves its place.
    studies: Mutex<Vec<Option<Ledger>>>,
    clock: Arc<dyn Clock>,
}

struct Ledger {
    spec: StudySpec,
    created_ms: i64,
    events: Vec<Event>,
    /// The trials that have not ended: every ask looks through them.
    slots: BTreeMap<u64, Slot>,
    /// Those that have; a retry brings one back.
    ended: BTreeMap<u64, Opened>,
    next: u64,
}

struct Slot {
    stage: Stage,
    opened: Opened,
    attempt: u32,
}

enum Stage {
    Reserved { by: Worker, deadline_ms: i64 },
    Waiting,
    Running { by: Worker, token: u128, deadline_ms: i64 },
}

impl Memory {
    /// An empty storage.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty storage with a clock of its own.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { studies: Mutex::default(), clock }
    }

    /// Every method leaves the ledgers whole at each step, so a panicked holder of the lock left nothing broken.
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Ledger>>> {
        self.studies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger<T>(&self, study: StudyId, act: impl FnOnce(&mut Ledger, i64) -> T) -> Result<T, StorageError> {
        let now = self.clock.now_ms();
        let mut studies = self.lock();
        let at = usize::try_from(study.0 - 1).map_err(|_| StorageError::NoStudy(study))?;
        studies.get_mut(at).and_then(Option::as_mut).map(|ledger| act(ledger, now)).ok_or(StorageError::NoStudy(study))
    }
}

impl Memory {
    fn add(&self, ledger: Ledger) -> Result<StudyId, StorageError> {
        let mut studies = self.lock();
        if studies.iter().flatten().any(|other| other.spec.name == ledger.spec.name) {
            return Err(StorageError::NameTaken(ledger.spec.name));
        }
        studies.push(Some(ledger));
        Ok(StudyId(studies.len() as i64))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Ledger {
    fn log(&mut self, number: Option<u64>, at_ms: i64, change: Change) {
        self.events.push(Event { revision: self.events.len() as u64 + 1, number, at_ms, change });
    }

    /// Refuses what would be done to a study under the feet of those who work on it.
    fn unused(&self, what: &'static str, now: i64) -> Result<(), StorageError> {
        let busy = self.slots.values().any(|slot| match &slot.stage {
            Stage::Reserved { by, deadline_ms } | Stage::Running { by, deadline_ms, .. } => {
                at_work(by.as_holder(*deadline_ms, now))
            }
            Stage::Waiting => false,
        });
        if busy { Err(StorageError::InUse(what)) } else { Ok(()) }
    }

    /// The lowest number whose holder died, else a new one.
    fn free(&self, now: i64) -> u64 {
        let lost = |slot: &Slot| match &slot.stage {
            Stage::Reserved { by, deadline_ms } => by.as_holder(*deadline_ms, now) == Holder::Lost,
            _ => false,
        };
        self.slots.iter().find(|(_, slot)| lost(slot)).map_or(self.next, |(number, _)| *number)
    }

    fn reserve(&mut self, by: &Worker, now: i64) -> u64 {
        let number = self.free(now);
        self.next = self.next.max(number + 1);
        let stage = Stage::Reserved { by: by.clone(), deadline_ms: now + LEASE_MS };
        self.slots.insert(number, Slot { stage, opened: Opened::default(), attempt: 0 });
        number
    }

    /// Was this question asked by an event that it was not made from?
    fn asked_since(&self, opened: &Opened) -> bool {
        let from = (opened.seen as usize).min(self.events.len());
        self.events[from..].iter().any(|event| event.change.asks(opened))
    }

    fn end(&mut self, number: u64) {
        if let Some(slot) = self.slots.remove(&number) {
            self.ended.insert(number, slot.opened);
        }
    }

    fn held(&mut self, lease: &Lease) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&lease.number)?;
        match slot.stage {
            Stage::Running { token, .. } if token == lease.token && slot.attempt == lease.attempt => Some(slot),
            _ => None,
        }
    }

    fn run(&mut self, study: StudyId, number: u64, by: &Worker, now: i64) -> Option<Claimed> {
        let slot = self.slots.get_mut(&number)?;
        let token = token();
        slot.attempt += 1;
        slot.stage = Stage::Running { by: by.clone(), token, deadline_ms: now + LEASE_MS };
        let lease = Lease { study, number, attempt: slot.attempt, token };
        Some(Claimed { lease, opened: slot.opened.clone() })
    }
}

impl Storage for Memory {
    fn create(&self, spec: &StudySpec) -> Result<StudyId, StorageError> {
        let created_ms = self.clock.now_ms();
        self.add(Ledger {
            spec: spec.clone(),
            created_ms,
            events: Vec::new(),
            slots: BTreeMap::new(),
            ended: BTreeMap::new(),
            next: 0,
        })
    }

    fn studies(&self) -> Result<Vec<StudyEntry>, StorageError> {
        let entry = |(i, ledger): (usize, &Option<Ledger>)| {
            let Ledger { spec, created_ms, .. } = ledger.as_ref()?;
            Some(StudyEntry { id: StudyId(i as i64 + 1), spec: spec.clone(), created_ms: *created_ms })
        };
        Ok(self.lock().iter().enumerate().filter_map(entry).collect())
    }

    fn reserve(&self, study: StudyId, by: &Worker) -> Result<u64, StorageError> {
        self.ledger(study, |ledger, now| ledger.reserve(by, now))
    }

    fn next_free(&self, study: StudyId) -> Result<u64, StorageError> {
        self.ledger(study, |ledger, now| ledger.free(now))
    }

    fn give_back(&self, study: StudyId, number: u64, by: &Worker) -> Result<(), StorageError> {
        self.ledger(study, |ledger, _| {
            if let Some(Slot { stage: Stage::Reserved { by: holder, .. }, .. }) = ledger.slots.get_mut(&number)
                && holder == by
            {
                *holder = Worker::nobody();
            }
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
        self.ledger(study, |ledger, now| {
            if fresh && ledger.asked_since(opened) {
                return Begun::Asked;
            }
            let is_ours = match ledger.slots.get(&number).map(|slot| &slot.stage) {
                Some(Stage::Reserved { by: holder, deadline_ms }) => {
                    holder == by || holder.as_holder(*deadline_ms, now) == Holder::Lost
                }
                _ => number == ledger.next,
            };
            if is_ours {
                ledger.next = ledger.next.max(number + 1);
                let slot = Slot { stage: Stage::Waiting, opened: opened.clone(), attempt: 0 };
                ledger.slots.insert(number, slot);
                if let Some(claimed) = ledger.run(study, number, by, now) {
                    ledger.log(Some(number), now, Change::Opened(claimed.opened));
                    return Begun::Running(claimed.lease);
                }
            }
            Begun::Reserved(ledger.reserve(by, now))
        })
    }

    fn enqueue(&self, study: StudyId, opened: &Opened) -> Result<u64, StorageError> {
        self.ledger(study, |ledger, now| {
            let number = ledger.next;
            ledger.next += 1;
            ledger.slots.insert(number, Slot { stage: Stage::Waiting, opened: opened.clone(), attempt: 0 });
            ledger.log(Some(number), now, Change::Queued(opened.clone()));
            number
        })
    }

    fn claim(&self, study: StudyId, by: &Worker) -> Result<Option<Claimed>, StorageError> {
        self.ledger(study, |ledger, now| {
            let waiting = ledger.slots.iter().find(|(_, slot)| matches!(slot.stage, Stage::Waiting));
            let number = *waiting?.0;
            let claimed = ledger.run(study, number, by, now)?;
            ledger.log(Some(number), now, Change::Claimed { attempt: claimed.lease.attempt });
            Some(claimed)
        })
    }

    fn answer(&self, lease: &Lease, late: &[(Name, Domain, Value)]) -> Result<(), StorageError> {
        self.ledger(lease.study, |ledger, now| {
            if let Some(slot) = ledger.held(lease) {
                for (name, _, value) in late {
                    slot.opened.config.set(name.clone(), value.clone());
                }
                ledger.log(Some(lease.number), now, Change::Answered(late.to_vec()));
            }
        })
    }

    fn report(&self, lease: &Lease, points: &[Point]) -> Result<(), StorageError> {
        self.ledger(lease.study, |ledger, now| {
            if ledger.held(lease).is_some() {
                ledger.log(Some(lease.number), now, Change::Reported(points.to_vec()));
            }
        })
    }

    fn finish(&self, lease: &Lease, end: &End) -> Result<Ended, StorageError> {
        self.ledger(lease.study, |ledger, now| match ledger.held(lease) {
            Some(_) => {
                ledger.end(lease.number);
                ledger.log(Some(lease.number), now, Change::Ended(end.clone()));
                Ended::Counted
            }
            None => {
                ledger.log(Some(lease.number), now, Change::Late(end.clone()));
                Ended::Late
            }
        })
    }

    fn release(&self, lease: &Lease) -> Result<(), StorageError> {
        self.ledger(lease.study, |ledger, now| {
            if let Some(slot) = ledger.held(lease) {
                slot.stage = Stage::Waiting;
                slot.attempt -= 1;
                ledger.log(Some(lease.number), now, Change::Requeued);
            }
        })
    }

    fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, StorageError> {
        let renewed = leases.iter().map(|lease| {
            self.ledger(lease.study, |ledger, now| match ledger.held(lease) {
                Some(Slot { stage: Stage::Running { deadline_ms, .. }, .. }) => {
                    *deadline_ms = now + LEASE_MS;
                    true
                }
                _ => false,
            })
        });
        renewed.collect()
    }

    fn reap(&self, study: StudyId, retry: Retry) -> Result<Vec<u64>, StorageError> {
        self.ledger(study, |ledger, now| {
            let mut lost = Vec::new();
            for (number, slot) in &mut ledger.slots {
                if let Stage::Running { by, deadline_ms, .. } = &slot.stage
                    && by.as_holder(*deadline_ms, now) == Holder::Lost
                {
                    slot.stage = Stage::Waiting;
                    lost.push((*number, slot.attempt));
                }
            }
            for &(number, attempt) in &lost {
                if attempt >= retry.attempts {
                    ledger.end(number);
                }
                ledger.log(Some(number), now, after_loss(attempt, retry));
            }
            lost.into_iter().map(|(number, _)| number).collect()
        })
    }

    fn held(&self, study: StudyId) -> Result<Vec<Held>, StorageError> {
        self.ledger(study, |ledger, now| {
            let held = ledger.slots.iter().filter_map(|(&number, slot)| match &slot.stage {
                Stage::Reserved { by, .. } if by.is_nobody() => None,
                Stage::Reserved { by, deadline_ms } => {
                    Some(Held { number, running: false, by: by.as_holder(*deadline_ms, now) })
                }
                Stage::Running { by, deadline_ms, .. } => {
                    Some(Held { number, running: true, by: by.as_holder(*deadline_ms, now) })
                }
                Stage::Waiting => None,
            });
            held.collect()
        })
    }

    fn entrust(&self, lease: &Lease) -> Result<bool, StorageError> {
        self.ledger(lease.study, |ledger, _| match ledger.held(lease) {
            Some(Slot { stage: Stage::Running { by, .. }, .. }) => {
                *by = Worker::by_hand();
                true
            }
            _ => false,
        })
    }

    fn entrusted(&self, study: StudyId, number: u64) -> Result<Option<Lease>, StorageError> {
        self.ledger(study, |ledger, _| match ledger.slots.get(&number)? {
            Slot { stage: Stage::Running { by, token, .. }, attempt, .. } if *by == Worker::by_hand() => {
                Some(Lease { study, number, attempt: *attempt, token: *token })
            }
            _ => None,
        })
    }

    fn want_trials(&self, study: StudyId, trials: u64) -> Result<(), StorageError> {
        self.ledger(study, |ledger, now| ledger.log(None, now, Change::TrialsWanted(trials)))
    }

    fn change_space(&self, study: StudyId, outline: &Outline, with: &[Amendment]) -> Result<(), StorageError> {
        self.ledger(study, |ledger, now| {
            ledger.log(None, now, Change::SpaceChanged(outline.clone()));
            with.iter().for_each(|what| ledger.log(None, now, Change::Amended(what.clone())));
        })
    }

    fn amend(&self, study: StudyId, number: Option<u64>, what: &Amendment) -> Result<(), StorageError> {
        self.ledger(study, |ledger, now| ledger.log(number, now, Change::Amended(what.clone())))
    }

    fn retry(&self, study: StudyId, number: u64) -> Result<bool, StorageError> {
        self.ledger(study, |ledger, now| {
            let end = ledger.events.iter().rev().find_map(|event| match &event.change {
                Change::Ended(end) if event.number == Some(number) => Some(end.state),
                _ => None,
            });
            let again = if end == Some(EndState::Complete) { None } else { ledger.ended.remove(&number) };
            let Some(opened) = again else { return false };
            ledger.slots.insert(number, Slot { stage: Stage::Waiting, opened, attempt: 0 });
            ledger.log(Some(number), now, Change::Requeued);
            true
        })
    }

    fn rename(&self, study: StudyId, name: &str) -> Result<(), StorageError> {
        let taken = |entry: &StudyEntry| entry.spec.name == name && entry.id != study;
        if self.studies()?.iter().any(taken) {
            return Err(StorageError::NameTaken(name.to_owned()));
        }
        self.ledger(study, |ledger, now| {
            ledger.unused("renamed", now)?;
            name.clone_into(&mut ledger.spec.name);
            ledger.log(None, now, Change::Renamed(name.to_owned()));
            Ok(())
        })?
    }

    fn delete(&self, study: StudyId) -> Result<(), StorageError> {
        self.ledger(study, |ledger, now| ledger.unused("deleted", now))??;
        let at = usize::try_from(study.0 - 1).map_err(|_| StorageError::NoStudy(study))?;
        self.lock()[at] = None;
        Ok(())
    }

    fn adopt(&self, spec: &StudySpec, created_ms: i64, events: &[Event]) -> Result<StudyId, StorageError> {
        let Adopted { events, numbers, next } = Adopted::new(events);
        let (mut slots, mut ended) = (BTreeMap::new(), BTreeMap::new());
        for (number, standing) in numbers {
            let (stage, opened) = match standing {
                Standing::Free => (Stage::Reserved { by: Worker::nobody(), deadline_ms: 0 }, Opened::default()),
                Standing::Waiting(opened) => (Stage::Waiting, opened),
                Standing::Ended(opened, _) => {
                    ended.insert(number, opened);
                    continue;
                }
            };
            slots.insert(number, Slot { stage, opened, attempt: 0 });
        }
        self.add(Ledger { spec: spec.clone(), created_ms, events, slots, ended, next })
    }

    fn changes(&self, study: StudyId, since: u64, limit: usize) -> Result<Changes, StorageError> {
        self.ledger(study, |ledger, _| {
            let from = (since as usize).min(ledger.events.len());
            let to = from.saturating_add(limit).min(ledger.events.len());
            Changes { events: ledger.events[from..to].to_vec(), more: to < ledger.events.len() }
        })
    }
}

/// What happens to a trial whose worker died in its `attempt`.
pub(super) fn after_loss(attempt: u32, retry: Retry) -> Change {
    if attempt < retry.attempts {
        Change::Requeued
    } else {
        Change::Ended(End::failed(Failure::WorkerLost { times: attempt }, kilter_meter::Usage::default()))
    }
}
