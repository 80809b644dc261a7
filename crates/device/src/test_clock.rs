//! The tests' clock: tokio's, which stands still while someone works and jumps when everyone waits.

use tokio::time::{Duration, Instant, sleep_until};

use crate::clock::Clock;

/// Counts from its making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TestClock {
    origin: Instant,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap()
    }

    async fn wait_until_us(&self, at_us: u64) {
        // tokio's clock has whole milliseconds.
        sleep_until(self.origin + Duration::from_micros(at_us)).await;
    }
}
