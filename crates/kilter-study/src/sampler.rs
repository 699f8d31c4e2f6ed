//! Samplers, as a study sees them. A sampler's state is a fold over the events: any process can rebuild it.

use kilter_numerics::Stream;
use kilter_space::{Chooser, Config, Random, Space, SpaceError};

use crate::duplicates::Duplicates;
use crate::event::Event;
use crate::goal::Goal;
use crate::history::History;

/// A small remark that a sampler stores with a proposal and reads back in `observe`.
pub type Note = serde_json::Value;

/// Proposes configurations.
pub trait Sampler: Send {
    /// Takes what is new. The same events in the same order give the same state; how they are cut into calls makes no
    /// difference. `history` already includes them.
    fn observe(&mut self, new: &[Event], history: &History);

    /// Proposes a configuration: a function of the ask alone and of what was observed.
    ///
    /// # Errors
    /// [`SearchError`] if there is nothing that this sampler could ever propose here.
    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError>;
}

/// What a sampler may know when it proposes.
pub struct Ask<'a> {
    /// The trial's number.
    pub number: u64,
    /// The space.
    pub space: Space<'a>,
    /// All trials so far.
    pub history: &'a History,
    /// The study's directions.
    pub goals: &'a [Goal],
    /// This proposal's own randomness.
    pub stream: Stream,
    /// The study's seed, for randomness that all proposals share.
    pub seed: u64,
    /// How many trials the study was made for.
    pub trials: Option<u64>,
    /// What the study does with a question asked before; where it allows them, the sampler need not avoid them either.
    pub duplicates: Duplicates,
}

/// What a sampler answers.
pub enum Next {
    /// Try this.
    Try(Proposal),
    /// Nothing until a running trial reports.
    Wait,
    /// Nothing ever again, and why.
    Done(String),
}

impl Next {
    /// Nothing ever again: every configuration of a finite space was asked, so many if they were counted.
    pub fn used_up(all: Option<u128>) -> Self {
        Self::Done(used_up(all, "were asked"))
    }
}

/// Why a finite space has nothing left. `what` is said of several.
pub(crate) fn used_up(all: Option<u128>, what: &str) -> String {
    match all {
        Some(1) => format!("the space's only configuration {}", what.replace("have", "has").replace("were", "was")),
        Some(all) => format!("all {all} configurations of the space {what}"),
        None => format!("all configurations of the space {what}"),
    }
}

/// A chooser that outlives the ask: answers drawn jointly come first, `rest` answers whatever nobody foresaw.
pub struct Proposal {
    /// Answers drawn jointly. They may be more than the walk asks for; those are dropped.
    pub joint: Config,
    /// Answers everything else.
    pub rest: Box<dyn Chooser + Send>,
    /// With how much of the fidelity to run; nothing: all of it.
    pub fidelity: Option<f64>,
    /// Start from this trial's checkpoint.
    pub parent: Option<u64>,
    /// Ask this trial's question again under other chance.
    pub repeat_of: Option<u64>,
    /// Stored with the trial.
    pub note: Note,
}

impl Proposal {
    /// These answers, and random ones for whatever they leave open.
    pub fn new(joint: Config, stream: &Stream) -> Self {
        let rest = Box::new(Random::new(stream.child("unforeseen")));
        Self { joint, rest, fidelity: None, parent: None, repeat_of: None, note: Note::Null }
    }
}

/// Why a sampler cannot propose.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The space refuses.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The sampler cannot search this space or these goals.
    #[error("{0}")]
    Unsuitable(String),
}

/// Proposes nothing: only enqueued trials run. For studies whose trials are known beforehand, such as the arms of a
/// claim.
#[derive(Clone, Copy, Debug)]
pub struct QueueOnly;

impl Sampler for QueueOnly {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn next(&mut self, _: &Ask<'_>) -> Result<Next, SearchError> {
        Ok(Next::Done("every enqueued trial has run".to_owned()))
    }
}
