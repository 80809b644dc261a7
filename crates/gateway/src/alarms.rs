//! Alarms as all who show them see them: each patient's open ones, and the ward's counts. What they become on MQTT is made here
//! (PROTOCOL.md §3.4); what is an alarm is decided by `vitalwire_vitals`, and when it is told by `surveillance`.

mod json;
mod wire;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vitalwire_access::DeviceId;
use vitalwire_registry::AlarmRecord;
use vitalwire_vitals::alarm::{Acknowledgement, Alarm, AlarmState, Change, Condition, Priority};

/// The open alarms of one patient, named by the device that watches over them. What stands in it is in the registry, unless the
/// ward's summary says that this cannot be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "wire::List", into = "wire::List")]
pub struct AlarmList {
    /// Who is watched.
    pub device: DeviceId,
    /// Since when it is so: UTC, microseconds since 1970.
    pub time_us: i64,
    /// Whether alarms are told.
    pub state: AlarmState,
    /// Until when they are paused.
    pub until_us: Option<i64>,
    /// While they are paused: what is more urgent than this is told and sounds all the same.
    pub floor: Option<Priority>,
    /// The open ones, the most urgent first.
    pub alarms: Vec<Alarm>,
    /// No one is watched by this device any more: its list is taken away.
    pub is_withdrawn: bool,
}

/// The alarms of all patients, counted, and the server's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "wire::Summary", into = "wire::Summary")]
pub struct WardSummary {
    /// Since when it is so: UTC, microseconds since 1970.
    pub time_us: i64,
    /// Patients with an open alarm.
    pub patients: usize,
    /// Open alarms of patients, how many of each condition and priority; those that are none are left out.
    pub counts: Vec<(Condition, Priority, usize)>,
    /// Of all of them, those that no one acknowledged.
    pub unacknowledged: usize,
    /// Patients whose alarms are paused or off.
    pub paused: usize,
    /// The server's own.
    pub server: Vec<Alarm>,
    /// Whether the registry takes alarms. While it does not, they are told all the same, and a kill of the server loses what
    /// changed.
    pub is_recorded: bool,
}

/// All alarms of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alarms {
    /// Of each patient that has open ones or a pause.
    pub patients: Vec<AlarmList>,
    /// Counted, and the server's own.
    pub ward: WardSummary,
}

/// A change of one alarm or pause, for those who watch over events.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmChange {
    /// Whose; nothing when it is the server's own.
    pub device: Option<DeviceId>,
    /// When: UTC, microseconds since 1970.
    pub time_us: i64,
    /// What.
    pub change: Change,
}

/// Which alarms are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichAlarms {
    /// The one of this number.
    Number(u64),
    /// All open ones of the patient with this device.
    Device(DeviceId),
}

/// What is silenced, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    /// No one is told, for so many seconds, 120 at most.
    Alarms {
        /// How long.
        seconds: u16,
    },
    /// It is told and does not sound, for so many seconds, 120 at most.
    Audio {
        /// How long.
        seconds: u16,
    },
    /// Nothing any more.
    Nothing,
}

/// Why an alarm was not acknowledged, or not paused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AlarmError {
    #[error("no open alarm has the number {0}; `vitalwire alarms list` shows those that are open")]
    UnknownNumber(u64),
    #[error("`{0}` watches over no one: it is not enrolled, or has sent nothing since the server started")]
    UnknownDevice(DeviceId),
    /// A name or a reason that cannot be kept, or a pause that is too long.
    #[error("{0}")]
    Refused(String),
    #[error(
        "it counts, but it is not on the disk: a server that ends now does not know it; look at the disk of the data folder"
    )]
    NotRecorded,
    #[error("the server stops")]
    Stopped,
}

impl AlarmList {
    /// Without alarms.
    pub(crate) fn empty(device: DeviceId, time_us: i64) -> Self {
        let (state, until_us) = (AlarmState::On, None);
        Self { device, time_us, state, until_us, floor: None, alarms: Vec::new(), is_withdrawn: false }
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty() && self.state == AlarmState::On
    }

    /// As it is published; nothing when it is taken away.
    #[must_use]
    pub fn to_json(&self) -> String {
        if self.is_withdrawn { String::new() } else { json::list(self) }
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.alarms.capacity() * (size_of::<Alarm>() + ALARM_TEXTS_BYTES)
    }
}

/// An alarm as it stands in the list of a patient (PROTOCOL.md §3.4).
#[must_use]
pub fn alarm_json(alarm: &Alarm) -> Value {
    json::alarm(alarm)
}

/// An alarm that is on record, as it was last. How often it had come back is not kept.
#[must_use]
pub fn recorded_alarm(record: AlarmRecord) -> Alarm {
    let acknowledged = record.acknowledged.map(|of| Acknowledgement {
        time_us: of.time_us,
        by: of.by,
        reason: Some(of.reason).filter(|reason| !reason.is_empty()),
    });
    Alarm {
        number: record.number,
        condition: record.raised.condition,
        priority: record.raised.priority,
        since_us: record.raised.since_us,
        raised_us: record.raised_us,
        ended_us: record.ended_us,
        returns: 0,
        acknowledged,
        value: record.raised.value,
        limit: record.raised.limit,
        bad: record.raised.bad,
        delay_s: u16::try_from(record.raised.delay_us / US_PER_S).unwrap_or(u16::MAX),
        announced_us: Some(record.reannounced_us.map_or(record.raised_us, |us| us.max(record.raised_us))),
        escalated_us: record.escalated_us,
    }
}

/// Microseconds of a second.
const US_PER_S: u64 = 1_000_000;

/// Names and reasons in an alarm, about.
const ALARM_TEXTS_BYTES: usize = 128;

impl WardSummary {
    /// As it is published.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::summary(self)
    }
}

impl AlarmChange {
    /// As it is published for those who are told when no one came. It says no value: who receives it may be anyone.
    pub(crate) fn to_escalation_json(&self) -> String {
        json::escalation(self)
    }

    /// What happened, in a few words. It says no value: a reader of the list sees that.
    pub(crate) fn detail(&self) -> String {
        json::detail(self)
    }
}
