//! What a piece of work takes of this process and its children.

use std::process::{Command, Stdio};

use kilter_meter::{Descendants, Stopwatch};
use nix::time::{ClockId, clock_gettime};

/// Time taken.
#[derive(Clone, Copy, Default)]
pub struct Took {
    pub wall_seconds: f64,
    /// Of this process and of the children that it waited for.
    pub cpu_seconds: f64,
}

/// CPU time of this process so far: to the nanosecond, where `getrusage` counts microseconds.
fn own_cpu_seconds() -> Result<f64, String> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_err(|why| format!("no CPU clock: {why}"))?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 * 1e-9)
}

/// CPU time of this process and of the children that it waited for.
pub fn cpu_seconds() -> Result<f64, String> {
    let children = Descendants::read().ok_or("the system does not count its children's CPU time")?;
    Ok(own_cpu_seconds()? + children.cpu_seconds)
}

/// Does the work in this process, and says what it took.
pub fn timed(work: impl FnOnce() -> Result<(), String>) -> Result<Took, String> {
    let (cpu, wall) = (own_cpu_seconds()?, Stopwatch::start());
    work()?;
    Ok(Took { wall_seconds: wall.elapsed().as_secs_f64(), cpu_seconds: own_cpu_seconds()? - cpu })
}

/// Runs a program to its end with its output read and dropped, and says what it took, its own children included.
pub fn timed_program(command: &mut Command) -> Result<Took, String> {
    let (cpu, wall) = (cpu_seconds()?, Stopwatch::start());
    let output = command.stdin(Stdio::null()).output().map_err(|why| format!("cannot start {command:?}: {why}"))?;
    let took = Took { wall_seconds: wall.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds()? - cpu };
    if output.status.success() {
        return Ok(took);
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Memory that this process holds, where the system tells it (Linux).
pub fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}
