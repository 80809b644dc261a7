//! The two clocks of a machine, read together: the one that people set, and the one that no one can.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The system's clock: UTC, microseconds since 1970. People and NTP set it.
    pub wall_us: i64,
    /// Microseconds since the machine started, the time that it slept included. Nothing sets it.
    pub uptime_us: u64,
    /// Which start of the machine `uptime_us` counts from; 0 when that is not known.
    pub machine_start: u128,
}

/// Where the journal reads the time. The system's clocks, but in tests.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// The clocks of this machine.
#[must_use]
pub fn system_clock() -> Clock {
    let machine_start = machine_start();
    Arc::new(move || Moment { wall_us: wall_us(), uptime_us: uptime_us(), machine_start })
}

fn wall_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

#[cfg(target_os = "linux")]
fn uptime_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000)
}

/// Linux draws a new one at each start.
#[cfg(target_os = "linux")]
fn machine_start() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}

/// Elsewhere the clock is compared while the process runs only.
#[cfg(not(target_os = "linux"))]
fn uptime_us() -> u64 {
    static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let elapsed = BEGUN.get_or_init(std::time::Instant::now).elapsed();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(not(target_os = "linux"))]
fn machine_start() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() << 32 | u128::from(std::process::id())
}
