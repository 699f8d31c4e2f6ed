//! What goes wrong in Rust, as Python's exceptions. Their classes are written in Python: `kilter/errors.py`.

use std::fmt::Display;

use kilter_space::SpaceError;
use kilter_study::{StorageError, StudyError};
use pyo3::prelude::*;
use pyo3::types::PyType;

/// The exception `class` of `kilter.errors`.
pub fn of(py: Python<'_>, class: &str, why: impl Display) -> PyErr {
    let made = py
        .import("kilter.errors")
        .and_then(|errors| errors.getattr(class))
        .and_then(|class| Ok(PyErr::from_type(class.cast_into::<PyType>()?, why.to_string())));
    made.unwrap_or_else(|trouble| trouble)
}

/// A call with arguments that cannot be: `kilter.errors.ArgumentError`, a `ValueError`.
pub fn value(py: Python<'_>, why: impl Display) -> PyErr {
    of(py, "ArgumentError", why)
}

/// A storage's trouble.
pub fn storage(py: Python<'_>, why: &StorageError) -> PyErr {
    match why {
        // The command line's advice names its own options.
        StorageError::NameTaken(name) => of(
            py,
            "DuplicatedStudyError",
            format!(
                "there is a study named `{name}` already; choose another name, or continue it with load_if_exists=True"
            ),
        ),
        why => of(py, "StorageError", why),
    }
}

/// A space's refusal: `kilter.errors.SpaceError`, a `ValueError`.
pub fn space(py: Python<'_>, why: &SpaceError) -> PyErr {
    of(py, "SpaceError", why)
}

/// A study's trouble.
pub fn study(py: Python<'_>, why: &StudyError) -> PyErr {
    match why {
        StudyError::Storage(why) => storage(py, why),
        StudyError::Space(why) => space(py, why),
        StudyError::Unfit(_) => of(py, "SpaceError", why),
        StudyError::Unknown { .. } => of(py, "UnknownStudyError", why),
        why => of(py, "StudyError", why),
    }
}
