//! An escalation as JSON (PROTOCOL.md §3.5).

use serde::Serialize;

use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::{Alarm, Condition, Priority};

use super::Escalation;
use crate::alarms::AlarmChange;
use crate::clock::rfc3339_millis;

const ALARM: &str = "alarm-escalated";
const MANY_OFFLINE: &str = "many-offline";
const TEST: &str = "test";

/// Whether a patient's values are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatientValues {
    /// Value and limit are in it.
    Told,
    /// Only what is wrong.
    Withheld,
}

/// The fields in their order.
#[derive(Serialize)]
struct Fields<'a> {
    time: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raised: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'static str>,
    priority: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
}

impl Escalation {
    /// As it is handed on. Never a patient's name.
    pub(crate) fn to_json(&self, values: PatientValues) -> String {
        let time = |us: i64| rfc3339_millis(us).to_string();
        let fields = match self {
            Self::Alarm(AlarmChange { device, time_us, change }) => {
                let alarm = change.alarm();
                let told = alarm.filter(|_| values == PatientValues::Told);
                let condition = alarm.map(|alarm| alarm.condition);
                let priority = alarm.map_or(Priority::High, |alarm| alarm.priority);
                let without =
                    || format!("{} {}", priority.marks(), condition.map_or("Alarm", Condition::text));
                Fields {
                    time: time(*time_us),
                    kind: ALARM,
                    device: device.as_ref().map(DeviceId::as_str),
                    devices: None,
                    since: alarm.map(|alarm| time(alarm.since_us)),
                    raised: alarm.map(|alarm| time(alarm.raised_us)),
                    number: alarm.map(|alarm| alarm.number),
                    condition: condition.map(Condition::name),
                    priority: priority.name(),
                    text: told.map_or_else(without, Alarm::text),
                    value: told.and_then(|alarm| alarm.value),
                    limit: told.and_then(|alarm| alarm.limit),
                    unit: told.and_then(|alarm| alarm.condition.unit()),
                }
            }
            Self::ManyOffline { time_us, since_us, devices } => Fields {
                time: time(*time_us),
                kind: MANY_OFFLINE,
                device: None,
                devices: Some(*devices),
                since: Some(time(*since_us)),
                raised: None,
                number: None,
                condition: None,
                priority: Priority::Medium.name(),
                text: format!("{} {devices} devices offline", Priority::Medium.marks()),
                value: None,
                limit: None,
                unit: None,
            },
            Self::Test { time_us } => Fields {
                time: time(*time_us),
                kind: TEST,
                device: None,
                devices: None,
                since: None,
                raised: None,
                number: None,
                condition: None,
                priority: Priority::Low.name(),
                text: format!("{} This is a test", Priority::Low.marks()),
                value: None,
                limit: None,
                unit: None,
            },
        };
        serde_json::to_string(&fields).expect("texts and finite numbers are JSON")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use vitalwire_vitals::alarm::Change;

    use super::*;

    pub(crate) fn escalated(number: u64) -> Escalation {
        escalated_at(number, 16_000_000, 166_000_000)
    }

    pub(crate) fn escalated_at(number: u64, raised_us: i64, time_us: i64) -> Escalation {
        let alarm = Alarm {
            number,
            condition: Condition::RateHigh,
            priority: Priority::High,
            since_us: 1_000_000,
            raised_us,
            ended_us: None,
            returns: 0,
            acknowledged: None,
            value: Some(151.5),
            limit: Some(140.0),
            bad: vitalwire_vitals::alarm::BadSignals::NONE,
            delay_s: 15,
            announced_us: Some(raised_us),
            escalated_us: Some(time_us),
        };
        let device = Some("bed_07".parse().unwrap());
        Escalation::Alarm(AlarmChange { device, time_us, change: Change::Escalated(alarm) })
    }

    #[test]
    fn json_has_the_fields_of_the_protocol_in_its_order() {
        assert_eq!(
            escalated(12).to_json(PatientValues::Told),
            concat!(
                r#"{"time":"1970-01-01T00:02:46.000Z","kind":"alarm-escalated","device":"bed_07","#,
                r#""since":"1970-01-01T00:00:01.000Z","raised":"1970-01-01T00:00:16.000Z","number":12,"#,
                r#""condition":"rate-high","priority":"high","text":"*** HR 152 > 140","value":151.5,"limit":140.0,"unit":"/min"}"#
            )
        );
        let offline = Escalation::ManyOffline { time_us: 5_000_000, since_us: 1_000_000, devices: 1_000 };
        assert_eq!(
            offline.to_json(PatientValues::Told),
            concat!(
                r#"{"time":"1970-01-01T00:00:05.000Z","kind":"many-offline","devices":1000,"#,
                r#""since":"1970-01-01T00:00:01.000Z","priority":"medium","text":"** 1000 devices offline"}"#
            )
        );
    }

    #[test]
    fn each_escalation_of_an_alarm_has_an_identity_of_its_own() {
        let first = escalated_at(12, 16_000_000, 166_000_000).identity();
        // More urgent after someone had acknowledged it: who drops an id that it had must hear of this one.
        assert_ne!(escalated_at(12, 16_000_000, 500_000_000).identity(), first);
        // The registry keeps when it was raised last, memory when it was first.
        assert_eq!(escalated_at(12, 90_000_000, 166_000_000).identity(), first);
    }

    #[test]
    fn what_is_withheld_is_in_no_field() {
        let json = escalated(12).to_json(PatientValues::Withheld);
        assert!(json.contains(r#""text":"*** HR high""#), "{json}");
        for value in ["151", "152", "140", "value", "limit", "unit"] {
            assert!(!json.contains(value), "{value} in {json}");
        }
    }
}
