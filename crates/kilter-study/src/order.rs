//! A study in the order of its numbers: what makes a parallel study repeatable.

use std::collections::BTreeMap;

use kilter_space::{Outline, SpaceError};

use crate::event::{Change, Event};
use crate::history::History;
use crate::repeats;

/// The log as it would read had `lag` workers taken turns, each trial as long as every other: trial n opens when trial
/// n - lag ends. Proposals made from it do not depend on how long trials take or who runs them.
pub(crate) struct InOrder {
    lag: u64,
    trials: BTreeMap<u64, Course>,
    spaces: Vec<Event>,
    history: History,
    outline: Outline,
    opened: u64,
    ended: u64,
}

/// What happened to a trial that the sampler does not know of yet. Of several attempts, the one that counts.
#[derive(Default)]
struct Course {
    opened: Option<Event>,
    since: Vec<Event>,
    ended: Option<Event>,
}

impl InOrder {
    pub(crate) fn new(lag: u64, outline: Outline) -> Self {
        let (trials, spaces) = (BTreeMap::new(), Vec::new());
        Self { lag: lag.max(1), trials, spaces, history: History::default(), outline, opened: 0, ended: 0 }
    }

    /// All that the sampler was shown.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The space as far as the sampler was shown: one that is learnt from trials holds what those had asked.
    pub(crate) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Takes events as they came.
    pub(crate) fn take(&mut self, events: &[Event]) {
        for event in events {
            let Some(number) = event.number else {
                if matches!(event.change, Change::SpaceChanged(_)) {
                    self.spaces.push(event.clone());
                }
                continue;
            };
            let course = self.trials.entry(number).or_default();
            match event.change {
                Change::Queued(_) | Change::Opened(_) => course.opened = Some(event.clone()),
                Change::Answered(_) | Change::Reported(_) => course.since.push(event.clone()),
                Change::Requeued => course.since.iter_mut().for_each(|event| {
                    if let Change::Reported(points) = &mut event.change {
                        points.truncate(repeats::still_counts(points));
                    }
                }),
                Change::Ended(_) => course.ended = Some(event.clone()),
                Change::Claimed { .. }
                | Change::Late(_)
                | Change::TrialsWanted(_)
                | Change::SpaceChanged(_)
                | Change::Renamed(_)
                | Change::Amended(_) => {}
            }
        }
    }

    /// Shows the sampler all that trial `number` may know, if it has happened already.
    ///
    /// # Errors
    /// If trials asked what no space can hold.
    pub(crate) fn advance(
        &mut self,
        number: u64,
        mut observe: impl FnMut(&[Event], &History),
    ) -> Result<bool, SpaceError> {
        let until = (number + 1).saturating_sub(self.lag);
        let known = |numbers: std::ops::Range<u64>, is_known: fn(&Course) -> bool| {
            numbers.into_iter().all(|number| self.trials.get(&number).is_some_and(is_known))
        };
        if !known(self.opened..number, |course| course.opened.is_some())
            || !known(self.ended..until, |course| course.ended.is_some())
        {
            return Ok(false);
        }
        let mut next = std::mem::take(&mut self.spaces);
        while self.opened < number {
            if self.opened >= self.lag {
                next.extend(self.end_next());
            }
            next.extend(self.trials.get_mut(&self.opened).and_then(|course| course.opened.take()));
            self.opened += 1;
        }
        while self.ended < until {
            next.extend(self.end_next());
        }
        let before = self.history.revision();
        for (revision, event) in (before + 1..).zip(&mut next) {
            event.revision = revision;
            self.history.apply(event);
            event.change.carry(&mut self.outline)?;
        }
        if !next.is_empty() {
            observe(&next, &self.history);
        }
        Ok(true)
    }

    fn end_next(&mut self) -> Vec<Event> {
        // An end may come before its time only where trials were opened out of turn.
        let course = self.trials.remove(&self.ended).unwrap_or_default();
        self.ended += 1;
        course.since.into_iter().chain(course.ended).collect()
    }
}
