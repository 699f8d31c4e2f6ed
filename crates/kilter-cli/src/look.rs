//! What every verb that looks at a study begins with: the study, its trials, one of them.

use std::sync::Arc;

use kilter_space::Config;
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
    let mut spec = Arc::new(entry.spec);
    history.amend_spec(&mut spec);
    let entry = StudyEntry { spec: Arc::unwrap_or_clone(spec), ..entry };
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
            .front(&entry.spec.goals)
            .into_iter()
            .next()
            .or_else(|| history.rows().next_back())
            .ok_or_else(|| Fault::call(format!("{} has no trial yet", entry.spec.name))),
    }
}

/// The configuration that `STUDY` or `STUDY:TRIAL` names: that trial's, or the best.
pub fn best_or(from: &str, place: &Place) -> Result<Config, Fault> {
    // A study's name may hold a colon itself.
    let whole = place.study(Some(from));
    let (name, trial) = match from.rsplit_once(':') {
        Some((name, trial)) if whole.is_err() => {
            let number = trial.parse().map_err(|_| {
                Fault::call(format!("--from {from:?}: write STUDY or STUDY:TRIAL, for example breast-cancer:17"))
            })?;
            (name, Some(number))
        }
        _ => (from, None),
    };
    let entry = place.study(Some(name))?;
    let history = history(&place.storage, entry.id)?;
    if trial.is_none() && history.front(&entry.spec.goals).is_empty() {
        return Err(Fault::call(format!(
            "--from {from}: no trial of {name} is complete yet; name one, as in {name}:0"
        )));
    }
    Ok(chosen(trial, &entry, &history)?.config().clone())
}
