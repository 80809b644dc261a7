//! The middle of three values: what one wrong value never moves.

/// Values further apart are judged one by one, as waiting for the next one would take too long.
pub(super) const INTERVAL_US_MAX: u32 = 1_000_000;

/// The last values of a channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steady {
    last: Option<f64>,
    before: Option<f64>,
    time_us: i64,
}

impl Steady {
    /// The value to judge: the middle one of the last three, or this one when the others are too old.
    pub(super) fn take(&mut self, time_us: i64, interval_us: u32, value: f64) -> f64 {
        let passed_us = time_us.saturating_sub(self.time_us);
        let is_next = (0..=i64::from(INTERVAL_US_MAX)).contains(&passed_us) && interval_us <= INTERVAL_US_MAX;
        if !is_next {
            (self.last, self.before) = (None, None);
        }
        self.time_us = time_us;
        let before = core::mem::replace(&mut self.before, self.last);
        let last = self.last.replace(value);
        match (before, last) {
            (Some(before), Some(last)) => middle(before, last, value),
            _ => value,
        }
    }
}

fn middle(a: f64, b: f64, c: f64) -> f64 {
    a.min(b).max(a.max(b).min(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_value_moves_nothing() {
        let mut steady = Steady::default();
        let values = [36.6, 36.6, 45.0, 36.7, 25.0, 36.8, 39.0, 39.1, 39.2];
        let judged: Vec<f64> =
            (0..).zip(values).map(|(n, value)| steady.take(n * 50_000, 50_000, value)).collect();
        assert_eq!(judged, [36.6, 36.6, 36.6, 36.7, 36.7, 36.7, 36.8, 39.0, 39.1]);
    }

    #[test]
    fn a_slow_channel_is_judged_at_once_and_a_gap_begins_again() {
        let mut steady = Steady::default();
        assert_eq!(steady.take(0, 60_000_000, 36.6), 36.6);
        assert_eq!(steady.take(60_000_000, 60_000_000, 36.6), 36.6);
        assert_eq!(steady.take(120_000_000, 60_000_000, 39.0), 39.0);
        let mut steady = Steady::default();
        for n in 0..5 {
            steady.take(n * 50_000, 50_000, 36.6);
        }
        assert_eq!(steady.take(3_600_000_000, 50_000, 39.0), 39.0);
        // The clock was set back.
        assert_eq!(steady.take(1_000, 50_000, 36.0), 36.0);
    }

    use alloc::vec::Vec;
}
