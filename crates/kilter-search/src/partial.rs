//! Some questions fixed, the others searched by any sampler: to look closely at a part of the space, or to repeat a
//! search around a value somebody insists on. `--set` fixes an answer for a whole study, this for as long as the study
//! is continued with it. Cost: that of the other sampler.

use kilter_numerics::Stream;
use kilter_space::{Name, Outline, Space, SpaceError, Value};
use kilter_study::{Ask, Event, History, Next, Proposal, Sampler, SearchError};

/// A sampler in the part of the space where some answers are fixed.
pub struct Partial {
    inner: Box<dyn Sampler>,
    fixed: Vec<(String, Value)>,
    /// The space with the fixed answers, and which space it was made from.
    part: Option<(u64, Outline)>,
}

impl Partial {
    /// `inner`, with these answers fixed.
    pub fn new(inner: Box<dyn Sampler>, fixed: Vec<(String, Value)>) -> Self {
        Self { inner, fixed, part: None }
    }
}

impl Partial {
    /// Where nobody knows yet what will be asked, the fixed answers wait for their questions.
    fn by_run(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        let mut next = self.inner.next(ask)?;
        if let Next::Try(proposal) = &mut next {
            for (name, value) in &self.fixed {
                proposal.joint.set(Name::new(name).map_err(SpaceError::from)?, value.clone());
            }
        }
        Ok(next)
    }
}

impl Sampler for Partial {
    fn observe(&mut self, new: &[Event], history: &History) {
        self.inner.observe(new, history);
    }

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        if !ask.space.outline.is_complete() {
            return self.by_run(ask);
        }
        let fingerprint = ask.space.outline.fingerprint();
        let (_, part) = match self.part.take() {
            Some(part) if part.0 == fingerprint => self.part.insert(part),
            _ => self.part.insert((fingerprint, ask.space.outline.specialise(&self.fixed, &[])?)),
        };
        let stream = ask.stream.clone();
        let within = Ask { space: Space { outline: part, walk: Some(part) }, stream, ..*ask };
        let mut proposal = match self.inner.next(&within)? {
            Next::Try(proposal) => proposal,
            other => return Ok(other),
        };
        // Answered here, so that whatever the proposal leaves open is fixed, too.
        let mut repair: Stream = ask.stream.child("part");
        let Proposal { joint, rest, .. } = Proposal::new(std::mem::take(&mut proposal.joint), &ask.stream);
        let rest = std::mem::replace(&mut proposal.rest, rest);
        proposal.joint = part.answered(joint, rest, &mut repair)?;
        Ok(Next::Try(proposal))
    }
}
