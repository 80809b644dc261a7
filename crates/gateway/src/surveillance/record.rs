//! Changes of alarms as the registry keeps them.

use vitalwire_access::DeviceId;
use vitalwire_registry::{AlarmEvent, AlarmWrite, Raised, StayId};
use vitalwire_vitals::alarm::{Acknowledgement, Alarm, Change};

const US_PER_S: u64 = 1_000_000;

/// Whose an alarm is; neither is there when it is the server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) device: Option<DeviceId>,
    pub(super) stay: Option<StayId>,
}

impl Owner {
    fn write(&self, number: u64, time_us: i64, event: AlarmEvent) -> AlarmWrite {
        AlarmWrite { number, device: self.device.clone(), stay: self.stay, time_us, event }
    }

    /// A change that happened at `now_us`.
    pub(super) fn change(&self, change: &Change, now_us: i64) -> AlarmWrite {
        let number = change.alarm().map_or(0, |alarm| alarm.number);
        let (time_us, event) = match change {
            Change::Raised(alarm)
            | Change::Heightened(alarm)
            | Change::Lowered(alarm)
            | Change::Returned(alarm) => (now_us, AlarmEvent::Raised(raised(alarm, false))),
            Change::Ended(alarm) => (alarm.ended_us.unwrap_or(now_us), AlarmEvent::Ended),
            Change::Acknowledged(alarm) => acknowledged(alarm, now_us),
            Change::Closed(_) => (now_us, AlarmEvent::Closed),
            Change::Reannounced(_) => (now_us, AlarmEvent::Reannounced),
            Change::Escalated(_) => (now_us, AlarmEvent::Escalated),
            Change::Paused(pause) => {
                (now_us, AlarmEvent::Paused { until_us: pause.until_us, by: pause.by.clone() })
            }
            Change::Resumed { by, .. } => {
                (now_us, AlarmEvent::Resumed { by: by.clone().unwrap_or_default() })
            }
        };
        self.write(number, time_us, event)
    }

    /// What a backlog shows: it is over, and no one was told.
    pub(super) fn late(&self, alarm: &Alarm, now_us: i64) -> [AlarmWrite; 3] {
        let ended_us = alarm.ended_us.unwrap_or(alarm.since_us);
        [
            self.write(alarm.number, alarm.raised_us, AlarmEvent::Raised(raised(alarm, true))),
            self.write(alarm.number, ended_us, AlarmEvent::Ended),
            self.write(alarm.number, now_us, AlarmEvent::Closed),
        ]
    }
}

fn raised(alarm: &Alarm, is_late: bool) -> Raised {
    Raised {
        condition: alarm.condition,
        priority: alarm.priority,
        since_us: alarm.since_us,
        delay_us: u64::from(alarm.delay_s) * US_PER_S,
        value: alarm.value,
        limit: alarm.limit,
        bad: alarm.bad,
        is_late,
    }
}

fn acknowledged(alarm: &Alarm, now_us: i64) -> (i64, AlarmEvent) {
    let Some(Acknowledgement { time_us, by, reason }) = &alarm.acknowledged else {
        return (now_us, AlarmEvent::Acknowledged { by: String::new(), reason: String::new() });
    };
    (*time_us, AlarmEvent::Acknowledged { by: by.clone(), reason: reason.clone().unwrap_or_default() })
}
