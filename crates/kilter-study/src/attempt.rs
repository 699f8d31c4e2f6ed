//! One attempt at a trial: its run, or its repeats, what they report, and how they end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kilter_meter::{Energy, EnergyKind, Stopwatch, Usage};

use crate::devices::Granted;
use crate::event::{End, EndState, Opened, Point};
use crate::optimize::{HEARTBEAT, Interrupt};
use crate::pruner::Verdict;
use crate::recipe::{Failure, Outcome, Recipe};
use crate::repeats;
use crate::run::{Flow, Run, RunPort, Why};
use crate::storage::{Lease, Storage, StorageError, StudySpec};
use crate::study::{Judge, lock};

/// All that a thread needs to run a trial to its end.
pub(crate) struct Attempt {
    pub storage: Arc<dyn Storage>,
    pub judge: Arc<Mutex<Judge>>,
    pub recipe: Arc<dyn Recipe>,
    pub lease: Lease,
    pub opened: Opened,
    pub spec: Arc<StudySpec>,
    /// How often the configuration is run.
    pub repeats: u64,
    /// What repeats of an earlier attempt gave.
    pub finished: Vec<BTreeMap<String, f64>>,
    pub folder: PathBuf,
    pub parent: Option<PathBuf>,
    pub time_limit: Option<Duration>,
    pub devices: Arc<Granted>,
    pub interrupt: Interrupt,
}

/// How a run ended.
struct Ran {
    result: Result<Outcome, Failure>,
    /// Why it was told to stop, if it was.
    why: Option<Why>,
    usage: Usage,
    /// The last step that it reported.
    step: Option<u64>,
    /// What else is to be said of it.
    remarks: Vec<String>,
}

impl Attempt {
    /// Runs the trial and stores its end; tells whether it counts.
    pub fn carry_out(self) -> Result<bool, StorageError> {
        let end = if self.repeats > 1 { self.repeated()? } else { self.end_of(self.once(self.opened.repeat))? };
        match end {
            Some(end) => self.storage.finish(&self.lease, &end).map(|_| true),
            // A run that was told to stop may have returned with half of its result: it does not count as whole.
            None => self.storage.release(&self.lease).map(|()| false),
        }
    }

    fn once(&self, repeat: u64) -> Ran {
        let stopped = Arc::new(Mutex::new(None));
        let left = Arc::new(Mutex::new(Left::default()));
        let mut port = StudyPort::new(self.storage.clone(), self.judge.clone(), self.lease);
        port.repeat = if self.repeats > 1 { repeat } else { 0 };
        port.stopped = stopped.clone();
        port.left = left.clone();
        port.deadline = self.time_limit.map(|limit| (Instant::now() + limit, limit));
        port.interrupt = self.interrupt.clone();
        let (folder, number) = (&self.folder, self.lease.number);
        let folder = match repeat {
            repeat if self.repeats > 1 && repeat > 0 => folder.join(format!("repeat-{repeat}")),
            _ => folder.clone(),
        };
        let mut run = Run::new(Box::new(port), self.spec.seed, number, repeat, folder)
            .with_common_chance(self.repeats > 1)
            .with_fidelity(self.opened.fidelity)
            .with_parent(self.parent.clone())
            .with_devices(self.devices.clone());
        let watch = Stopwatch::start();
        let result = catch_unwind(AssertUnwindSafe(|| self.recipe.run(&self.opened.config, &mut run)));
        let usage = run.usage().unwrap_or_else(|| watch.wall_only());
        let mut remarks = run.remarks().to_vec();
        // The port's last reports are stored when the run is dropped.
        drop(run);
        let result = result.unwrap_or_else(|panic| Err(Failure::Panicked { message: message_of(&*panic) }));
        let why = stopped.lock().ok().and_then(|mut why| why.take());
        let Left { step, thinned } = left.lock().map(|mut left| std::mem::take(&mut *left)).unwrap_or_default();
        remarks.extend(thinned);
        Ran { result, why, usage, step, remarks }
    }

    /// How the trial ends with a run's end; nothing, if it is to be run again.
    fn end_of(&self, ran: Ran) -> Result<Option<End>, StorageError> {
        let usage = ran.usage;
        let end = match (ran.why, ran.result) {
            (Some(Why::Interrupted), _) => return Ok(None),
            // No fault of the trial's, and the next one would fare no better.
            (_, Err(Failure::NoRoom { path })) => {
                let _ = self.storage.release(&self.lease);
                return Err(StorageError::full(path));
            }
            (Some(Why::TimeLimit { seconds }), _) => End::failed(Failure::TimedOut { seconds }, usage),
            (_, Err(failure @ Failure::Panicked { .. })) => End::failed(failure, usage),
            (Some(why @ Why::Pruned { .. }), result) => End::pruned(why, result.unwrap_or_default().metrics, usage),
            (None, Ok(outcome)) => self.spec.judged(&self.opened.config, outcome.metrics, usage),
            (None, Err(failure)) => End::failed(failure, usage),
        };
        Ok(Some(End { remarks: ran.remarks, ..end }))
    }

    /// One repeat after the other, until one fails, the race is lost, or all have run: then the means count.
    fn repeated(&self) -> Result<Option<End>, StorageError> {
        let mut all = self.finished.clone();
        let mut whole: Option<Usage> = None;
        let (mut last_step, mut remarks) = (None, Vec::new());
        for repeat in all.len() as u64..self.repeats {
            let mut ran = self.once(repeat);
            whole = Some(whole.map_or(ran.usage, |before| sum(before, ran.usage)));
            ran.usage = whole.unwrap_or_default();
            last_step = last_step.max(ran.step);
            remarks.append(&mut ran.remarks);
            let Some(mut end) = self.end_of(ran)? else { return Ok(None) };
            end.remarks.clone_from(&remarks);
            if end.state != EndState::Complete {
                return Ok(Some(end));
            }
            self.storage.report(&self.lease, &repeats::results(repeat, &end.metrics))?;
            all.push(end.metrics);
            if repeat + 1 == self.repeats {
                break;
            }
            let [goal] = &self.spec.goals[..] else { continue };
            let so_far: Vec<f64> = all.iter().filter_map(|metrics| metrics.get(&goal.metric).copied()).collect();
            let lost = lock(&self.judge).race(goal, &so_far)?;
            if let Some(why) = lost {
                let metrics = repeats::means(&all);
                // The last that samplers see of it is its mean.
                let value = metrics.get(&goal.metric).copied().unwrap_or(f64::NAN);
                let step = last_step.map_or(0, |step: u64| step + 1);
                self.storage.report(&self.lease, &[Point { step, metric: goal.metric.clone(), value }])?;
                return Ok(Some(End { remarks, ..End::pruned(why, metrics, end.usage) }));
            }
        }
        // Nothing was left to run only where a worker died between the last repeat and the end.
        let end = self.spec.judged(&self.opened.config, repeats::means(&all), whole.unwrap_or_default());
        Ok(Some(End { remarks, ..end }))
    }
}

/// What two runs took one after the other.
fn sum(a: Usage, b: Usage) -> Usage {
    let energy = a.energy.zip(b.energy).map(|(a, b)| Energy {
        joules: a.joules + b.joules,
        kind: if a.kind == b.kind { a.kind } else { EnergyKind::Estimated },
    });
    Usage {
        wall_seconds: a.wall_seconds + b.wall_seconds,
        cpu_seconds: a.cpu_seconds.zip(b.cpu_seconds).map(|(a, b)| a + b),
        peak_bytes: a.peak_bytes.zip(b.peak_bytes).map(|(a, b)| a.max(b)),
        energy,
    }
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The port of a run in this process: reports go to the storage, verdicts come from the judge.
pub(crate) struct StudyPort {
    storage: Arc<dyn Storage>,
    judge: Arc<Mutex<Judge>>,
    lease: Lease,
    /// Which repeat it is. Pruners judge the first one.
    repeat: u64,
    points: Vec<Point>,
    thinning: Thinning,
    unsent: usize,
    sent: Instant,
    stopped: Arc<Mutex<Option<Why>>>,
    last_step: Option<u64>,
    /// What is known at the end.
    left: Arc<Mutex<Left>>,
    deadline: Option<(Instant, Duration)>,
    interrupt: Interrupt,
}

/// What a port leaves behind.
#[derive(Default)]
struct Left {
    /// The last step that was reported.
    step: Option<u64>,
    /// How many reports were thinned out, if some were.
    thinned: Option<String>,
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
    /// The port of a trial that nobody interrupts.
    pub(crate) fn new(storage: Arc<dyn Storage>, judge: Arc<Mutex<Judge>>, lease: Lease) -> Self {
        Self {
            storage,
            judge,
            lease,
            repeat: 0,
            points: Vec::new(),
            thinning: Thinning::default(),
            unsent: 0,
            sent: Instant::now(),
            stopped: Arc::default(),
            last_step: None,
            left: Arc::default(),
            deadline: None,
            interrupt: Interrupt::new(),
        }
    }

    /// Why the trial was told to stop, if it was.
    pub(crate) fn stopped(&self) -> Option<Why> {
        self.stopped.lock().ok()?.clone()
    }

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
        let repeat = self.repeat;
        let points = metrics.iter().map(|(metric, value)| Point {
            step,
            metric: repeats::reported_in(repeat, metric),
            value: *value,
        });
        self.points.extend(points);
        self.last_step = self.last_step.max(Some(step));
        let mut judge = lock(&self.judge);
        let watched = repeat == 0 && judge.is_watching();
        let verdict = watched.then(|| judge.verdict(self.lease.number, &self.points));
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
        if let Ok(mut left) = self.left.lock() {
            left.step = self.last_step;
            left.thinned = (heard > kept).then(|| format!("of its {heard} reports {kept} are kept"));
        }
    }
}
