//! The worker loop: asks, runs trials in threads, tells. (A trial that is a child process has a thread that waits for
//! it.)

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kilter_meter::{Stopwatch, Usage};

use crate::devices::{Devices, Granted};
use crate::event::{End, EndState, Point};
use crate::history::{History, Row, State};
use crate::pruner::Verdict;
use crate::recipe::{Failure, Outcome, Recipe};
use crate::run::{Flow, Run, RunPort, Why};
use crate::storage::{Holder, Lease, Storage, StorageError};
use crate::study::{Asked, Judge, Study, StudyError, Trial, lock};

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

    fn is_at_once(&self) -> bool {
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

/// How often the loop looks at the clock and the interrupt while nothing happens.
const HEARTBEAT: Duration = Duration::from_millis(100);

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
                match self.ask_for(&**recipe) {
                    Ok(Asked::Trial(trial)) => {
                        running.push(trial.lease);
                        self.start(trial, devices, recipe, how, &sender);
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
        let busy = held.iter().any(|held| match held.by {
            Holder::Process => held.running || held.number < wanted,
            Holder::Lost => held.running,
            Holder::Person => false,
        });
        Ok(busy || self.history().count(State::Waiting) > 0)
    }

    /// Runs a trial in a thread of its own, which also stores its end: a slow ask must not hold that up.
    fn start(&self, trial: Trial, devices: Granted, recipe: &Arc<dyn Recipe>, how: &Workers, done: &Sender<Done>) {
        let Trial { lease, opened } = trial;
        let storage = self.storage().clone();
        let (recipe, done) = (recipe.clone(), done.clone());
        let spec = self.shared_spec();
        let folder = how.folder.join(lease.number.to_string());
        let parent = opened.parent.map(|number| how.folder.join(number.to_string()));
        let (stopped, thinned) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let port = StudyPort {
            storage: storage.clone(),
            judge: self.judge().clone(),
            lease,
            points: Vec::new(),
            thinning: Thinning::default(),
            unsent: 0,
            sent: Instant::now(),
            stopped: stopped.clone(),
            thinned: thinned.clone(),
            deadline: how.time_limit.map(|limit| (Instant::now() + limit, limit)),
            interrupt: how.interrupt.clone(),
        };
        let mut run = Run::new(Box::new(port), self.spec().seed, lease.number, opened.repeat, folder)
            .with_fidelity(opened.fidelity)
            .with_parent(parent)
            .with_devices(devices);
        std::thread::spawn(move || {
            let watch = Stopwatch::start();
            let result = catch_unwind(AssertUnwindSafe(|| recipe.run(&opened.config, &mut run)));
            let usage = run.usage().unwrap_or_else(|| watch.wall_only());
            let mut remarks = run.remarks().to_vec();
            // The port's last reports are stored when the run is dropped.
            drop(run);
            let result = result.unwrap_or_else(|panic| Err(Failure::Panicked { message: message_of(&*panic) }));
            let why = stopped.lock().ok().and_then(|mut why| why.take());
            remarks.extend(thinned.lock().ok().and_then(|thinned| thinned.clone()));
            let judged = |metrics, usage| spec.judged(&opened.config, metrics, usage);
            let stored = store(&*storage, &lease, judged, result, why, usage, remarks);
            // Before the end is told: a process that then goes must be the last to hold the storage, to close it well.
            drop(storage);
            // Nobody listens only if the loop ended by an error of its own.
            let _ = done.send((lease, stored));
        });
    }
}

type Done = (Lease, Result<bool, StorageError>);

/// Stores how a run ended; tells whether it counts.
fn store(
    storage: &dyn Storage,
    lease: &Lease,
    judged: impl FnOnce(BTreeMap<String, f64>, Usage) -> End,
    result: Result<Outcome, Failure>,
    why: Option<Why>,
    usage: Usage,
    remarks: Vec<String>,
) -> Result<bool, StorageError> {
    let end = match (why, result) {
        // A run that was told to stop may have returned with half of its result: it does not count as whole.
        (Some(Why::Interrupted), _) => {
            storage.release(lease)?;
            return Ok(false);
        }
        // No fault of the trial's, and the next one would fare no better.
        (_, Err(Failure::NoRoom { path })) => {
            let _ = storage.release(lease);
            return Err(StorageError::full(path));
        }
        (Some(Why::TimeLimit { seconds }), _) => End::failed(Failure::TimedOut { seconds }, usage),
        (_, Err(failure @ Failure::Panicked { .. })) => End::failed(failure, usage),
        (Some(why @ Why::Pruned { .. }), result) => {
            let outcome = result.unwrap_or_default();
            let metrics = outcome.metrics.into_iter().filter(|(_, value)| value.is_finite()).collect();
            End {
                state: EndState::Pruned,
                metrics,
                failure: None,
                why: Some(why),
                violations: Vec::new(),
                usage,
                remarks: Vec::new(),
            }
        }
        (None, Ok(outcome)) => judged(outcome.metrics, usage),
        (None, Err(failure)) => End::failed(failure, usage),
    };
    storage.finish(lease, &End { remarks, ..end })?;
    Ok(true)
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The port of a run in this process: reports go to the storage, verdicts come from the judge.
struct StudyPort {
    storage: Arc<dyn Storage>,
    judge: Arc<Mutex<Judge>>,
    lease: Lease,
    points: Vec<Point>,
    thinning: Thinning,
    unsent: usize,
    sent: Instant,
    stopped: Arc<Mutex<Option<Why>>>,
    thinned: Arc<Mutex<Option<String>>>,
    deadline: Option<(Instant, Duration)>,
    interrupt: Interrupt,
}

/// Which of a trial's reports are kept: all of the first ten thousand, every second of the next ten thousand kept, every
/// fourth after that, and so on. A trial that reports for ever takes little more room than one that reports long.
#[derive(Default)]
struct Thinning {
    heard: u64,
    kept: u64,
}

impl Thinning {
    const AT_ONE_PACE: u64 = 10_000;

    /// Is the next report kept?
    fn keeps(&mut self) -> bool {
        let pace = 1 << (self.kept / Self::AT_ONE_PACE).min(63);
        let keeps = self.heard.is_multiple_of(pace);
        self.heard += 1;
        self.kept += u64::from(keeps);
        keeps
    }
}

impl StudyPort {
    /// Stores what was reported since the last time. A storage in trouble shows itself when the trial ends: a report
    /// lost is no trial lost.
    fn send(&mut self) {
        let new = &self.points[self.points.len() - self.unsent..];
        if !new.is_empty() {
            let _ = self.storage.report(&self.lease, new);
            self.unsent = 0;
        }
        self.sent = Instant::now();
    }

    fn stop(&self, why: Why) -> Flow {
        if let Ok(mut stopped) = self.stopped.lock() {
            stopped.get_or_insert(why.clone());
        }
        Flow::Stop(why)
    }
}

impl RunPort for StudyPort {
    fn report(&mut self, step: u64, metrics: &[(&str, f64)]) -> Flow {
        let points = metrics.iter().map(|(metric, value)| Point { step, metric: (*metric).to_owned(), value: *value });
        self.points.extend(points);
        let mut judge = lock(&self.judge);
        let verdict = judge.is_watching().then(|| judge.verdict(self.lease.number, &self.points));
        drop(judge);
        // Judged is every report, whether it is kept or not.
        if self.thinning.keeps() {
            self.unsent += metrics.len();
        } else {
            self.points.truncate(self.points.len() - metrics.len());
        }
        if let Some(Ok(Verdict::Stop(why))) = verdict {
            return self.stop(why);
        }
        // Ten thousand reports a second are no ten thousand transactions.
        if self.sent.elapsed() >= HEARTBEAT {
            self.send();
        }
        self.flow()
    }

    fn progress(&mut self, _: u64, _: u64) {}

    fn flow(&mut self) -> Flow {
        if let Ok(Some(why)) = self.stopped.lock().map(|why| why.clone()) {
            return Flow::Stop(why);
        }
        if let Some((deadline, limit)) = self.deadline
            && Instant::now() >= deadline
        {
            return self.stop(Why::TimeLimit { seconds: limit.as_secs_f64() });
        }
        if self.interrupt.is_at_once() {
            return self.stop(Why::Interrupted);
        }
        Flow::Go
    }
}

impl Drop for StudyPort {
    fn drop(&mut self) {
        self.send();
        let Thinning { heard, kept } = self.thinning;
        if heard > kept
            && let Ok(mut thinned) = self.thinned.lock()
        {
            *thinned = Some(format!("of its {heard} reports {kept} are kept"));
        }
    }
}
