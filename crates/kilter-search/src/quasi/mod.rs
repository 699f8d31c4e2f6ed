//! Designs that fill a space more evenly than chance: every trial is a point of a sequence, known beforehand, the same
//! for any number of workers.
//!
//! One coordinate per question: its answer stands at that share of the domain (by the logarithm where that is
//! logarithmic; of what earlier answers leave under constraints). A subset or permutation takes the coordinate as the
//! seed of a draw. Cost: O(questions) per proposal.

pub mod halton;
pub mod latin;
pub mod sobol;

use kilter_space::{Chooser, Config, Halt, Outline, Question, SpaceError, Value, Walk};
use kilter_study::{Ask, Event, History, Next, Proposal, Sampler, SearchError};
use serde::{Deserialize, Serialize};

use crate::turn::Turn;
use halton::Halton;
use latin::Latin;
use sobol::Sobol;

/// A sequence of points of the unit cube.
pub trait Sequence: Send {
    /// Writes the point of this index into `point`, each coordinate in `[0, 1)`.
    fn point(&mut self, index: u64, point: &mut [f64]);
}

/// Hyperparameters of the sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequenceConfig {
    /// Randomise the sequence by the study's seed, so that two seeds are two designs. Default true.
    pub scramble: bool,
}

impl Default for SequenceConfig {
    fn default() -> Self {
        Self { scramble: true }
    }
}

/// Hyperparameters of the Latin hypercube.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LatinConfig {
    /// Points of one hypercube; after them comes another. Default (0): as many as trials were wanted when the study was
    /// made, else 100.
    pub points: u64,
}

/// Which design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// Sobol's sequence.
    Sobol(SequenceConfig),
    /// Halton's sequence.
    Halton(SequenceConfig),
    /// Latin hypercubes.
    Latin(LatinConfig),
}

/// A design as a sampler.
pub struct Designed {
    design: Design,
    turn: Turn,
    /// The sequence, and for how many coordinates it was made.
    sequence: Option<(usize, Box<dyn Sequence>)>,
}

impl Designed {
    /// A sampler that has proposed nothing yet.
    pub fn new(design: Design) -> Self {
        Self { design, turn: Turn::default(), sequence: None }
    }

    fn sequence(&mut self, dimensions: usize, ask: &Ask<'_>) -> &mut dyn Sequence {
        let stale = self.sequence.as_ref().is_none_or(|(of, _)| *of != dimensions);
        let design = self.design;
        let (_, sequence) = match self.sequence.take() {
            Some(made) if !stale => self.sequence.insert(made),
            _ => {
                let seed = |config: SequenceConfig| config.scramble.then_some(ask.seed);
                let made: Box<dyn Sequence> = match design {
                    Design::Sobol(config) => Box::new(Sobol::new(dimensions, seed(config))),
                    Design::Halton(config) => Box::new(Halton::new(dimensions, seed(config))),
                    Design::Latin(LatinConfig { points: 0 }) => {
                        Box::new(Latin::new(ask.trials.unwrap_or(100), ask.seed))
                    }
                    Design::Latin(LatinConfig { points }) => Box::new(Latin::new(points, ask.seed)),
                };
                self.sequence.insert((dimensions, made))
            }
        };
        &mut **sequence
    }
}

impl Sampler for Designed {
    fn observe(&mut self, new: &[Event], _: &History) {
        self.turn.observe(new);
    }

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        let outline = ask.space.outline;
        let mut point = vec![0.0; outline.entries().len()];
        let index = self.turn.of(ask.number);
        self.sequence(point.len(), ask).point(index, &mut point);
        let mut shares = Shares { outline, point: &point, at: 0, joint: Config::default() };
        match outline.walk(&mut shares) {
            // Where the answers so far leave none to the next question, the study repairs them.
            Ok(()) | Err(Halt::Enough | Halt::Refused(SpaceError::NothingLeft { .. })) => {
                Ok(Next::Try(Proposal::new(shares.joint, &ask.stream)))
            }
            Err(Halt::Refused(why)) => Err(why.into()),
        }
    }
}

/// Answers each question at its share.
struct Shares<'a> {
    outline: &'a Outline,
    point: &'a [f64],
    /// The walk is before this entry.
    at: usize,
    joint: Config,
}

impl Chooser for Shares<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let entries = self.outline.entries();
        let is_asked = |at: &usize| std::ptr::eq(&entries[*at].domain, question.domain);
        let at = (self.at..entries.len()).find(is_asked).ok_or(Halt::Enough)?;
        self.at = at + 1;
        let value = question.allowed.at_share(self.point[at]);
        self.joint.push(question.name.clone(), value.clone());
        Ok(value)
    }
}
