//! What limits would have raised, of values that were kept: the monitor that watched them live, on one channel's values in the
//! order of time. An alarm is over when its condition is, for no one was there to acknowledge it.

use alloc::vec::Vec;

use crate::alarm::{Alarm, Change, Condition, Limits, Numbers};
use crate::monitor::{Measured, Outcome, PatientMonitor, Quantity};

/// Values are given to the monitor as they would have come: a second of them at once.
const SPAN_US: i64 = 1_000_000;
/// Without values for longer the device was away, as far as one can tell afterwards.
const AWAY_US: i64 = 10_000_000;

/// A channel that is replayed.
#[derive(Clone, Debug)]
pub struct Replay {
    monitor: PatientMonitor,
    numbers: Numbers,
    outcome: Outcome,
    quantity: Quantity,
    plausible: (f64, f64),
    first_us: i64,
    last_us: Option<i64>,
    interval_us: i64,
    values: Vec<f64>,
    raised: Vec<Alarm>,
}

impl Replay {
    /// With these limits; `plausible` is the channel's range.
    #[must_use]
    pub fn new(mut limits: Limits, quantity: Quantity, plausible: (f64, f64)) -> Self {
        // Values do not tell whether the device was away, or had nothing to say.
        limits.off.set(Condition::DeviceOffline, true);
        Self {
            monitor: PatientMonitor::of_the_past(limits),
            numbers: Numbers::starting_at(1),
            outcome: Outcome::default(),
            quantity,
            plausible,
            first_us: 0,
            last_us: None,
            interval_us: 0,
            values: Vec::new(),
            raised: Vec::new(),
        }
    }

    /// The next value. One that is older than the one before is left out.
    pub fn value(&mut self, time_us: i64, value: f64) {
        let passed_us = self.last_us.map_or(0, |last_us| time_us.saturating_sub(last_us));
        if self.last_us.is_none() || passed_us > AWAY_US {
            self.give();
            if let Some(last_us) = self.last_us {
                self.monitor.status(false, last_us, &mut self.numbers, &mut self.outcome);
            }
            self.monitor.status(true, time_us, &mut self.numbers, &mut self.outcome);
        } else if passed_us <= 0 {
            return;
        } else if self.values.len() == 1 {
            self.interval_us = passed_us;
        }
        let is_even = (passed_us - self.interval_us).abs() <= self.interval_us / 4;
        if !is_even || time_us.saturating_sub(self.first_us) >= SPAN_US {
            self.give();
        }
        if self.values.is_empty() {
            self.first_us = time_us;
        }
        self.values.push(value);
        self.last_us = Some(time_us);
    }

    /// What was raised, in its order; what lasted to the end has no end.
    #[must_use]
    pub fn finish(mut self) -> Vec<Alarm> {
        self.give();
        self.raised
    }

    fn give(&mut self) {
        let values = core::mem::take(&mut self.values);
        let Some(last_us) = self.last_us.filter(|_| !values.is_empty()) else { return };
        let measured = Measured {
            quantity: self.quantity,
            plausible: self.plausible,
            first_us: self.first_us,
            // Of a single value it is how far the next one was, or the one before.
            interval_us: u32::try_from(self.interval_us).unwrap_or(u32::MAX).max(1),
            values: &values,
            is_live: true,
        };
        self.monitor.measured(&measured, last_us, &mut self.numbers, &mut self.outcome);
        self.monitor.tick(last_us, &mut self.numbers, &mut self.outcome);
        self.outcome.derived.clear();
        self.outcome.beats.clear();
        for change in self.outcome.changes.drain(..) {
            match change {
                Change::Raised(alarm) => self.raised.push(alarm),
                Change::Heightened(alarm) | Change::Ended(alarm) => {
                    let known = self.raised.iter_mut().rev().find(|known| known.number == alarm.number);
                    if let Some(known) = known {
                        *known = alarm;
                    }
                }
                _ => {}
            }
        }
        self.values = values;
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Priority;

    const S: i64 = 1_000_000;

    fn replay(limits: &str, quantity: Quantity, values: &[(i64, f64)]) -> Vec<Alarm> {
        let mut replay = Replay::new(limits.parse().unwrap(), quantity, (0.0, 500.0));
        values.iter().for_each(|(time_us, value)| replay.value(*time_us, *value));
        replay.finish()
    }

    /// Rates each second: 130 from the tenth to the fortieth, and 150 from the hundredth on.
    fn rates() -> Vec<(i64, f64)> {
        let rate = |second| match second {
            10..40 => 130.0,
            100.. => 150.0,
            _ => 80.0,
        };
        (0..200).map(|second| (second * S, rate(second))).collect()
    }

    #[test]
    fn tells_what_other_limits_would_have_raised() {
        let raised = replay("", Quantity::Rate, &rates());
        assert_eq!(raised.len(), 2);
        assert_eq!((raised[0].since_us, raised[0].ended_us), (10 * S, Some(40 * S)));
        assert_eq!((raised[0].priority, raised[1].priority), (Priority::Medium, Priority::High));
        assert_eq!((raised[1].since_us, raised[1].ended_us), (100 * S, None));
        assert_eq!(replay("delay-rate-high=40", Quantity::Rate, &rates()).len(), 1);
        assert_eq!(replay("rate-high=140", Quantity::Rate, &rates()).len(), 1);
        assert_eq!(replay("off=rate-high", Quantity::Rate, &rates()), []);
    }

    #[test]
    fn each_time_counts_though_no_one_acknowledged() {
        let rate = |second: i64| if second / 20 % 2 == 1 { 150.0 } else { 80.0 };
        let values: Vec<_> = (0..200).map(|second| (second * S, rate(second))).collect();
        assert_eq!(replay("", Quantity::Rate, &values).len(), 5);
    }

    #[test]
    fn a_gap_is_no_alarm_and_nothing_lasts_across_it() {
        let mut values: Vec<_> = (0..10).map(|second| (second * S, 130.0)).collect();
        values.extend((60..74).map(|second| (second * S, 130.0)));
        let raised = replay("", Quantity::Rate, &values);
        assert_eq!(raised, []);
        // Twice the same times, and values that go back, are nothing new.
        values.extend(values.clone());
        assert_eq!(replay("", Quantity::Rate, &values), []);
    }

    #[test]
    fn a_slow_thermometer_is_replayed_value_by_value() {
        let values: Vec<_> =
            (0..10).map(|minute| (minute * 60 * S, if minute >= 5 { 39.0 } else { 37.0 })).collect();
        let mut replay = Replay::new(Limits::default(), Quantity::Temperature, (25.0, 45.0));
        values.iter().for_each(|(time_us, value)| replay.value(*time_us, *value));
        let raised = replay.finish();
        assert_eq!(raised.len(), 1);
        assert_eq!((raised[0].condition, raised[0].since_us), (Condition::TemperatureHigh, 300 * S));
        assert_eq!(raised[0].raised_us, 360 * S);
    }
}
