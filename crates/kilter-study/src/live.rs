//! Define-by-run: a trial that is asked while it runs, and the space learnt from what trials asked.
//!
//! ```
//! use std::sync::Arc;
//! use kilter_space::{Ask, Outline};
//! use kilter_study::{Asked, End, Goal, Memory, NoPruner, Study, StudySpec, Usage};
//! # use kilter_study::{Ask as AskSampler, Event, History, Next, Proposal, Sampler, SearchError};
//! # struct Random;
//! # impl Sampler for Random {
//! #     fn observe(&mut self, _: &[Event], _: &History) {}
//! #     fn next(&mut self, ask: &AskSampler<'_>) -> Result<Next, SearchError> {
//! #         Ok(Next::Try(Proposal::new(kilter_space::Config::default(), &ask.stream)))
//! #     }
//! # }
//! let goals = vec![Goal::minimize("loss")];
//! let spec = StudySpec {
//!     name: "by run".to_owned(),
//!     outline: Outline::learnt(Vec::new())?, // nothing has been asked yet
//!     goals: goals.clone(),
//!     sampler: "random".to_owned(),
//!     pruner: "none".to_owned(),
//!     seed: 0,
//!     trials: Some(20),
//!     conduct: Default::default(), limits: Default::default(), requirements: Vec::new(),
//!     plan: Default::default(),
//! };
//! let mut study = Study::create(Arc::new(Memory::new()), spec, Box::new(Random), Box::new(NoPruner))?;
//! while let Asked::Trial(mut trial) = study.ask_by_run()? {
//!     let depth = trial.int("depth", 1, 3)?;
//!     let mut loss = 0.0;
//!     for layer in 0..depth {
//!         loss += trial.float(&format!("width{layer}"), 0.0, 1.0)?.powi(2);
//!     }
//!     let trial = trial.close()?;
//!     study.tell(&trial, &End::of([("loss".to_owned(), loss)].into(), &goals, Usage::default()))?;
//! }
//! assert_eq!(study.spec().outline.entries().len(), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use kilter_meter::Usage;
use kilter_space::{Answered, Chooser, Config, Halt, Question, Value, Walk};

use crate::event::{End, Opened};
use crate::recipe::Failure;
use crate::storage::{Lease, Storage, StorageError};
use crate::study::{Asked, Study, StudyError, Trial};

/// A trial whose questions come while it runs. Asked twice, a question has one answer; with another domain it is refused.
pub struct Live {
    trial: Trial,
    answers: Answered,
    storage: Arc<dyn Storage>,
    /// How many answers the storage has, and since when.
    stored: usize,
    stored_at: Instant,
}

/// Answers are stored at most this often.
const EVERY: Duration = Duration::from_millis(100);

impl Live {
    pub(crate) fn new(trial: Trial, answers: Answered, storage: Arc<dyn Storage>) -> Self {
        Self { trial, answers, storage, stored: 0, stored_at: Instant::now() }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.trial.number()
    }

    /// The right to end it.
    pub(crate) fn lease(&self) -> Lease {
        self.trial.lease
    }

    /// How it was opened.
    pub(crate) fn opened(&self) -> &Opened {
        &self.trial.opened
    }

    /// Its answers: those it was opened with, and what was asked since.
    pub(crate) fn config(&self) -> Config {
        let mut config = self.trial.opened.config.clone();
        for (name, _, value) in self.answers.asked() {
            config.set(name.clone(), value.clone());
        }
        config
    }

    /// Stores the answers so far.
    ///
    /// # Errors
    /// If the storage cannot be written.
    pub fn store(&mut self) -> Result<(), StorageError> {
        let new = &self.answers.asked()[self.stored..];
        if !new.is_empty() {
            self.storage.answer(&self.trial.lease, new)?;
            self.stored += new.len();
        }
        self.stored_at = Instant::now();
        Ok(())
    }

    /// The trial with all its answers; no more questions.
    ///
    /// # Errors
    /// If the storage cannot be written.
    pub fn close(mut self) -> Result<Trial, StorageError> {
        self.store()?;
        self.trial.opened.config = self.config();
        Ok(self.trial)
    }
}

impl Chooser for Live {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let value = self.answers.choose(question)?;
        if self.stored_at.elapsed() >= EVERY {
            // A storage in trouble shows itself when the trial is closed.
            let _ = self.store();
        }
        Ok(value)
    }
}

impl Study {
    /// Asks for the next trial of `walk`: of a declared space at once, of a closure by letting it ask.
    pub(crate) fn ask_for(&mut self, walk: &dyn Walk) -> Result<Asked, StudyError> {
        if self.spec().outline.is_complete() {
            return self.ask();
        }
        let mut live = match self.ask_by_run()? {
            Asked::Trial(live) => live,
            Asked::Wait => return Ok(Asked::Wait),
            Asked::Done(why) => return Ok(Asked::Done(why)),
        };
        match walk.walk(&mut live) {
            Ok(()) | Err(Halt::Enough) => Ok(Asked::Trial(live.close()?)),
            Err(Halt::Refused(why)) => {
                let trial = live.close()?;
                self.tell(&trial, &End::failed(Failure::refused(&why), Usage::default()))?;
                Err(why.into())
            }
        }
    }
}
