//! Waiting without a deaf ear: what may wait for a file is done in a thread, while this one looks for Ctrl-C.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// How often a wait looks for signals.
const LOOK: Duration = Duration::from_millis(50);

/// Does `work` detached from the interpreter. With `slow`, in a thread of its own, so that Ctrl-C ends the wait; what the
/// work still comes to then goes to `orphan`.
pub fn wait<T: Send + 'static>(
    py: Python<'_>,
    slow: bool,
    work: impl FnOnce() -> T + Send + 'static,
    orphan: impl FnOnce(T) + Send + 'static,
) -> PyResult<T> {
    if !slow {
        return Ok(py.detach(work));
    }
    let (sender, mut receiver) = channel();
    std::thread::spawn(move || {
        if let Err(unheard) = sender.send(work()) {
            orphan(unheard.0);
        }
    });
    loop {
        let heard = py.detach(|| {
            let heard = receiver.recv_timeout(LOOK);
            (heard, receiver)
        });
        receiver = heard.1;
        match heard.0 {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("kilter panicked; its message is on standard error"));
            }
        }
    }
}
