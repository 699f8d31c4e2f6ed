//! Which place a proposal has among the proposals: trials that were enqueued by hand take numbers, too, and must not
//! leave holes in a design.

use kilter_study::{Change, Event};

/// The numbers that were taken by hand, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    queued: Vec<u64>,
}

impl Turn {
    pub(crate) fn observe(&mut self, new: &[Event]) {
        for event in new.iter().filter(|event| matches!(event.change, Change::Queued(_))) {
            let Some(number) = event.number else { continue };
            if let Err(at) = self.queued.binary_search(&number) {
                self.queued.insert(at, number);
            }
        }
    }

    /// How many proposals come before this number. Never changes: a number below one that a sampler was asked for is no
    /// longer free to be enqueued.
    pub(crate) fn of(&self, number: u64) -> u64 {
        number - self.queued.partition_point(|&queued| queued < number) as u64
    }
}
