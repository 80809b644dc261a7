//! How long a device waits before it connects again: exponential, with full jitter, so that a thousand devices that lost
//! the same gateway do not come back together. It reads no clock and no random source.

/// Counts failures in a row.
#[derive(Clone, Debug)]
pub struct Backoff {
    limits: BackoffLimits,
    failures: u32,
}

/// How far the waits go. The defaults are those of a wearable, which no one waits for in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffLimits {
    /// Longest wait before the first retry, in milliseconds; it doubles with each further one.
    pub retry_ms_min: u32,
    /// Longest wait between two tries, in milliseconds.
    pub retry_ms_max: u32,
    /// A connection that lived this long, in milliseconds, was a good one: the next retry is quick again. One that is closed
    /// sooner counts as a failed try.
    pub settled_ms: u32,
}

impl Default for BackoffLimits {
    fn default() -> Self {
        Self { retry_ms_min: 500, retry_ms_max: 60_000, settled_ms: 10_000 }
    }
}

impl Backoff {
    /// Before the first try.
    #[must_use]
    pub fn new(limits: BackoffLimits) -> Self {
        Self { limits, failures: 0 }
    }

    /// A try failed (`lived_ms` is 0), or a connection that lived so many milliseconds ended.
    pub fn failed(&mut self, lived_ms: u64) {
        if lived_ms >= u64::from(self.limits.settled_ms) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Milliseconds to wait before the next try: none before the first, then anything up to the doubling limit. `random`
    /// is uniform over its whole range, and fresh each time.
    #[must_use]
    pub fn wait_ms(&self, random: u32) -> u32 {
        let Some(doublings) = self.failures.checked_sub(1) else { return 0 };
        let limit_ms = u64::from(self.limits.retry_ms_min) << doublings.min(31);
        let limit_ms = limit_ms.min(u64::from(self.limits.retry_ms_max));
        // The high half of the product is `random` scaled to 0..=limit.
        let wait_ms = (u64::from(random) * (limit_ms + 1)) >> 32;
        u32::try_from(wait_ms).unwrap_or(self.limits.retry_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BackoffLimits = BackoffLimits { retry_ms_min: 50, retry_ms_max: 5_000, settled_ms: 2_000 };

    #[test]
    fn waits_reach_from_none_to_a_limit_that_doubles() {
        let mut backoff = Backoff::new(LIMITS);
        assert_eq!(backoff.wait_ms(u32::MAX), 0);
        for limit_ms in [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            backoff.failed(0);
            assert_eq!(backoff.wait_ms(0), 0);
            assert_eq!(backoff.wait_ms(1 << 31), limit_ms / 2);
            assert_eq!(backoff.wait_ms(u32::MAX), limit_ms);
        }
        (0..100).for_each(|_| backoff.failed(0));
        assert_eq!(backoff.wait_ms(u32::MAX), 5_000);
    }

    #[test]
    fn is_quick_again_only_after_a_connection_that_lived() {
        let mut backoff = Backoff::new(LIMITS);
        (0..6).for_each(|_| backoff.failed(1_999));
        assert_eq!(backoff.wait_ms(u32::MAX), 1_600);
        backoff.failed(2_000);
        assert_eq!(backoff.wait_ms(u32::MAX), 50);
    }

    #[test]
    fn extreme_limits_do_not_overflow() {
        let all = BackoffLimits { retry_ms_min: u32::MAX, retry_ms_max: u32::MAX, settled_ms: 0 };
        let mut backoff = Backoff::new(all);
        (0..40).for_each(|_| backoff.failed(0));
        assert_eq!(backoff.wait_ms(u32::MAX), u32::MAX);
    }
}
