//! Declared spaces: from TOML, from JSON, from what Python says.

use std::path::Path;

use kilter_numerics::Stream;
use kilter_space::text::{Document, Format};
use kilter_space::{Config, Count, Defaults, Domain, Fit, Name, Outline, Random, replay};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{self, Described};
use crate::fault;

/// A declared space.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Space(Outline);

impl Space {
    pub fn of(outline: Outline) -> Self {
        Self(outline)
    }

    pub fn outline(&self) -> &Outline {
        &self.0
    }

    /// A domain as Python describes it.
    pub fn domain(py: Python<'_>, name: &str, described: &Bound<'_, PyAny>) -> PyResult<Domain> {
        let kind: String = described.get_item(0)?.extract()?;
        let values = || described.get_item(1)?.try_iter()?.map(|item| convert::value(&item?)).collect::<PyResult<_>>();
        let described = match kind.as_str() {
            "float" => {
                let (_, low, high, log, step): (String, f64, f64, bool, Option<f64>) = described.extract()?;
                Described::Float(low, high, log, step)
            }
            "int" => {
                let (_, low, high, log, step): (String, i64, i64, bool, i64) = described.extract()?;
                Described::Int(low, high, log, step)
            }
            "choice" => Described::Choice(values()?),
            "ordinal" => Described::Ordinal(values()?),
            "subset" => Described::Subset(values()?),
            "permutation" => Described::Permutation(values()?),
            "fixed" => Described::Fixed(convert::value(&described.get_item(1)?)?),
            _ => return Err(fault::value(py, format!("`{kind}` describes no domain; float, int and choice do"))),
        };
        described.domain(name).map_err(|why| fault::space(py, &why))
    }
}

#[pymethods]
impl Space {
    /// Reads `text`; `name` is the file's, for messages, and tells its notation (JSON if it ends so, else TOML).
    #[staticmethod]
    fn read(py: Python<'_>, name: &str, text: &str) -> PyResult<Self> {
        let format = Format::of(name);
        let outline = Document::read(name, text.as_bytes(), format)
            .and_then(|document| document.space(&[]))
            .and_then(|space| space.outline());
        outline.map(Self).map_err(|why| fault::of(py, "SpaceError", why))
    }

    /// Reads a file.
    #[staticmethod]
    fn read_file(py: Python<'_>, path: &str) -> PyResult<Self> {
        let text = std::fs::read_to_string(Path::new(path));
        Self::read(py, path, &text.map_err(|why| fault::value(py, format!("cannot read {path}: {why}")))?)
    }

    /// The space as TOML that reads back the same.
    fn to_toml(&self) -> String {
        self.0.to_toml()
    }

    /// The space as JSON, of a define-by-run study too.
    fn dump(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.0).map_err(|why| fault::value(py, why))
    }

    /// What [`Space::dump`] gave.
    #[staticmethod]
    fn undump(py: Python<'_>, text: &str) -> PyResult<Self> {
        serde_json::from_str(text).map(Self).map_err(|why| fault::value(py, why))
    }

    /// Its questions in order: dicts of name, domain (described), domain as text, default, when, about.
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let entry = |entry: &kilter_space::Entry| {
            let dict = PyDict::new(py);
            dict.set_item("name", entry.name.as_str())?;
            dict.set_item("domain", convert::described(py, &entry.domain)?)?;
            dict.set_item("text", entry.domain.to_string())?;
            dict.set_item("default", entry.default.as_ref().map(|value| convert::object(py, value)).transpose()?)?;
            dict.set_item("when", entry.when.as_ref().map(ToString::to_string))?;
            dict.set_item("about", &entry.about)?;
            Ok(dict)
        };
        self.0.entries().iter().map(entry).collect()
    }

    /// Its constraints, as written.
    fn constraints(&self) -> Vec<String> {
        self.0.constraints().iter().map(ToString::to_string).collect()
    }

    /// Does it list every question there can be?
    fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    /// The default configuration.
    fn defaults<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let config = Defaults::config(&self.0).map_err(|why| fault::space(py, &why))?;
        dict(py, &config)
    }

    /// A random configuration: uniform over the feasible ones.
    fn sample<'py>(&self, py: Python<'py>, seed: u64) -> PyResult<Bound<'py, PyDict>> {
        let drawn = py.detach(|| Random::new(Stream::new(&[seed], "space.sample")).config(&self.0));
        dict(py, &drawn.map_err(|why| fault::space(py, &why))?)
    }

    /// How many configurations there are; nothing if they cannot be counted: a continuum, or too many.
    fn count(&self, py: Python<'_>) -> Option<u128> {
        match py.detach(|| self.0.count()) {
            Ok(Count::Exact(count)) => Some(count),
            _ => None,
        }
    }

    /// These answers as the space holds them, defaults where they lack some.
    fn complete<'py>(&self, py: Python<'py>, params: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
        let refuse = |why: String| fault::of(py, "SpaceError", why);
        let mut answers = Vec::new();
        for (name, value) in params {
            let name: String = name.extract()?;
            self.0.entry(&name).map_err(|why| fault::space(py, &why))?;
            let name = Name::new(&name).map_err(|why| fault::space(py, &why.into()))?;
            answers.push((name, convert::value(&value)?));
        }
        match replay(&Config::new(answers), &self.0).map_err(|why| fault::space(py, &why))? {
            Fit::Whole(config) => dict(py, &config),
            Fit::Missing(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                Err(refuse(format!("{} without a value and without a default", names.join(", "))))
            }
            Fit::Outside(answers) => {
                let lines: Vec<String> = answers.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
                Err(refuse(lines.join("; ")))
            }
        }
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

fn dict<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in config.answers() {
        dict.set_item(name.as_str(), convert::object(py, value)?)?;
    }
    Ok(dict)
}
