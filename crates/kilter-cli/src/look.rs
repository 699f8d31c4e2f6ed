//! What every verb that looks at a study begins with: the study, its trials, one of them.

use std::sync::Arc;

use kilter_study::storage::{Storage, StudyEntry, StudyId};
use kilter_study::{History, Row};

use crate::args::InStorage;
use crate::fault::Fault;
use crate::place::Place;

/// Everything that happened to a study.
pub fn history(storage: &Arc<dyn Storage>, study: StudyId) -> Result<History, Fault> {
    let mut history = History::default();
    loop {
        let changes = storage.changes(study, history.revision(), 10_000)?;
        for event in &changes.events {
            history.apply(event);
        }
        if !changes.more {
            history.mark_stale(&storage.held(study)?);
            return Ok(history);
        }
    }
}

/// The study asked for, or the newest, and everything that happened to it.
pub fn look_at(study: Option<&str>, at: &InStorage) -> Result<(Place, StudyEntry, History), Fault> {
    let place = Place::open(at)?;
    let entry = place.study(study)?;
    let history = history(&place.storage, entry.id)?;
    Ok((place, entry, history))
}

/// The trial asked for, or the best.
pub fn chosen<'a>(trial: Option<u64>, entry: &StudyEntry, history: &'a History) -> Result<&'a Row, Fault> {
    match trial {
        Some(number) => history.get(number).ok_or_else(|| {
            Fault::call(match history.rows().next_back() {
                Some(last) => {
                    format!("{} has no trial {number}; its trials go from 0 to {}", entry.spec.name, last.number)
                }
                None => format!("{} has no trial yet", entry.spec.name),
            })
        }),
        None => history
            .best(&entry.spec.goals[0])
            .or_else(|| history.rows().next_back())
            .ok_or_else(|| Fault::call(format!("{} has no trial yet", entry.spec.name))),
    }
}
