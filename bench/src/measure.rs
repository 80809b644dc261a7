//! The measurements, one a file, and how large they are.

pub(crate) mod cpu;
pub(crate) mod identify;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod storm;

use std::path::Path;

/// Samples a second of each device, as the paper's devices send.
pub(crate) const RATE_HZ: f64 = 20.0;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    pub(crate) cpu_devices: [usize; 2],
    /// After all devices are served, before a window.
    pub(crate) cpu_settle_seconds: u64,
    pub(crate) cpu_window_seconds: u64,
    pub(crate) storm_devices: usize,
    pub(crate) storm_seconds: u64,
    pub(crate) idle_connections: usize,
    pub(crate) latency_devices: usize,
    pub(crate) latency_seconds: u64,
    pub(crate) identify_enrolled: [usize; 3],
    pub(crate) identify_connections: [usize; 3],
}

impl Scale {
    /// The sizes that the goals are stated for.
    pub(crate) const FULL: Self = Self {
        rounds: 3,
        cpu_devices: [50, 500],
        cpu_settle_seconds: 2,
        cpu_window_seconds: 10,
        storm_devices: 1_000,
        storm_seconds: 10,
        idle_connections: 5_000,
        latency_devices: 50,
        latency_seconds: 10,
        identify_enrolled: [10, 1_000, 100_000],
        identify_connections: [2_000, 1_000, 200],
    };

    /// Shows that everything still runs, in less than a minute. Its figures mean nothing.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        cpu_devices: [5, 20],
        cpu_settle_seconds: 0,
        cpu_window_seconds: 1,
        storm_devices: 50,
        storm_seconds: 2,
        idle_connections: 200,
        latency_devices: 5,
        latency_seconds: 2,
        identify_enrolled: [10, 100, 1_000],
        identify_connections: [20, 20, 20],
    };
}

/// What every measurement is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) scale: Scale,
    /// Our binary; `None` when only the peer is measured.
    pub(crate) ours: Option<&'a Path>,
    /// Whether the peer is measured.
    pub(crate) peer: bool,
}
