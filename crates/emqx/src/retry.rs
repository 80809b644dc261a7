//! When a request that failed is made again, and when that is hopeless. All requests of [`Sync`](crate::Sync) may be made twice.

use std::time::Duration;

const DELAY_MIN: Duration = Duration::from_millis(500);
const DELAY_MAX: Duration = Duration::from_secs(8);
/// Longest wait that EMQX may ask for.
const ASKED_MAX: Duration = Duration::from_secs(30);
/// Failures of one request after which we give up; half a minute after the first.
const FAILURES_MAX: u32 = 8;

/// How a request failed for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or one that ended before the answer was whole.
    Connection,
    /// 429 or 503, with the seconds of `Retry-After`.
    Busy(Option<u64>),
}

impl Failure {
    /// Of an HTTP answer; `None` when asking again would change nothing.
    #[must_use]
    pub fn of_status(status: u16, retry_after_s: Option<u64>) -> Option<Self> {
        matches!(status, 429 | 503).then_some(Self::Busy(retry_after_s))
    }
}

/// The failures of one request.
#[derive(Debug, Default)]
pub struct Retry {
    failures: u32,
}

impl Retry {
    /// How long to wait before the next try; `None` after too many failures. `random` spreads those who wait for the same EMQX.
    pub fn after(&mut self, failure: Failure, random: u32) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            return None;
        }
        let full = DELAY_MAX.min(DELAY_MIN * 2_u32.pow(self.failures - 1));
        let spread = full.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        match failure {
            Failure::Busy(Some(seconds)) => Some(ASKED_MAX.min(Duration::from_secs(seconds)).max(spread)),
            _ => Some(spread),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_end() {
        let mut retry = Retry::default();
        let delays: Vec<_> = std::iter::from_fn(|| retry.after(Failure::Connection, u32::MAX)).collect();
        assert_eq!(delays, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000].map(Duration::from_millis));
        assert_eq!(Retry::default().after(Failure::Connection, 0), Some(DELAY_MIN / 2));
    }

    #[test]
    fn what_emqx_asks_for_counts_within_bounds() {
        let after = |seconds| Retry::default().after(Failure::Busy(Some(seconds)), u32::MAX).unwrap();
        assert_eq!(after(0), DELAY_MIN);
        assert_eq!(after(3), Duration::from_secs(3));
        assert_eq!(after(u64::MAX), ASKED_MAX);
    }

    #[test]
    fn only_busy_answers_are_worth_asking_again() {
        let passing: Vec<u16> =
            (100..600).filter(|status| Failure::of_status(*status, None).is_some()).collect();
        assert_eq!(passing, [429, 503]);
    }
}
