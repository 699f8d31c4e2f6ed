//! Histories that a study is born with: copies, and what other programs did.

use std::collections::BTreeMap;

use super::Holder;
use crate::event::{Change, Event, Opened};
use crate::history::{History, State};

/// A history made ready to be stored: events with new revisions, and what stands at each number.
pub(super) struct Adopted {
    pub events: Vec<Event>,
    /// Stage of every number below `next`.
    pub numbers: BTreeMap<u64, Standing>,
    pub next: u64,
}

/// What stands at a number.
pub(super) enum Standing {
    /// Nothing: it is given out as if its holder had died.
    Free,
    /// A trial that waits for a worker.
    Waiting(Opened),
    /// A trial that ended.
    Ended(Opened, u32),
}

impl Adopted {
    pub fn new(events: &[Event]) -> Self {
        let mut history = History::default();
        let mut all: Vec<Event> = Vec::with_capacity(events.len());
        let mut add = |event: Event, history: &mut History| {
            let event = Event { revision: history.revision() + 1, ..event };
            history.apply(&event);
            all.push(event);
        };
        for event in events {
            add(event.clone(), &mut history);
        }
        let at_ms = events.last().map_or(0, |event| event.at_ms);
        let running: Vec<u64> =
            history.rows().filter(|row| row.state == State::Running).map(|row| row.number).collect();
        // Whoever runs them tells the other study.
        for number in running {
            add(Event { revision: 0, number: Some(number), at_ms, change: Change::Requeued }, &mut history);
        }
        let next = history.rows().next_back().map_or(0, |row| row.number + 1);
        let standing = |number| match history.get(number) {
            None => Standing::Free,
            Some(row) if row.state.is_ended() => Standing::Ended(row.opened.clone(), row.attempt),
            Some(row) => Standing::Waiting(row.opened.clone()),
        };
        let numbers = (0..next).map(|number| (number, standing(number))).collect();
        Self { events: all, numbers, next }
    }
}

/// Does a process work on what it holds?
pub(super) fn at_work(by: Holder) -> bool {
    by == Holder::Process
}
