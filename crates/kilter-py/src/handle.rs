//! A trial in Python's hands: questions one at a time, reports, its end.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kilter_space::{Ask, Domain, Halt, Value};
use kilter_study::{Driven, Ending, Flow, Lease, StorageError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{self, Described};
use crate::ended::ending;
use crate::fault;
use crate::held::Shared;
use crate::patience::{part, wait};
use crate::store::lock;

/// For so long the answers of a trial are certainly not stored; `kilter-study` begins after 100 ms.
const UNSTORED: Duration = Duration::from_millis(80);

/// A trial.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Handle {
    shared: Arc<Shared>,
    pid: u32,
    lease: Lease,
    by_hand: bool,
    /// When it was asked for.
    since: Instant,
    /// None once it has ended.
    driven: Arc<Mutex<Option<Driven>>>,
}

impl Handle {
    pub fn new(shared: Arc<Shared>, driven: Driven, by_hand: bool, since: Instant) -> Self {
        let lease = driven.lease();
        if !by_hand && let Some(keeper) = shared.keeper() {
            keeper.keep(lease);
        }
        let pid = std::process::id();
        Self { shared, pid, lease, by_hand, since, driven: Arc::new(Mutex::new(Some(driven))) }
    }

    /// Does something with the trial, which must be this process's and not have ended. With `slow` it may wait for a file.
    fn with<T: Send + 'static>(
        &self,
        py: Python<'_>,
        slow: bool,
        act: impl FnOnce(&mut Driven) -> T + Send + 'static,
    ) -> PyResult<T> {
        self.check_process(py)?;
        let driven = self.driven.clone();
        let done = wait(py, slow, move || lock(&driven).as_mut().map(act), |_| ())?;
        done.ok_or_else(|| self.over(py))
    }

    /// Might a question now wait for a file? Answers are stored as the trial goes on, though not in its first moments.
    fn may_wait(&self) -> bool {
        self.shared.slow && self.since.elapsed() >= UNSTORED
    }

    fn over(&self, py: Python<'_>) -> PyErr {
        fault::of(
            py,
            "StudyError",
            format!("trial {} has ended; it takes no more questions, reports or ends", self.lease.number),
        )
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.pid == std::process::id() {
            return Ok(());
        }
        let why = format!(
            "trial {} is run by process {}, not by this one, which was forked from it; let that one ask, report and tell",
            self.lease.number, self.pid
        );
        Err(fault::of(py, "StudyError", why))
    }

    fn ask(&self, py: Python<'_>, name: &str, described: Described) -> PyResult<Value> {
        let domain = described.domain(name).map_err(|why| fault::space(py, &why))?;
        self.ask_domain(py, name, domain)
    }

    fn ask_domain(&self, py: Python<'_>, name: &str, domain: Domain) -> PyResult<Value> {
        let name = name.to_owned();
        match self.with(py, self.may_wait(), move |driven| driven.ask(&name, &domain))? {
            Ok(value) => Ok(value),
            Err(Halt::Refused(why)) => Err(fault::space(py, &why)),
            Err(Halt::Enough) => Err(self.over(py)),
        }
    }

    /// What takes the trial away, to end it; nothing, if it has ended.
    fn taking(&self, py: Python<'_>) -> PyResult<impl FnOnce() -> Option<Driven> + Send + 'static> {
        self.check_process(py)?;
        let (driven, shared, lease, by_hand) = (self.driven.clone(), self.shared.clone(), self.lease, self.by_hand);
        Ok(move || {
            let driven = lock(&driven).take()?;
            if !by_hand && let Some(keeper) = shared.keeper() {
                keeper.let_go(&lease);
            }
            Some(driven)
        })
    }
}

#[pymethods]
impl Handle {
    /// Its number.
    #[getter]
    fn number(&self) -> u64 {
        self.lease.number
    }

    /// A number in `[low, high]`.
    fn float(&self, py: Python<'_>, name: &str, low: f64, high: f64, log: bool, step: Option<f64>) -> PyResult<f64> {
        let value = self.ask(py, name, Described::Float(low, high, log, step))?;
        Ok(value.as_f64().unwrap_or(f64::NAN))
    }

    /// A whole number in `[low, high]`.
    fn int(&self, py: Python<'_>, name: &str, low: i64, high: i64, log: bool, step: i64) -> PyResult<i64> {
        match self.ask(py, name, Described::Int(low, high, log, step))? {
            Value::Int(whole) => Ok(whole),
            other => Err(fault::of(py, "SpaceError", format!("hyperparameter `{name}` is {other}, no whole number"))),
        }
    }

    /// The place of the chosen one among `choices`.
    fn choice(&self, py: Python<'_>, name: &str, choices: Vec<Bound<'_, PyAny>>) -> PyResult<usize> {
        let values: Vec<Value> = choices.iter().map(convert::value).collect::<PyResult<_>>()?;
        let value = self.ask(py, name, Described::Choice(values.clone()))?;
        let place = values.iter().position(|choice| *choice == value);
        place.ok_or_else(|| {
            fault::of(py, "SpaceError", format!("hyperparameter `{name}` is {value}, none of the choices"))
        })
    }

    /// Its answers so far; of a declared space all of them.
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let config = self.with(py, self.may_wait(), |driven| driven.config())?;
        let dict = PyDict::new(py);
        for (name, value) in config.answers() {
            dict.set_item(name.as_str(), convert::object(py, value)?)?;
        }
        Ok(dict)
    }

    /// Takes metrics at a step; answers why to stop, if it should.
    fn report(&self, py: Python<'_>, step: u64, metrics: Vec<(String, f64)>) -> PyResult<Option<String>> {
        let flow = self.with(py, self.shared.slow, move |driven| {
            let metrics: Vec<(&str, f64)> = metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            driven.report(step, &metrics)
        })?;
        Ok(match flow {
            Flow::Go => None,
            Flow::Stop(why) => Some(why.to_string()),
        })
    }

    /// Why it should stop, if it should.
    fn stopped(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.with(py, self.may_wait(), |driven| driven.stopped())?.map(|why| why.to_string()))
    }

    /// Ends it; tells whether that counts.
    fn finish(
        &self,
        py: Python<'_>,
        state: &str,
        metrics: Vec<(String, f64)>,
        failure: Option<(String, String, String)>,
    ) -> PyResult<bool> {
        let ending: Ending = ending(py, state, metrics, failure)?;
        let take = self.taking(py)?;
        let ended = wait(py, self.shared.slow, move || take().map(|driven| driven.finish(ending)), |_| ())?;
        let ended = ended.ok_or_else(|| self.over(py))?.map_err(|why: StorageError| fault::storage(py, &why))?;
        Ok(ended == kilter_study::storage::Ended::Counted)
    }

    /// Lets it wait for a worker again. For those who pressed Ctrl-C: nothing cuts it off, and it takes a moment at most;
    /// tells whether that was enough.
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        let take = self.taking(py)?;
        match part(py, self.shared.slow, move || take().map(Driven::release))? {
            None => Ok(false),
            Some(None) => Err(self.over(py)),
            Some(Some(released)) => released.map(|()| true).map_err(|why| fault::storage(py, &why)),
        }
    }
}

impl Drop for Handle {
    /// Of a trial that nobody ended: what it reported is still stored, which may wait for a file.
    fn drop(&mut self) {
        let driven = self.driven.try_lock().ok().and_then(|mut driven| driven.take());
        if self.pid != std::process::id() {
            // The parent's: its connection is not to be used here.
            std::mem::forget(driven);
        } else if let (Some(driven), true) = (driven, self.shared.slow) {
            let (shared, lease, by_hand) = (self.shared.clone(), self.lease, self.by_hand);
            std::thread::spawn(move || {
                if !by_hand && let Some(keeper) = shared.keeper() {
                    keeper.let_go(&lease);
                }
                drop(driven);
            });
        }
    }
}
