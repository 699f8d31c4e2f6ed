//! One test binary for the crate.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use kilter_meter::{Descendants, Energy, EnergyKind, EnergyMeter, Stopwatch};

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

/// A folder of counters as Linux shows them.
fn powercap(domains: &[(&str, &str, u64)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (folder, name, microjoules) in domains {
        let folder = root.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        std::fs::write(folder.join("max_energy_range_uj"), "1000000000\n").unwrap();
        std::fs::write(folder.join("energy_uj"), format!("{microjoules}\n")).unwrap();
    }
    root
}

#[test]
fn energy_counts_packages_and_memory_once_and_survives_a_counter_that_comes_round() {
    let root = powercap(&[
        ("intel-rapl:0", "package-0", 999_000_000),
        ("intel-rapl:0:0", "core", 0),
        ("intel-rapl:0:1", "dram", 5_000_000),
        ("intel-rapl:1", "psys", 0),
        ("intel-rapl-mmio:0", "package-0", 0),
    ]);
    let meter = EnergyMeter::at(root.path(), &[], 1.0);
    for (folder, now) in [("intel-rapl:0", 1_000_000), ("intel-rapl:0:1", 8_000_000), ("intel-rapl:0:0", 99_000_000)] {
        std::fs::write(root.path().join(folder).join("energy_uj"), format!("{now}")).unwrap();
    }
    // More CPU time than the machine counted: the work had it to itself.
    let used = meter.used(Some(1e9)).unwrap();
    assert_eq!(used, Energy { joules: 5.0, kind: EnergyKind::Measured });
}

#[test]
fn energy_that_cannot_be_known_is_absent() {
    let root = powercap(&[]);
    assert_eq!(EnergyMeter::at(root.path(), &[], 1.0).used(Some(1.0)), None);
    assert_eq!(EnergyMeter::at(&root.path().join("nowhere"), &["GPU-none"], 1.0).used(Some(1.0)), None);
    // A thread's CPU time is unknown, so it has no share.
    let root = powercap(&[("intel-rapl:0", "package-0", 0)]);
    assert_eq!(EnergyMeter::at(root.path(), &[], 1.0).used(None), None);
}
