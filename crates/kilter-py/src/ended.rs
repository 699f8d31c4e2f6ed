//! How trials end in Python's words, and trials that had ended before this study heard of them.

use kilter_space::{Config, Domain, Name, SpaceError, Value};
use kilter_study::storage::Begun;
use kilter_study::{Amendment, Ending, Failure, Opened, Point, StudyError, Usage, Worker};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;
use crate::fault;
use crate::held::Shared;
use crate::space::Space;
use crate::store::lock;

/// How a trial ended.
pub fn ending(
    py: Python<'_>,
    state: &str,
    metrics: Vec<(String, f64)>,
    failure: Option<(String, String, String)>,
) -> PyResult<Ending> {
    Ok(match (state, failure) {
        ("complete", _) => Ending::Complete(metrics.into_iter().collect()),
        ("pruned", _) => Ending::Pruned,
        ("failed", Some((exception, message, tail))) if !exception.is_empty() => {
            Ending::Failed(Failure::Raised { exception, message, tail })
        }
        ("failed", Some((_, message, _))) => Ending::Failed(Failure::refused(message)),
        ("failed", None) => Ending::Failed(Failure::refused("told so")),
        (other, _) => {
            return Err(fault::value(
                py,
                format!("a trial cannot end as `{other}`; complete, pruned or failed can be"),
            ));
        }
    })
}

/// A configuration from a dict.
pub fn config(py: Python<'_>, params: &Bound<'_, PyDict>) -> PyResult<Config> {
    let mut answers = Vec::with_capacity(params.len());
    for (name, value) in params {
        let name: String = name.extract()?;
        let name = Name::new(&name).map_err(|why| fault::space(py, &why.into()))?;
        answers.push((name, convert::value(&value)?));
    }
    Ok(Config::new(answers))
}

/// A trial of another study: its answers with their domains, how it ended, what it reported and what is written on it.
pub struct Ended {
    answers: Vec<(Name, Domain, Value)>,
    ending: Ending,
    points: Vec<Point>,
    tags: serde_json::Value,
}

/// A hyperparameter as Python hands it over: its name, its value, what it was chosen from or nothing.
pub type Answer<'py> = (String, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

impl Ended {
    /// From what Python says of it; `user` is JSON text.
    pub fn read(
        py: Python<'_>,
        params: &[Answer<'_>],
        ending: Ending,
        points: Vec<(u64, String, f64)>,
        user: &str,
    ) -> PyResult<Self> {
        let mut answers = Vec::with_capacity(params.len());
        for (name, value, domain) in params {
            let known = Name::new(name).map_err(|why| fault::space(py, &SpaceError::from(why)))?;
            let value = convert::value(value)?;
            let domain = domain.as_ref().map(|domain| Space::domain(py, name, domain)).transpose()?;
            // What another study searched may have changed since: the value then stands for itself.
            let within = domain.and_then(|domain| Some((domain.accept(&value)?, domain)));
            let (held, domain) = within.unwrap_or_else(|| (value.clone(), Domain::Fixed(value)));
            answers.push((known, domain, held));
        }
        let points = points.into_iter().map(|(step, metric, value)| Point { step, metric, value }).collect();
        Ok(Self { answers, ending, points, tags: convert::parse(py, user)? })
    }

    /// Adds it to a study; gives its number there.
    pub fn add(self, shared: &Shared) -> Result<u64, StudyError> {
        let mut study = lock(&shared.study);
        study.sync()?;
        let (storage, id, worker) = (&shared.storage, study.id(), Worker::here());
        let outline = &study.spec().outline;
        let complete = outline.is_complete();
        let config = Config::new(self.answers.iter().map(|(name, _, value)| (name.clone(), value.clone())).collect());
        let end = self.ending.end(study.spec(), &config, None, Usage::default());
        let fingerprint = outline.fingerprint();
        let opened = Opened { config, fingerprint, ..Opened::default() };
        let mut number = storage.next_free(id)?;
        let lease = loop {
            match storage.open(id, number, &opened, &worker, false)? {
                Begun::Running(lease) => break lease,
                Begun::Reserved(next) => number = next,
                // It need not be fresh.
                Begun::Asked => {}
            }
        };
        if !complete {
            storage.answer(&lease, &self.answers)?;
        }
        if !self.points.is_empty() {
            storage.report(&lease, &self.points)?;
        }
        if let serde_json::Value::Object(tags) = self.tags
            && !tags.is_empty()
        {
            storage.amend(id, Some(number), &Amendment::Tags(tags.into_iter().collect()))?;
        }
        storage.finish(&lease, &end)?;
        study.sync()?;
        Ok(number)
    }
}
