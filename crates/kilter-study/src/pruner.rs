//! Pruners, as a study sees them: whether a running trial is worth its time.

use crate::event::{Event, Point};
use crate::goal::Goal;
use crate::history::History;
use crate::run::Why;

/// Stops hopeless trials.
pub trait Pruner: Send {
    /// Takes what is new, as [`crate::Sampler::observe`].
    fn observe(&mut self, new: &[Event], history: &History);

    /// Judges a trial after each of its reports.
    fn verdict(&mut self, running: &Running<'_>, history: &History) -> Verdict;

    /// Does it judge at all? If not, reports need not wait for it.
    fn is_watching(&self) -> bool {
        true
    }
}

/// A running trial, as its pruner sees it.
pub struct Running<'a> {
    /// Its number.
    pub number: u64,
    /// The study's directions.
    pub goals: &'a [Goal],
    /// All that this attempt has reported, in order; the last of them is new.
    pub points: &'a [Point],
}

/// A pruner's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Stop: the rule and the numbers it compared.
    Stop(Why),
}

/// Stops nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoPruner;

impl Pruner for NoPruner {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn verdict(&mut self, _: &Running<'_>, _: &History) -> Verdict {
        Verdict::Continue
    }

    fn is_watching(&self) -> bool {
        false
    }
}
