//! Alarms as the gateway writes them (PROTOCOL.md §3.4), for the OpenAPI document: no value of these types is ever made here. A test
//! holds them against real answers.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// `GET alarms`.
#[derive(Debug, ToSchema)]
pub struct Alarms {
    /// Of each patient that the user sees and that has open ones or a pause.
    pub patients: Vec<PatientAlarms>,
    /// For who sees all.
    #[schema(required = false, nullable = false)]
    pub ward: Option<WardSummary>,
}

/// The open alarms of a patient, with the device that tells them.
#[derive(Debug, ToSchema)]
pub struct PatientAlarms {
    /// The device.
    pub device: String,
    /// Stands for it in the messages of a live connection.
    pub n: u16,
    /// See there.
    pub time: String,
    /// See there.
    pub state: String,
    /// See there.
    pub until: Option<String>,
    /// See there.
    pub floor: Option<String>,
    /// See there.
    pub alarms: Vec<Alarm>,
}

/// The open alarms of a patient.
#[derive(Debug, ToSchema)]
pub struct AlarmList {
    /// Since when it is so.
    pub time: String,
    /// `on`, `alarm-paused` or `audio-paused` (up to `until`), `alarm-off` or `audio-off`.
    pub state: String,
    /// The end of a pause.
    pub until: Option<String>,
    /// In a pause only what is more urgent is told or sounds.
    pub floor: Option<String>,
    /// The most urgent first.
    pub alarms: Vec<Alarm>,
}

/// An alarm.
#[derive(Debug, ToSchema)]
pub struct Alarm {
    /// Of this alarm alone, for ever.
    pub number: u64,
    /// What is wrong, as `rate-high`.
    pub condition: String,
    /// `high`, `medium` or `low`.
    pub priority: String,
    /// Readable without colour; the stars are the priority.
    pub text: String,
    /// What was measured when it was raised.
    pub value: Option<f64>,
    /// Beyond which limit.
    pub limit: Option<f64>,
    /// Of both.
    pub unit: Option<String>,
    /// Of a bad signal: which, as `pulse`.
    pub signals: Option<Vec<String>>,
    /// When the condition began.
    pub since: String,
    /// When it had lasted for its delay, and became an alarm.
    pub raised: String,
    /// Whether the condition lasts.
    pub active: bool,
    /// When it ended.
    pub ended: Option<String>,
    /// Who knows.
    pub acknowledged: Option<Known>,
    /// When others were told because no one acknowledged it.
    pub escalated: Option<String>,
    /// Its delay, in seconds.
    pub delay_s: u64,
}

/// Who knows of an alarm.
#[derive(Debug, ToSchema)]
pub struct Known {
    /// Who.
    pub by: String,
    /// Why it needs no one.
    pub reason: Option<String>,
    /// Since when.
    pub time: String,
}

/// All alarms, counted, and the server's own.
#[derive(Debug, ToSchema)]
pub struct WardSummary {
    /// Since when it is so.
    pub time: String,
    /// Patients with an open alarm.
    pub patients: usize,
    /// Alarms that no one acknowledged.
    pub unacknowledged: usize,
    /// Patients whose alarms are paused or off.
    pub paused: usize,
    /// Open alarms of each priority.
    pub priorities: BTreeMap<String, usize>,
    /// Open alarms of each condition that has any.
    pub conditions: BTreeMap<String, usize>,
    /// The server's own.
    pub server: Vec<Alarm>,
    /// Whether alarms are in the registry before they are told.
    pub recorded: bool,
}
