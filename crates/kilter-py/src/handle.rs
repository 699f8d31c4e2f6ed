//! A trial in Python's hands: questions one at a time, reports, its end.

use std::sync::{Arc, Mutex};

use kilter_space::{Ask, Domain, Halt, Value};
use kilter_study::{Driven, Ending, Flow, Lease, StorageError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{self, Described};
use crate::core::{Shared, ending, lock};
use crate::fault;
use crate::patience::wait;

/// A trial.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Handle {
    shared: Arc<Shared>,
    pid: u32,
    lease: Lease,
    by_hand: bool,
    driven: Mutex<Option<Driven>>,
}

impl Handle {
    pub fn new(shared: Arc<Shared>, driven: Driven, by_hand: bool) -> Self {
        let lease = driven.lease();
        if !by_hand && let Some(keeper) = shared.keeper() {
            keeper.keep(lease);
        }
        Self { shared, pid: std::process::id(), lease, by_hand, driven: Mutex::new(Some(driven)) }
    }

    /// Does something with the trial, which must be this process's and not have ended.
    fn with<T: Send>(&self, py: Python<'_>, act: impl FnOnce(&mut Driven) -> T + Send) -> PyResult<T> {
        self.check_process(py)?;
        let done = py.detach(|| lock(&self.driven).as_mut().map(act));
        done.ok_or_else(|| self.over(py))
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
        self.ask_domain(py, name, &domain)
    }

    fn ask_domain(&self, py: Python<'_>, name: &str, domain: &Domain) -> PyResult<Value> {
        match self.with(py, |driven| driven.ask(name, domain))? {
            Ok(value) => Ok(value),
            Err(Halt::Refused(why)) => Err(fault::space(py, &why)),
            Err(Halt::Enough) => Err(self.over(py)),
        }
    }

    fn take(&self, py: Python<'_>) -> PyResult<Driven> {
        self.check_process(py)?;
        let driven = py.detach(|| lock(&self.driven).take()).ok_or_else(|| self.over(py))?;
        if !self.by_hand
            && let Some(keeper) = self.shared.keeper()
        {
            py.detach(|| keeper.let_go(&self.lease));
        }
        Ok(driven)
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
        let config = self.with(py, |driven| driven.config())?;
        let dict = PyDict::new(py);
        for (name, value) in config.answers() {
            dict.set_item(name.as_str(), convert::object(py, value)?)?;
        }
        Ok(dict)
    }

    /// Takes metrics at a step; answers why to stop, if it should.
    fn report(&self, py: Python<'_>, step: u64, metrics: Vec<(String, f64)>) -> PyResult<Option<String>> {
        let flow = self.with(py, move |driven| {
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
        Ok(self.with(py, |driven| driven.stopped())?.map(|why| why.to_string()))
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
        let driven = self.take(py)?;
        let ended = wait(py, self.shared.slow, move || driven.finish(ending), |_| ())?;
        let ended = ended.map_err(|why: StorageError| fault::storage(py, &why))?;
        Ok(ended == kilter_study::storage::Ended::Counted)
    }

    /// Lets it wait for a worker again.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let driven = self.take(py)?;
        // Called when Ctrl-C was pressed: the wait is a short one, and must not be cut off.
        py.detach(move || driven.release()).map_err(|why| fault::storage(py, &why))
    }
}
