//! The device's clock over the runtime's, which a test may pause.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use vitalwire_device::clock::Clock;

/// Microseconds since a moment: that of a device's start.
#[derive(Debug, Clone, Copy)]
pub struct HostClock {
    origin: Instant,
}

impl HostClock {
    /// A clock that shows zero now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Seconds since its start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.origin.elapsed().as_secs_f64()
    }
}

impl Clock for HostClock {
    fn now_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn wait_until_us(&self, at_us: u64) {
        match self.origin.checked_add(Duration::from_micros(at_us)) {
            Some(moment) => sleep_until(moment).await,
            // Beyond what the runtime's clock can show.
            None => std::future::pending().await,
        }
    }
}
