//! Random search: every configuration drawn by itself, uniformly over each domain (by its logarithm where it has one).
//!
//! Bergstra and Bengio, *Random Search for Hyper-Parameter Optimization* (2012). It learns nothing, repeats itself
//! exactly for any number of workers, and is the yardstick of everything else. Cost: one draw per question, under
//! constraints what [`Feasible`] says.

use kilter_space::{Config, Feasible};
use kilter_study::{Ask, Event, History, Next, Proposal, Sampler, SearchError};

/// Random search.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomSearch;

impl Sampler for RandomSearch {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        Ok(Next::Try(at_random(ask)?))
    }
}

/// A random proposal. Under constraints it is drawn as a whole, uniformly over the feasible configurations: answers one
/// by one would be feasible too, but not uniform.
pub(crate) fn at_random(ask: &Ask<'_>) -> Result<Proposal, SearchError> {
    let outline = ask.space.outline;
    let joint = match outline.constraints() {
        [] => Config::default(),
        _ => Feasible::new(outline)?.config(&mut ask.stream.child("feasible"))?,
    };
    Ok(Proposal::new(joint, &ask.stream))
}
