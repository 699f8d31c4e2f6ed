//! The compiled half of the Python package `kilter`: studies, trials and spaces as Python holds them. What is written in
//! Python lies under `python/kilter/`.
//!
//! Rust locks are taken only while this thread is detached from the interpreter; whatever could wait for a file looks for
//! Ctrl-C meanwhile.

mod arrow;
mod convert;
mod core;
mod dump;
mod ended;
mod fault;
mod handle;
mod held;
mod keeper;
mod patience;
mod plots;
mod rows;
mod space;
mod store;

use pyo3::prelude::*;

/// See [`crate`].
#[pymodule]
mod _kilter {
    use super::PyModule;
    use super::{Bound, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::arrow::Table;
    #[pymodule_export]
    use super::core::Core;
    #[pymodule_export]
    use super::handle::Handle;
    #[pymodule_export]
    use super::space::Space;
    #[pymodule_export]
    use super::store::Store;
    #[pymodule_export]
    use super::{check_pruner, check_sampler, pruners, samplers};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// All samplers: (name, what it does, its options with their defaults).
#[pyfunction]
fn samplers() -> Vec<(&'static str, &'static str, &'static str)> {
    kilter_search::SAMPLERS.iter().map(|listed| (listed.name, listed.about, listed.options)).collect()
}

/// All pruners, likewise.
#[pyfunction]
fn pruners() -> Vec<(&'static str, &'static str, &'static str)> {
    kilter_search::PRUNERS.iter().map(|listed| (listed.name, listed.about, listed.options)).collect()
}

/// Refuses what names no sampler.
#[pyfunction]
fn check_sampler(py: Python<'_>, text: &str) -> PyResult<()> {
    kilter_search::sampler(text).map(|_| ()).map_err(|why| fault::value(py, why))
}

/// Refuses what names no pruner.
#[pyfunction]
fn check_pruner(py: Python<'_>, text: &str) -> PyResult<()> {
    kilter_search::pruner(text).map(|_| ()).map_err(|why| fault::value(py, why))
}
