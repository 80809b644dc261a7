//! Bodies about a patient's limits, and what others would have raised (PROTOCOL.md §6.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use vitalwire_vitals::alarm::{self as vitals, Condition, LimitsError};

use super::Alarm;

/// A patient's limits. What is left out has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A rate below it is an alarm; beats a minute.
    pub rate_low: u16,
    /// A rate above it is an alarm.
    pub rate_high: u16,
    /// A rate of this or less has high priority.
    pub rate_extreme_low: u16,
    /// A rate of this or more has high priority.
    pub rate_extreme_high: u16,
    /// A body temperature below it is an alarm; degrees Celsius, with one decimal at most.
    pub temperature_low: f64,
    /// A body temperature above it is an alarm.
    pub temperature_high: f64,
    /// By the condition's name: how many seconds it must last.
    pub delays_s: BTreeMap<String, u16>,
    /// Conditions that raise no alarm.
    pub off: Vec<String>,
    /// `on`, `alarm-off` or `audio-off`.
    pub signals: String,
}

impl Default for Limits {
    fn default() -> Self {
        (&vitals::Limits::default()).into()
    }
}

/// Conditions of a patient: all but the server's own.
fn conditions() -> impl Iterator<Item = Condition> {
    Condition::ALL.into_iter().filter(|condition| *condition != Condition::JournalFull)
}

impl From<&vitals::Limits> for Limits {
    fn from(limits: &vitals::Limits) -> Self {
        let delay = |condition: Condition| (condition.name().to_owned(), limits.delay_s(condition));
        Self {
            rate_low: limits.rate_low,
            rate_high: limits.rate_high,
            rate_extreme_low: limits.rate_extreme_low,
            rate_extreme_high: limits.rate_extreme_high,
            temperature_low: limits.temperature_low.to_f64(),
            temperature_high: limits.temperature_high.to_f64(),
            delays_s: conditions().map(delay).collect(),
            off: limits.off.iter().map(|condition| condition.name().to_owned()).collect(),
            signals: limits.signals.name().to_owned(),
        }
    }
}

impl TryFrom<&Limits> for vitals::Limits {
    type Error = LimitsError;

    fn try_from(asked: &Limits) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        (limits.rate_low, limits.rate_high) = (asked.rate_low, asked.rate_high);
        (limits.rate_extreme_low, limits.rate_extreme_high) =
            (asked.rate_extreme_low, asked.rate_extreme_high);
        limits.set("temperature-low", &asked.temperature_low.to_string())?;
        limits.set("temperature-high", &asked.temperature_high.to_string())?;
        for (condition, delay_s) in &asked.delays_s {
            limits.set(&format!("delay-{condition}"), &delay_s.to_string())?;
        }
        limits.set("off", &asked.off.join(","))?;
        limits.set("signals", &asked.signals)?;
        limits.check()?;
        Ok(limits)
    }
}

/// `GET devices/{id}/limits`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatientLimits {
    /// The device that the patient wears.
    pub device: String,
    /// The number of the stay whose limits they are.
    pub stay: u64,
    /// Those that hold.
    pub limits: Limits,
    /// Those that hold when no one sets any.
    pub defaults: Limits,
    /// By the condition's name: the longest delay that may be set.
    pub delays_s_max: BTreeMap<String, u16>,
}

impl PatientLimits {
    pub(crate) fn new(device: String, stay: u64, limits: &vitals::Limits) -> Self {
        let longest = |condition: Condition| (condition.name().to_owned(), vitals::delay_s_max(condition));
        let delays_s_max = conditions().map(longest).collect();
        Self { device, stay, limits: limits.into(), defaults: Limits::default(), delays_s_max }
    }
}

/// `PUT devices/{id}/limits`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLimits {
    /// The stay that was looked at: with another one they would be another patient's.
    pub stay: u64,
    /// The limits that were looked at.
    pub before: Limits,
    /// Those that are to hold.
    pub limits: Limits,
}

/// `POST devices/{id}/limits/preview`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Preview {
    /// What is tried.
    pub limits: Limits,
    /// How many hours back: 1 to 24, 24 without it.
    pub hours: Option<u32>,
}

/// The answer to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Previewed {
    /// From this time on,
    pub from: i64,
    /// up to, but without, this one.
    pub to: i64,
    /// Something was measured by which alarms are decided.
    pub has_values: bool,
    /// Of each condition of which there was one.
    pub conditions: Vec<PreviewedCondition>,
    /// What either limits would have raised, in the order of time; the first 200.
    pub alarms: Vec<PreviewedAlarm>,
}

/// How many alarms of a condition.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewedCondition {
    /// Its name.
    pub condition: &'static str,
    /// What was raised, by the limits of then.
    pub on_record: usize,
    /// By the limits that are set; nothing where values do not tell.
    pub configured: Option<usize>,
    /// By those that are tried.
    pub asked: Option<usize>,
}

/// An alarm that limits would have raised.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewedAlarm {
    /// `configured`, `asked` or `both`.
    pub raised_by: &'static str,
    /// As in a list of open alarms; its number is none of this server.
    #[schema(value_type = Alarm)]
    pub alarm: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back_as_they_were() {
        let limits: vitals::Limits =
            "rate-high=130 temperature-high=39.1 delay-rate-high=30 off=clock,battery signals=audio-off"
                .parse()
                .unwrap();
        let json = serde_json::to_string(&Limits::from(&limits)).unwrap();
        let read: Limits = serde_json::from_str(&json).unwrap();
        assert_eq!(vitals::Limits::try_from(&read), Ok(limits));
        let none: Limits = serde_json::from_str("{}").unwrap();
        assert_eq!(vitals::Limits::try_from(&none), Ok(vitals::Limits::default()));
    }

    #[test]
    fn every_cut_is_no_json_and_nonsense_says_what_is_wrong() {
        let json = serde_json::to_string(&Limits::default()).unwrap();
        for cut in 0..json.len() {
            assert!(serde_json::from_str::<Limits>(&json[..cut]).is_err(), "cut at {cut}");
        }
        let error = |text: &str| match serde_json::from_str::<Limits>(text) {
            Err(error) => error.to_string(),
            Ok(limits) => vitals::Limits::try_from(&limits).unwrap_err().to_string(),
        };
        assert!(error(r#"{"rate_high":30}"#).contains("rate-low 50 is not below rate-high 30"));
        assert!(error(r#"{"temperature_high":38.55}"#).contains("at most one decimal"));
        assert!(error(r#"{"temperature_high":1e300}"#).contains("at most one decimal"));
        assert!(error(r#"{"temperature_low":-1}"#).contains("at most one decimal"));
        assert!(error(r#"{"delays_s":{"pulse":3}}"#).contains("delay-pulse"));
        assert!(error(r#"{"delays_s":{"rate-high":61}}"#).contains("61 s, is over"));
        assert!(error(r#"{"delays_s":{"journal-full":5}}"#).contains("of the server"));
        assert!(error(r#"{"off":["clock","' OR 1=1 --"]}"#).contains("names of conditions"));
        assert!(error(r#"{"signals":"off"}"#).contains("alarm-off or audio-off"));
        assert!(
            error(r#"{"rate_low":-1}"#).contains("rate_low") || error(r#"{"rate_low":-1}"#).contains("u16")
        );
        assert!(error(r#"{"colour":"red"}"#).contains("colour"));
    }
}
