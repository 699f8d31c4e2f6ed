//! Random search: every configuration drawn by itself, uniformly over each domain (by its logarithm where it has one).
//!
//! Bergstra and Bengio, *Random Search for Hyper-Parameter Optimization* (2012). It learns nothing, repeats itself
//! exactly for any number of workers, and is the yardstick of everything else. Cost: one draw per question.

use kilter_space::Config;
use kilter_study::{Ask, Event, History, Next, Proposal, Sampler, SearchError};

/// Random search.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomSearch;

impl Sampler for RandomSearch {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        Ok(Next::Try(Proposal::new(Config::default(), &ask.stream)))
    }
}
