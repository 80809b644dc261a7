//! Bodies about alarms of before, and the strip around one (PROTOCOL.md §6.2).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Alarm, History, Limits};

/// What is asked of the alarms of before: all that fits everything that is said. Times in milliseconds since 1970.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct PastAlarmsQuery {
    /// Of the patient who has this device.
    pub device: Option<String>,
    /// At least so urgent: `low`, `medium` or `high`.
    pub priority: Option<String>,
    /// Raised from this time on; without it, since ever,
    pub from: Option<i64>,
    /// up to, but without, this one.
    pub to: Option<i64>,
    /// The page after one whose `next` was this.
    pub before: Option<u64>,
    /// How many at most: 1 to 500, 100 without it.
    pub count: Option<usize>,
}

/// `GET alarms/history`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PastAlarms {
    /// The newest first.
    pub alarms: Vec<PastAlarm>,
    /// What `before` is to be for the next page; nothing when there is none.
    pub next: Option<u64>,
}

/// An alarm, open or over, and whose it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PastAlarm {
    /// The device that the patient wore then; nothing when the alarm is the server's own.
    pub device: Option<String>,
    /// Of which stay.
    pub stay: Option<u64>,
    /// The patient.
    pub patient: Option<String>,
    /// The bed.
    pub bed: Option<String>,
    /// When it left the list of the open ones.
    pub closed: Option<String>,
    /// It was found in what came late, and told to no one.
    pub late: bool,
    /// As in a list of open alarms.
    #[schema(value_type = Alarm)]
    pub alarm: Value,
}

/// `GET alarms/{number}`: an alarm, and what was measured around it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlarmStrip {
    /// The alarm.
    pub record: PastAlarm,
    /// The limits that the patient has now; nothing for an alarm of the server's own.
    pub limits: Option<Limits>,
    /// From this time on,
    pub from: i64,
    /// up to, but without, this one: 15 s before and after it was raised.
    pub to: i64,
    /// Waves first. Empty where nothing was measured.
    pub channels: Vec<StripChannel>,
}

/// One channel of a strip.
#[derive(Debug, Serialize, ToSchema)]
pub struct StripChannel {
    /// Its name for people.
    pub title: String,
    /// `ppg` or `ecg` for a wave of which beats are found.
    pub wave: Option<&'static str>,
    /// Its values: each by itself where a device sends no more than some 300 a second.
    pub values: History,
}
