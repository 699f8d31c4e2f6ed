//! What a process holds of a study: the study itself, and who keeps its trials' leases valid.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use kilter_study::{Storage, Study};

use crate::keeper::Keeper;
use crate::store::{Closed, Opener, Owned, find};

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

/// A study, and how it is opened.
pub struct Held {
    pub store: Arc<Opener>,
    name: String,
    /// Other than what the study was made with.
    pub sampler: Option<String>,
    pub pruner: Option<String>,
    /// Nobody who waits for a trial of `optimize` wants one any more.
    pub halted: AtomicBool,
    owned: Mutex<Owned<Arc<Shared>>>,
}

impl Held {
    /// Holds a study that was just made.
    pub fn new(store: Arc<Opener>, name: String, study: Study) -> Self {
        let owned = Mutex::new(Owned::new(Shared::new(study, store.is_slow())));
        Self { store, name, sampler: None, pruner: None, halted: AtomicBool::new(false), owned }
    }

    /// Opens a study. May wait for the storage.
    pub fn open(
        store: Arc<Opener>,
        name: String,
        sampler: Option<String>,
        pruner: Option<String>,
    ) -> Result<Self, Closed> {
        let shared = open(&store, &name, sampler.as_deref(), pruner.as_deref())?;
        let (halted, owned) = (AtomicBool::new(false), Mutex::new(Owned::new(shared)));
        Ok(Self { store, name, sampler, pruner, halted, owned })
    }

    /// The study of this process. Opening it may wait.
    pub fn shared(&self) -> Result<Arc<Shared>, Closed> {
        Owned::here(&self.owned, |_| open(&self.store, &self.name, self.sampler.as_deref(), self.pruner.as_deref()))
    }
}

fn open(store: &Opener, name: &str, sampler: Option<&str>, pruner: Option<&str>) -> Result<Arc<Shared>, Closed> {
    let storage = store.storage()?;
    let (id, mut spec) = find(&*storage, name)?;
    let call = |why: kilter_search::RegistryError| Closed::Call(why.to_string());
    if let Some(other) = sampler {
        other.clone_into(&mut spec.sampler);
    }
    let sampler = kilter_search::sampler(&spec.sampler).map_err(call)?;
    let pruner = kilter_search::pruner(pruner.unwrap_or(&spec.pruner)).map_err(call)?;
    Ok(Shared::new(Study::hold(storage, id, spec, sampler, pruner)?, store.is_slow()))
}
