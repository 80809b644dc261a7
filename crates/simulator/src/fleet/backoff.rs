//! How long a device waits before it connects again: exponential, with jitter from a seed. Reads no clock.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Longest wait before the first retry; it doubles with each further one.
pub const RETRY_AFTER_MS_MIN: u64 = 50;
/// Longest wait between two tries.
pub const RETRY_AFTER_MS_MAX: u64 = 5_000;
/// A connection that lived this long was a good one: the next retry is quick again. One that the gateway closes
/// sooner (an unknown key, a device that is connected already) counts as a failed try.
pub const SETTLED_AFTER_MS: u64 = 2_000;

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    rng: ChaCha8Rng,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), failures: 0 }
    }

    /// A try failed, or a connection that lived for `lived` ended.
    pub(super) fn failed(&mut self, lived: Duration) {
        if lived >= Duration::from_millis(SETTLED_AFTER_MS) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// How long to wait before the next try: nothing before the first, then half to all of the doubling limit.
    pub(super) fn wait(&mut self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else { return Duration::ZERO };
        // 2^16 × 50 ms is far beyond the longest wait.
        let limit_ms = (RETRY_AFTER_MS_MIN << doublings.min(16)).min(RETRY_AFTER_MS_MAX);
        Duration::from_millis(limit_ms).mul_f64(self.rng.random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_differ_between_seeds() {
        let mut backoff = Backoff::new(1);
        let mut other = Backoff::new(2);
        assert_eq!(backoff.wait(), Duration::ZERO);
        for limit_ms in [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000] {
            backoff.failed(Duration::ZERO);
            other.failed(Duration::ZERO);
            let (wait, limit) = (backoff.wait(), Duration::from_millis(limit_ms));
            assert!(limit / 2 <= wait && wait <= limit, "{wait:?} under {limit:?}");
            assert_ne!(wait, other.wait());
        }
        (0..100).for_each(|_| backoff.failed(Duration::ZERO));
        assert!(backoff.wait() <= Duration::from_millis(RETRY_AFTER_MS_MAX));
    }

    #[test]
    fn is_quick_again_only_after_a_connection_that_lived() {
        let mut backoff = Backoff::new(3);
        (0..6).for_each(|_| backoff.failed(Duration::from_millis(SETTLED_AFTER_MS - 1)));
        assert!(backoff.wait() > Duration::from_millis(500));
        backoff.failed(Duration::from_millis(SETTLED_AFTER_MS));
        assert!(backoff.wait() <= Duration::from_millis(RETRY_AFTER_MS_MIN));
    }
}
