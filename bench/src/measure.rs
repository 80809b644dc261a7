//! The measurements, one a file, and how large they are.

pub(crate) mod absent;
pub(crate) mod alarms;
pub(crate) mod comeback;
pub(crate) mod cpu;
pub(crate) mod handshakes;
pub(crate) mod history;
pub(crate) mod identify;
pub(crate) mod latency;
pub(crate) mod memory;
mod pair;
pub(crate) mod readers;
pub(crate) mod reconnect;
pub(crate) mod storm;
pub(crate) mod tls_cpu;
pub(crate) mod tls_memory;
pub(crate) mod wire;

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
    pub(crate) handshakes_enrolled: [usize; 2],
    pub(crate) handshakes: usize,
    pub(crate) reconnecting_devices: usize,
    pub(crate) link_connections: usize,
    /// Seconds of measurements; they are not waited for.
    pub(crate) wire_seconds: u32,
    pub(crate) readers_devices: usize,
    /// Each of one device.
    pub(crate) readers: usize,
    pub(crate) absent_devices: usize,
    pub(crate) absent_sessions: usize,
    /// After all devices are served, before a window: longer than readings are logged in memory for who has just gone.
    pub(crate) absent_settle_seconds: u64,
    pub(crate) alarms_devices: [usize; 2],
    pub(crate) away_devices: usize,
    /// 140 messages a device and second: with the defaults of the broker's log at most 1,000,000 together.
    pub(crate) away_seconds: u64,
    pub(crate) history_patients: usize,
    pub(crate) history_days: f64,
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
        handshakes_enrolled: [1_000, 100_000],
        handshakes: 10_000,
        reconnecting_devices: 2_000,
        link_connections: 5_000,
        wire_seconds: 60,
        readers_devices: 500,
        readers: 100,
        absent_devices: 50,
        absent_sessions: 1_000,
        absent_settle_seconds: 15,
        alarms_devices: [50, 1_000],
        away_devices: 50,
        away_seconds: 60,
        history_patients: 10,
        history_days: 30.0,
    };

    /// Shows that everything still runs, in about a minute. Its figures mean nothing.
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
        handshakes_enrolled: [10, 100],
        handshakes: 200,
        reconnecting_devices: 50,
        link_connections: 100,
        wire_seconds: 5,
        readers_devices: 20,
        readers: 5,
        absent_devices: 5,
        absent_sessions: 20,
        absent_settle_seconds: 0,
        alarms_devices: [5, 20],
        away_devices: 5,
        away_seconds: 2,
        history_patients: 2,
        history_days: 0.1,
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
