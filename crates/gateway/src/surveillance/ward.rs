//! The whole ward: how many alarms are open, and whether many devices went at the same moment.

use std::collections::{BTreeMap, VecDeque};

use vitalwire_vitals::alarm::{Alarm, AlarmState, Condition, Priority};

use crate::alarms::{AlarmList, WardSummary};

/// So many devices
const MANY: usize = 10;
/// that go offline within so many microseconds went together: it is the network's fault.
const TOGETHER_US: i64 = 5_000_000;
/// Told when no further one has gone for so long.
const QUIET_US: i64 = 1_000_000;

/// Counts what is open.
pub(super) fn summary<'l>(
    time_us: i64,
    lists: impl Iterator<Item = &'l AlarmList>,
    server: Vec<Alarm>,
    is_recorded: bool,
) -> WardSummary {
    let mut counts: BTreeMap<(Condition, Priority), usize> = BTreeMap::new();
    let mut summary = WardSummary { time_us, server, is_recorded, ..WardSummary::default() };
    for list in lists {
        summary.patients += usize::from(!list.alarms.is_empty());
        summary.paused += usize::from(list.state != AlarmState::On);
        summary.unacknowledged += list.alarms.iter().filter(|alarm| alarm.acknowledged.is_none()).count();
        for alarm in &list.alarms {
            *counts.entry((alarm.condition, alarm.priority)).or_default() += 1;
        }
    }
    let counts = counts.into_iter().map(|((condition, priority), count)| (condition, priority, count));
    summary.counts = counts.collect();
    summary
}

/// Devices that were found to be offline.
#[derive(Debug, Default)]
pub(super) struct Offline {
    /// When, the oldest first: those of the last seconds, or all of an event that goes on.
    times_us: VecDeque<i64>,
}

impl Offline {
    pub(super) fn note(&mut self, now_us: i64) {
        self.forget_before(now_us);
        self.times_us.push_back(now_us);
    }

    /// Those that went too long before to belong to it, unless they are an event already.
    fn forget_before(&mut self, now_us: i64) {
        let is_old = |us: &i64| now_us.abs_diff(*us) > TOGETHER_US.unsigned_abs();
        while self.times_us.len() < MANY && self.times_us.front().is_some_and(is_old) {
            self.times_us.pop_front();
        }
    }

    /// How many went together, told once when no more go; with the time of the first.
    pub(super) fn told(&mut self, now_us: i64) -> Option<(usize, i64)> {
        let (first_us, last_us) = (*self.times_us.front()?, *self.times_us.back()?);
        if self.times_us.len() >= MANY {
            // Also when the clock was set back.
            let goes_on = now_us.abs_diff(last_us) < QUIET_US.unsigned_abs();
            if goes_on && now_us.abs_diff(first_us) < 2 * TOGETHER_US.unsigned_abs() {
                return None;
            }
            let devices = self.times_us.len();
            self.times_us.clear();
            return Some((devices, first_us));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_go_together_are_told_once_and_few_or_slow_ones_are_not() {
        let mut offline = Offline::default();
        (0..9).for_each(|_| offline.note(0));
        assert_eq!(offline.told(2_000_000), None, "nine");
        for second in 6..60 {
            offline.note(second * 1_000_000);
            assert_eq!(offline.told(second * 1_000_000), None, "one a second");
        }
        let mut offline = Offline::default();
        (0..1_000).for_each(|n| offline.note(n * 100));
        assert_eq!(offline.told(600_000), None, "more may go");
        assert_eq!(offline.told(1_200_000), Some((1_000, 0)));
        assert_eq!(offline.told(1_300_000), None, "once");
    }

    #[test]
    fn what_is_open_is_counted_by_condition_and_priority() {
        let alarm = |condition, acknowledged| Alarm {
            number: 1,
            condition,
            priority: Priority::Medium,
            since_us: 0,
            raised_us: 0,
            ended_us: None,
            returns: 0,
            acknowledged,
            value: None,
            limit: None,
            bad: vitalwire_vitals::alarm::BadSignals::NONE,
            delay_s: 0,
            announced_us: None,
            escalated_us: None,
        };
        let by = vitalwire_vitals::alarm::Acknowledgement { time_us: 0, by: "a".into(), reason: None };
        let list = |alarms| AlarmList { alarms, ..AlarmList::empty("d".parse().unwrap(), 0) };
        let paused = AlarmList { state: AlarmState::AlarmPaused, ..list(Vec::new()) };
        let lists = [
            list(vec![alarm(Condition::RateHigh, None), alarm(Condition::SensorOff, Some(by))]),
            list(vec![alarm(Condition::RateHigh, None)]),
            paused,
        ];
        let summary = summary(7, lists.iter(), Vec::new(), true);
        assert_eq!((summary.patients, summary.unacknowledged, summary.paused), (2, 2, 1));
        assert_eq!(
            summary.counts,
            [(Condition::RateHigh, Priority::Medium, 2), (Condition::SensorOff, Priority::Medium, 1)]
        );
    }
}
