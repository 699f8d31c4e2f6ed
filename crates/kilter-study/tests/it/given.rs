//! What the promises are tried on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kilter_meter::Usage;
use kilter_space::{Config, Entry, Name, Outline, Value, parse_domain};
use kilter_study::storage::Clock;
use kilter_study::{
    Ask, Conduct, End, Event, Goal, History, Limits, Memory, Next, Opened, Proposal, Sampler, SearchError, Sqlite,
    Storage, StudyId, StudySpec, Worker,
};

/// A clock that moves when told.
pub struct FakeClock(AtomicI64);

impl FakeClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_000_000)))
    }

    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// An empty study in a storage with a clock of its own.
pub struct Stage {
    pub storage: Arc<dyn Storage>,
    pub clock: Arc<FakeClock>,
    pub id: StudyId,
    folder: Option<tempfile::TempDir>,
}

impl Stage {
    pub fn memory() -> Self {
        let clock = FakeClock::new();
        let storage: Arc<dyn Storage> = Arc::new(Memory::with_clock(clock.clone()));
        let id = storage.create(&spec("first")).unwrap();
        Self { storage, clock, id, folder: None }
    }

    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = FakeClock::new();
        let storage = Sqlite::with_clock(&folder.path().join("study.db"), clock.clone()).unwrap();
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let id = storage.create(&spec("first")).unwrap();
        Self { storage, clock, id, folder: Some(folder) }
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        let changes = self.storage.changes(self.id, 0, usize::MAX).unwrap();
        assert!(!changes.more);
        changes.events
    }

    /// All trials so far.
    pub fn history(&self) -> History {
        fold(&self.events())
    }
}

/// Keeps a promise on every storage.
pub fn on_every_storage(promise: impl Fn(&Stage)) {
    for (name, stage) in [("Memory", Stage::memory()), ("Sqlite", Stage::sqlite())] {
        println!("on {name}:");
        promise(&stage);
        assert!(stage.folder.as_ref().is_none_or(|folder| folder.path().exists()));
    }
}

pub fn fold(events: &[Event]) -> History {
    let mut history = History::default();
    events.iter().for_each(|event| history.apply(event));
    history
}

pub fn outline() -> Outline {
    let entry = |name: &str, domain: &str| Entry::new(name, parse_domain(domain).unwrap()).unwrap();
    Outline::new(vec![
        entry("x", "-1..1"),
        entry("kind", "plain|bent").default("plain").unwrap(),
        entry("bend", "int:1..9").when("kind == 'bent'").unwrap(),
    ])
    .unwrap()
}

pub fn spec(name: &str) -> StudySpec {
    StudySpec {
        name: name.to_owned(),
        outline: outline(),
        goals: vec![Goal::minimize("loss")],
        sampler: "test".to_owned(),
        pruner: "none".to_owned(),
        seed: u64::MAX,
        trials: Some(10),
        conduct: Conduct::default(),
        requirements: Vec::new(),
        limits: Limits::default(),
        plan: serde_json::json!({"command": ["größe", "{x}"], "limit": 1.5}),
    }
}

/// This process.
pub fn alive() -> Worker {
    Worker::here()
}

/// A process of this machine that ended: its number belongs to another one now.
pub fn dead() -> Worker {
    let here = Worker::here();
    assert!(!here.boot.is_empty(), "these tests need /proc");
    Worker { started: here.started + 1, ..here }
}

/// A process that cannot be looked for from here.
pub fn stranger(pid: u32) -> Worker {
    let (boot, namespace) = ("another boot".to_owned(), "pid:[1]".to_owned());
    Worker { boot, namespace, pid, started: 1, machine: "another machine".to_owned() }
}

pub fn config(answers: &[(&str, Value)]) -> Config {
    Config::new(answers.iter().map(|(name, value)| (Name::new(name).unwrap(), value.clone())).collect())
}

pub fn opened(x: f64) -> Opened {
    Opened {
        config: config(&[("x", x.into()), ("kind", "plain".into())]),
        fingerprint: outline().fingerprint(),
        ..Opened::default()
    }
}

pub fn complete(loss: f64) -> End {
    End::of(BTreeMap::from([("loss".to_owned(), loss)]), &[Goal::minimize("loss")], Usage::default())
}

/// Proposes a number that hangs on every result so far and on the order in which they came: a study that forgot,
/// repeated or reordered anything proposes something else.
#[derive(Default)]
pub struct Digest {
    digest: u64,
}

impl Sampler for Digest {
    fn observe(&mut self, new: &[Event], history: &History) {
        for event in new {
            assert!(history.revision() >= event.revision);
            if let kilter_study::Change::Ended(end) = &event.change {
                let loss = end.metrics.get("loss").map_or(0, |loss| loss.to_bits());
                self.digest = (self.digest ^ loss ^ event.number.unwrap()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            }
        }
    }

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        let shift = (self.digest >> 11) as f64 / (1_u64 << 53) as f64;
        let x = (ask.stream.clone().uniform() + shift) % 1.0 * 2.0 - 1.0;
        let mut proposal = Proposal::new(config(&[("x", x.into())]), &ask.stream);
        proposal.note = serde_json::json!({"digest": self.digest.to_string()});
        Ok(Next::Try(proposal))
    }
}
