//! CUDA's devices. Its driver is opened when the program runs and never linked, and Burn panics where it or the device is
//! missing, so both are looked for before.
#![expect(unsafe_code, reason = "a library is opened")]

use burn::tensor::Device;
use cudarc::driver::{DriverError, result, sys};

/// The GPU of this index, as `CUDA_VISIBLE_DEVICES` counts.
///
/// # Errors
/// If there is no driver, or no such GPU.
pub(super) fn device(index: usize) -> Result<Device, String> {
    let elsewhere = "; `cpu` is everywhere";
    // SAFETY: opening a library runs its initialisers; those of NVIDIA's driver may run at any time and in any thread.
    if !unsafe { sys::is_culib_present() } {
        return Err(format!("cuda: NVIDIA's driver is not installed here (there is no libcuda){elsewhere}"));
    }
    let count = result::init().and_then(|()| result::device::get_count());
    let count = count.map_err(|why| format!("cuda: NVIDIA's driver says: {}{elsewhere}", said(why)))?;
    match usize::try_from(count) {
        Ok(count) if index < count => Ok(Device::cuda(index)),
        _ => Err(format!("there is no device cuda:{index}: the driver counts {count} from cuda:0 on{elsewhere}")),
    }
}

fn said(why: DriverError) -> String {
    why.error_string().map_or_else(|_| why.to_string(), |words| words.to_string_lossy().into_owned())
}
