//! Storages. Each knows the process that opened it: a forked child opens it anew and never touches what its parent had,
//! whose connections it must not share and whose locks somebody may have held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kilter_space::nearest;
use kilter_study::storage::Address;
use kilter_study::{Memory, Sqlite, Storage, StorageError, StudyError, StudyId, StudySpec};
use pyo3::prelude::*;

use crate::fault;
use crate::patience::wait;

/// Why something cannot be opened here.
pub enum Closed {
    Storage(StorageError),
    Study(StudyError),
    /// It lives in the memory of another process.
    Elsewhere(u32),
    Call(String),
}

impl Closed {
    pub fn raise(self, py: Python<'_>) -> PyErr {
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
pub struct Owned<T> {
    pid: u32,
    held: T,
}

impl<T: Clone> Owned<T> {
    pub fn new(held: T) -> Self {
        Self { pid: std::process::id(), held }
    }

    /// What this process holds; made anew if that is another process's. No Python is touched meanwhile.
    pub fn here<E>(owned: &Mutex<Self>, anew: impl FnOnce(u32) -> Result<T, E>) -> Result<T, E> {
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

/// How a storage is opened, and what this process has open of it.
pub struct Opener {
    pub address: Option<Address>,
    owned: Mutex<Owned<Arc<dyn Storage>>>,
}

impl Opener {
    pub fn memory(memory: Memory) -> Arc<Self> {
        let memory: Arc<dyn Storage> = Arc::new(memory);
        Arc::new(Self { address: None, owned: Mutex::new(Owned::new(memory)) })
    }

    /// Can the storage keep somebody waiting?
    pub fn is_slow(&self) -> bool {
        self.address.is_some()
    }

    /// The storage; opening it may wait.
    pub fn storage(&self) -> Result<Arc<dyn Storage>, Closed> {
        Owned::here(&self.owned, |pid| match &self.address {
            Some(address) => Ok(Arc::new(Sqlite::at(address)?)),
            None => Err(Closed::Elsewhere(pid)),
        })
    }
}

/// A storage: this process's memory, or a file.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Store(pub Arc<Opener>);

#[pymethods]
impl Store {
    /// Memory without an address. `make` makes a file that is not there.
    #[new]
    fn new(py: Python<'_>, address: Option<&str>, make: bool) -> PyResult<Self> {
        let Some(address) = address else { return Ok(Self(Opener::memory(Memory::new()))) };
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
        let entries = self.act(py, |storage| storage.studies().map_err(Closed::from))?;
        Ok(entries.into_iter().map(|entry| (entry.spec.name, entry.created_ms)).collect())
    }

    /// Removes a study.
    fn delete(&self, py: Python<'_>, name: String) -> PyResult<()> {
        self.act(py, move |storage| {
            let (id, _) = find(storage, &name)?;
            Ok(storage.delete(id)?)
        })
    }
}

impl Store {
    fn act<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&dyn Storage) -> Result<T, Closed> + Send + 'static,
    ) -> PyResult<T> {
        let opener = self.0.clone();
        wait(py, opener.is_slow(), move || work(&*opener.storage()?), |_| ())?.map_err(|why| why.raise(py))
    }
}

/// A study by its name.
pub fn find(storage: &dyn Storage, name: &str) -> Result<(StudyId, StudySpec), StudyError> {
    let studies = storage.studies()?;
    let near = nearest(name, studies.iter().map(|study| study.spec.name.as_str())).map(str::to_owned);
    let found = studies.into_iter().find(|study| study.spec.name == name);
    found.map(|study| (study.id, study.spec)).ok_or(StudyError::Unknown { name: name.to_owned(), nearest: near })
}
