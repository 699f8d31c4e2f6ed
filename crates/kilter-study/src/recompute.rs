//! Any proposal once more: it is a function of the study's seed, the trial's number and the events seen, and the log
//! keeps all three.

use std::sync::Arc;

use crate::event::{Change, Opened};
use crate::history::History;
use crate::pruner::NoPruner;
use crate::sampler::Sampler;
use crate::storage::{Storage, StudyEntry};
use crate::study::{Proposed, Study, StudyError, follow};

/// A proposal as it was stored, and as it comes out now.
#[derive(Clone, Debug, PartialEq)]
pub struct Recomputed {
    /// As the log has it.
    pub stored: Opened,
    /// As `sampler` proposes it from the same events.
    pub again: Opened,
}

/// Computes the proposal of trial `number` again, with a `sampler` that has seen nothing yet. Changes nothing.
///
/// # Errors
/// If there is no such trial, or no sampler proposed it, or the storage cannot be read.
pub fn recompute(
    storage: &Arc<dyn Storage>,
    entry: &StudyEntry,
    sampler: Box<dyn Sampler>,
    number: u64,
) -> Result<Recomputed, StudyError> {
    let refused = |why: &str| StudyError::NotProposed { number, why: why.to_owned() };
    let (mut stored, mut queued) = (None, false);
    follow(&**storage, entry.id, &mut History::default(), u64::MAX, |events, _| {
        for event in events.iter().filter(|event| event.number == Some(number)) {
            match &event.change {
                Change::Opened(opened) => stored = Some(opened.clone()),
                Change::Queued(_) => queued = true,
                _ => {}
            }
        }
    })?;
    if queued {
        return Err(refused("it was enqueued, no sampler proposed it"));
    }
    let stored = stored.ok_or_else(|| refused("there is no such trial"))?;
    let mut past = Study::unread(storage.clone(), entry.id, entry.spec.clone(), sampler, Box::new(NoPruner));
    past.sync_to(stored.seen)?;
    match past.compute(number)? {
        Proposed::Opened(again, _) => Ok(Recomputed { stored, again }),
        Proposed::Wait => {
            Err(refused("this sampler would have waited; it is another than the study's, or another version"))
        }
        Proposed::Done(why) => {
            Err(refused(&format!("this sampler would have been done ({why}); it is another version")))
        }
    }
}
