//! Energy of a piece of work, from the machine's counters.
//!
//! Processors and memory: Intel's and AMD's RAPL counters (Intel SDM volume 3, "Platform Specific Power Management
//! Support") as Linux shows them under `/sys/class/powercap`. They belong to the machine, not to a process, so what they
//! counted is shared out by CPU time: the work's own over what all processes of the machine used meanwhile. Work that
//! used nearly all of it is charged with everything, and the figure is called measured; else it is an estimate.
//! GPUs: NVML's total energy of those that the work had to itself; of a shared one its share, an estimate.
//!
//! Where no counter can be read the figure is absent. (Kernels since 5.10 let only root read RAPL:
//! `chmod o+r /sys/class/powercap/*/energy_uj` opens it.)

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use crate::nvidia;

/// Energy, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// In joules.
    pub joules: f64,
    /// How it is known.
    pub kind: EnergyKind,
}

/// How an energy is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergyKind {
    /// Counted while the work had the counted machine, or GPU, to itself.
    Measured,
    /// A share, by CPU time or of a GPU, of what was counted for all that ran.
    Estimated,
}

impl EnergyKind {
    /// Its name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
        }
    }
}

/// Whoever used this much of the machine's CPU time had it to itself: the rest is what an idle system does.
const ALONE: f64 = 0.95;

/// Counters of 32 bits at full power come round in some ten minutes; they must be read more often.
const READING: Duration = Duration::from_secs(60);

/// The environment variable that names another folder of counters than `/sys/class/powercap`.
const ROOT_VARIABLE: &str = "KILTER_POWERCAP";

/// Counts from its making to its reading.
#[derive(Debug)]
pub struct EnergyMeter {
    counters: Vec<Counter>,
    /// The machine's CPU time at the beginning, in seconds.
    busy: Option<f64>,
    /// GPUs by uuid: their joules at the beginning.
    gpus: Vec<(String, f64)>,
    /// How much of each GPU the work has.
    gpu_share: f64,
    read: Instant,
}

#[derive(Debug)]
struct Counter {
    file: PathBuf,
    last: u64,
    /// Where it comes round.
    range: u64,
    microjoules: u64,
}

impl EnergyMeter {
    /// Begins to count, for work that has `gpu_share` of each of these GPUs (by uuid).
    pub fn start(gpus: &[&str], gpu_share: f64) -> Self {
        let root = std::env::var_os(ROOT_VARIABLE).unwrap_or_else(|| "/sys/class/powercap".into());
        Self::at(Path::new(&root), gpus, gpu_share)
    }

    /// Begins to count on the counters in `root`.
    pub fn at(root: &Path, gpus: &[&str], gpu_share: f64) -> Self {
        Self {
            counters: counters(root),
            busy: machine_cpu_seconds(),
            gpus: gpus.iter().filter_map(|uuid| Some(((*uuid).to_owned(), nvidia::joules(uuid)?))).collect(),
            gpu_share,
            read: Instant::now(),
        }
    }

    /// To be called now and then, at least every few minutes: counters come round.
    pub fn tick(&mut self) {
        if self.read.elapsed() >= READING {
            self.count();
        }
    }

    fn count(&mut self) {
        self.read = Instant::now();
        for counter in &mut self.counters {
            let Some(now) = number(&counter.file) else { continue };
            counter.microjoules +=
                if now >= counter.last { now - counter.last } else { counter.range - counter.last + now };
            counter.last = now;
        }
    }

    /// What work that used this much CPU time has used since the start; nothing where no counter could be read, or where
    /// the CPU time that it would be shared out by is unknown and no GPU was counted.
    pub fn used(mut self, cpu_seconds: Option<f64>) -> Option<Energy> {
        self.count();
        let busy = self.busy.zip(machine_cpu_seconds()).map(|(before, now)| now - before);
        let processors = cpu_seconds.zip(busy).filter(|_| !self.counters.is_empty()).map(|(own, all)| {
            shared_out(self.counters.iter().map(|counter| counter.microjoules as f64 * 1e-6).sum(), own, all)
        });
        let counted = self.gpus.iter().map(|(uuid, before)| Some(nvidia::joules(uuid)? - before));
        let counted: Option<f64> = counted.sum();
        let gpus = counted.filter(|_| !self.gpus.is_empty()).map(|joules| Energy {
            joules: joules * self.gpu_share,
            kind: if self.gpu_share < 1.0 { EnergyKind::Estimated } else { EnergyKind::Measured },
        });
        match (processors, gpus) {
            (Some(a), Some(b)) => Some(Energy {
                joules: a.joules + b.joules,
                // Of an estimate and a measurement the sum is an estimate.
                kind: if a.kind == b.kind { a.kind } else { EnergyKind::Estimated },
            }),
            (some, other) => some.or(other),
        }
    }
}

/// The part of the machine's joules that work of `own` CPU seconds is charged with, where all processes had `all`. (The
/// machine counts in ticks of 10 ms, the work's own time is exact: short work may seem to have used more than all.)
fn shared_out(joules: f64, own: f64, all: f64) -> Energy {
    let share = if all > own { own / all } else { 1.0 };
    match share >= ALONE {
        true => Energy { joules, kind: EnergyKind::Measured },
        false => Energy { joules: joules * share, kind: EnergyKind::Estimated },
    }
}

/// Packages and memory. Cores and graphics are parts of a package, `psys` holds all of them, and `intel-rapl-mmio` shows
/// the packages again: counting those would count twice.
fn counters(root: &Path) -> Vec<Counter> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("intel-rapl:"))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    let counter = |folder: &PathBuf| {
        let name = fs::read_to_string(folder.join("name")).ok()?;
        if !name.starts_with("package") && name.trim() != "dram" {
            return None;
        }
        let file = folder.join("energy_uj");
        let last = number(&file)?;
        let range = number(&folder.join("max_energy_range_uj")).unwrap_or(u64::from(u32::MAX));
        Some(Counter { file, last, range: range.max(last), microjoules: 0 })
    };
    folders.iter().filter_map(counter).collect()
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// CPU time that all processes of the machine have used since boot, in seconds: `cpu` of `/proc/stat` without idling and
/// waiting (proc(5)).
fn machine_cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else { return None };
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some((user + nice + system + irq + softirq) / per_second as f64)
}

#[cfg(test)]
mod tests {
    use super::{Energy, EnergyKind, shared_out};

    #[test]
    fn energy_is_shared_out_by_cpu_time_and_then_called_an_estimate() {
        assert_eq!(shared_out(80.0, 1.0, 4.0), Energy { joules: 20.0, kind: EnergyKind::Estimated });
        assert_eq!(shared_out(80.0, 3.9, 4.0), Energy { joules: 80.0, kind: EnergyKind::Measured });
        assert_eq!(shared_out(80.0, 0.004, 0.0), Energy { joules: 80.0, kind: EnergyKind::Measured });
        assert_eq!(shared_out(80.0, 0.0, 4.0), Energy { joules: 0.0, kind: EnergyKind::Estimated });
    }
}
