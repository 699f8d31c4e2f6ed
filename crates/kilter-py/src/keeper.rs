//! Keeps the leases of this process's trials valid while Python computes, however long.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kilter_study::{Lease, Storage};

use crate::store::lock;

/// How often leases are renewed; they are valid for a minute.
const RENEWAL: Duration = Duration::from_secs(15);

/// A thread that renews leases until it is dropped.
pub struct Keeper {
    leases: Arc<Mutex<Vec<Lease>>>,
    /// Its end ends the thread.
    _alive: Sender<()>,
}

impl Keeper {
    /// Keeps leases of `storage`.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        let leases: Arc<Mutex<Vec<Lease>>> = Arc::default();
        let (alive, end) = channel::<()>();
        let kept = leases.clone();
        std::thread::spawn(move || {
            while end.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                let held = lock(&kept).clone();
                if !held.is_empty() {
                    // A storage in trouble shows itself when a trial is told.
                    let _ = storage.renew(&held);
                }
            }
        });
        Self { leases, _alive: alive }
    }

    /// From now on this lease is renewed.
    pub fn keep(&self, lease: Lease) {
        lock(&self.leases).push(lease);
    }

    /// No more.
    pub fn let_go(&self, lease: &Lease) {
        lock(&self.leases).retain(|kept| kept != lease);
    }
}
