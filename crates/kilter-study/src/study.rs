//! Studies as a front end holds them: ask, tell, look.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kilter_meter::Usage;
use kilter_numerics::Stream;
use kilter_space::{Answered, Config, Defaults, Fit, Outline, Random, Space, SpaceError, replay};

use crate::devices::DeviceError;
use crate::duplicates::{self, Duplicates, Questions, TRIES, Unasked};
use crate::event::{Amendment, End, Event, Opened, Point};
use crate::goal::Goal;
use crate::history::{History, State};
use crate::live::Live;
use crate::order::InOrder;
use crate::pruner::{Pruner, Running, Verdict};
use crate::repeats;
use crate::run::Why;
use crate::sampler::{Ask, Next, Note, Sampler, SearchError, used_up};
use crate::storage::{Begun, Claimed, Ended, Lease, Storage, StorageError, StudyId, StudySpec, Worker};

/// A study, its sampler and its pruner. Several processes may hold the same study.
pub struct Study {
    storage: Arc<dyn Storage>,
    id: StudyId,
    spec: Arc<StudySpec>,
    worker: Worker,
    sampler: Box<dyn Sampler>,
    history: History,
    order: Option<InOrder>,
    /// What the sampler knows to have been asked.
    questions: Questions,
    judge: Arc<Mutex<Judge>>,
    /// The newest trial that began here.
    newest: Option<u64>,
    /// Since when this process runs trials, and for how many seconds the study had run before.
    sitting: Option<(Instant, f64)>,
}

/// A trial in this process's hands.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The right to end it.
    pub lease: Lease,
    /// Its answers, and how it is to be run.
    pub opened: Opened,
}

impl Trial {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.lease.number
    }

    /// Its answers.
    pub fn config(&self) -> &Config {
        &self.opened.config
    }
}

/// What an ask comes to.
#[derive(Debug)]
pub enum Asked<T = Trial> {
    /// A trial to run.
    Trial(T),
    /// Nothing until a running trial ends.
    Wait,
    /// Nothing more, and why.
    Done(String),
}

/// Why a study cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The storage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The sampler.
    #[error("the sampler `{sampler}` cannot go on: {why}")]
    Search {
        /// The sampler as written.
        sampler: String,
        /// Why.
        why: Box<SearchError>,
    },
    /// The devices.
    #[error(transparent)]
    Devices(#[from] DeviceError),
    /// The space.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// What it runs was changed under way to something that cannot be run here.
    #[error("the study was changed while it ran, and cannot go on here: {0}")]
    Changed(String),
    /// A configuration does not fit the space.
    #[error("this configuration does not fit the study's space: {0}")]
    Unfit(String),
    /// A trial that nobody asked for by hand, or that has ended since.
    #[error("trial {number} does not wait for an answer: {why}")]
    NotAsked {
        /// The trial.
        number: u64,
        /// What it is instead.
        why: String,
    },
    /// A trial that no sampler proposed.
    #[error("trial {number} cannot be computed again: {why}")]
    NotProposed {
        /// The trial.
        number: u64,
        /// Where it came from instead.
        why: String,
    },
    /// No such study in the storage.
    #[error("there is no study `{name}` here{}", .nearest.as_ref().map_or(String::new(), |n| format!("; did you mean `{n}`?")))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest name.
        nearest: Option<String>,
    },
}

/// Judges running trials; shared by the threads that run them, with a view of the history of its own, so that a slow
/// ask holds up no verdict.
pub(crate) struct Judge {
    storage: Arc<dyn Storage>,
    id: StudyId,
    spec: StudySpec,
    pruner: Box<dyn Pruner>,
    history: History,
}

/// Events are read in pages of this many.
const PAGE: usize = 10_000;

/// Brings `history` up to date, or to revision `until`, and shows each page to `observe`.
pub(crate) fn follow(
    storage: &dyn Storage,
    id: StudyId,
    history: &mut History,
    until: u64,
    mut observe: impl FnMut(&[Event], &History),
) -> Result<(), StorageError> {
    loop {
        let left = usize::try_from(until - history.revision()).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(());
        }
        let changes = storage.changes(id, history.revision(), PAGE.min(left))?;
        for event in &changes.events {
            history.apply(event);
        }
        if !changes.events.is_empty() {
            observe(&changes.events, history);
        }
        if !changes.more {
            return Ok(());
        }
    }
}

impl Judge {
    /// What the pruner says of a running trial.
    pub(crate) fn verdict(&mut self, number: u64, points: &[Point]) -> Result<Verdict, StorageError> {
        let Self { storage, id, pruner, history, .. } = self;
        follow(&**storage, *id, history, u64::MAX, |events, history| pruner.observe(events, history))?;
        Ok(pruner.verdict(&Running { number, goals: &self.spec.goals, points }, history))
    }

    /// Why a trial with these repeats so far needs no further one, if it has lost the race.
    pub(crate) fn race(&mut self, goal: &Goal, so_far: &[f64]) -> Result<Option<Why>, StorageError> {
        let Self { storage, id, pruner, history, .. } = self;
        follow(&**storage, *id, history, u64::MAX, |events, history| pruner.observe(events, history))?;
        Ok(history.race(goal, so_far))
    }

    pub(crate) fn is_watching(&self) -> bool {
        self.pruner.is_watching()
    }
}

/// A panic in a pruner leaves at worst a verdict missing.
pub(crate) fn lock(judge: &Mutex<Judge>) -> MutexGuard<'_, Judge> {
    judge.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Study {
    /// Makes a study.
    ///
    /// # Errors
    /// If its name is taken or the storage cannot be used.
    pub fn create(
        storage: Arc<dyn Storage>,
        spec: StudySpec,
        sampler: Box<dyn Sampler>,
        pruner: Box<dyn Pruner>,
    ) -> Result<Self, StudyError> {
        let id = storage.create(&spec)?;
        Self::hold(storage, id, spec, sampler, pruner)
    }

    /// Continues a stored study. Its sampler and pruner are rebuilt from the events.
    ///
    /// # Errors
    /// If the storage cannot be read.
    pub fn hold(
        storage: Arc<dyn Storage>,
        id: StudyId,
        spec: StudySpec,
        sampler: Box<dyn Sampler>,
        pruner: Box<dyn Pruner>,
    ) -> Result<Self, StudyError> {
        let mut study = Self::unread(storage, id, spec, sampler, pruner);
        study.sync()?;
        Ok(study)
    }

    /// A study of whose events nothing is known yet.
    pub(crate) fn unread(
        storage: Arc<dyn Storage>,
        id: StudyId,
        spec: StudySpec,
        sampler: Box<dyn Sampler>,
        pruner: Box<dyn Pruner>,
    ) -> Self {
        let judge = Judge { storage: storage.clone(), id, spec: spec.clone(), pruner, history: History::default() };
        let (judge, history) = (Arc::new(Mutex::new(judge)), History::default());
        let order = spec.conduct.in_order.map(|lag| InOrder::new(lag, spec.outline.clone()));
        let questions = Questions::default();
        let (spec, worker) = (Arc::new(spec), Worker::here());
        Self { storage, id, spec, worker, sampler, history, order, questions, judge, newest: None, sitting: None }
    }

    /// What the study is, with everything that was changed since it was made: its space is the one searched now.
    pub fn spec(&self) -> &StudySpec {
        &self.spec
    }

    pub(crate) fn shared_spec(&self) -> Arc<StudySpec> {
        self.spec.clone()
    }

    /// From now on this process runs trials: the time counts.
    pub(crate) fn sit_down(&mut self) {
        self.sitting = Some((Instant::now(), self.history.busy_seconds()));
    }

    /// For how long trials of the study ran, in seconds, all sittings together.
    pub fn elapsed_seconds(&self) -> f64 {
        match &self.sitting {
            Some((since, before)) => before + since.elapsed().as_secs_f64(),
            None => self.history.busy_seconds(),
        }
    }

    /// Why no trial is to begin any more, if somebody stopped the study or it has had enough.
    pub fn enough(&self) -> Option<String> {
        match self.history.stopped() {
            Some(why) => Some(why.to_owned()),
            None => self.spec.limits.reached(&self.spec, &self.history, self.elapsed_seconds()),
        }
    }

    /// Its key in its storage.
    pub fn id(&self) -> StudyId {
        self.id
    }

    /// Its storage.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// All trials known here; [`Study::sync`] brings them up to date.
    pub fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn judge(&self) -> &Arc<Mutex<Judge>> {
        &self.judge
    }

    /// How many trials are wanted in all.
    pub fn trials_wanted(&self) -> Option<u64> {
        self.history.trials_wanted().or(self.spec.trials)
    }

    /// Takes what is new in the storage.
    ///
    /// # Errors
    /// If the storage cannot be read.
    pub fn sync(&mut self) -> Result<(), StudyError> {
        self.sync_to(u64::MAX)
    }

    /// Takes what there is up to this revision.
    pub(crate) fn sync_to(&mut self, until: u64) -> Result<(), StudyError> {
        let Self { storage, id, history, sampler, order, spec, questions, .. } = self;
        let (mut outline, mut changed, mut trouble) = (spec.outline.clone(), false, None);
        follow(&**storage, *id, history, until, |events, history| {
            for event in events {
                match event.change.carry(&mut outline) {
                    Ok(carried) => changed |= carried,
                    Err(why) => trouble = Some(why),
                }
            }
            match order {
                Some(order) => order.take(events),
                None => {
                    questions.observe(events, history);
                    sampler.observe(events, history);
                }
            }
        })?;
        if let Some(why) = trouble {
            return Err(why.into());
        }
        if changed {
            Arc::make_mut(&mut self.spec).outline = outline;
        }
        self.history.amend_spec(&mut self.spec);
        Ok(())
    }

    /// Adds a trial of this configuration; it runs before anything that the sampler proposes. Gives its number.
    ///
    /// # Errors
    /// If the configuration does not fit the space, or names what the space does not have.
    pub fn enqueue(&mut self, config: &Config) -> Result<u64, StudyError> {
        // A misspelt name must not run as its default. (An outline learnt from trials may lack what is asked later.)
        let complete = self.spec.outline.is_complete();
        for (name, _) in config.answers().iter().filter(|_| complete) {
            self.spec.outline.entry(name.as_str())?;
        }
        let config = match replay(config, &self.spec.outline)? {
            Fit::Whole(_) | Fit::Missing(_) if !complete => config.clone(),
            Fit::Whole(config) => config,
            Fit::Missing(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                return Err(StudyError::Unfit(format!("{} without a value and without a default", names.join(", "))));
            }
            Fit::Outside(answers) => {
                let lines: Vec<String> = answers.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
                return Err(StudyError::Unfit(lines.join("; ")));
            }
        };
        let opened = Opened { config, fingerprint: self.spec.outline.fingerprint(), ..Opened::default() };
        let number = self.storage.enqueue(self.id, &opened)?;
        self.sync()?;
        Ok(number)
    }

    /// Lets trials whose worker died wait again; gives their numbers.
    ///
    /// # Errors
    /// If the storage cannot be used.
    pub fn reap(&mut self) -> Result<Vec<u64>, StudyError> {
        Ok(self.storage.reap(self.id, self.spec.conduct.retry)?)
    }

    /// Asks for the next trial: one that waits, else one that the sampler proposes.
    ///
    /// # Errors
    /// If the storage cannot be used or the sampler cannot propose.
    pub fn ask(&mut self) -> Result<Asked, StudyError> {
        if !self.spec.outline.is_complete() {
            return Err(SpaceError::Unfinished("a trial with all its answers").into());
        }
        Ok(match self.take()? {
            Asked::Trial((trial, _)) => Asked::Trial(trial),
            Asked::Wait => Asked::Wait,
            Asked::Done(why) => Asked::Done(why),
        })
    }

    /// Asks for the next trial, whose questions come while it runs: define-by-run.
    ///
    /// # Errors
    /// As [`Study::ask`].
    pub fn ask_by_run(&mut self) -> Result<Asked<Live>, StudyError> {
        Ok(match self.take()? {
            Asked::Trial((trial, answers)) => Asked::Trial(Live::new(trial, answers, self.storage.clone())),
            Asked::Wait => Asked::Wait,
            Asked::Done(why) => Asked::Done(why),
        })
    }

    /// A trial, and what answers its questions if they come while it runs.
    fn take(&mut self) -> Result<Asked<(Trial, Answered)>, StudyError> {
        self.sync()?;
        if let Some(why) = self.enough() {
            return Ok(Asked::Done(why));
        }
        while self.history.count(State::Waiting) > 0
            && let Some(Claimed { lease, opened }) = self.storage.claim(self.id, &self.worker)?
        {
            if self.copied(&lease, &opened)? {
                continue;
            }
            let rest = Random::new(Stream::new(&[self.spec.seed, lease.number], "unforeseen"));
            let answers = Answered::new(opened.config.clone(), Box::new(rest));
            return Ok(Asked::Trial((Trial { lease, opened }, answers)));
        }
        // Where others ask too, a number is reserved first, so that nobody's sampler works for nothing.
        let alone = self.newest.is_none_or(|newest| self.history.newest() == Some(newest));
        let mut reserved = if alone { None } else { Some(self.storage.reserve(self.id, &self.worker)?) };
        let policy = &self.spec.conduct;
        // What is asked in order must not hang on who is quick.
        let fresh = policy.duplicates == Duplicates::Avoid && policy.in_order.is_none();
        loop {
            let number = match reserved {
                Some(number) => number,
                None => self.storage.next_free(self.id)?,
            };
            let (opened, answers) = match self.propose(number) {
                Ok(Proposed::Opened(opened, answers)) => (opened, *answers),
                other => {
                    if let Some(number) = reserved {
                        self.storage.give_back(self.id, number, &self.worker)?;
                    }
                    return Ok(match other? {
                        Proposed::Opened(..) | Proposed::Wait => Asked::Wait,
                        Proposed::Done(why) => Asked::Done(why),
                    });
                }
            };
            let fresh = fresh && self.spec.outline.is_complete() && duplicates::counts(&opened);
            match self.storage.open(self.id, number, &opened, &self.worker, fresh)? {
                Begun::Running(lease) if self.copied(&lease, &opened)? => reserved = None,
                Begun::Running(lease) => {
                    self.newest = Some(number);
                    return Ok(Asked::Trial((Trial { lease, opened }, answers)));
                }
                Begun::Reserved(number) => reserved = Some(number),
                Begun::Asked => {}
            }
        }
    }

    /// Ends a trial that is a copy with its original's value; tells whether it is one.
    fn copied(&mut self, lease: &Lease, opened: &Opened) -> Result<bool, StudyError> {
        let Some(original) = opened.copy_of.and_then(|number| self.history.get(number)) else { return Ok(false) };
        let Some(end) = original.end.as_ref().filter(|_| original.state == State::Complete) else { return Ok(false) };
        let end = End { usage: Usage::default(), ..end.clone() };
        let points: Vec<Point> = repeats::kept(&original.points);
        if !points.is_empty() {
            self.storage.report(lease, &points)?;
        }
        self.storage.finish(lease, &end)?;
        self.sync()?;
        Ok(true)
    }

    /// Asks as [`Study::ask`] does, for somebody who runs the trial elsewhere: it has no heartbeat and waits for
    /// [`Study::tell_by_hand`] as long as it takes.
    ///
    /// # Errors
    /// As [`Study::ask`].
    pub fn ask_by_hand(&mut self) -> Result<Asked, StudyError> {
        let asked = self.ask()?;
        if let Asked::Trial(trial) = &asked {
            self.storage.entrust(&trial.lease)?;
        }
        Ok(asked)
    }

    /// Ends a trial that was asked by hand, in whichever process.
    ///
    /// # Errors
    /// [`StudyError::NotAsked`] if the trial is not in anybody's hands.
    pub fn tell_by_hand(&mut self, number: u64, end: &End) -> Result<Ended, StudyError> {
        if let Some(lease) = self.storage.entrusted(self.id, number)? {
            let ended = self.storage.finish(&lease, end)?;
            self.sync()?;
            return Ok(ended);
        }
        self.sync()?;
        let why = match self.history.get(number).map(|row| row.state) {
            None => match self.history.rows().next_back() {
                Some(last) => format!("there is none of this number; the last is {}", last.number),
                None => "the study has no trial yet".to_owned(),
            },
            Some(State::Running) => "a worker runs it, and will tell its end itself".to_owned(),
            Some(state) => format!("it is {} already", state.name()),
        };
        Err(StudyError::NotAsked { number, why })
    }

    /// What the sampler proposes for `number`, walked. Outside any transaction: it may take minutes.
    fn propose(&mut self, number: u64) -> Result<Proposed, StudyError> {
        // First, since somebody else may have changed how many are wanted.
        self.sync()?;
        if let Some(wanted) = self.trials_wanted().filter(|wanted| number >= *wanted) {
            return Ok(Proposed::Done(format!("{wanted} trials were wanted")));
        }
        self.compute(number)
    }

    /// What the sampler proposes for `number` from the events known here.
    pub(crate) fn compute(&mut self, number: u64) -> Result<Proposed, StudyError> {
        let Self { sampler, order, questions, .. } = self;
        if let Some(order) = order {
            let in_turn = order.advance(number, |events, history| {
                questions.observe(events, history);
                sampler.observe(events, history);
            })?;
            if !in_turn {
                return Ok(Proposed::Wait);
            }
        }
        let policy = self.spec.conduct.duplicates;
        let mut first = None;
        for again in 0..TRIES {
            let (mut opened, answers) = match self.draw(number, again)? {
                Proposed::Opened(opened, answers) => (opened, answers),
                other => return Ok(other),
            };
            // What a function will ask as it runs, nobody can compare beforehand.
            let is_known = self.searched().is_complete();
            if policy == Duplicates::Allow || !is_known || !duplicates::counts(&opened) {
                return Ok(Proposed::Opened(opened, answers));
            }
            let history = self.order.as_ref().map_or(&self.history, InOrder::history);
            if policy == Duplicates::Reuse {
                opened.copy_of = self.questions.original(&opened.config, opened.fidelity, history);
                let all = match opened.copy_of {
                    Some(_) => self.questions.all_known(self.searched(), history),
                    None => None,
                };
                return Ok(match all {
                    Some(all) => Proposed::Done(used_up(Some(all.into()), "have a value")),
                    None => whole(opened),
                });
            }
            if !self.questions.has(&opened.config, opened.fidelity, history) {
                return Ok(whole(opened));
            }
            first.get_or_insert(opened);
        }
        let Some(opened) = first else { return Ok(Proposed::Wait) };
        // What runs with less than all of the fidelity is the sampler's own plan.
        if opened.fidelity.is_some() {
            return Ok(whole(opened));
        }
        let history = self.order.as_ref().map_or(&self.history, InOrder::history);
        let stream = Stream::new(&[self.spec.seed, number], "unasked");
        Ok(match self.questions.unasked(self.searched(), history, stream) {
            Unasked::One(config) => whole(Opened { config, note: Note::Null, ..opened }),
            Unasked::None(all) => Proposed::Done(used_up(Some(all.into()), "were asked")),
            Unasked::Unknown => whole(opened),
        })
    }

    /// The space that the next proposal is made in.
    fn searched(&self) -> &Outline {
        self.order.as_ref().map_or(&self.spec.outline, InOrder::outline)
    }

    /// The sampler's proposal for `number`, the `again`th other one should one be unwelcome.
    fn draw(&mut self, number: u64, again: u64) -> Result<Proposed, StudyError> {
        let path: &[u64] = if again == 0 { &[self.spec.seed, number] } else { &[self.spec.seed, number, again] };
        let history = self.order.as_ref().map_or(&self.history, InOrder::history);
        let outline = self.order.as_ref().map_or(&self.spec.outline, InOrder::outline);
        let ask = Ask {
            number,
            space: Space { outline, walk: Some(outline) },
            history,
            goals: &self.spec.goals,
            stream: Stream::new(path, "propose"),
            seed: self.spec.seed,
            trials: self.spec.trials,
            duplicates: self.spec.conduct.duplicates,
        };
        let next = self
            .sampler
            .next(&ask)
            .map_err(|why| StudyError::Search { sampler: self.spec.sampler.clone(), why: Box::new(why) })?;
        let proposal = match next {
            Next::Try(proposal) => proposal,
            Next::Wait => return Ok(Proposed::Wait),
            Next::Done(why) => return Ok(Proposed::Done(why)),
        };
        let repeat = match proposal.repeat_of {
            Some(first) => 1 + history.rows().filter(|row| row.opened.repeat_of == Some(first)).count() as u64,
            None => 0,
        };
        let mut repair = Stream::new(path, "repair");
        let (config, answers) = if outline.is_complete() {
            let config = outline.answered(proposal.joint, proposal.rest, &mut repair)?;
            (config.clone(), Answered::new(config, Box::new(Defaults)))
        } else {
            // Nobody knows yet what will be asked.
            (Config::default(), Answered::new(proposal.joint, proposal.rest))
        };
        let opened = Opened {
            config,
            fingerprint: outline.fingerprint(),
            fidelity: proposal.fidelity,
            parent: proposal.parent,
            repeat_of: proposal.repeat_of,
            repeat,
            copy_of: None,
            seen: self.history.revision(),
            note: proposal.note,
        };
        Ok(Proposed::Opened(opened, Box::new(answers)))
    }

    /// Ends a trial.
    ///
    /// # Errors
    /// If the storage cannot be used.
    pub fn tell(&mut self, trial: &Trial, end: &End) -> Result<Ended, StudyError> {
        let ended = self.storage.finish(&trial.lease, end)?;
        self.sync()?;
        Ok(ended)
    }

    /// Changes how many trials are wanted in all.
    ///
    /// # Errors
    /// If the storage cannot be used.
    pub fn want_trials(&mut self, trials: u64) -> Result<(), StudyError> {
        self.storage.want_trials(self.id, trials)?;
        self.sync()
    }

    /// Changes something about the study.
    ///
    /// # Errors
    /// If the storage cannot be used.
    pub fn amend(&mut self, what: &Amendment) -> Result<(), StudyError> {
        self.storage.amend(self.id, None, what)?;
        self.sync()
    }

    /// Changes the space, and what must go with it: what is proposed from now on lies in `outline`. Trials that there are
    /// stay as they are; samplers learn from those answers of theirs that the new space allows.
    ///
    /// # Errors
    /// If the storage cannot be used.
    pub fn change_space(&mut self, outline: &Outline, with: &[Amendment]) -> Result<(), StudyError> {
        self.storage.change_space(self.id, outline, with)?;
        self.sync()
    }
}

/// A proposal all of whose questions are answered.
fn whole(opened: Opened) -> Proposed {
    let answers = Answered::new(opened.config.clone(), Box::new(Defaults));
    Proposed::Opened(opened, Box::new(answers))
}

pub(crate) enum Proposed {
    Opened(Opened, Box<Answered>),
    Wait,
    Done(String),
}
