//! The worker loop: asks, runs trials in threads, tells. (A trial that is a child process has a thread that waits for
//! it.)

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::attempt::Attempt;
use crate::devices::{Devices, Granted};
use crate::history::{History, Row, State};
use crate::recipe::Recipe;
use crate::repeats;
use crate::storage::{Holder, Lease, StorageError, StudySpec};
use crate::study::{Asked, Study, StudyError, Trial};

/// How a study's trials are run.
pub struct Workers {
    /// How many at a time.
    pub count: usize,
    /// How long each may take.
    pub time_limit: Option<Duration>,
    /// Where each trial's own folder is made.
    pub folder: PathBuf,
    /// What each trial has to itself.
    pub devices: Devices,
    /// The user's wish to stop.
    pub interrupt: Interrupt,
}

/// The user's wish to stop, set from a signal handler or another thread. It only ever rises.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Nobody wishes anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The flag itself: 0 go on, 1 finish what runs, 2 stop at once.
    pub fn flag(&self) -> &Arc<AtomicU8> {
        &self.0
    }

    /// Begin no more trials, finish those that run.
    pub fn finish(&self) {
        self.0.fetch_max(1, Ordering::SeqCst);
    }

    /// Stop running trials too; they are run again when the study is resumed.
    pub fn at_once(&self) {
        self.0.fetch_max(2, Ordering::SeqCst);
    }

    /// Is it set at all?
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn is_at_once(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 1
    }
}

/// What an observer of the loop sees.
pub struct Tick<'a> {
    /// All trials.
    pub history: &'a History,
    /// The trial that just ended, if one did.
    pub ended: Option<&'a Row>,
    /// Does the next trial wait for devices that other processes use?
    pub starved: bool,
}

/// What the loop came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Trials that this call ran to their end.
    pub ran: usize,
    /// Did the user stop it?
    pub interrupted: bool,
    /// Why it ended otherwise.
    pub why: String,
}

/// Gives what a study's trials run, from what the study was and what it was changed to; or why that cannot be had here.
pub type Renew<'a> = dyn FnMut(&StudySpec, &StudySpec) -> Result<Arc<dyn Recipe>, String> + 'a;

/// How often the loop looks at the clock and the interrupt while nothing happens.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);

/// How often leases are renewed.
const RENEWAL: Duration = Duration::from_secs(15);

impl Study {
    /// Runs trials of `recipe` until the wanted number is reached, the sampler is done, or the user stops it. Where other
    /// processes run the last ones, it waits for them, and takes over should they die. `watch` sees every end, and a tick
    /// about ten times a second.
    ///
    /// # Errors
    /// If the storage cannot be used or the sampler cannot propose. Running trials are finished first.
    pub fn optimize(
        &mut self,
        recipe: &Arc<dyn Recipe>,
        how: &Workers,
        watch: &mut dyn FnMut(&Tick<'_>),
    ) -> Result<Summary, StudyError> {
        self.optimize_changing(recipe, &mut |_, _| Ok(recipe.clone()), how, watch)
    }

    /// As [`Study::optimize`], for a study whose space or plan somebody may change meanwhile: `renew` is then shown what
    /// the study was and what it is, and gives what its trials run from now on.
    ///
    /// # Errors
    /// As [`Study::optimize`], and [`StudyError::Changed`] with what `renew` says should it give nothing.
    pub fn optimize_changing(
        &mut self,
        recipe: &Arc<dyn Recipe>,
        renew: &mut Renew<'_>,
        how: &Workers,
        watch: &mut dyn FnMut(&Tick<'_>),
    ) -> Result<Summary, StudyError> {
        let (mut recipe, mut made_for) = (recipe.clone(), self.shared_spec());
        let (sender, ends) = channel();
        let mut running: Vec<Lease> = Vec::new();
        let mut summary = Summary { ran: 0, interrupted: false, why: String::new() };
        let (mut trouble, mut starved) = (None, false);
        // At which revision of the log an ask gave nothing, and why, if nothing more will come.
        let (mut idle_at, mut done) = (None, None);
        let (mut renewed, mut synced) = (Instant::now(), Instant::now());
        self.reap()?;
        self.sync()?;
        self.sit_down();
        loop {
            while running.len() < how.count.max(1) && !how.interrupt.is_set() && trouble.is_none() {
                // What it gave nothing at gives nothing again.
                if idle_at == Some(self.history().revision()) {
                    break;
                }
                // Devices first: a trial that is asked for runs at once.
                let devices = match how.devices.take() {
                    Ok(Some(devices)) => devices,
                    Ok(None) => {
                        starved = running.is_empty();
                        break;
                    }
                    Err(why) => {
                        trouble = Some(StudyError::Devices(why));
                        break;
                    }
                };
                starved = false;
                (idle_at, done) = (None, None);
                match self.ask_for(&*recipe) {
                    Ok(Asked::Trial(trial)) => {
                        let spec = self.shared_spec();
                        if spec.plan != made_for.plan || spec.outline.fingerprint() != made_for.outline.fingerprint() {
                            match renew(&made_for, &spec) {
                                Ok(renewed) => (recipe, made_for) = (renewed, spec),
                                Err(why) => {
                                    // It waits for somebody who can run it.
                                    trouble = Some(
                                        self.storage()
                                            .release(&trial.lease)
                                            .map_or_else(StudyError::from, |()| StudyError::Changed(why)),
                                    );
                                    break;
                                }
                            }
                        }
                        running.push(trial.lease);
                        self.start(trial, devices, &recipe, how, &sender);
                    }
                    Ok(Asked::Wait) => idle_at = Some(self.history().revision()),
                    Ok(Asked::Done(why)) => (idle_at, done) = (Some(self.history().revision()), Some(why)),
                    Err(why) => trouble = Some(why),
                }
            }
            if running.is_empty() {
                let over = trouble.is_some() || how.interrupt.is_set();
                let nothing = done.is_some() && (self.enough().is_some() || !self.goes_on_elsewhere()?);
                if over || nothing {
                    break;
                }
            }
            match ends.recv_timeout(HEARTBEAT) {
                Ok((lease, result)) => {
                    running.retain(|held| *held != lease);
                    match result {
                        Ok(counts) => summary.ran += usize::from(counts),
                        Err(why) => trouble = Some(StudyError::Storage(why)),
                    }
                    if trouble.is_none() {
                        trouble = self.sync().err();
                    }
                    let history = self.history();
                    let ended = history.get(lease.number).filter(|row| row.state.is_ended());
                    watch(&Tick { history, ended, starved: false });
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let second = synced.elapsed() > Duration::from_secs(1);
                    if (second || idle_at.is_some()) && trouble.is_none() {
                        trouble = self.sync().err();
                    }
                    if second && idle_at.is_some() && trouble.is_none() {
                        // Somebody may have died: with a trial, which waits again then, or with a number, of which no
                        // event tells.
                        trouble = self.reap().err();
                        idle_at = None;
                    }
                    if second {
                        synced = Instant::now();
                        if self.history().is_stopped_at_once() {
                            how.interrupt.at_once();
                        }
                    }
                    watch(&Tick { history: self.history(), ended: None, starved });
                }
            }
            if renewed.elapsed() > RENEWAL && trouble.is_none() {
                let renewal = self.storage().renew(&running).map_err(StudyError::from);
                trouble = renewal.and_then(|_| self.reap()).err();
                renewed = Instant::now();
            }
        }
        match trouble {
            Some(why) => Err(why),
            None => {
                self.sync()?;
                summary.interrupted = how.interrupt.is_set();
                summary.why = done.unwrap_or_default();
                Ok(summary)
            }
        }
    }

    /// Do other processes run trials of this study, or are there trials that wait for somebody to run them? What is in
    /// a person's hands may take days.
    fn goes_on_elsewhere(&self) -> Result<bool, StudyError> {
        let wanted = self.trials_wanted().unwrap_or(0);
        let held = self.storage().held(self.id())?;
        // What was reserved by somebody who died is given out again, as soon as a look tells that he did.
        let busy = held.iter().any(|held| match held.by {
            Holder::Process | Holder::Lost => held.running || held.number < wanted,
            Holder::Person => false,
        });
        Ok(busy || self.history().count(State::Waiting) > 0)
    }

    /// Runs a trial in a thread of its own, which also stores its end: a slow ask must not hold that up.
    fn start(&self, trial: Trial, devices: Granted, recipe: &Arc<dyn Recipe>, how: &Workers, done: &Sender<Done>) {
        let Trial { lease, opened } = trial;
        let repeats = self.spec().conduct.repeats.unwrap_or(1);
        let row = self.history().get(lease.number).filter(|_| repeats > 1);
        let attempt = Attempt {
            storage: self.storage().clone(),
            judge: self.judge().clone(),
            recipe: recipe.clone(),
            lease,
            spec: self.shared_spec(),
            repeats,
            finished: row.map(|row| repeats::finished(&row.points)).unwrap_or_default(),
            folder: how.folder.join(lease.number.to_string()),
            parent: opened.parent.map(|number| how.folder.join(number.to_string())),
            opened,
            time_limit: how.time_limit,
            devices: Arc::new(devices),
            interrupt: how.interrupt.clone(),
        };
        let done = done.clone();
        std::thread::spawn(move || {
            // With the attempt goes its hold on the storage, before the end is told: a process that then goes must be the
            // last to hold it, to close it well.
            let stored = attempt.carry_out();
            // Nobody listens only if the loop ended by an error of its own.
            let _ = done.send((lease, stored));
        });
    }
}

type Done = (Lease, Result<bool, StorageError>);
