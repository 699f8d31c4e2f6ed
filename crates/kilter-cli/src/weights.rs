//! What `kilter merge` and `kilter quantize` share: opening files, progress in bytes, interruption, the closing line.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kilter_space::{Config, Defaults, Outline, Value};
use kilter_weights::storage::Written;
use kilter_weights::{Checkpoint, WeightsError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::fault::{Fault, INTERRUPTED};
use crate::style::{Voice, bytes, duration};

/// In a pipe, a line at most this often.
const PACE: Duration = Duration::from_secs(3);

/// One piece of work on checkpoints.
pub struct Work {
    voice: Voice,
    began: Instant,
    told: Mutex<Instant>,
    bar: Option<ProgressBar>,
    interrupted: Arc<AtomicBool>,
}

impl Work {
    /// Begins: the first signal from here on stops the work.
    pub fn begin(voice: &Voice) -> Result<Self, Fault> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, interrupted.clone()).map_err(Fault::work)?;
        }
        let bar = (voice.terminal && !voice.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is a constant of this file.
            if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan/dim} {msg}  eta {eta}") {
                bar.set_style(style.progress_chars("━━╌"));
            }
            bar
        });
        let now = Instant::now();
        Ok(Self { voice: *voice, began: now, told: Mutex::new(now), bar, interrupted })
    }

    /// Has a signal come?
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Takes how many bytes of how many are written; breaks after a signal.
    pub fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        if self.is_interrupted() {
            return ControlFlow::Break(());
        }
        let state = || format!("{} of {}", bytes(done), bytes(total));
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(state());
        } else if let Ok(mut told) = self.told.lock()
            && told.elapsed() >= PACE
        {
            *told = Instant::now();
            let left = self.began.elapsed().as_secs_f64() / done.max(1) as f64 * (total - done) as f64;
            self.voice.remark(&format!("{} written, eta {}", state(), duration(left)));
        }
        ControlFlow::Continue(())
    }

    /// Writes a remark that a bar does not run over.
    pub fn remark(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.voice.remark(line)),
            None => self.voice.remark(line),
        }
    }

    /// Wall time since the beginning, in seconds.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The result, or how the call ends without one.
    pub fn end<T>(&self, result: Result<T, WeightsError>) -> Result<Result<T, ExitCode>, Fault> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match result {
            Ok(done) => Ok(Ok(done)),
            Err(_) if self.is_interrupted() => {
                self.voice.remark("interrupted; nothing was written");
                Ok(Err(ExitCode::from(INTERRUPTED)))
            }
            Err(why) => Err(why.into()),
        }
    }

    /// `soup.safetensors: 148 tensors, 2.2 GB of 8.9 GB in 4.1 s`
    pub fn close(&self, written: &Written, bytes_in: u64) -> Result<(), Fault> {
        let name = written.files.last().map_or(String::new(), |file| file.display().to_string());
        let shards = match written.files.len() {
            0 | 1 => String::new(),
            n => format!(" in {} shards", n - 1),
        };
        self.voice.say(&format!(
            "{}: {} tensor{}{shards}, {} from {} in {}",
            self.voice.strong(&name),
            written.tensors.len(),
            if written.tensors.len() == 1 { "" } else { "s" },
            bytes(written.bytes),
            bytes(bytes_in),
            duration(self.seconds())
        ))
    }
}

/// Opens checkpoints; only headers are read.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Checkpoint>, Fault> {
    paths.iter().map(|path| Ok(Checkpoint::open(path)?)).collect()
}

/// The output's path, which must be given.
pub fn target(out: Option<&Path>) -> Result<&Path, Fault> {
    out.ok_or_else(|| Fault::call("where to? Name the file to be written, as in -o out.safetensors"))
}

/// The answers that `set` and the defaults give.
pub fn answers(outline: &Outline, set: &[(String, Value)]) -> Result<Config, Fault> {
    if let Some((i, (name, _))) = set.iter().enumerate().find(|(i, (name, _))| set[..*i].iter().any(|(n, _)| n == name))
    {
        let first = set[..i].iter().find(|(n, _)| n == name).map_or(String::new(), |(_, value)| value.to_string());
        return Err(Fault::call(format!("--set {name} is given twice, first as {first}; drop one")));
    }
    let fixed = outline.specialise(set, &[]).map_err(Fault::call)?;
    let config = Defaults::config(&fixed).map_err(Fault::call)?;
    // A setting whose condition does not hold would be ignored without a word.
    match set.iter().find(|(name, _)| config.get(name).is_none()) {
        Some((name, _)) => {
            let when = outline.entry(name).ok().and_then(|entry| entry.when.as_ref()).map(ToString::to_string);
            Err(Fault::call(format!("--set {name} has no effect here: it counts when {}", when.unwrap_or_default())))
        }
        None => Ok(config),
    }
}

impl From<WeightsError> for Fault {
    fn from(why: WeightsError) -> Self {
        match why {
            // A file that is not there was named wrongly.
            WeightsError::Io { action: "open", .. } => Self::call(why),
            WeightsError::Io { .. }
            | WeightsError::Changed { .. }
            | WeightsError::Overflow { .. }
            | WeightsError::Evaluation { .. }
            | WeightsError::Interrupted => Self::work(why),
            _ => Self::call(why),
        }
    }
}
