//! A device's clock, mapped to UTC. The device counts milliseconds from an arbitrary moment; the gateway knows
//! only when bytes came. It never takes the device's word for the time of day.
//!
//! `Hello` carries the device's clock at the moment of writing. The device wrote it after the gateway saw the
//! connection's first byte and before the gateway received it, so the true offset lies between the two: the middle
//! is taken, half of the stretch is its uncertainty. It then grows by what the two clocks may drift apart.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vitalwire_journal::BootClock;

/// How far a device's quartz and the server's may drift apart, in parts per million: cheap quartzes are specified
/// to 50 and lose more over temperature.
const DRIFT_PPM: u64 = 100;
/// The uncertainty of times of a past boot that no earlier connection mapped: no one knows how long the device was off.
/// They are the latest possible. So great an uncertainty has no other cause.
pub(crate) const UNMAPPED_US_MIN: u64 = 366 * 24 * 3_600_000_000;
/// The device's clock has a resolution of a millisecond.
const RESOLUTION_US: u64 = 1_000;

/// By how much the server's clock may differ from what has passed since, in microseconds, before it counts as set. NTP
/// sets it for more than 128 ms, and lets it run faster or slower for less.
const SET_US: i64 = 250_000;

/// UTC in microseconds since 1970.
pub(crate) fn utc_us(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

/// The moment of so many microseconds since 1970; times before become 1970.
pub(crate) fn system_time(utc_us: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(utc_us).unwrap_or(0))
}

/// A time as RFC 3339 with milliseconds; times before 1970 become 1970.
pub(crate) fn rfc3339_millis(utc_us: i64) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(system_time(utc_us))
}

/// A look at the server's clock, to notice later that it was set meanwhile: devices' clocks were mapped by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerClock {
    pub(crate) utc_us: i64,
    /// The look was between the two: the system may let us wait there.
    before: Instant,
    after: Instant,
}

impl ServerClock {
    pub(crate) fn read() -> Self {
        let before = Instant::now();
        let utc_us = utc_us(SystemTime::now());
        Self { utc_us, before, after: Instant::now() }
    }

    /// When the look was, by the clock that no one sets.
    pub(crate) fn instant(&self) -> Instant {
        self.after
    }

    /// How much a device's clock has gone on since an earlier look, at least: milliseconds.
    pub(crate) fn least_ms_since(&self, earlier: &Self) -> u64 {
        let passed = self.before.saturating_duration_since(earlier.after);
        let us = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        (us - us / 1_000_000 * DRIFT_PPM) / 1_000
    }

    /// A look of a test.
    #[cfg(test)]
    pub(crate) fn at(utc_us: i64, instant: Instant) -> Self {
        Self { utc_us, before: instant, after: instant }
    }

    /// Whether it was set between the two looks.
    pub(crate) fn is_set_since(&self, earlier: &Self) -> bool {
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let least_us = us(self.before.saturating_duration_since(earlier.after));
        let most_us = us(self.after.saturating_duration_since(earlier.before));
        let passed_us = self.utc_us.saturating_sub(earlier.utc_us);
        passed_us < least_us.saturating_sub(SET_US) || passed_us > most_us.saturating_add(SET_US)
    }
}

/// The mapping of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceClock {
    /// UTC minus the device's time.
    offset_us: i64,
    /// Of `offset_us`, at `set_at_us` of the device's time.
    uncertainty_us: u64,
    set_at_us: u64,
}

/// A moment of the device's clock in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) utc_us: i64,
    pub(crate) uncertainty_us: u64,
    /// The device's clock said that the moment is still to come; it was taken as the moment of reception.
    pub(crate) jumped: bool,
}

impl DeviceClock {
    /// From a `Hello` that says `time_ms`, written after `after_us` and received at `received_us`.
    pub(crate) fn new(time_ms: u64, after_us: i64, received_us: i64) -> Self {
        let stretch_us = received_us.saturating_sub(after_us).max(0);
        let set_at_us = time_ms.saturating_mul(1_000);
        let middle_us = received_us.saturating_sub(stretch_us / 2);
        Self {
            offset_us: middle_us.saturating_sub_unsigned(set_at_us),
            uncertainty_us: stretch_us.unsigned_abs() / 2 + RESOLUTION_US,
            set_at_us,
        }
    }

    /// From the `Hello` of a boot that is over and that no earlier connection mapped.
    pub(crate) fn of_past(time_ms: u64, received_us: i64) -> Self {
        Self { uncertainty_us: UNMAPPED_US_MIN, ..Self::new(time_ms, received_us, received_us) }
    }

    /// As the journal keeps it.
    pub(crate) fn kept(&self, mapped_us: i64) -> BootClock {
        let Self { offset_us, uncertainty_us, set_at_us } = *self;
        BootClock { offset_us, uncertainty_us, set_at_us, mapped_us }
    }

    pub(crate) fn from_kept(kept: BootClock) -> Self {
        let BootClock { offset_us, uncertainty_us, set_at_us, mapped_us: _ } = kept;
        Self { offset_us, uncertainty_us, set_at_us }
    }

    /// What the device's clock showed when it was mapped, in milliseconds.
    pub(crate) fn set_at_ms(&self) -> u64 {
        self.set_at_us / 1_000
    }

    /// Maps the moment of a measurement that reached the gateway at `received_us`, with its last value
    /// `span_us` after it.
    pub(crate) fn map(&self, device_us: u64, span_us: u64, received_us: i64) -> Mapped {
        let elapsed_us = device_us.abs_diff(self.set_at_us);
        let uncertainty_us = self.uncertainty_us + elapsed_us / 1_000_000 * DRIFT_PPM;
        let utc_us = self.offset_us.saturating_add_unsigned(device_us);
        // Nothing is measured after it was received: the last value may lie at the latest there.
        let latest_us = received_us.saturating_sub_unsigned(span_us);
        let ahead_us = utc_us.saturating_sub(latest_us).max(0).unsigned_abs();
        Mapped {
            utc_us: utc_us.min(latest_us),
            uncertainty_us: uncertainty_us.max(ahead_us),
            jumped: ahead_us > uncertainty_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn the_true_time_lies_within_the_uncertainty() {
        // The device's clock is 0 at UTC 5 s; it writes Hello at its 2.000 s.
        let clock = DeviceClock::new(2_000, 6_990_000, 7_030_000);
        for (device_us, true_us) in [(2_000_000, 7_000_000), (1_000_000, 6_000_000), (2_500_000, 7_500_000)] {
            let mapped = clock.map(device_us, 0, HOUR_US);
            assert!(mapped.utc_us.abs_diff(true_us) <= mapped.uncertainty_us, "{mapped:?}");
            assert!(mapped.uncertainty_us <= 21_100 && !mapped.jumped);
        }
    }

    #[test]
    fn uncertainty_grows_with_the_time_since_hello() {
        let clock = DeviceClock::new(0, 0, 0);
        let soon = clock.map(1_000_000, 0, HOUR_US).uncertainty_us;
        let later = clock.map(3_600_000_000, 0, 2 * HOUR_US).uncertainty_us;
        assert_eq!(later - soon, 3_599 * DRIFT_PPM);
    }

    #[test]
    fn a_clock_ahead_of_the_reception_is_held_back_and_said() {
        let clock = DeviceClock::new(0, 0, 0);
        let mapped = clock.map(HOUR_US.unsigned_abs(), 1_000_000, 5_000_000);
        assert_eq!(mapped.utc_us, 4_000_000);
        assert!(mapped.jumped && mapped.uncertainty_us > 3_590_000_000);
    }

    #[test]
    fn no_clock_of_a_device_overflows() {
        for time_ms in [0, u64::MAX, (1 << 53) - 1] {
            let clock = DeviceClock::new(time_ms, i64::MIN, i64::MAX);
            let _ = clock.map(u64::MAX, u64::MAX, i64::MIN);
            let _ = clock.map(0, 0, i64::MAX);
        }
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_and_a_wait_is_not_taken_for_it() {
        let begun = Instant::now();
        let look = |utc_us, before_us, after_us| {
            let [before, after] = [before_us, after_us].map(|us| begun + Duration::from_micros(us));
            ServerClock { utc_us, before, after }
        };
        let hello = look(HOUR_US, 0, 10);
        for (utc_us, before_us, after_us, is_set) in [
            (HOUR_US + 60_000_000, 60_000_000, 60_000_010, false),
            (HOUR_US + 60_200_000, 60_000_000, 60_000_010, false),
            (HOUR_US + 60_000_000, 60_000_000, 95_000_000, false),
            (2 * HOUR_US, 60_000_000, 60_000_010, true),
            (0, 60_000_000, 60_000_010, true),
            (HOUR_US + 61_000_000, 60_000_000, 60_000_010, true),
            (HOUR_US + 59_000_000, 60_000_000, 60_000_010, true),
        ] {
            assert_eq!(look(utc_us, before_us, after_us).is_set_since(&hello), is_set, "{utc_us}");
        }
    }
}
