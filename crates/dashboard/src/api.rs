//! Bodies of `/api/v1` as types (PROTOCOL.md §6.2), as the OpenAPI document tells them. It decides nothing but which role has which right.

pub mod admin;
mod alarms;
mod limits;
mod past;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use vitalwire_access::Role;
use vitalwire_gateway::Bucket;
use vitalwire_profile::{ChannelProfile, Wave};

pub use self::alarms::{Alarm, AlarmList, Alarms, Known, PatientAlarms, WardSummary};
pub use self::limits::{
    Limits, PatientLimits, Preview, Previewed, PreviewedAlarm, PreviewedCondition, SetLimits,
};
pub use self::past::{AlarmStrip, PastAlarm, PastAlarms, PastAlarmsQuery, StripChannel};

/// `POST session`: one of the ways in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Login {
    /// A name and a password of the registry.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// The token of a login link.
    Link {
        /// It works once.
        link: String,
    },
    /// What the provider sent the browser back with.
    Provider {
        /// It works once.
        code: String,
        /// Of the login that this browser began.
        state: String,
        /// Who answers, where it says so.
        iss: Option<String>,
    },
}

/// `GET session/ways`: how people may log in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ways {
    /// What people call the provider, beside name and password; nothing where there is none.
    pub provider: Option<String>,
}

/// `POST session/provider`: a login with the provider begins.
#[derive(Debug, Serialize, ToSchema)]
pub struct Begun {
    /// Where the browser goes.
    pub address: String,
}

/// What a role may do beside looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// To say that one knows of an alarm.
    Acknowledge,
    /// To pause a patient's alarms.
    Pause,
    /// To set the limits of a patient's alarms.
    Limits,
    /// To enrol devices, give them keys, revoke and erase them.
    Devices,
    /// To say who wears a device.
    Patients,
    /// To add, change and remove users.
    Users,
    /// To read and verify the audit log.
    Audit,
}

impl Right {
    /// Those of a role.
    #[must_use]
    pub fn of(role: &Role) -> &'static [Self] {
        use Right::{Acknowledge, Audit, Devices, Limits, Patients, Pause, Users};
        match role {
            Role::Admin => &[Acknowledge, Pause, Limits, Devices, Patients, Users, Audit],
            Role::Clinician { .. } => &[Acknowledge, Pause, Limits],
            Role::Reader { .. } => &[],
        }
    }

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Pause => "pause",
            Self::Limits => "limits",
            Self::Devices => "devices",
            Self::Patients => "patients",
            Self::Users => "users",
            Self::Audit => "audit",
        }
    }
}

/// `GET session`: who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// The name.
    pub user: String,
    /// `admin`, `clinician` or `reader`.
    pub role: &'static str,
    /// What the page offers.
    #[schema(value_type = Vec<Right>)]
    pub can: &'static [Right],
}

/// A device, as in the message of that name.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Device {
    /// Stands for it in the messages of a live connection.
    pub n: u16,
    /// Its name.
    pub id: String,
    /// The number of the stay that goes on: with another one, nothing that came before is this patient's.
    pub stay: Option<u64>,
    /// Who wears it, if that is known.
    pub patient: Option<String>,
    /// Where.
    pub bed: Option<String>,
    /// Known from its first reading on.
    pub profile: Option<String>,
    /// The channels of that profile.
    pub channels: Vec<Channel>,
    /// Whether it has a connection.
    pub online: bool,
    /// The device's end of it, address and port.
    pub peer: Option<String>,
    /// The server's end of it.
    pub local: Option<String>,
    /// When the newest value was measured, in milliseconds since 1970.
    pub last: Option<i64>,
    /// As on the retained topic of its alarms; nothing when none is open and none is paused.
    #[schema(value_type = Option<AlarmList>)]
    pub alarms: Option<Value>,
}

/// What a device measures.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Channel {
    /// Its index in the profile, and in waves.
    pub i: u8,
    /// Its name, as in values and history.
    pub name: String,
    /// The same for people.
    pub title: String,
    /// UCUM.
    pub unit: String,
    /// `ppg`, `ecg` or `other` where it comes as waves.
    pub wave: Option<&'static str>,
    /// As the profile says; the waves have their own interval.
    pub rate_hz: f64,
}

impl From<&ChannelProfile> for Channel {
    fn from(channel: &ChannelProfile) -> Self {
        Self {
            i: channel.index,
            name: channel.name.clone(),
            title: channel.title.clone(),
            unit: channel.unit.clone(),
            wave: wave_name(channel),
            rate_hz: channel.rate_hz,
        }
    }
}

/// How a channel's waves are called; nothing when it has none.
pub(crate) fn wave_name(channel: &ChannelProfile) -> Option<&'static str> {
    match channel.wave {
        Some(Wave::Ppg) => Some("ppg"),
        Some(Wave::Ecg) => Some("ecg"),
        None => channel.waveform.then_some("other"),
    }
}

/// `GET devices`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Devices {
    /// Those that the user sees.
    pub devices: Vec<Device>,
}

/// What is asked of history: times in milliseconds since 1970.
#[derive(Debug, Deserialize, IntoParams)]
pub struct HistoryQuery {
    /// The channel's name.
    pub channel: String,
    /// From this time on,
    pub from: i64,
    /// up to, but without, this one.
    pub to: i64,
    /// How many stretches at most.
    pub points: u32,
}

/// What is asked of waves: times in milliseconds since 1970.
#[derive(Debug, Deserialize, IntoParams)]
pub struct WavesQuery {
    /// The channel's name.
    pub channel: String,
    /// From this time on,
    pub from: i64,
    /// up to, but without, this one.
    pub to: i64,
}

/// `GET devices/{id}/history`: a column each, of the stretches that have samples.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct History {
    /// Whose.
    pub device: String,
    /// What.
    pub channel: String,
    /// Its unit; nothing while it is not known, before the first reading since the start.
    pub unit: Option<String>,
    /// As asked.
    pub from: i64,
    /// As asked.
    pub to: i64,
    /// Of the first sample of each, in milliseconds since 1970.
    pub time: Vec<i64>,
    /// Its least value.
    pub min: Vec<f64>,
    /// Its greatest.
    pub max: Vec<f64>,
    /// Its mean.
    pub mean: Vec<f64>,
    /// 1: samples are missing before it, 2: within it, 3: both.
    pub gap: Vec<u8>,
    /// The longest stretches without samples between those that have some, and at both ends, in the order of time.
    pub gaps: Vec<Gap>,
}

/// A stretch of time without samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gap {
    /// The last sample before it, in milliseconds since 1970.
    pub from: i64,
    /// The first one after it.
    pub to: i64,
    /// Why there is none.
    pub cause: GapCause,
}

/// Why nothing was measured, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GapCause {
    /// The device had no connection, and did not keep what it measured.
    Offline,
    /// The sensor was not at the body, or did not answer.
    SensorOff,
    /// The device delivered, and had no value.
    Unmeasured,
    /// The device measured, and had no room until the server took it.
    Lost,
    /// The device holds it still, as far as is known.
    Pending,
    /// The device started anew; one with frames connected anew.
    Restarted,
    /// It was another patient's time.
    OtherStay,
    /// No one knows.
    Unknown,
}

impl History {
    /// Adds a stretch.
    pub fn push(&mut self, bucket: &Bucket) {
        self.time.push(bucket.first_us.div_euclid(1_000));
        self.min.push(bucket.min);
        self.max.push(bucket.max);
        self.mean.push(bucket.mean);
        self.gap.push(u8::from(bucket.gap_before) | (u8::from(bucket.gap_within) << 1));
    }
}

/// `POST alarms/ack`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// Whose.
    pub device: String,
    /// Which; all open ones without it.
    pub number: Option<u64>,
    /// Why, in the person's words.
    pub reason: Option<String>,
}

/// The answer to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Acknowledged {
    /// For how many alarms it was news.
    pub acknowledged: usize,
}

/// `POST alarms/pause`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Whose.
    pub device: String,
    /// How long; 0 ends a pause.
    pub seconds: u16,
}

/// Why not, for people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failure {
    /// What is wrong, and what to do.
    pub error: String,
}
