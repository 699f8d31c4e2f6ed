//! Memory of this very process, as Linux tells it.

use std::fs;

use nix::sys::resource::{Resource, setrlimit};

/// Its largest resident set since it began, or since [`forget_peak`], in bytes; nothing where the system does not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Lets [`peak_resident_bytes`] count anew from here. Where the system has no such thing, nothing happens.
pub fn forget_peak() {
    // A kernel without it leaves the older peak, which is said to be what it is: the largest.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Memory that processes could still take, in bytes.
pub fn available_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// From here on this process may allocate so many bytes more than it has; what asks for more is refused, and a Rust program
/// that is refused memory ends itself. There is no way back.
///
/// # Errors
/// The system does not tell what the process has, or keeps no such limit.
pub fn allow_further(bytes: u64) -> std::io::Result<()> {
    let has = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| kibibytes(&text, "VmData:"))
        .ok_or_else(|| std::io::Error::other("the system does not tell what a process has"))?;
    setrlimit(Resource::RLIMIT_DATA, has.saturating_add(bytes), has.saturating_add(bytes))?;
    Ok(())
}

/// From here on large blocks that are given up stay with this process, for the next ones of about their size: what computes
/// the same step over and over then gets its memory without page faults and without its being cleared by the kernel. Up to
/// 256 MB are kept so. For programs, at their beginning; where the C library is another than glibc, nothing happens.
#[cfg_attr(all(target_os = "linux", target_env = "gnu"), expect(unsafe_code, reason = "a call of the C library"))]
pub fn keep_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};
        // The largest blocks that glibc is willing to keep.
        const LARGEST: i32 = 32 << 20;
        const KEPT: i32 = 256 << 20;
        // SAFETY: both are settings of the allocator with values that its manual allows; it locks itself.
        unsafe {
            mallopt(M_MMAP_THRESHOLD, LARGEST);
            mallopt(M_TRIM_THRESHOLD, KEPT);
        }
    }
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::{available_bytes, kibibytes, peak_resident_bytes};

    #[test]
    fn the_kernels_tables_are_read() {
        let status = "Name:\tkilter\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!((kibibytes(status, "VmHWM:"), kibibytes(status, "VmSwap:")), (Some(5120 * 1024), None));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_sees_what_it_took() {
        let before = peak_resident_bytes();
        let large = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = peak_resident_bytes();
        assert!(after.zip(before).is_some_and(|(after, before)| after >= before.max(64 << 20)), "{before:?} {after:?}");
        assert!(large.iter().all(|byte| *byte == 1) && available_bytes().is_some_and(|bytes| bytes > 0));
    }
}
