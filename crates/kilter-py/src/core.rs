//! Studies as Python holds them: ask, tell, look.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use kilter_search::importance::PedAnovaConfig;
use kilter_space::{Expr, Name, Outline};
use kilter_study::{
    Amendment, Asked, Better, Column, Conduct, Driven, Goal, Limits, Row, Study, StudyError, StudySpec, Usage,
    check_field,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::arrow::Table;
use crate::convert;
use crate::dump::Dump;
use crate::ended::{Answer, Ended, config, ending};
use crate::fault;
use crate::handle::Handle;
use crate::held::{Held, Shared};
use crate::patience::{wait, wait_unless};
use crate::plots;
use crate::rows;
use crate::space::Space;
use crate::store::{Closed, Opener, Store, lock};

/// A study.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Core(Arc<Held>);

#[pymethods]
impl Core {
    /// Makes a study. `goals` are (metric, "minimize" or "maximize").
    #[staticmethod]
    #[pyo3(signature = (store, name, goals, sampler, pruner, seed, space, require))]
    #[expect(clippy::too_many_arguments, reason = "called from one place, which names them")]
    fn create(
        py: Python<'_>,
        store: &Store,
        name: String,
        goals: Vec<(String, String)>,
        sampler: String,
        pruner: String,
        seed: u64,
        space: Option<&Space>,
        require: Vec<String>,
    ) -> PyResult<Self> {
        let value = |why: String| fault::value(py, why);
        let goals = goals.into_iter().map(|(metric, way)| match way.as_str() {
            "minimize" => Ok(Goal::minimize(&metric)),
            "maximize" => Ok(Goal::maximize(&metric)),
            _ => Err(value(format!("direction `{way}` of `{metric}`: write \"minimize\" or \"maximize\""))),
        });
        let goals: Vec<Goal> = goals.collect::<PyResult<_>>()?;
        for metric in goals.iter().map(|goal| &goal.metric) {
            Name::new(metric).map_err(|why| value(why.to_string().replace("hyperparameter", "metric")))?;
            if goals.iter().filter(|goal| goal.metric == *metric).count() > 1 {
                return Err(value(format!(
                    "the metric `{metric}` is named twice; each direction needs one of its own"
                )));
            }
        }
        let requirements = require.iter().map(|text| Expr::parse(text).map_err(|why| value(why.to_string())));
        let outline = match space {
            Some(space) => space.outline().clone(),
            None => Outline::learnt(Vec::new()).map_err(|why| fault::space(py, &why))?,
        };
        let spec = StudySpec {
            name: name.clone(),
            outline,
            goals,
            sampler,
            pruner,
            seed,
            trials: None,
            conduct: Conduct::default(),
            requirements: requirements.collect::<PyResult<_>>()?,
            limits: Limits::default(),
            plan: serde_json::Value::Null,
        };
        let sampler = kilter_search::sampler(&spec.sampler).map_err(|why| value(why.to_string()))?;
        let pruner = kilter_search::pruner(&spec.pruner).map_err(|why| value(why.to_string()))?;
        let opener = store.0.clone();
        let made = move || {
            let study = Study::create(opener.storage()?, spec, sampler, pruner)?;
            Ok::<Held, Closed>(Held::new(opener, name, study))
        };
        let held = wait(py, store.0.is_slow(), made, |_| ())?.map_err(|why| why.raise(py))?;
        Ok(Self(Arc::new(held)))
    }

    /// Continues a study.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        store: &Store,
        name: String,
        sampler: Option<String>,
        pruner: Option<String>,
    ) -> PyResult<Self> {
        let opener = store.0.clone();
        let opened = wait(py, store.0.is_slow(), move || Held::open(opener, name, sampler, pruner), |_| ())?;
        Ok(Self(Arc::new(opened.map_err(|why| why.raise(py))?)))
    }

    /// A study in memory of what [`Core::dump`] gave.
    #[staticmethod]
    fn undump(py: Python<'_>, dump: &[u8], sampler: Option<String>, pruner: Option<String>) -> PyResult<Self> {
        let dump: Dump = serde_json::from_slice(dump).map_err(|why| fault::value(py, why))?;
        let (memory, name) = py.detach(|| dump.restore()).map_err(|why| fault::storage(py, &why))?;
        Self::load(py, &Store(Opener::memory(memory)), name, sampler, pruner)
    }

    /// Everything that happened to the study.
    fn dump<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let dump = self.act(py, Dump::of)?;
        let bytes = serde_json::to_vec(&dump).map_err(|why| fault::value(py, why))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// What the study is.
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (spec, tags) = self.look(py, |study| (study.spec().clone(), study.history().tags().clone()))?;
        let dict = PyDict::new(py);
        dict.set_item("name", &spec.name)?;
        let way = |better: Better| if better == Better::Lower { "minimize" } else { "maximize" };
        let goals: Vec<_> = spec.goals.iter().map(|goal| (goal.metric.as_str(), way(goal.better))).collect();
        dict.set_item("goals", goals)?;
        dict.set_item("sampler", self.0.sampler.as_ref().unwrap_or(&spec.sampler))?;
        dict.set_item("pruner", self.0.pruner.as_ref().unwrap_or(&spec.pruner))?;
        dict.set_item("seed", spec.seed)?;
        dict.set_item("complete", spec.outline.is_complete())?;
        let user = tags.into_iter().collect();
        dict.set_item("user", convert::json(py, &serde_json::Value::Object(user))?)?;
        Ok(dict)
    }

    /// Its space; of a define-by-run study what its trials have asked so far.
    fn space(&self, py: Python<'_>) -> PyResult<Space> {
        Ok(Space::of(self.look(py, |study| study.spec().outline.clone())?))
    }

    /// Its storage's address; nothing for memory.
    fn address(&self) -> Option<String> {
        self.0.store.address.as_ref().map(ToString::to_string)
    }

    /// Lets trials whose worker died wait again.
    fn reap(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        self.act(py, |shared| lock(&shared.study).reap())
    }

    /// The next trial; None if one must be waited for; a text, if there is no further one: why. One asked `by_hand` is
    /// nobody's: it has no heartbeat, and waits until it is told.
    fn ask(&self, py: Python<'_>, by_hand: bool) -> PyResult<Py<PyAny>> {
        let (held, since) = (self.0.clone(), Instant::now());
        let work = move || -> Result<(Arc<Shared>, Asked<Driven>), Closed> {
            let shared = held.shared()?;
            let asked = lock(&shared.study).ask_driven()?;
            if let (Asked::Trial(trial), true) = (&asked, by_hand) {
                shared.storage.entrust(&trial.lease())?;
            }
            Ok((shared, asked))
        };
        let orphan = |unheard: Result<(Arc<Shared>, Asked<Driven>), Closed>| {
            if let Ok((_, Asked::Trial(trial))) = unheard {
                let _ = trial.release();
            }
        };
        let over = || !by_hand && self.0.halted.load(Ordering::Relaxed);
        let (shared, asked) =
            wait_unless(py, self.0.store.is_slow(), over, work, orphan)?.map_err(|why| why.raise(py))?;
        match asked {
            Asked::Trial(trial) => Ok(Py::new(py, Handle::new(shared, trial, by_hand, since))?.into_any()),
            Asked::Wait => Ok(py.None()),
            Asked::Done(why) => Ok(PyString::new(py, &why).into_any().unbind()),
        }
    }

    /// Are asks that wait for the storage, though not those by hand, to give up?
    fn halt(&self, halted: bool) {
        self.0.halted.store(halted, Ordering::Relaxed);
    }

    /// Ends a trial that was asked by hand, here or elsewhere.
    fn tell(
        &self,
        py: Python<'_>,
        number: u64,
        state: String,
        metrics: Vec<(String, f64)>,
        failure: Option<(String, String, String)>,
    ) -> PyResult<()> {
        let ending = ending(py, &state, metrics, failure)?;
        self.act(py, move |shared| {
            let mut study = lock(&shared.study);
            study.sync()?;
            let config = study.history().get(number).map(|row| row.config().clone()).unwrap_or_default();
            let end = ending.end(study.spec(), &config, None, Usage::default());
            study.tell_by_hand(number, &end).map(|_| ())
        })
    }

    /// Adds a trial that runs before anything that the sampler proposes.
    fn enqueue(&self, py: Python<'_>, params: &Bound<'_, PyDict>) -> PyResult<u64> {
        let config = config(py, params)?;
        self.act(py, move |shared| lock(&shared.study).enqueue(&config))
    }

    /// Adds a trial that has ended: (name, value, domain or nothing) of its hyperparameters, its metrics, what it
    /// reported.
    fn add(
        &self,
        py: Python<'_>,
        state: String,
        params: Vec<Answer<'_>>,
        metrics: Vec<(String, f64)>,
        points: Vec<(u64, String, f64)>,
        user: &str,
    ) -> PyResult<u64> {
        let ended = Ended::read(py, &params, ending(py, &state, metrics, None)?, points, user)?;
        self.act(py, |shared| ended.add(shared))
    }

    /// Writes on the study, or on one of its trials: JSON text of an object; null takes a tag away.
    fn tag(&self, py: Python<'_>, number: Option<u64>, tags: &str) -> PyResult<()> {
        let serde_json::Value::Object(tags) = convert::parse(py, tags)? else { return Ok(()) };
        let tags = Amendment::Tags(tags.into_iter().collect());
        self.act(py, move |shared| {
            let mut study = lock(&shared.study);
            let id = study.id();
            shared.storage.amend(id, number, &tags)?;
            study.sync()
        })
    }

    /// The state of each trial, and a number that changes with whatever else is known of it.
    fn states(&self, py: Python<'_>) -> PyResult<Vec<(u64, &'static str, u64)>> {
        self.look(py, |study| {
            study.history().rows().map(|row| (row.number, row.state.name(), rows::version(row))).collect()
        })
    }

    /// Trials as dicts.
    fn rows<'py>(&self, py: Python<'py>, numbers: Vec<u64>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let found = self.look(py, move |study| {
            let row = |number: &u64| study.history().get(*number).cloned();
            numbers.iter().filter_map(row).collect::<Vec<_>>()
        })?;
        found.iter().map(|row| rows::dict(py, row)).collect()
    }

    /// All trials as a table with these columns, or with all that any of them has.
    fn table(&self, py: Python<'_>, columns: Option<Vec<String>>) -> PyResult<Table> {
        let made = self.look(py, move |study| {
            let known = kilter_study::fields(study.spec(), study.history());
            if let Some(wrong) = columns.iter().flatten().find_map(|name| check_field(&known, name).err()) {
                return Err(wrong);
            }
            let rows: Vec<&Row> = study.history().rows().collect();
            let wanted = columns.unwrap_or(known);
            let columns = wanted.iter().filter_map(|name| Column::of(&rows, name)).collect();
            Ok(Table::new(rows.len(), columns))
        })?;
        made.map_err(|why| fault::value(py, why))
    }

    /// A figure as Plotly's JSON.
    #[pyo3(signature = (kind, params, target, reference))]
    fn figure(
        &self,
        py: Python<'_>,
        kind: String,
        params: Option<Vec<String>>,
        target: Option<String>,
        reference: Option<Vec<f64>>,
    ) -> PyResult<String> {
        let shown = plots::Shown { kind, params, target, reference };
        let made = self.look(py, move |study| plots::figure(study, &shown))?;
        made.map(|figure| figure.json().to_string()).map_err(|why| fault::value(py, why))
    }

    /// How much each hyperparameter mattered to a metric: (name, share).
    #[pyo3(signature = (target, target_quantile, region_quantile, evaluate_on_local))]
    fn importances(
        &self,
        py: Python<'_>,
        target: Option<String>,
        target_quantile: f64,
        region_quantile: f64,
        evaluate_on_local: bool,
    ) -> PyResult<Vec<(String, f64)>> {
        let config = PedAnovaConfig { target_quantile, region_quantile, evaluate_on_local };
        let found = self.look(py, move |study| plots::importances(study, &config, target.as_deref()))?;
        found.map_err(|why| fault::value(py, why))
    }

    /// The numbers of the best trials: with one goal at most one, else the front.
    fn best(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        self.look(py, |study| match &study.spec().goals[..] {
            [goal] => study.history().best(goal).map(|row| row.number).into_iter().collect(),
            goals => study.history().front(goals).into_iter().map(|row| row.number).collect(),
        })
    }

    /// How many trials there are in each state.
    fn counts(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, usize)>> {
        use kilter_study::State;
        let states = [State::Waiting, State::Running, State::Stale, State::Complete, State::Pruned, State::Failed];
        self.look(py, move |study| states.map(|state| (state.name(), study.history().count(state))).into())
    }
}

impl Core {
    fn act<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Shared) -> Result<T, StudyError> + Send + 'static,
    ) -> PyResult<T> {
        let held = self.0.clone();
        let work = move || Ok::<T, Closed>(work(&*held.shared()?)?);
        wait(py, self.0.store.is_slow(), work, |_| ())?.map_err(|why| why.raise(py))
    }

    /// Looks at the study as it is now.
    fn look<T: Send + 'static>(&self, py: Python<'_>, look: impl FnOnce(&Study) -> T + Send + 'static) -> PyResult<T> {
        self.act(py, move |shared| {
            let mut study = lock(&shared.study);
            study.sync()?;
            Ok(look(&study))
        })
    }
}
