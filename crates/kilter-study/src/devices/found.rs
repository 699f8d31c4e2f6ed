//! What the machine has: the CPUs this process may use, and the GPUs.

use std::path::Path;

use kilter_meter::nvidia_gpus;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use super::DeviceError;

/// The environment variable that lists the GPUs to hand out, instead of those that are found: `0,1` or uuids.
pub const GPUS_VARIABLE: &str = "KILTER_GPUS";

/// Whose library finds a GPU, and so by which variable it is named to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// CUDA.
    Nvidia,
    /// HIP.
    Amd,
    /// ROCm's runtime, below HIP: where the tuner itself was restricted on that level.
    AmdRuntime,
    /// Listed by hand.
    Unknown,
}

impl Vendor {
    /// The variables that name a process's GPUs.
    pub(super) fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Nvidia => &["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"],
            Self::Amd => &["HIP_VISIBLE_DEVICES"],
            Self::AmdRuntime => &["ROCR_VISIBLE_DEVICES"],
            Self::Unknown => &["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"],
        }
    }
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// As its library names it in a process's environment: an index or a uuid.
    pub id: String,
    /// The same for every process of the machine: its uuid where that is known.
    pub(super) key: String,
    /// Whose it is.
    pub vendor: Vendor,
    /// Is `id` its place in the order of PCI addresses?
    pub(super) by_bus: bool,
}

impl Gpu {
    /// Its uuid, if NVIDIA's driver knows it.
    pub fn uuid(&self) -> Option<&str> {
        Some(self.key.as_str()).filter(|key| key.starts_with("GPU-"))
    }
}

/// The CPUs that this process may use: those of its affinity, as many as its control group grants.
pub(super) fn cpus() -> Vec<usize> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let allowed = sched_getaffinity(Pid::from_raw(0)).map_or_else(
        |_| (0..count).collect(),
        |set| (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect::<Vec<_>>(),
    );
    allowed.into_iter().take(count).collect()
}

/// The GPUs: those listed by hand, else those that this process is restricted to, else those of the driver.
pub(super) fn gpus() -> Result<Vec<Gpu>, DeviceError> {
    let driver = nvidia_gpus();
    let keyed = |id: &str| {
        let known = driver.as_deref().unwrap_or_default();
        let at = id.parse().ok().and_then(|index: u32| known.iter().find(|gpu| gpu.index == index));
        // A uuid may be shortened to a beginning that no other has.
        let named = || known.iter().find(|gpu| id.len() > "GPU-".len() && gpu.uuid.starts_with(id));
        at.or_else(named).map_or_else(|| id.to_owned(), |gpu| gpu.uuid.clone())
    };
    let lists = [
        (GPUS_VARIABLE, Vendor::Unknown),
        ("CUDA_VISIBLE_DEVICES", Vendor::Nvidia),
        ("ROCR_VISIBLE_DEVICES", Vendor::AmdRuntime),
        ("HIP_VISIBLE_DEVICES", Vendor::Amd),
    ];
    let mut looked = Vec::new();
    for (variable, vendor) in lists {
        let Some(value) = std::env::var_os(variable) else {
            looked.push(format!("{variable} (not set)"));
            continue;
        };
        let value = value.to_string_lossy().into_owned();
        let vendor = match driver.is_ok() && vendor == Vendor::Unknown {
            true => Vendor::Nvidia,
            false => vendor,
        };
        let gpus: Vec<Gpu> = listed(variable, &value)?
            .into_iter()
            .map(|id| Gpu { key: keyed(&id), id, vendor, by_bus: false })
            .collect();
        if gpus.is_empty() {
            // Whoever hides all GPUs from this process means it.
            return Err(DeviceError::NoGpu { looked: format!("{variable} ({value:?}: it hides them all)") });
        }
        return Ok(gpus);
    }
    match driver {
        Ok(known) if !known.is_empty() => {
            let gpu = |gpu: &kilter_meter::NvidiaGpu| Gpu {
                id: gpu.index.to_string(),
                key: gpu.uuid.clone(),
                vendor: Vendor::Nvidia,
                by_bus: true,
            };
            return Ok(known.iter().map(gpu).collect());
        }
        Ok(_) => looked.push("NVIDIA's management library (it lists none)".to_owned()),
        Err(why) => looked.push(why),
    }
    let nvidia = in_order("/proc/driver/nvidia/gpus", |_| true);
    let amd = in_order("/sys/class/kfd/kfd/topology/nodes", |node| {
        // A node that is a processor has no SIMD units.
        let properties = std::fs::read_to_string(node.join("properties")).unwrap_or_default();
        properties.lines().any(|line| line.strip_prefix("simd_count ").is_some_and(|count| count.trim() != "0"))
    });
    for (names, vendor, by_bus, place) in
        [(nvidia, Vendor::Nvidia, true, "/proc/driver/nvidia/gpus"), (amd, Vendor::Amd, false, "/sys/class/kfd (AMD)")]
    {
        if !names.is_empty() {
            let gpu = |(at, name): (usize, String)| Gpu { id: at.to_string(), key: name, vendor, by_bus };
            return Ok(names.into_iter().enumerate().map(gpu).collect());
        }
        looked.push(format!("{place} (none)"));
    }
    Err(DeviceError::NoGpu { looked: looked.join(", ") })
}

/// The folders of a folder that fit, by name; numbers by their size.
fn in_order(folder: &str, fits: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter(|entry| fits(&entry.path())).map(|entry| entry.file_name().to_string_lossy().into()).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

/// A list of devices as CUDA reads it: up to the first that is none (`-1`, `NoDevFiles`).
fn listed(variable: &'static str, value: &str) -> Result<Vec<String>, DeviceError> {
    let wrong = |why: String| DeviceError::List { variable, value: value.to_owned(), why };
    let mut ids: Vec<String> = Vec::new();
    for id in value.split(',').map(str::trim) {
        let is_name = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_/:.".contains(c));
        match id {
            "" if value.trim().is_empty() => break,
            "NoDevFiles" | "none" | "void" => break,
            _ if id.starts_with('-') => break,
            _ if !is_name => {
                return Err(wrong(format!("`{id}` is no GPU; write numbers or uuids with commas between: 0,1")));
            }
            _ if ids.iter().any(|known| known == id) => return Err(wrong(format!("`{id}` stands there twice"))),
            _ => ids.push(id.to_owned()),
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn a_list_of_gpus_is_read_as_cuda_reads_it() {
        let ids = |value| listed("KILTER_GPUS", value).map_err(|why| why.to_string());
        assert_eq!(ids("0, 2").unwrap(), ["0", "2"]);
        assert_eq!(ids("GPU-8f6a,MIG-GPU-8f6a/1/0").unwrap(), ["GPU-8f6a", "MIG-GPU-8f6a/1/0"]);
        assert_eq!(ids("0,-1,1").unwrap(), ["0"], "CUDA stops at the first that is none");
        assert!(ids("").unwrap().is_empty() && ids("-1").unwrap().is_empty());
        assert_eq!(ids("0,0").unwrap_err(), "KILTER_GPUS=0,0: `0` stands there twice");
        assert_eq!(
            ids("0;1").unwrap_err(),
            "KILTER_GPUS=0;1: `0;1` is no GPU; write numbers or uuids with commas between: 0,1"
        );
    }
}
