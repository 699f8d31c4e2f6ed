#![doc = include_str!("../README.md")]

mod energy;
mod memory;
mod nvidia;

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

pub use energy::{Energy, EnergyKind, EnergyMeter};
pub use memory::{allow_further, available_bytes, forget_peak, keep_large_blocks, peak_resident_bytes};
pub use nvidia::{NvidiaGpu, nvidia_gpus};

/// What a piece of work took. A figure that could not be measured is absent, never guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time, in seconds.
    pub wall_seconds: f64,
    /// User and system CPU time of all its processes, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Largest resident set that any one of its processes had, in bytes. The kernel counts from before a process's
    /// `exec`, so nothing is below the few megabytes of the supervisor that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Energy, and how it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

/// CPU time and peak memory of all ended and waited-for descendants of this process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descendants {
    /// User and system CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Largest resident set of any one of them, in bytes.
    pub peak_bytes: u64,
}

impl Descendants {
    /// Reads the kernel's counters (`getrusage(RUSAGE_CHILDREN)`); nothing where there are none.
    pub fn read() -> Option<Self> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
        let seconds = |t: TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
        Some(Self {
            cpu_seconds: seconds(usage.user_time()) + seconds(usage.system_time()),
            // Linux counts in KiB, macOS in bytes.
            peak_bytes: usage.max_rss().unsigned_abs() * if cfg!(target_os = "macos") { 1 } else { 1024 },
        })
    }
}

/// Measures wall time from its making.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// What can be said of work done by a thread: only its wall time.
    pub fn wall_only(&self) -> Usage {
        Usage { wall_seconds: self.0.elapsed().as_secs_f64(), ..Usage::default() }
    }

    /// What can be said of work done by processes that `descendants` counted.
    pub fn with(&self, descendants: Option<Descendants>) -> Usage {
        Usage {
            cpu_seconds: descendants.map(|d| d.cpu_seconds),
            peak_bytes: descendants.map(|d| d.peak_bytes),
            ..self.wall_only()
        }
    }
}
