//! Waiting without a deaf ear: what may wait for a file is done in a thread, while this one looks for Ctrl-C.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

/// How often a wait looks for signals.
const LOOK: Duration = Duration::from_millis(50);

/// For how long whoever pressed Ctrl-C waits for what must still be done.
const PARTING: Duration = Duration::from_secs(1);

/// Does `work` detached from the interpreter. With `slow`, in a thread of its own, so that Ctrl-C ends the wait; what the
/// work still comes to then goes to `orphan`.
pub fn wait<T: Send + 'static>(
    py: Python<'_>,
    slow: bool,
    work: impl FnOnce() -> T + Send + 'static,
    orphan: impl FnOnce(T) + Send + 'static,
) -> PyResult<T> {
    wait_unless(py, slow, || false, work, orphan)
}

/// The same for a thread that no signal reaches: once `over` says so, its wait ends as if Ctrl-C had been pressed.
pub fn wait_unless<T: Send + 'static>(
    py: Python<'_>,
    slow: bool,
    over: impl Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
    orphan: impl FnOnce(T) + Send + 'static,
) -> PyResult<T> {
    if !slow {
        return Ok(py.detach(work));
    }
    let mut working = begin(work, orphan);
    loop {
        let (heard, receiver) = py.detach(|| (working.recv_timeout(LOOK), working));
        working = receiver;
        match heard {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
            Err(RecvTimeoutError::Timeout) if over() => return Err(PyKeyboardInterrupt::new_err(())),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
        }
    }
}

/// Does what must still be done when Ctrl-C was pressed already: for a moment nothing cuts it off. What takes longer goes
/// on without anybody waiting for it, and comes to nothing here.
pub fn part<T: Send + 'static>(
    py: Python<'_>,
    slow: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<Option<T>> {
    if !slow {
        return Ok(Some(py.detach(work)));
    }
    let working = begin(work, |_| ());
    match py.detach(move || working.recv_timeout(PARTING)) {
        Ok(done) => Ok(Some(done)),
        Err(RecvTimeoutError::Disconnected) => Err(panicked()),
        Err(RecvTimeoutError::Timeout) => Ok(None),
    }
}

fn begin<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    orphan: impl FnOnce(T) + Send + 'static,
) -> Receiver<T> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        if let Err(unheard) = sender.send(work()) {
            orphan(unheard.0);
        }
    });
    receiver
}

fn panicked() -> PyErr {
    PyRuntimeError::new_err("kilter panicked; its message is on standard error")
}
