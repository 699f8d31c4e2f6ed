//! A trial's process tree, from the tuner's side.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use kilter_meter::{EnergyMeter, Stopwatch, Usage};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::figures::MetricSource;
use super::log::{Kept, keep};
use super::nursery::{Channels, Order, start_supervisor};
use super::supervisor::Word;
use super::wire::{Listener, Reply, SOCKET_VARIABLE, Said, Told};
use crate::devices::Gpu;
use crate::recipe::Failure;
use crate::run::{Flow, Run, Why};

/// What reaches the thread that tends a trial.
pub(super) enum Heard {
    /// A figure in the output.
    Figure(usize, f64),
    /// A word over the socket; answers go back the same way.
    Said(Said, UnixStream),
    /// The supervisor's word.
    Supervisor(Word),
    /// The supervisor is gone.
    SupervisorGone,
    /// A stream of output has ended; what is kept of it.
    Closed(Stream, Kept),
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// How to start a trial's processes.
pub(super) struct Launch<'a> {
    /// The binary that can supervise.
    pub supervisor: &'a Path,
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// Added to the environment.
    pub environment: Vec<(String, OsString)>,
    /// Where it runs.
    pub current_folder: &'a Path,
    /// Where figures are looked for in its output.
    pub sources: &'a [MetricSource],
}

/// How the processes ended.
pub(super) struct Finished {
    /// The last figure of every metric.
    pub figures: BTreeMap<String, f64>,
    /// How the recipe ended, if it was one and said so.
    pub said: Option<Result<Told, Failure>>,
    /// Why the tuner stopped it, if it did.
    pub stopped: Option<Why>,
    /// Exit status.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What the tree took.
    pub usage: Usage,
    /// Last lines that it printed: to standard error, else to standard output.
    pub tail: String,
}

/// How long a trial that was told to stop over the socket may take to end by itself, and how long after that between
/// SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// How many words of a trial may wait to be heard.
const BACKLOG: usize = 4096;

/// How often the interrupt and the time limit are looked at while a trial is silent.
const GLANCE: Duration = Duration::from_millis(50);

/// Runs a process tree to its end, relaying its figures to `run` and the answers back.
pub(super) fn tend(launch: Launch<'_>, run: &mut Run) -> Result<Finished, Failure> {
    let program = launch.argv.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let not_started =
        |why: &dyn std::fmt::Display| Failure::NotStarted { program: program.clone(), why: why.to_string() };
    let watch = Stopwatch::start();
    std::fs::create_dir_all(run.folder()).map_err(|why| Failure::unwritable(run.folder(), &why))?;
    // A trial that says more than can be heard waits.
    let (sender, heard) = sync_channel(BACKLOG);
    let listener =
        Listener::open(sender.clone()).map_err(|why| not_started(&format!("no socket for its reports: {why}")))?;
    let gpus: Vec<&str> = run.devices().gpus().iter().filter_map(Gpu::uuid).collect();
    let energy = EnergyMeter::start(&gpus, run.devices().gpu_share());
    let order = Order {
        argv: launch.argv,
        environment: environment(run, launch.environment, listener.path()),
        folder: launch.current_folder.into(),
    };
    let Channels { control, out, err } =
        start_supervisor(launch.supervisor, &order).map_err(|why| not_started(&why))?;
    listen_to(out, Stream::Out, run.folder().join("stdout.log"), launch.sources, &sender);
    listen_to(err, Stream::Err, run.folder().join("stderr.log"), launch.sources, &sender);
    let words = control.try_clone().map_err(|why| not_started(&why))?;
    std::thread::spawn(move || {
        for line in BufReader::new(words).lines().map_while(Result::ok) {
            if let Ok(word) = serde_json::from_str(&line) {
                let _ = sender.send(Heard::Supervisor(word));
            }
        }
        let _ = sender.send(Heard::SupervisorGone);
    });
    let mut tending = Tending {
        run,
        control,
        heard,
        sources: launch.sources,
        figures: BTreeMap::new(),
        steps: BTreeMap::new(),
        said: None,
        stopping: None,
        group: None,
        kept: Default::default(),
        listener,
        energy,
    };
    let word = tending.follow();
    match word {
        Word::NotStarted { .. } if !launch.current_folder.is_dir() => {
            Err(not_started(&format!("the folder {} is not there any more", launch.current_folder.display())))
        }
        Word::NotStarted { why } => Err(not_started(&why)),
        Word::Started { .. } => Ok(tending.finished(None, None, watch.wall_only())),
        Word::Ended { code, signal, took } => Ok(tending.finished(code, signal, watch.with(took))),
    }
}

/// A trial's whole environment: the tuner's, its devices', what is added, where it reports to.
fn environment(run: &Run, added: Vec<(String, OsString)>, socket: &Path) -> Vec<(OsString, OsString)> {
    let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    let devices = run.devices().environment().into_iter();
    environment.extend(devices.map(|(name, value)| (name.into(), value.into())));
    environment.extend(added.into_iter().map(|(name, value)| (name.into(), value)));
    environment.insert(SOCKET_VARIABLE.into(), socket.into());
    environment.into_iter().collect()
}

/// Reads a stream of output to its end in a thread of its own.
fn listen_to(
    from: impl io::Read + Send + 'static,
    stream: Stream,
    log: PathBuf,
    sources: &[MetricSource],
    heard: &SyncSender<Heard>,
) {
    let (sources, heard) = (sources.to_vec(), heard.clone());
    std::thread::spawn(move || {
        let kept = keep(from, &log, |line| {
            for (i, source) in sources.iter().enumerate() {
                if let Some(figure) = source.in_line(line) {
                    let _ = heard.send(Heard::Figure(i, figure));
                }
            }
        });
        let _ = heard.send(Heard::Closed(stream, kept));
    });
}

/// A stop under way.
struct Stopping {
    why: Why,
    terminate_at: Instant,
    terminated: bool,
    killed: bool,
}

struct Tending<'a> {
    run: &'a mut Run,
    control: UnixStream,
    heard: Receiver<Heard>,
    sources: &'a [MetricSource],
    figures: BTreeMap<String, f64>,
    steps: BTreeMap<String, u64>,
    said: Option<Result<Told, Failure>>,
    stopping: Option<Stopping>,
    group: Option<Pid>,
    kept: [Kept; 2],
    listener: Listener,
    energy: EnergyMeter,
}

impl Tending<'_> {
    /// Listens until the tree has ended and all that it printed and said is heard. Gives the supervisor's last word.
    fn follow(&mut self) -> Word {
        let killed = Word::Ended { code: None, signal: Some(Signal::SIGKILL as i32), took: None };
        let mut last: Option<(Word, Instant)> = None;
        loop {
            match &last {
                // All of the tree is dead, so its ends are closed; should some other process hold one, we do not wait.
                Some((word, since)) if since.elapsed() > GRACE => return word.clone(),
                _ => {}
            }
            match self.heard.recv_timeout(GLANCE) {
                Ok(Heard::Figure(source, figure)) => {
                    let name = self.sources[source].name().to_owned();
                    let flow = self.take(None, &[(&name, figure)]);
                    self.obey(flow, Duration::ZERO);
                }
                Ok(Heard::Said(said, answering)) => self.answer(said, answering),
                Ok(Heard::Supervisor(Word::Started { group })) => self.group = Some(Pid::from_raw(group)),
                Ok(Heard::Supervisor(word)) => {
                    last = Some((word, Instant::now()));
                    self.listener.close();
                }
                Ok(Heard::SupervisorGone) if last.is_none() => {
                    // Somebody killed the supervisor: its task falls to us.
                    self.end_tree();
                    last = Some((killed.clone(), Instant::now()));
                    self.listener.close();
                }
                Ok(Heard::Closed(stream, kept)) => self.kept[stream as usize] = kept,
                Ok(Heard::SupervisorGone) | Err(RecvTimeoutError::Timeout) => {}
                // Nobody is left who could say anything.
                Err(RecvTimeoutError::Disconnected) => return last.map_or(killed, |(word, _)| word),
            }
            self.energy.tick();
            if last.is_none() {
                let flow = self.run.flow();
                self.obey(flow, Duration::ZERO);
                self.press();
            }
        }
    }

    /// Ends the command's group, and whoever left it: they are known by the environment that they were started with.
    fn end_tree(&self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let mark = [SOCKET_VARIABLE.as_bytes(), b"=", self.listener.path().as_os_str().as_bytes()].concat();
        let began = Instant::now();
        // Until a look finds none: while one is killed another may be born.
        while began.elapsed() < GRACE {
            let strays = processes_marked(&mark);
            if strays.is_empty() {
                return;
            }
            for stray in strays {
                let _ = kill(stray, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes figures at a step; without a step, each at its metric's next one.
    fn take(&mut self, step: Option<u64>, metrics: &[(&str, f64)]) -> Flow {
        let mut at = step.unwrap_or(0);
        for (name, figure) in metrics {
            self.figures.insert((*name).to_owned(), *figure);
            let next = self.steps.entry((*name).to_owned()).or_insert(0);
            at = step.unwrap_or((*next).max(at));
            *next = at + 1;
        }
        self.run.report(at, metrics)
    }

    fn answer(&mut self, said: Said, mut to: UnixStream) {
        match said {
            Said::Report { step, metrics } => {
                let metrics: Vec<(&str, f64)> =
                    metrics.iter().map(|(name, figure)| (name.as_str(), figure.0)).collect();
                let flow = self.take(step, &metrics);
                // Whoever asks may end by itself.
                self.obey(flow, GRACE);
                let reply = Reply { stop: self.stopping.as_ref().map(|stopping| stopping.why.clone()) };
                if let Ok(mut line) = serde_json::to_vec(&reply) {
                    line.push(b'\n');
                    // A trial that does not wait for its answer has none.
                    let _ = to.write_all(&line);
                }
            }
            Said::Progress { done, of } => self.run.progress(done, of),
            Said::Ended(result) => self.said = Some(result),
        }
    }

    /// Begins to stop the trial, `grace` from now, if that is what `flow` says.
    fn obey(&mut self, flow: Flow, grace: Duration) {
        if let Flow::Stop(why) = flow
            && self.stopping.is_none()
        {
            let terminate_at = Instant::now() + grace;
            self.stopping = Some(Stopping { why, terminate_at, terminated: false, killed: false });
        }
    }

    /// Carries a stop through: SIGTERM, then SIGKILL.
    fn press(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        let over = |grace| Instant::now() >= stopping.terminate_at + grace;
        let byte = if !stopping.terminated && over(Duration::ZERO) {
            stopping.terminated = true;
            b"T"
        } else if !stopping.killed && over(GRACE) {
            stopping.killed = true;
            b"K"
        } else {
            return;
        };
        // A supervisor that cannot be told is gone, and will be heard to be.
        let _ = self.control.write_all(byte);
    }

    fn finished(self, code: Option<i32>, signal: Option<i32>, mut usage: Usage) -> Finished {
        usage.energy = self.energy.used(usage.cpu_seconds);
        for (kept, name) in self.kept.iter().zip(["stdout.log", "stderr.log"]).filter(|(kept, _)| kept.left_out > 0) {
            let megabytes = kept.left_out as f64 / 1e6;
            self.run.remark(format!(
                "it printed {megabytes:.1} MB more than {name} keeps: the beginning and the last lines"
            ));
        }
        let [out, err] = self.kept.map(|kept| kept.tail);
        let tail = if err.iter().all(|line| line.trim().is_empty()) { out } else { err };
        Finished {
            figures: self.figures,
            said: self.said,
            stopped: self.stopping.map(|stopping| stopping.why),
            code,
            signal,
            usage,
            tail: tail.join("\n"),
        }
    }
}

/// Processes with `mark` in their environment.
fn processes_marked(mark: &[u8]) -> Vec<Pid> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|pair| pair == mark)
        })
        .map(Pid::from_raw)
        .collect()
}

impl Finished {
    /// What went wrong with the processes, if anything did.
    pub(super) fn failure(&self) -> Option<Failure> {
        let tail = self.tail.clone();
        match (&self.stopped, self.code, self.signal) {
            (Some(Why::TimeLimit { seconds }), ..) => Some(Failure::TimedOut { seconds: *seconds }),
            (Some(_), ..) => Some(Failure::Signal { signal: Signal::SIGTERM as i32, tail }),
            (None, Some(0), _) => None,
            (None, Some(code), _) => Some(Failure::ExitStatus { code, tail }),
            (None, None, signal) => Some(Failure::Signal { signal: signal.unwrap_or(Signal::SIGKILL as i32), tail }),
        }
    }
}
