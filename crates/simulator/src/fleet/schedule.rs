//! When a device connects and when each of its samples is due. Reads no clock: the moment is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Sample `n` (from 0) is due at `first` + n / rate: a late sample does not move the ones after it.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    connect_at: Instant,
    first: Instant,
    rate_hz: f64,
    samples: Option<u64>,
}

impl Schedule {
    pub(super) fn new(connect_at: Instant, first: Instant, rate_hz: f64, samples: Option<u64>) -> Self {
        Self { connect_at, first, rate_hz, samples }
    }

    pub(super) fn connect_at(&self) -> Instant {
        self.connect_at
    }

    /// How many samples are due at `now`.
    pub(super) fn due(&self, now: Instant) -> u64 {
        let Some(elapsed) = now.checked_duration_since(self.first) else { return 0 };
        // The nanosecond that `at` may round away must not make a sample late.
        let passed = whole((elapsed.as_secs_f64() + 2e-9) * self.rate_hz) + 1;
        passed.min(self.samples.unwrap_or(u64::MAX))
    }

    /// Nothing becomes due after `now`.
    pub(super) fn end(&mut self, now: Instant) {
        self.samples = Some(self.due(now));
    }

    /// When sample `index` is due.
    pub(super) fn at(&self, index: u64) -> Instant {
        self.first + Duration::from_secs_f64(self.seconds(index))
    }

    /// Seconds from the first sample to sample `index`: the time at which the patient is asked.
    pub(super) fn seconds(&self, index: u64) -> f64 {
        index as f64 / self.rate_hz
    }

    /// Whether sample `index` is beyond the last.
    pub(super) fn is_over(&self, index: u64) -> bool {
        self.samples.is_some_and(|samples| index >= samples)
    }

    /// When the last sample is due.
    pub(super) fn last_at(&self) -> Option<Instant> {
        self.samples.map(|samples| self.at(samples.saturating_sub(1)))
    }
}

/// The whole part of a count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are positive and far below 2^53; a float cast saturates"
)]
pub(super) fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_is_due_at_its_moment_and_not_before() {
        let start = Instant::now();
        for rate_hz in [0.1, 3.0, 20.0, 250.0, 333.3, 10_000.0] {
            let schedule = Schedule::new(start, start + Duration::from_millis(7), rate_hz, None);
            assert_eq!(schedule.due(start), 0);
            for index in [0, 1, 2, 19, 999, 1_000_000] {
                let at = schedule.at(index);
                assert_eq!(schedule.due(at), index + 1, "sample {index} at {rate_hz} Hz");
                assert_eq!(
                    schedule.due(at - Duration::from_micros(2)),
                    index,
                    "before sample {index} at {rate_hz} Hz"
                );
            }
        }
    }

    #[test]
    fn ended_schedule_stands_still() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, start, 20.0, None);
        schedule.end(start + Duration::from_millis(101));
        assert_eq!(schedule.due(start + Duration::from_secs(100)), 3);
        assert!(schedule.is_over(3) && !schedule.is_over(2));
    }

    #[test]
    fn nothing_is_due_after_the_last_sample() {
        let start = Instant::now();
        let schedule = Schedule::new(start, start, 20.0, Some(40));
        assert_eq!(schedule.due(start + Duration::from_secs(100)), 40);
        assert!(schedule.is_over(40) && !schedule.is_over(39));
        assert_eq!(schedule.last_at(), Some(schedule.at(39)));
    }
}
