//! Devices: what they can do, and what joins them.

use serde::{Deserialize, Serialize};

/// A kind of device in its cluster. Rates are per device and direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hardware {
    /// Its name.
    pub name: &'static str,
    /// Where the figures come from; the efficiency and, where it says so, links are assumed.
    pub source: &'static str,
    /// Memory, in bytes.
    pub memory_bytes: f64,
    /// Peak of dense half-precision matrix products, in operations per second.
    pub peak: f64,
    /// Bytes per second to its own memory.
    pub memory_bandwidth: f64,
    /// Devices that share a package.
    pub package: u64,
    /// Devices of a node.
    pub node: u64,
    /// Bytes per second within a package.
    pub bw_package: f64,
    /// Bytes per second within a node.
    pub bw_node: f64,
    /// Bytes per second between nodes.
    pub bw_network: f64,
    /// Seconds before a message begins to flow.
    pub latency: f64,
    /// Share of the peak that matrix products reach.
    pub eff: f64,
}

/// Devices that are known by name.
pub const HARDWARE: &[Hardware] = &[
    Hardware {
        name: "mi250x-gcd",
        source: "Frontier: half an MI250X; efficiency calibrated on the paper's 175B run",
        memory_bytes: 64e9,
        peak: 191.5e12,
        memory_bandwidth: 1.6e12,
        package: 2,
        node: 8,
        bw_package: 200e9,
        bw_node: 50e9,
        bw_network: 12.5e9,
        latency: 5e-6,
        eff: 0.42,
    },
    Hardware {
        name: "a100-80",
        source: "NVIDIA's data sheet (SXM, NVLink 3), one 200 Gb/s link per device; efficiency assumed",
        memory_bytes: 80e9,
        peak: 312e12,
        memory_bandwidth: 2.039e12,
        package: 1,
        node: 8,
        bw_package: 300e9,
        bw_node: 300e9,
        bw_network: 25e9,
        latency: 5e-6,
        eff: 0.55,
    },
    Hardware {
        name: "h100",
        source: "NVIDIA's data sheet (SXM, NVLink 4), one 400 Gb/s link per device; efficiency assumed",
        memory_bytes: 80e9,
        peak: 989e12,
        memory_bandwidth: 3.35e12,
        package: 1,
        node: 8,
        bw_package: 450e9,
        bw_node: 450e9,
        bw_network: 50e9,
        latency: 5e-6,
        eff: 0.5,
    },
    Hardware {
        name: "rtx-4090",
        source: "NVIDIA's data sheet (dense, fp32 accumulation), PCIe 4 x16, 10 Gb/s network; links and efficiency assumed",
        memory_bytes: 24e9,
        peak: 165.2e12,
        memory_bandwidth: 1.008e12,
        package: 1,
        node: 4,
        bw_package: 25e9,
        bw_node: 25e9,
        bw_network: 1.25e9,
        latency: 1e-5,
        eff: 0.5,
    },
    Hardware {
        name: "cpu-2core",
        source: "a small virtual machine; all figures assumed",
        memory_bytes: 16e9,
        peak: 1e11,
        memory_bandwidth: 1e10,
        package: 1,
        node: 1,
        bw_package: 1e10,
        bw_node: 1e10,
        bw_network: 1.25e8,
        latency: 5e-5,
        eff: 0.6,
    },
];

impl Hardware {
    /// The device of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        HARDWARE.iter().find(|hardware| hardware.name == name)
    }

    /// Bytes per second between ranks that lie so many devices apart, the package counted.
    pub(super) fn link(&self, devices: u64) -> f64 {
        if devices <= self.package { self.bw_package } else { self.link_beyond_package(devices) }
    }

    /// The same where packages do not count.
    pub(super) fn link_beyond_package(&self, devices: u64) -> f64 {
        if devices <= self.node { self.bw_node } else { self.bw_network }
    }
}
