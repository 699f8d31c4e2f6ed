//! The peers, in a Python environment of their own under the target folder. They answer lines of JSON with lines of JSON,
//! so that both sides can work in turn while each keeps its state.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::gauge::Took;
use crate::root;

/// What the engine's and the models' peers need.
pub const PACKAGES: &str = "optuna>=5,<6 scikit-learn>=1.7,<2";

/// One thread each: the peers' linear algebra would take all cores.
const ONE_THREAD: [(&str, &str); 3] =
    [("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1")];

/// The environment.
pub struct Python {
    folder: PathBuf,
}

impl Python {
    /// Makes the environment of this name, or takes the one made before of the same packages.
    pub fn prepare(target: &Path, name: &str, packages: &str) -> Result<Self, String> {
        let python = Self { folder: target.join(name) };
        let stamp = python.folder.join("kilter-packages");
        if std::fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == packages) {
            return Ok(python);
        }
        println!("making {} with {packages}", python.folder.display());
        let quietly = |command: &mut Command, what: &str| match command.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("{what} failed: {}", said.lines().last().unwrap_or("without a word")))
            }
            Err(why) => Err(format!("{what} cannot be started: {why}")),
        };
        quietly(Command::new("python3").args(["-m", "venv"]).arg(&python.folder), "python3 -m venv")?;
        let mut pip = python.command();
        quietly(pip.args(["-m", "pip", "install", "--quiet"]).args(packages.split(' ')), "pip install")?;
        std::fs::write(&stamp, packages).map_err(|why| format!("cannot write {}: {why}", stamp.display()))?;
        Ok(python)
    }

    /// The interpreter.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.folder.join("bin/python"));
        command.envs(ONE_THREAD);
        command
    }

    /// A program that the environment brought.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join("bin").join(name));
        command.envs(ONE_THREAD);
        command
    }

    /// The interpreter with one of the scripts beside this crate.
    pub fn script(&self, name: &str) -> Command {
        let mut command = self.command();
        command.arg(root().join("xtask/bench").join(name));
        command
    }

    /// A peer that waits for work.
    pub fn peer(&self, script: &str) -> Result<Peer, String> {
        Peer::start(self.script(script), script)
    }
}

/// A peer that does work on demand.
pub struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its name and version.
    pub name: String,
}

impl Peer {
    /// Starts it; the first thing it says is its name.
    pub fn start(mut command: Command, what: &str) -> Result<Self, String> {
        let cannot = |why| format!("cannot start the peer {what}: {why}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("the peer {what} has no pipes"));
        };
        let mut peer = Self { child, orders, answers: BufReader::new(answers), name: String::new() };
        peer.name = peer.read()?.as_str().unwrap_or("peer").to_owned();
        Ok(peer)
    }

    /// Has it do a piece of work; gives its answer.
    pub fn order(&mut self, order: &Value) -> Result<Value, String> {
        writeln!(self.orders, "{order}").map_err(|why| format!("the peer is gone: {why}"))?;
        self.read()
    }

    /// Has it do a piece of work that it times.
    pub fn timed(&mut self, order: &Value) -> Result<Took, String> {
        let answer = self.order(order)?;
        let figure = |name: &str| answer.get(name).and_then(Value::as_f64);
        let took = figure("wall_seconds").zip(figure("cpu_seconds"));
        let (wall_seconds, cpu_seconds) = took.ok_or_else(|| format!("the peer answered {order} with {answer}"))?;
        Ok(Took { wall_seconds, cpu_seconds })
    }

    fn read(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|why| format!("the peer is gone: {why}"))?;
        serde_json::from_str(&line).map_err(|_| "the peer ended; what it said stands above".to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
