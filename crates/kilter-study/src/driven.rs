//! Trials that a program drives itself: it asks questions one at a time, reports, is told to stop, and says how it ended.
//! What front ends in other languages hold.
//!
//! ```
//! use std::sync::Arc;
//! use kilter_space::{Ask, Outline};
//! use kilter_study::{Asked, Ending, Flow, Goal, Memory, NoPruner, Study, StudySpec};
//! # use kilter_study::{Ask as AskSampler, Event, History, Next, Proposal, Sampler, SearchError};
//! # struct Random;
//! # impl Sampler for Random {
//! #     fn observe(&mut self, _: &[Event], _: &History) {}
//! #     fn next(&mut self, ask: &AskSampler<'_>) -> Result<Next, SearchError> {
//! #         Ok(Next::Try(Proposal::new(kilter_space::Config::default(), &ask.stream)))
//! #     }
//! # }
//! # let spec = StudySpec {
//! #     name: "driven".to_owned(), outline: Outline::learnt(Vec::new())?, goals: vec![Goal::minimize("loss")],
//! #     sampler: "random".to_owned(), pruner: "none".to_owned(), seed: 0, trials: Some(3),
//! #     conduct: Default::default(), limits: Default::default(), requirements: Vec::new(), plan: Default::default(),
//! # };
//! # let mut study = Study::create(Arc::new(Memory::new()), spec, Box::new(Random), Box::new(NoPruner))?;
//! while let Asked::Trial(mut trial) = study.ask_driven()? {
//!     let rate = trial.float("rate", 0.0, 1.0)?;
//!     let stop = matches!(trial.report(0, &[("loss", rate)]), Flow::Stop(_));
//!     let ending = if stop { Ending::Pruned } else { Ending::Complete([("loss".to_owned(), rate)].into()) };
//!     trial.finish(ending)?;
//! }
//! study.sync()?;
//! assert_eq!(study.history().len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use kilter_meter::{Stopwatch, Usage};
use kilter_space::{Chooser, Config, Halt, Question, Value};

use crate::attempt::StudyPort;
use crate::event::{End, Opened};
use crate::live::Live;
use crate::recipe::Failure;
use crate::run::{Flow, RunPort, Why};
use crate::storage::{Ended, Lease, Storage, StorageError, StudySpec};
use crate::study::{Asked, Study, StudyError};

/// A trial that a program drives itself.
pub struct Driven {
    live: Live,
    port: StudyPort,
    spec: Arc<StudySpec>,
    storage: Arc<dyn Storage>,
    watch: Stopwatch,
}

/// How a program says that its trial ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// With these metrics.
    Complete(BTreeMap<String, f64>),
    /// The program gave it up as hopeless.
    Pruned,
    /// It failed.
    Failed(Failure),
}

impl Ending {
    /// The end of a trial of these answers. `why` is why it had been told to stop, if it was.
    pub fn end(self, spec: &StudySpec, config: &Config, why: Option<Why>, usage: Usage) -> End {
        let by_itself = || Why::Pruned {
            rule: "the program's own".to_owned(),
            comparison: "no pruner had told it to stop".to_owned(),
        };
        match self {
            Self::Complete(metrics) => spec.judged(config, metrics, usage),
            Self::Pruned => End::pruned(why.unwrap_or_else(by_itself), BTreeMap::new(), usage),
            Self::Failed(failure) => End::failed(failure, usage),
        }
    }
}

impl Study {
    /// Asks for the next trial, to be driven by this program.
    ///
    /// # Errors
    /// As [`Study::ask`].
    pub fn ask_driven(&mut self) -> Result<Asked<Driven>, StudyError> {
        Ok(match self.ask_by_run()? {
            Asked::Trial(live) => {
                let storage = self.storage().clone();
                let port = StudyPort::new(storage.clone(), self.judge().clone(), live.lease());
                let spec = self.shared_spec();
                Asked::Trial(Driven { live, port, spec, storage, watch: Stopwatch::start() })
            }
            Asked::Wait => Asked::Wait,
            Asked::Done(why) => Asked::Done(why),
        })
    }
}

impl Driven {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.live.number()
    }

    /// The right to end it.
    pub fn lease(&self) -> Lease {
        self.live.lease()
    }

    /// What the study is, as it was when the trial was asked for.
    pub fn spec(&self) -> &StudySpec {
        &self.spec
    }

    /// How it was opened: what the sampler said of it.
    pub fn opened(&self) -> &Opened {
        self.live.opened()
    }

    /// Its answers: of a declared space all of them, else those asked for so far.
    pub fn config(&self) -> Config {
        self.live.config()
    }

    /// Reports metrics at a step and learns whether to go on.
    pub fn report(&mut self, step: u64, metrics: &[(&str, f64)]) -> Flow {
        self.port.report(step, metrics)
    }

    /// Why it was told to stop, if it was.
    pub fn stopped(&self) -> Option<Why> {
        self.port.stopped()
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the storage cannot be written.
    pub fn finish(self, ending: Ending) -> Result<Ended, StorageError> {
        let Self { live, port, spec, storage, watch } = self;
        let trial = live.close()?;
        let why = port.stopped();
        // With it goes what was reported last.
        drop(port);
        let usage = watch.wall_only();
        let end = ending.end(&spec, &trial.opened.config, why, usage);
        storage.finish(&trial.lease, &end)
    }

    /// Lets it wait for a worker again: its run was interrupted.
    ///
    /// # Errors
    /// If the storage cannot be written.
    pub fn release(self) -> Result<(), StorageError> {
        let Self { live, port, storage, .. } = self;
        let lease = live.close()?.lease;
        drop(port);
        storage.release(&lease)
    }
}

impl Chooser for Driven {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        self.live.choose(question)
    }
}
