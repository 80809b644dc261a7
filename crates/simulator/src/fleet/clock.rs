//! A device's monotonic clock: microseconds that began somewhere, long before the device was started.

use std::time::{Duration, Instant};

/// The clock of one boot of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceClock {
    /// The boot, as `Hello` names it.
    pub boot: u64,
    /// The moment at which the clock showed `origin_us`.
    pub origin: Instant,
    /// See `origin`; in microseconds.
    pub origin_us: u64,
}

impl DeviceClock {
    /// What the clock shows at a moment, in microseconds.
    #[must_use]
    pub fn us_at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.origin).as_micros();
        self.origin_us.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The moment at which the clock shows `us`.
    #[must_use]
    pub fn moment_of(&self, us: u64) -> Instant {
        self.origin + Duration::from_micros(us.saturating_sub(self.origin_us))
    }
}
