//! When a device of the fleet connects again: the back-off that firmware uses, with jitter from a seed.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vitalwire_device::backoff::{Backoff, BackoffLimits};

/// Longest wait before the first retry; it doubles with each further one.
pub const RETRY_AFTER_MS_MIN: u32 = 50;
/// Longest wait between two tries.
pub const RETRY_AFTER_MS_MAX: u32 = 5_000;
/// A connection that lived this long was a good one: the next retry is quick again. One that the gateway closes
/// sooner (an unknown key, a device that is connected already) counts as a failed try.
pub const SETTLED_AFTER_MS: u32 = 2_000;

/// Software devices are quicker than wearables: someone waits in front of them.
pub(super) const LIMITS: BackoffLimits = BackoffLimits {
    retry_ms_min: RETRY_AFTER_MS_MIN,
    retry_ms_max: RETRY_AFTER_MS_MAX,
    settled_ms: SETTLED_AFTER_MS,
};

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Retry {
    backoff: Backoff,
    rng: ChaCha8Rng,
}

impl Retry {
    pub(super) fn new(limits: BackoffLimits, seed: u64) -> Self {
        Self { backoff: Backoff::new(limits), rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// A try failed, or a connection that lived for `lived` ended.
    pub(super) fn failed(&mut self, lived: Duration) {
        self.backoff.failed(u64::try_from(lived.as_millis()).unwrap_or(u64::MAX));
    }

    /// How long to wait before the next try.
    pub(super) fn wait(&mut self) -> Duration {
        Duration::from_millis(self.backoff.wait_ms(self.rng.next_u32()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_with_different_seeds_do_not_wait_alike() {
        let (mut one, mut other) = (Retry::new(LIMITS, 1), Retry::new(LIMITS, 2));
        assert_eq!(one.wait(), Duration::ZERO);
        for retry in [&mut one, &mut other] {
            (0..6).for_each(|_| retry.failed(Duration::ZERO));
        }
        let waits = |retry: &mut Retry| (0..4).map(|_| retry.wait()).collect::<Vec<_>>();
        assert_ne!(waits(&mut one), waits(&mut other));
    }
}
