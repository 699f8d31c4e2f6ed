//! What a trial's processes say to their tuner, one JSON object a line, over a Unix socket.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use serde::{Deserialize, Serialize};

use super::child::Heard;
use crate::recipe::Failure;
use crate::run::Why;

/// The environment variable that names the socket.
pub const SOCKET_VARIABLE: &str = "KILTER_SOCKET";

/// What a trial says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// Figures at a step; without a step, at the next one.
    Report { step: Option<u64>, metrics: BTreeMap<String, Figure> },
    /// How far the run is.
    Progress { done: u64, of: u64 },
    /// How the recipe ended: its metrics, or why it failed.
    Ended(Result<Told, Failure>),
}

/// What a recipe's process gives: its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub metrics: BTreeMap<String, Figure>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intervals: BTreeMap<String, [f64; 2]>,
}

/// A number that may be NaN or infinite, which JSON cannot say.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(from = "Option<f64>", into = "Option<f64>")]
pub(super) struct Figure(pub f64);

impl From<Option<f64>> for Figure {
    fn from(value: Option<f64>) -> Self {
        Self(value.unwrap_or(f64::NAN))
    }
}

impl From<Figure> for Option<f64> {
    fn from(figure: Figure) -> Self {
        Some(figure.0).filter(|x| x.is_finite())
    }
}

/// What the tuner answers to a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Why the trial is to stop; nothing: it may go on.
    pub stop: Option<Why>,
}

/// Why nothing could be reported.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not inside a trial.
    #[error(
        "this is not running inside a trial ({SOCKET_VARIABLE} is not set); `kilter report` is called by a command that \
         `kilter tune` started"
    )]
    NotInTrial,
    /// The tuner does not answer.
    #[error("the tuner does not answer: {0}")]
    Lost(#[from] io::Error),
}

/// A trial's end of the socket.
pub struct Client {
    reading: BufReader<UnixStream>,
    writing: UnixStream,
}

impl Client {
    /// Connects to the tuner of the trial that this process runs in.
    ///
    /// # Errors
    /// If this is no trial, or its tuner is gone.
    pub fn from_environment() -> Result<Self, WireError> {
        let path = std::env::var_os(SOCKET_VARIABLE).ok_or(WireError::NotInTrial)?;
        let writing = UnixStream::connect(path)?;
        Ok(Self { reading: BufReader::new(writing.try_clone()?), writing })
    }

    /// Reports figures at a step (without one: at the next) and waits for the answer.
    ///
    /// # Errors
    /// If the tuner is gone.
    pub fn report(&mut self, step: Option<u64>, metrics: &[(&str, f64)]) -> Result<Reply, WireError> {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), Figure(*value))).collect();
        self.say(&Said::Report { step, metrics })?;
        let mut line = String::new();
        if self.reading.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_str(&line).map_err(|why| io::Error::from(why).into())
    }

    pub(super) fn say(&mut self, said: &Said) -> Result<(), WireError> {
        let mut line = serde_json::to_vec(said).map_err(io::Error::from)?;
        line.push(b'\n');
        Ok(self.writing.write_all(&line)?)
    }
}

/// The tuner's end: listens until closed.
pub(super) struct Listener {
    path: PathBuf,
    over: Arc<AtomicBool>,
}

impl Listener {
    /// Opens a socket whose words go to `heard`.
    pub(super) fn open(heard: SyncSender<Heard>) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let folder = runtime_folder();
        let path = folder.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
        let listener = bind(&folder, &path)?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        std::thread::spawn(move || {
            loop {
                // Once it is over nobody new comes, but whoever waits in the queue is still heard.
                if is_over.load(Ordering::SeqCst) && listener.set_nonblocking(true).is_err() {
                    return;
                }
                let Ok((stream, _)) = listener.accept() else { return };
                let heard = heard.clone();
                std::thread::spawn(move || listen(&stream, &heard));
            }
        });
        Ok(Self { path, over })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no more connections. Its sender is dropped as soon as all that was said has been passed on.
    pub(super) fn close(&self) {
        if !self.over.swap(true, Ordering::SeqCst) {
            // The accepting thread wakes and sees that it is over.
            let _ = UnixStream::connect(&self.path);
            remove_socket(&self.path);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// Removes a socket, and its folder with the last one.
pub(super) fn remove_socket(path: &Path) {
    let _ = std::fs::remove_file(path);
    // Succeeds for the last one only.
    let _ = path.parent().map(std::fs::remove_dir);
}

fn listen(stream: &UnixStream, heard: &SyncSender<Heard>) {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
        let Ok(said) = serde_json::from_str(&line) else { return };
        let Ok(answering) = stream.try_clone() else { return };
        if heard.send(Heard::Said(said, answering)).is_err() {
            return;
        }
        line.clear();
    }
}

/// Socket paths end at about a hundred bytes, so sockets live in the runtime folder, not in the trial's.
fn runtime_folder() -> PathBuf {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    let base = base.filter(|path| path.as_os_str().len() < 60).unwrap_or_else(|| PathBuf::from("/tmp"));
    base.join(format!("kilter-{}", std::process::id()))
}

fn bind(folder: &Path, path: &Path) -> io::Result<UnixListener> {
    let mut tries = 0;
    loop {
        match DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| {
            // A file of a dead process with this process's number.
            let _ = std::fs::remove_file(path);
            UnixListener::bind(path)
        }) {
            // Another trial's end may have removed the folder just now.
            Err(why) if why.kind() == io::ErrorKind::NotFound && tries < 10 => tries += 1,
            result => return result,
        }
    }
}
