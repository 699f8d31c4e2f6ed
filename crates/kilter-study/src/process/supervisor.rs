//! The supervisor: a process between the tuner and a trial's command.
//!
//! It holds a socket to the tuner. From it comes a line of JSON, what to start; then single bytes, `T` (terminate) and
//! `K` (kill); its end means that the tuner is gone, which counts as `K`. Into it go two lines of JSON: that the command
//! started, and how it ended, with what its whole process tree took.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use kilter_meter::Descendants;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::devices::hold_in_supervisor;

use super::nursery::Order;
use super::wire::{SOCKET_VARIABLE, remove_socket};

/// What a supervisor tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// The command runs, as leader of this process group.
    Started {
        /// The group.
        group: i32,
    },
    /// The command could not be started.
    NotStarted {
        /// The system's reason.
        why: String,
    },
    /// The command and all its descendants have ended.
    Ended {
        /// Exit status, unless it was ended by a signal.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// What the tree took.
        took: Option<Descendants>,
    },
}

/// Takes an [`Order`] from `control` and carries it out, as this process's only work. The command prints into `out` and
/// `err`.
pub(super) fn supervise_one(mut control: UnixStream, out: OwnedFd, err: OwnedFd) -> ExitCode {
    let Ok(listening) = control.try_clone() else { return ExitCode::FAILURE };
    let mut listening = BufReader::new(listening);
    let mut line = String::new();
    let order = listening.read_line(&mut line).ok().and_then(|_| serde_json::from_str::<Order>(&line).ok());
    // A tuner that died before it said what to do wants nothing done.
    let Some(order) = order else { return ExitCode::FAILURE };
    let _devices = hold_in_supervisor(|name| of(&order.environment, name));
    let last = tend(&order, &control, listening, out, err);
    if tell(&mut control, &last).is_err()
        && let Some(socket) = of(&order.environment, SOCKET_VARIABLE)
    {
        // The tuner is gone: there is nobody to tell, and nobody else to clear up.
        remove_socket(Path::new(&socket));
    }
    ExitCode::SUCCESS
}

/// A variable of an environment.
fn of(environment: &[(OsString, OsString)], name: &str) -> Option<OsString> {
    environment.iter().rev().find(|(variable, _)| variable == name).map(|(_, value)| value.clone())
}

fn tell(control: &mut UnixStream, word: &Word) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    control.write_all(&line)
}

/// Starts the command and tends it to its end.
fn tend(
    order: &Order,
    control: &UnixStream,
    mut listening: impl Read + Send + 'static,
    out: OwnedFd,
    err: OwnedFd,
) -> Word {
    let Some((program, words)) = order.argv.split_first() else {
        return Word::NotStarted { why: "there is no command".to_owned() };
    };
    // Orphans of the tree become this process's children, so that none can get away.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let mut prepared = Command::new(program);
    prepared.args(words).env_clear().envs(order.environment.iter().map(|(name, value)| (name, value)));
    prepared.current_dir(&order.folder).stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    die_with_parent(&mut prepared);
    let mut child = match prepared.spawn() {
        Ok(child) => child,
        Err(why) => return Word::NotStarted { why: why.to_string() },
    };
    // With its copies of the command's output.
    drop(prepared);
    let group = Pid::from_raw(child.id() as i32);
    let mut telling = control;
    let _ = serde_json::to_vec(&Word::Started { group: group.as_raw() }).map(|mut line| {
        line.push(b'\n');
        telling.write_all(&line)
    });
    std::thread::spawn(move || {
        let mut byte = [0];
        loop {
            let signal = match listening.read(&mut byte) {
                Ok(1) if byte == *b"T" => Signal::SIGTERM,
                _ => Signal::SIGKILL,
            };
            // The group may be gone already.
            let _ = killpg(group, signal);
            if signal == Signal::SIGKILL {
                return;
            }
        }
    });
    let status = child.wait();
    end_descendants(group);
    let (code, signal) = status.map_or((None, None), |status| (status.code(), status.signal()));
    Word::Ended { code, signal, took: Descendants::read() }
}

/// Ends whatever the command left behind, in its group or out of it, and reaps it.
fn end_descendants(group: Pid) {
    let _ = killpg(group, Signal::SIGKILL);
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                for child in children() {
                    let _ = kill(child, Signal::SIGKILL);
                }
                // A killed process takes a moment to go.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(Errno::ECHILD) => return,
            Err(Errno::EINTR) | Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Processes whose parent is this one.
fn children() -> Vec<Pid> {
    let own = std::process::id();
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            // Fields behind the program's name: state, parent.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1));
            parent.and_then(|parent| parent.parse::<u32>().ok()) == Some(own)
        })
        .map(Pid::from_raw)
        .collect()
}

/// Lets the kernel kill the command should the supervisor itself be killed.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let supervisor = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls may be made; the closure makes two system calls
    // (prctl, getppid) and allocates nothing. The signal is bound to the thread that forks, which is this process's main
    // thread: it lives as long as the process.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The supervisor may have died before the line above took effect.
            if nix::unistd::getppid() == supervisor { Ok(()) } else { Err(Errno::ESRCH.into()) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
