//! Which processors and GPUs a running trial has to itself, whichever process of this machine runs it.
//!
//! A study demands devices per trial. Before a trial is asked for, its devices are taken from the machine's `ledger`,
//! which all processes of this user share; the trial's processes see nothing but them: `CUDA_VISIBLE_DEVICES` and kin
//! name its GPUs, `OMP_NUM_THREADS` and kin how many threads its libraries may start, and the kernel keeps it on its CPUs.

mod found;
mod ledger;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

pub use found::{GPUS_VARIABLE, Gpu, Vendor};
pub use ledger::LOCKS_VARIABLE;
use ledger::{Claim, Ledger};

/// How much of a kind of device one trial has: some whole ones, or a share of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share {
    thousandths: u32,
}

/// A whole device.
const WHOLE: u32 = 1000;

impl Share {
    /// How many devices it is spread over.
    pub fn devices(self) -> usize {
        self.thousandths.div_ceil(WHOLE) as usize
    }

    /// What it takes of each of them, in thousandths.
    fn of_each(self) -> u32 {
        self.thousandths.min(WHOLE)
    }

    /// How many trials at a time `count` devices hold.
    fn fits(self, count: usize) -> usize {
        if self.thousandths < WHOLE { count * (WHOLE / self.thousandths) as usize } else { count / self.devices() }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(*self))
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        Self::from(share.thousandths) / f64::from(WHOLE)
    }
}

impl TryFrom<f64> for Share {
    type Error = DeviceError;

    fn try_from(number: f64) -> Result<Self, DeviceError> {
        let whole = number >= 1.0 && number.fract() == 0.0 && number <= 65_536.0;
        // Rounded down: three trials of 0.333 share a GPU, and so do three of a third.
        let thousandths = (number * f64::from(WHOLE) + 1e-9).floor();
        if whole || (number < 1.0 && thousandths >= 1.0) {
            Ok(Self { thousandths: thousandths as u32 })
        } else {
            Err(DeviceError::Share(number.to_string()))
        }
    }
}

impl FromStr for Share {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let number: f64 = text.trim().parse().map_err(|_| DeviceError::Share(text.to_owned()))?;
        Self::try_from(number).map_err(|_| DeviceError::Share(text.to_owned()))
    }
}

/// What one trial needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// CPUs; nothing: whatever the machine's scheduler gives.
    #[serde(default, rename = "cpus_per_trial", skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Share>,
    /// GPUs; nothing: the trial sees what the tuner sees.
    #[serde(default, rename = "gpus_per_trial", skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Share>,
}

/// Why a trial cannot have its devices.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No share.
    #[error("`{0}` is no number of devices: write a whole number (1, 2) or the share of one (0.5, 0.25)")]
    Share(String),
    /// There is no GPU.
    #[error(
        "no GPU was found. Looked at: {looked}. If there is one, name it: {GPUS_VARIABLE}=0 (or 0,1,…) before the command"
    )]
    NoGpu {
        /// Where it was looked.
        looked: String,
    },
    /// A trial needs more than there is.
    #[error("a trial would need {wanted} {kind}s, but {} here: {there}", match .there.len() { 0 => "there is none".to_owned(), 1 => format!("there is one {kind}"), n => format!("there are {n} {kind}s") }, there = .there.join(", "))]
    TooFew {
        /// `CPU`, `GPU`.
        kind: &'static str,
        /// How many.
        wanted: Share,
        /// What there is.
        there: Vec<String>,
    },
    /// The list of GPUs makes no sense.
    #[error("{variable}={value}: {why}")]
    List {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong.
        why: String,
    },
    /// The ledger cannot be kept.
    #[error("cannot keep account of who uses which device in {}: {why}; name another folder: {LOCKS_VARIABLE}=FOLDER", .folder.display())]
    Ledger {
        /// Its folder.
        folder: PathBuf,
        /// The system's reason.
        why: String,
    },
}

/// The machine's devices, and what one trial needs of them.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    demand: Demand,
    cpus: Vec<usize>,
    gpus: Vec<Gpu>,
    ledger: Option<Ledger>,
}

impl Devices {
    /// Trials have whatever the machine's scheduler gives.
    pub fn shared() -> Self {
        Self::default()
    }

    /// Looks for what is needed.
    ///
    /// # Errors
    /// If this machine could never run a trial.
    pub fn find(demand: Demand) -> Result<Self, DeviceError> {
        let mut devices = Self { demand, ..Self::default() };
        if let Some(wanted) = demand.cpus {
            devices.cpus = found::cpus();
            if wanted.fits(devices.cpus.len()) == 0 {
                let there = devices.cpus.iter().map(ToString::to_string).collect();
                return Err(DeviceError::TooFew { kind: "CPU", wanted, there });
            }
        }
        if let Some(wanted) = demand.gpus {
            devices.gpus = found::gpus()?;
            if wanted.fits(devices.gpus.len()) == 0 {
                let there = devices.gpus.iter().map(|gpu| gpu.id.clone()).collect();
                return Err(DeviceError::TooFew { kind: "GPU", wanted, there });
            }
        }
        if demand != Demand::default() {
            devices.ledger = Some(Ledger::open()?);
        }
        Ok(devices)
    }

    /// How many trials at a time the machine holds, if devices limit that.
    pub fn capacity(&self) -> Option<usize> {
        let cpus = self.demand.cpus.map(|share| share.fits(self.cpus.len()));
        let gpus = self.demand.gpus.map(|share| share.fits(self.gpus.len()));
        cpus.into_iter().chain(gpus).min()
    }

    /// `2 GPUs, 0.5 for each trial`.
    pub fn describe(&self) -> String {
        let part = |share: Option<Share>, count: usize, kind: &str| {
            share.map(|share| format!("{count} {kind}{}, {share} for each trial", if count == 1 { "" } else { "s" }))
        };
        let parts = [part(self.demand.cpus, self.cpus.len(), "CPU"), part(self.demand.gpus, self.gpus.len(), "GPU")];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// One trial's devices, if they are free. They are free again when the grant is dropped, or with the end of the last
    /// process of the trial should this one be killed.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub fn take(&self) -> Result<Option<Granted>, DeviceError> {
        let Some(ledger) = &self.ledger else { return Ok(Some(Granted::default())) };
        let cpu_keys: Vec<String> = self.cpus.iter().map(|cpu| format!("cpu {cpu}")).collect();
        let gpu_keys: Vec<String> = self.gpus.iter().map(|gpu| format!("gpu {}", gpu.key)).collect();
        let mut wants = Vec::new();
        wants.extend(self.demand.cpus.map(|share| (&cpu_keys[..], share.devices(), share.of_each())));
        wants.extend(self.demand.gpus.map(|share| (&gpu_keys[..], share.devices(), share.of_each())));
        let Some((claim, mut chosen)) = ledger.take(&wants)? else { return Ok(None) };
        let gpus = if self.demand.gpus.is_some() { chosen.pop().unwrap_or_default() } else { Vec::new() };
        let cpus = if self.demand.cpus.is_some() { chosen.pop().unwrap_or_default() } else { Vec::new() };
        Ok(Some(Granted {
            cpus: cpus.into_iter().map(|at| self.cpus[at]).collect(),
            gpus: gpus.into_iter().map(|at| self.gpus[at].clone()).collect(),
            gpu_share: self.demand.gpus.map_or(1.0, |share| f64::from(share.of_each()) / f64::from(WHOLE)),
            claim: Some(claim),
        }))
    }
}

/// The devices of one running trial.
#[derive(Debug, Default)]
pub struct Granted {
    cpus: Vec<usize>,
    gpus: Vec<Gpu>,
    gpu_share: f64,
    claim: Option<Claim>,
}

/// What tells the usual numerical libraries how many threads to start.
const THREADS: [&str; 13] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "JULIA_NUM_THREADS",
];

/// The environment variable that names a trial's CPUs, to it and to its supervisor.
const CPUS_VARIABLE: &str = "KILTER_CPUS";

/// The environment variable that names the file of a trial's claim, to its supervisor.
const CLAIM_VARIABLE: &str = "KILTER_CLAIM";

impl Granted {
    /// The GPUs, as their libraries name them.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// What it has of each of its GPUs, in (0, 1].
    pub fn gpu_share(&self) -> f64 {
        self.gpu_share
    }

    /// What the trial's processes are told by their environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment: Vec<(String, String)> = Vec::new();
        let mut tell = |name: &str, value: String| environment.push((name.to_owned(), value));
        if let Some(claim) = &self.claim {
            tell(CLAIM_VARIABLE, claim.file().display().to_string());
            // A tuner inside the trial divides what the trial has, in a ledger of its own.
            tell(LOCKS_VARIABLE, format!("{}.inner", claim.file().display()));
        }
        if !self.cpus.is_empty() {
            for name in THREADS {
                tell(name, self.cpus.len().to_string());
            }
            tell(CPUS_VARIABLE, joined(self.cpus.iter()));
        }
        if let Some(first) = self.gpus.first() {
            let ids = joined(self.gpus.iter().map(|gpu| &gpu.id));
            for name in first.vendor.variables() {
                tell(name, ids.clone());
            }
            if first.by_bus {
                // CUDA's own order is fastest first; ours, and the driver's, is that of the bus.
                tell("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned());
            }
            tell(GPUS_VARIABLE, ids);
        }
        environment
    }
}

fn joined(parts: impl Iterator<Item = impl ToString>) -> String {
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(",")
}

/// A supervisor's part of its trial's grant: it is kept on the trial's CPUs, and with it whatever it starts; and it holds
/// the claim until it ends, so that devices of a killed tuner are free only when its trial is gone. To be kept until then.
/// `variable` looks into the trial's environment.
pub(crate) fn hold_in_supervisor(variable: impl Fn(&str) -> Option<OsString>) -> Option<std::fs::File> {
    if let Some(cpus) = variable(CPUS_VARIABLE).and_then(|cpus| cpus.into_string().ok()) {
        let mut set = CpuSet::new();
        let numbers = cpus.split(',').filter_map(|cpu| cpu.parse().ok());
        // A CPU that went offline meanwhile is no reason not to run.
        if numbers.filter(|&cpu| set.set(cpu).is_ok()).count() > 0 {
            let _ = sched_setaffinity(Pid::from_raw(0), &set);
        }
    }
    let file = std::fs::File::open(variable(CLAIM_VARIABLE)?).ok()?;
    file.try_lock_shared().ok()?;
    Some(file)
}
