//! Storages and studies. Each knows the process that opened it: a forked child opens them anew and never touches what its
//! parent had, whose connections it must not share and whose locks somebody may have held.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kilter_space::{Config, Expr, Name, Outline, nearest};
use kilter_study::storage::{Address, Begun};
use kilter_study::{
    Amendment, Asked, Better, Change, Column, Conduct, Driven, Ending, Event, Failure, Goal, Limits, Memory, Opened,
    Point, Row, Sqlite, Storage, StorageError, Study, StudyError, StudyId, StudySpec, Usage, Worker, check_field,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::arrow::Table;
use crate::convert;
use crate::fault;
use crate::handle::Handle;
use crate::keeper::Keeper;
use crate::patience::wait;
use crate::plots;
use crate::rows;
use crate::space::Space;

/// Why something cannot be opened here.
enum Closed {
    Storage(StorageError),
    Study(StudyError),
    /// It lives in the memory of another process.
    Elsewhere(u32),
    Call(String),
}

impl Closed {
    fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Storage(why) => fault::storage(py, &why),
            Self::Study(why) => fault::study(py, &why),
            Self::Elsewhere(pid) => fault::of(
                py,
                "StudyError",
                format!(
                    "this study lives in the memory of process {pid}, and a forked child has but a copy of it; share one \
                     with storage=\"sqlite:FILE\""
                ),
            ),
            Self::Call(why) => fault::value(py, why),
        }
    }
}

impl From<StorageError> for Closed {
    fn from(why: StorageError) -> Self {
        Self::Storage(why)
    }
}

impl From<StudyError> for Closed {
    fn from(why: StudyError) -> Self {
        Self::Study(why)
    }
}

/// Locks are held for moments and leave whole what they guard.
pub fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that belongs to the process that made it.
struct Owned<T> {
    pid: u32,
    held: T,
}

impl<T: Clone> Owned<T> {
    fn new(held: T) -> Self {
        Self { pid: std::process::id(), held }
    }

    /// What this process holds; made anew if that is another process's. No Python is touched meanwhile.
    fn here<E>(owned: &Mutex<Self>, anew: impl FnOnce(u32) -> Result<T, E>) -> Result<T, E> {
        let mut owned = lock(owned);
        if owned.pid != std::process::id() {
            let held = anew(owned.pid)?;
            // The parent's is neither used nor closed: closing would drop the parent's locks on the file.
            std::mem::forget(std::mem::replace(&mut owned.held, held));
            owned.pid = std::process::id();
        }
        Ok(owned.held.clone())
    }
}

struct Opener {
    address: Option<Address>,
    owned: Mutex<Owned<Arc<dyn Storage>>>,
}

impl Opener {
    fn storage(&self) -> Result<Arc<dyn Storage>, Closed> {
        Owned::here(&self.owned, |pid| match &self.address {
            Some(address) => Ok(Arc::new(Sqlite::at(address)?)),
            None => Err(Closed::Elsewhere(pid)),
        })
    }
}

/// A storage: this process's memory, or a file.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Store(Arc<Opener>);

#[pymethods]
impl Store {
    /// Memory without an address. `make` makes a file that is not there.
    #[new]
    fn new(py: Python<'_>, address: Option<&str>, make: bool) -> PyResult<Self> {
        let Some(address) = address else {
            let memory: Arc<dyn Storage> = Arc::new(Memory::new());
            return Ok(Self(Arc::new(Opener { address: None, owned: Mutex::new(Owned::new(memory)) })));
        };
        let address = Address::read(address).map_err(|why| fault::value(py, why))?;
        if !make && !address.file.exists() {
            let why =
                format!("there is no {} here; create a study in it, or name another file", address.file.display());
            return Err(fault::of(py, "StorageError", why));
        }
        let opened = address.clone();
        let storage = wait(py, true, move || Sqlite::at(&opened), |_| ())?.map_err(|why| fault::storage(py, &why))?;
        let storage: Arc<dyn Storage> = Arc::new(storage);
        Ok(Self(Arc::new(Opener { address: Some(address), owned: Mutex::new(Owned::new(storage)) })))
    }

    /// Its address; nothing for memory.
    fn address(&self) -> Option<String> {
        self.0.address.as_ref().map(ToString::to_string)
    }

    /// Its studies, oldest first: (name, created in ms since 1970).
    fn studies(&self, py: Python<'_>) -> PyResult<Vec<(String, i64)>> {
        let entries = self.act(py, |storage| storage.studies())?;
        Ok(entries.into_iter().map(|entry| (entry.spec.name, entry.created_ms)).collect())
    }

    /// Removes a study.
    fn delete(&self, py: Python<'_>, name: String) -> PyResult<()> {
        self.act(py, move |storage| match find(storage, &name) {
            Ok((id, _)) => storage.delete(id).map_err(StudyError::from),
            Err(why) => Err(why),
        })
    }
}

impl Store {
    fn act<T: Send + 'static, E: Send + 'static + Into<StudyError>>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&dyn Storage) -> Result<T, E> + Send + 'static,
    ) -> PyResult<T> {
        let storage = self.0.storage().map_err(|why| why.raise(py))?;
        let done = wait(py, self.0.address.is_some(), move || work(&*storage), |_| ())?;
        done.map_err(|why| fault::study(py, &why.into()))
    }
}

fn find(storage: &dyn Storage, name: &str) -> Result<(StudyId, StudySpec), StudyError> {
    let studies = storage.studies()?;
    let near = nearest(name, studies.iter().map(|study| study.spec.name.as_str())).map(str::to_owned);
    let found = studies.into_iter().find(|study| study.spec.name == name);
    found.map(|study| (study.id, study.spec)).ok_or(StudyError::Unknown { name: name.to_owned(), nearest: near })
}

/// What the threads of one process share of a study.
pub struct Shared {
    pub study: Mutex<Study>,
    pub storage: Arc<dyn Storage>,
    /// Can the storage keep somebody waiting?
    pub slow: bool,
    keeper: OnceLock<Keeper>,
}

impl Shared {
    fn new(study: Study, slow: bool) -> Arc<Self> {
        let storage = study.storage().clone();
        Arc::new(Self { study: Mutex::new(study), storage, slow, keeper: OnceLock::new() })
    }

    /// Its leases' keeper, where leases end by themselves.
    pub fn keeper(&self) -> Option<&Keeper> {
        self.slow.then(|| self.keeper.get_or_init(|| Keeper::new(self.storage.clone())))
    }
}

/// A study.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Core {
    store: Arc<Opener>,
    name: String,
    /// Other than what the study was made with.
    sampler: Option<String>,
    pruner: Option<String>,
    owned: Mutex<Owned<Arc<Shared>>>,
}

fn open(
    storage: Arc<dyn Storage>,
    name: &str,
    sampler: Option<&str>,
    pruner: Option<&str>,
    slow: bool,
) -> Result<Arc<Shared>, Closed> {
    let (id, mut spec) = find(&*storage, name)?;
    let call = |why: kilter_search::RegistryError| Closed::Call(why.to_string());
    if let Some(other) = sampler {
        other.clone_into(&mut spec.sampler);
    }
    let sampler = kilter_search::sampler(&spec.sampler).map_err(call)?;
    let pruner = kilter_search::pruner(pruner.unwrap_or(&spec.pruner)).map_err(call)?;
    Ok(Shared::new(Study::hold(storage, id, spec, sampler, pruner)?, slow))
}

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
        let storage = store.0.storage().map_err(|why| why.raise(py))?;
        let slow = store.0.address.is_some();
        let made = wait(py, slow, move || Study::create(storage, spec, sampler, pruner), |_| ())?;
        let study = made.map_err(|why| fault::study(py, &why))?;
        let owned = Mutex::new(Owned::new(Shared::new(study, slow)));
        Ok(Self { store: store.0.clone(), name, sampler: None, pruner: None, owned })
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
        let storage = store.0.storage().map_err(|why| why.raise(py))?;
        let slow = store.0.address.is_some();
        let (called, by, with) = (name.clone(), sampler.clone(), pruner.clone());
        let opened = wait(py, slow, move || open(storage, &called, by.as_deref(), with.as_deref(), slow), |_| ())?;
        let shared = opened.map_err(|why| why.raise(py))?;
        Ok(Self { store: store.0.clone(), name, sampler, pruner, owned: Mutex::new(Owned::new(shared)) })
    }

    /// A study in memory of what [`Core::dump`] gave.
    #[staticmethod]
    fn undump(py: Python<'_>, dump: &[u8], sampler: Option<String>, pruner: Option<String>) -> PyResult<Self> {
        let Dump { spec, created_ms, events } = serde_json::from_slice(dump).map_err(|why| fault::value(py, why))?;
        let event =
            |(at, (number, at_ms, change)): (usize, _)| Event { revision: at as u64 + 1, number, at_ms, change };
        let events: Vec<Event> = events.into_iter().enumerate().map(event).collect();
        let memory = Memory::new();
        memory.adopt(&spec, created_ms, &events).map_err(|why| fault::storage(py, &why))?;
        let memory: Arc<dyn Storage> = Arc::new(memory);
        let store = Store(Arc::new(Opener { address: None, owned: Mutex::new(Owned::new(memory)) }));
        Self::load(py, &store, spec.name, sampler, pruner)
    }

    /// Everything that happened to the study.
    fn dump<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let dump = self.act(py, |shared| {
            let mut study = lock(&shared.study);
            study.sync()?;
            let (mut events, mut since) = (Vec::new(), 0);
            loop {
                let changes = shared.storage.changes(study.id(), since, 10_000)?;
                since = changes.events.last().map_or(since, |event| event.revision);
                events.extend(changes.events.into_iter().map(|event| (event.number, event.at_ms, event.change)));
                if !changes.more {
                    break;
                }
            }
            let entries = shared.storage.studies()?;
            let created_ms = entries.iter().find(|entry| entry.id == study.id()).map_or(0, |entry| entry.created_ms);
            Ok(Dump { spec: study.spec().clone(), created_ms, events })
        })?;
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
        dict.set_item("sampler", self.sampler.as_ref().unwrap_or(&spec.sampler))?;
        dict.set_item("pruner", self.pruner.as_ref().unwrap_or(&spec.pruner))?;
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
        self.store.address.as_ref().map(ToString::to_string)
    }

    /// Lets trials whose worker died wait again.
    fn reap(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        self.act(py, |shared| lock(&shared.study).reap())
    }

    /// The next trial; None if one must be waited for; a text, if there is no further one: why. One asked `by_hand` is
    /// nobody's: it has no heartbeat, and waits until it is told.
    fn ask(&self, py: Python<'_>, by_hand: bool) -> PyResult<Py<PyAny>> {
        let shared = self.shared(py)?;
        let asking = shared.clone();
        let work = move || -> Result<Asked<Driven>, StudyError> {
            let asked = lock(&asking.study).ask_driven()?;
            if let (Asked::Trial(trial), true) = (&asked, by_hand) {
                asking.storage.entrust(&trial.lease())?;
            }
            Ok(asked)
        };
        let orphan = |unheard: Result<Asked<Driven>, StudyError>| {
            if let Ok(Asked::Trial(trial)) = unheard {
                let _ = trial.release();
            }
        };
        match wait(py, shared.slow, work, orphan)?.map_err(|why| fault::study(py, &why))? {
            Asked::Trial(trial) => Ok(Py::new(py, Handle::new(shared, trial, by_hand))?.into_any()),
            Asked::Wait => Ok(py.None()),
            Asked::Done(why) => Ok(PyString::new(py, &why).into_any().unbind()),
        }
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
        params: Vec<(String, Bound<'_, PyAny>, Option<Bound<'_, PyAny>>)>,
        metrics: Vec<(String, f64)>,
        points: Vec<(u64, String, f64)>,
        user: &str,
    ) -> PyResult<u64> {
        let mut late = Vec::with_capacity(params.len());
        for (name, value, domain) in &params {
            let known = || Name::new(name).map_err(kilter_space::SpaceError::from);
            let known = known().map_err(|why| fault::space(py, &why))?;
            let value = convert::value(value)?;
            let domain = domain.as_ref().map(|domain| Space::domain(py, name, domain)).transpose()?;
            // What another study searched may have changed since: the value then stands for itself.
            let within = domain.and_then(|domain| Some((domain.accept(&value)?, domain)));
            let (held, domain) = within.unwrap_or_else(|| (value.clone(), kilter_space::Domain::Fixed(value)));
            late.push((known, domain, held));
        }
        let ending = ending(py, &state, metrics, None)?;
        let tags = convert::parse(py, user)?;
        self.act(py, move |shared| {
            let mut study = lock(&shared.study);
            study.sync()?;
            let (storage, id, worker) = (&shared.storage, study.id(), Worker::here());
            let outline = &study.spec().outline;
            let complete = outline.is_complete();
            let config = Config::new(late.iter().map(|(name, _, value)| (name.clone(), value.clone())).collect());
            let end = ending.end(study.spec(), &config, None, Usage::default());
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
                storage.answer(&lease, &late)?;
            }
            let points: Vec<Point> =
                points.into_iter().map(|(step, metric, value)| Point { step, metric, value }).collect();
            if !points.is_empty() {
                storage.report(&lease, &points)?;
            }
            if let serde_json::Value::Object(tags) = tags
                && !tags.is_empty()
            {
                storage.amend(id, Some(number), &Amendment::Tags(tags.into_iter().collect()))?;
            }
            storage.finish(&lease, &end)?;
            study.sync()?;
            Ok(number)
        })
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
    fn figure(
        &self,
        py: Python<'_>,
        kind: String,
        params: Option<Vec<String>>,
        target: Option<String>,
    ) -> PyResult<String> {
        let made = self.look(py, move |study| plots::figure(study, &kind, params.as_deref(), target.as_deref()))?;
        made.map(|figure| figure.json().to_string()).map_err(|why| fault::value(py, why))
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
    pub fn shared(&self, py: Python<'_>) -> PyResult<Arc<Shared>> {
        let opened = Owned::here(&self.owned, |_| {
            let (sampler, pruner) = (self.sampler.as_deref(), self.pruner.as_deref());
            open(self.store.storage()?, &self.name, sampler, pruner, self.store.address.is_some())
        });
        opened.map_err(|why| why.raise(py))
    }

    fn act<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Shared) -> Result<T, StudyError> + Send + 'static,
    ) -> PyResult<T> {
        let shared = self.shared(py)?;
        let slow = shared.slow;
        wait(py, slow, move || work(&shared), |_| ())?.map_err(|why| fault::study(py, &why))
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

/// A study as it is pickled.
#[derive(serde::Serialize, serde::Deserialize)]
struct Dump {
    spec: StudySpec,
    created_ms: i64,
    events: Vec<(Option<u64>, i64, Change)>,
}

/// How a trial ended, in Python's words.
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

fn config(py: Python<'_>, params: &Bound<'_, PyDict>) -> PyResult<Config> {
    let mut answers = Vec::with_capacity(params.len());
    for (name, value) in params {
        let name: String = name.extract()?;
        let name = Name::new(&name).map_err(|why| fault::space(py, &why.into()))?;
        answers.push((name, convert::value(&value)?));
    }
    Ok(Config::new(answers))
}
