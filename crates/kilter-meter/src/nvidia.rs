//! NVIDIA's GPUs through its management library, which is looked for when the program runs and never linked.

use std::sync::LazyLock;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

/// A GPU as its driver knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvidiaGpu {
    /// Its place in the order of PCI addresses.
    pub index: u32,
    /// Its own name for ever: `GPU-…`.
    pub uuid: String,
    /// Its model.
    pub model: String,
}

static LIBRARY: LazyLock<Result<Nvml, String>> =
    LazyLock::new(|| Nvml::init().map_err(|why| format!("NVIDIA's management library (NVML): {why}")));

/// The machine's GPUs in the order of their PCI addresses.
///
/// # Errors
/// Why there are none to be seen: no library, no driver.
pub fn nvidia_gpus() -> Result<Vec<NvidiaGpu>, String> {
    let library = LIBRARY.as_ref().map_err(Clone::clone)?;
    let gpu = |index| -> Result<NvidiaGpu, NvmlError> {
        let device = library.device_by_index(index)?;
        Ok(NvidiaGpu { index, uuid: device.uuid()?, model: device.name()? })
    };
    let all = library.device_count().and_then(|count| (0..count).map(gpu).collect());
    all.map_err(|why| format!("NVIDIA's management library (NVML): {why}"))
}

/// What the GPU has used since its driver was loaded, in joules; nothing where it does not count (before Volta).
pub(crate) fn joules(uuid: &str) -> Option<f64> {
    let library = LIBRARY.as_ref().ok()?;
    library.device_by_uuid(uuid).and_then(|device| device.total_energy_consumption()).ok().map(|mj| mj as f64 * 1e-3)
}
