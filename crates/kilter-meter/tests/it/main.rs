//! One test binary for the crate.
use std::process::Command;

use kilter_meter::{Descendants, Stopwatch};

#[test]
fn a_busy_child_is_charged_for_its_cpu_time_and_memory() {
    let before = Descendants::read().unwrap();
    let script = "x=0; while [ $x -lt 200000 ]; do x=$((x+1)); done";
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success());
    let after = Descendants::read().unwrap();
    assert!(after.cpu_seconds > before.cpu_seconds);
    // A shell cannot live in less than 100 KiB, nor should it need a gigabyte.
    assert!((100 << 10..1 << 30).contains(&after.peak_bytes), "{}", after.peak_bytes);
    let usage = Stopwatch::start().with(Some(after));
    assert_eq!(usage.cpu_seconds, Some(after.cpu_seconds));
}

#[test]
fn what_a_thread_took_leaves_cpu_and_memory_absent() {
    let json = serde_json::to_value(Stopwatch::start().wall_only()).unwrap();
    assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["wall_seconds"]);
}
