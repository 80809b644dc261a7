//! How often a page may say something on its live connection. It reads no clock.

use std::time::Duration;

use tokio::time::Instant;

/// What one message costs of the time that a page has.
const COST: Duration = Duration::from_millis(62);
/// How many may come at once.
const AT_ONCE: u32 = 64;

/// See the module: so many at once, and one more each [`COST`].
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// When all that was said will have been paid for.
    paid_at: Option<Instant>,
}

impl Rate {
    /// Whether one more may come now; if so, it counts.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let from = self.paid_at.map_or(now, |paid_at| paid_at.max(now));
        let until = from + COST;
        let is_allowed = until - now <= COST * AT_ONCE;
        if is_allowed {
            self.paid_at = Some(until);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_may_come_at_once_and_then_one_at_a_time() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        let allowed = |rate: &mut Rate, now| (0..1_000).filter(|_| rate.allow(now)).count();
        assert_eq!(allowed(&mut rate, now), 64);
        assert_eq!(allowed(&mut rate, now + COST * 3), 3);
        assert_eq!(allowed(&mut rate, now + COST * 3 + COST / 2), 0);
        assert_eq!(allowed(&mut rate, now + Duration::from_secs(3_600)), 64, "no more than at once");
        assert_eq!(allowed(&mut rate, now), 0, "a clock that stands still gives none");
    }
}
