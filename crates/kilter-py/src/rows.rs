//! Trials as Python sees them: plain dicts, from which `kilter/frozen.py` makes its objects.

use std::hash::{DefaultHasher, Hash, Hasher};

use kilter_study::{End, Failure, Row, Why};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;

/// A number that changes with what is known of a trial beside its state.
pub fn version(row: &Row) -> u64 {
    let mut hasher = DefaultHasher::new();
    (row.attempt, row.points.len(), row.config().answers().len()).hash(&mut hasher);
    for (name, tag) in &row.tags {
        (name, tag.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}

/// A trial as a dict.
pub fn dict<'py>(py: Python<'py>, row: &Row) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("number", row.number)?;
    dict.set_item("state", row.state.name())?;
    let params = PyDict::new(py);
    for (name, value) in row.config().answers() {
        params.set_item(name.as_str(), convert::object(py, value)?)?;
    }
    dict.set_item("params", params)?;
    let metrics = PyDict::new(py);
    for (name, value) in row.end.iter().flat_map(|end| &end.metrics) {
        metrics.set_item(name, *value)?;
    }
    dict.set_item("metrics", metrics)?;
    let points: Vec<(u64, &str, f64)> =
        row.points.iter().map(|point| (point.step, point.metric.as_str(), point.value)).collect();
    dict.set_item("points", points)?;
    let user = row.tags.iter().map(|(name, tag)| (name.clone(), tag.clone())).collect();
    dict.set_item("user", convert::json(py, &serde_json::Value::Object(user))?)?;
    dict.set_item("attempt", row.attempt)?;
    dict.set_item("opened_ms", row.opened_ms)?;
    dict.set_item("ended_ms", row.ended_ms)?;
    dict.set_item("wall_seconds", row.end.as_ref().map(|end| end.usage.wall_seconds))?;
    dict.set_item("feasible", row.is_feasible())?;
    dict.set_item("violations", row.end.as_ref().map(|end| end.violations.clone()).unwrap_or_default())?;
    dict.set_item("why", row.end.as_ref().and_then(why))?;
    let failure = row.end.as_ref().and_then(|end| end.failure.as_ref());
    dict.set_item("failure", failure.map(|failure| (failure.name(), failure.to_string(), failure.tail())))?;
    Ok(dict)
}

/// Why it ended before its time.
fn why(end: &End) -> Option<String> {
    end.failure.as_ref().map(Failure::to_string).or_else(|| end.why.as_ref().map(Why::to_string))
}
