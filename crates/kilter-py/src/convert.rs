//! Values, domains and JSON between Python and Rust.

use kilter_space::{Choice, Domain, DomainError, Float, Int, SpaceError, Value};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// A Python object as a value; NumPy's scalars count as the numbers that they are.
pub fn value(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(Value::Int(object.extract()?));
    }
    if object.is_instance_of::<PyFloat>() {
        let number: f64 = object.extract()?;
        if !number.is_finite() {
            return Err(unsuited(object, "a number must be finite"));
        }
        return Ok(Value::Float(number));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::from(text.to_string_lossy().as_ref()));
    }
    if object.is_instance_of::<PyTuple>() || object.is_instance_of::<PyList>() {
        let items: PyResult<Vec<Value>> = object.try_iter()?.map(|item| value(&item?)).collect();
        return Ok(Value::List(items?.into()));
    }
    // NumPy scalars (and whatever else has one plain value in it).
    if let Ok(item) = object.call_method0("item")
        && !item.is(object)
        && !item.get_type().is(object.get_type())
    {
        return value(&item);
    }
    Err(unsuited(object, "a hyperparameter is None, a truth, a number, a text, or a list of such"))
}

fn unsuited(object: &Bound<'_, PyAny>, rule: &str) -> PyErr {
    let shown = object.repr().map_or_else(|_| "this".to_owned(), |repr| repr.to_string());
    let kind = object.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{shown} ({kind}) cannot be the value of a hyperparameter: {rule}"))
}

/// A value as a Python object; lists become tuples, which can be compared and hashed.
pub fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(truth) => truth.into_bound_py_any(py),
        Value::Int(whole) => whole.into_bound_py_any(py),
        Value::Float(number) => number.into_bound_py_any(py),
        Value::Text(text) => (**text).into_bound_py_any(py),
        Value::List(items) => {
            let items: PyResult<Vec<_>> = items.iter().map(|item| object(py, item)).collect();
            Ok(PyTuple::new(py, items?)?.into_any())
        }
    }
}

/// JSON as a Python object.
pub fn json<'py>(py: Python<'py>, value: &serde_json::Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        serde_json::Value::Null => Ok(py.None().into_bound(py)),
        serde_json::Value::Bool(truth) => truth.into_bound_py_any(py),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into_bound_py_any(py),
            None => number.as_f64().into_bound_py_any(py),
        },
        serde_json::Value::String(text) => text.into_bound_py_any(py),
        serde_json::Value::Array(items) => {
            let items: PyResult<Vec<_>> = items.iter().map(|item| json(py, item)).collect();
            Ok(PyList::new(py, items?)?.into_any())
        }
        serde_json::Value::Object(members) => {
            let dict = PyDict::new(py);
            for (key, member) in members {
                dict.set_item(key, json(py, member)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

/// A domain as Python describes one: `("float", low, high, log, step)`, `("int", low, high, log, step)`,
/// `("choice", [values])` and so on. A range of one point is that point.
#[derive(Debug)]
pub enum Described {
    /// A range of real numbers.
    Float(f64, f64, bool, Option<f64>),
    /// A range of whole numbers.
    Int(i64, i64, bool, i64),
    /// One of several values.
    Choice(Vec<Value>),
    /// One of several, from least to most.
    Ordinal(Vec<Value>),
    /// Any of several.
    Subset(Vec<Value>),
    /// All of several, in any order.
    Permutation(Vec<Value>),
    /// One value.
    Fixed(Value),
}

impl Described {
    /// The domain.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn domain(self, name: &str) -> Result<Domain, SpaceError> {
        let made = match self {
            Self::Float(low, high, ..) if low == high && low.is_finite() => Ok(Domain::Fixed(Value::Float(low))),
            Self::Float(low, high, true, step) => Float::log(low, high).and_then(|range| stepped(range, step)),
            Self::Float(low, high, false, step) => Float::new(low, high).and_then(|range| stepped(range, step)),
            Self::Int(low, high, ..) if low == high => Ok(Domain::Fixed(Value::Int(low))),
            Self::Int(low, high, log, step) => {
                let range = if log { Int::log(low, high) } else { Int::new(low, high) };
                let step = u64::try_from(step).map_err(|_| DomainError::BadStep(Value::Int(step)));
                match (range, step) {
                    (Ok(_), Ok(step)) if u128::from(step) > (i128::from(high) - i128::from(low)).unsigned_abs() => {
                        Ok(Domain::Fixed(Value::Int(low)))
                    }
                    (Ok(range), Ok(1)) => Ok(Domain::Int(range)),
                    (Ok(range), Ok(step)) => range.step(step).map(Domain::Int),
                    (Err(why), _) | (_, Err(why)) => Err(why),
                }
            }
            Self::Choice(values) => Choice::new(values).map(Domain::Choice),
            Self::Ordinal(values) => Choice::new(values).map(Domain::Ordinal),
            Self::Subset(values) => Choice::new(values).map(Domain::Subset),
            Self::Permutation(values) => Choice::new(values).map(Domain::Permutation),
            Self::Fixed(value) => Ok(Domain::Fixed(value)),
        };
        made.map_err(|why| SpaceError::Domain { name: name.to_owned(), why })
    }
}

fn stepped(range: Float, step: Option<f64>) -> Result<Domain, DomainError> {
    match step {
        None => Ok(Domain::Float(range)),
        // As far as one step goes there is one point.
        Some(step) if step.is_finite() && step > range.high() - range.low() && !range.is_log() => {
            Ok(Domain::Fixed(Value::Float(range.low())))
        }
        Some(step) => range.step(step).map(Domain::Float),
    }
}

/// A domain as Python describes it.
pub fn described<'py>(py: Python<'py>, domain: &Domain) -> PyResult<Bound<'py, PyAny>> {
    let many = |kind: &str, choice: &Choice| -> PyResult<Bound<'py, PyAny>> {
        let values: PyResult<Vec<_>> = choice.values().iter().map(|value| object(py, value)).collect();
        (kind, PyTuple::new(py, values?)?).into_bound_py_any(py)
    };
    match domain {
        Domain::Float(range) => {
            ("float", range.low(), range.high(), range.is_log(), range.step_width()).into_bound_py_any(py)
        }
        Domain::Int(range) => {
            ("int", range.low(), range.high(), range.is_log(), range.step_width()).into_bound_py_any(py)
        }
        Domain::Choice(choice) => many("choice", choice),
        Domain::Ordinal(choice) => many("ordinal", choice),
        Domain::Subset(choice) => many("subset", choice),
        Domain::Permutation(choice) => many("permutation", choice),
        Domain::Fixed(value) => ("fixed", object(py, value)?).into_bound_py_any(py),
    }
}

/// Reads JSON text that Python's own `json` wrote.
pub fn parse(py: Python<'_>, text: &str) -> PyResult<serde_json::Value> {
    serde_json::from_str(text).map_err(|why| crate::fault::value(py, why))
}
