//! A study in memory as it is pickled: everything that happened to it.

use kilter_study::{Change, Event, Memory, Storage, StorageError, StudyError, StudySpec};

use crate::held::Shared;
use crate::store::lock;

/// Events are read in pages of this many.
const PAGE: usize = 10_000;

/// A study as it is pickled.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Dump {
    pub spec: StudySpec,
    created_ms: i64,
    events: Vec<(Option<u64>, i64, Change)>,
}

impl Dump {
    /// Everything that happened to a study so far.
    pub fn of(shared: &Shared) -> Result<Self, StudyError> {
        let mut study = lock(&shared.study);
        study.sync()?;
        let (mut events, mut since) = (Vec::new(), 0);
        loop {
            let changes = shared.storage.changes(study.id(), since, PAGE)?;
            since = changes.events.last().map_or(since, |event| event.revision);
            events.extend(changes.events.into_iter().map(|event| (event.number, event.at_ms, event.change)));
            if !changes.more {
                break;
            }
        }
        let entries = shared.storage.studies()?;
        let created_ms = entries.iter().find(|entry| entry.id == study.id()).map_or(0, |entry| entry.created_ms);
        Ok(Self { spec: study.spec().clone(), created_ms, events })
    }

    /// The study in a memory of its own, and its name.
    pub fn restore(self) -> Result<(Memory, String), StorageError> {
        let event =
            |(at, (number, at_ms, change)): (usize, _)| Event { revision: at as u64 + 1, number, at_ms, change };
        let events: Vec<Event> = self.events.into_iter().enumerate().map(event).collect();
        let memory = Memory::new();
        memory.adopt(&self.spec, self.created_ms, &events)?;
        Ok((memory, self.spec.name))
    }
}
