//! Where supervisors come from.
//!
//! To start this binary anew for every trial would cost more than many a trial: loading it takes some milliseconds. So
//! it is started once, as a nursery, which splits off (forks) a supervisor for each trial. Over its standard input, a
//! socket, it receives the ends of a supervisor's own channels; when the tuner is gone the socket ends, and so does the
//! nursery. Supervisors live on without it, each on its own socket.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::{ForkResult, dup2_stdin, fork};
use serde::{Deserialize, Serialize};

use super::supervisor::supervise_one;

/// What a supervisor is told before anything else, as a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub folder: OsString,
}

/// A supervisor's channels, from the tuner's side.
pub(super) struct Channels {
    /// Words to it and from it; its end is the supervisor's.
    pub control: UnixStream,
    /// What the command prints.
    pub out: PipeReader,
    /// What the command prints to standard error.
    pub err: PipeReader,
}

struct Nursery {
    binary: PathBuf,
    process: Child,
    wire: UnixStream,
}

/// One for each binary that can supervise; a program has one of them.
static NURSERIES: Mutex<Vec<Nursery>> = Mutex::new(Vec::new());

/// Starts a supervisor of `order` from `binary`, whose `main` calls [`supervise`].
///
/// # Errors
/// Where the system gives no processes, sockets or pipes.
pub(super) fn start_supervisor(binary: &Path, order: &Order) -> io::Result<Channels> {
    let (mut control, theirs) = UnixStream::pair()?;
    let (out, their_out) = io::pipe()?;
    let (err, their_err) = io::pipe()?;
    let ends = [theirs.as_raw_fd(), their_out.as_raw_fd(), their_err.as_raw_fd()];
    let mut nurseries = NURSERIES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = nurseries.iter().position(|nursery| nursery.binary == binary);
    let sent = known.is_some_and(|at| nurseries[at].send(&ends).is_ok());
    if !sent {
        // None yet, or somebody killed it.
        if let Some(mut gone) = known.map(|at| nurseries.swap_remove(at)) {
            let _ = gone.process.kill();
            let _ = gone.process.wait();
        }
        let fresh = Nursery::open(binary)?;
        fresh.send(&ends)?;
        nurseries.push(fresh);
    }
    drop(nurseries);
    drop((theirs, their_out, their_err));
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    control.write_all(&line)?;
    Ok(Channels { control, out, err })
}

impl Nursery {
    fn open(binary: &Path) -> io::Result<Self> {
        let (wire, theirs) = UnixStream::pair()?;
        let process = Command::new(binary)
            .arg(super::SUPERVISE)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A terminal's Ctrl-C is the tuner's business.
            .process_group(0)
            .spawn()?;
        Ok(Self { binary: binary.to_owned(), process, wire })
    }

    fn send(&self, ends: &[RawFd; ENDS]) -> io::Result<()> {
        let rights = [ControlMessage::ScmRights(ends)];
        loop {
            // Rust's programs ignore SIGPIPE: a nursery that is gone is an error.
            match sendmsg::<()>(self.wire.as_raw_fd(), &[IoSlice::new(b"S")], &rights, MsgFlags::empty(), None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
    }
}

/// Control, standard output, standard error.
const ENDS: usize = 3;

/// Serves as nursery, and in its children as supervisor, until the tuner is gone. For the start of `main`, when the
/// first argument is [`super::SUPERVISE`], before any thread is started.
#[allow(unsafe_code)]
pub fn supervise() -> ExitCode {
    let Ok(wire) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    // SAFETY: no handler is installed, only the disposition changes: the kernel reaps supervisors.
    let reaped_by_itself = unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) };
    if reaped_by_itself.is_err() {
        return ExitCode::FAILURE;
    }
    name("nursery");
    while let Some([control, out, err]) = receive(&wire) {
        // SAFETY: this process has one thread, so that its copy may do whatever it could.
        match unsafe { fork() } {
            // The tuner notices that nobody holds the other ends.
            Ok(ForkResult::Parent { .. }) | Err(_) => {}
            Ok(ForkResult::Child) => {
                drop(wire);
                name("supervisor");
                // SAFETY: as above; a supervisor waits for its children.
                let waits = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
                // While it holds a copy of the socket, a nursery that was killed would seem to be there.
                let null = std::fs::File::open("/dev/null").map_err(|_| Errno::ENOENT).and_then(dup2_stdin);
                return match waits.and(null) {
                    Ok(()) => supervise_one(UnixStream::from(control), out, err),
                    Err(_) => ExitCode::FAILURE,
                };
            }
        }
    }
    ExitCode::SUCCESS
}

/// Says in the list of processes what this one is.
fn name(name: &str) {
    #[cfg(target_os = "linux")]
    let _ = std::ffi::CString::new(name).is_ok_and(|name| nix::sys::prctl::set_name(&name).is_ok());
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

/// The ends for the next supervisor; nothing when the tuner is gone.
#[allow(unsafe_code)]
fn receive(wire: &OwnedFd) -> Option<[OwnedFd; ENDS]> {
    let mut space = nix::cmsg_space!([RawFd; ENDS]);
    let mut byte = [0];
    loop {
        let mut slices = [IoSliceMut::new(&mut byte)];
        let message = match recvmsg::<()>(wire.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
        };
        let mut ends = Vec::new();
        for control in message.cmsgs().ok()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows of them.
                ends.extend(received.into_iter().map(|end| unsafe { OwnedFd::from_raw_fd(end) }));
            }
        }
        return ends.try_into().ok();
    }
}
