//! Who holds a lease, and whether that process still lives.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use kilter_numerics::Stream;
use serde::{Deserialize, Serialize};

use super::Holder;

/// A process that runs trials. A process id alone is not enough: ids are used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The running kernel (its boot id); empty where there is none to be read.
    pub boot: String,
    /// The namespace that process ids belong to (containers have their own).
    pub namespace: String,
    /// Process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub started: u64,
    /// The installation of the system that the kernel booted; empty where it has no machine id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
}

impl Worker {
    /// This process.
    pub fn here() -> Self {
        let pid = std::process::id();
        Self {
            boot: BOOT.clone(),
            namespace: NAMESPACE.clone(),
            pid,
            started: start_of(pid).unwrap_or(0),
            machine: MACHINE.clone(),
        }
    }

    /// Nobody: the holder of a number that was given back.
    pub(super) fn nobody() -> Self {
        Self::of_no_process("")
    }

    /// Is it the holder of a number that was given back?
    pub(super) fn is_nobody(&self) -> bool {
        *self == Self::nobody()
    }

    /// What this worker is to others at `now`, if its lease is valid until `deadline_ms`.
    pub(super) fn as_holder(&self, deadline_ms: i64, now: i64) -> Holder {
        if self.is_by_hand() {
            Holder::Person
        } else if self.is_alive().unwrap_or(now <= deadline_ms) {
            Holder::Process
        } else {
            Holder::Lost
        }
    }

    /// Whoever asked by hand: no process, and no end of the lease.
    pub(super) fn by_hand() -> Self {
        Self::of_no_process(BY_HAND)
    }

    fn of_no_process(boot: &str) -> Self {
        Self { boot: boot.to_owned(), namespace: String::new(), pid: 0, started: 0, machine: String::new() }
    }

    /// Is it nobody's process, but somebody who asked by hand?
    fn is_by_hand(&self) -> bool {
        self.boot == BY_HAND
    }

    /// Is it certain that the process is gone, or certain that it lives? Nothing, if it cannot be looked for from here.
    pub fn is_alive(&self) -> Option<bool> {
        if self.is_by_hand() {
            return Some(true);
        }
        if self.pid == 0 {
            return Some(false);
        }
        if self.boot.is_empty() || BOOT.is_empty() {
            return None;
        }
        if self.boot != *BOOT {
            // An earlier boot of this machine, of which nothing lives any more; or another machine.
            return (!self.machine.is_empty() && self.machine == *MACHINE).then_some(false);
        }
        (self.namespace == *NAMESPACE).then(|| start_of(self.pid) == Some(self.started))
    }
}

/// No kernel's boot id.
const BY_HAND: &str = "by hand";

static BOOT: LazyLock<String> = LazyLock::new(|| {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
});

static NAMESPACE: LazyLock<String> = LazyLock::new(|| {
    fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
});

/// Hashed, since a machine's id is nobody else's to know and a study may be handed on. A container without an id of its own
/// runs on no machine that could be known again.
static MACHINE: LazyLock<String> = LazyLock::new(|| {
    let read = |path| fs::read_to_string(path).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    let id = read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id"));
    id.map_or(String::new(), |id| format!("{:016x}", Stream::new(&[], &format!("machine {id}")).bits()))
});

/// Start time of a living process: field 22 of its `stat`, counted behind the last `)`, since a program's name may hold
/// anything. A zombie no longer lives.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" { None } else { fields.nth(18)?.parse().ok() }
}

/// The storage's clock; a fake one in tests.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }
}

/// A lease's fence. Every `RandomState` has keys of its own, seeded by the system.
pub(crate) fn token() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::time::Instant::now()));
    half() << 64 | half()
}
