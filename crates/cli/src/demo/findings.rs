//! What the server found out about a patient, as its topics say: open alarms (`…/alarm`) and the derived rate (`…/derived`). Reads
//! only what is shown; what it does not know it leaves out.

use serde::Deserialize;
use vitalwire_vitals::alarm::Priority;

/// The open alarms of one patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alarms {
    /// That alarms are paused or off, in the protocol's words; nothing while they are on.
    pub(crate) silenced: Option<String>,
    /// The most urgent first.
    pub(crate) open: Vec<OpenAlarm>,
}

/// An alarm that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenAlarm {
    pub(crate) number: u64,
    pub(crate) condition: String,
    pub(crate) priority: Priority,
    /// Readable without colour.
    pub(crate) text: String,
    /// Whether what is wrong still is.
    pub(crate) is_active: bool,
    pub(crate) is_acknowledged: bool,
}

#[derive(Deserialize)]
struct ListMessage {
    state: String,
    alarms: Vec<AlarmMessage>,
}

#[derive(Deserialize)]
struct AlarmMessage {
    number: u64,
    condition: String,
    priority: String,
    text: String,
    active: bool,
    acknowledged: Option<serde::de::IgnoredAny>,
}

/// A patient's rate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rate {
    /// Of which moment, as text that sorts by time.
    pub(crate) time: String,
    /// Beats a minute; nothing when the signal does not tell.
    pub(crate) per_minute: Option<f64>,
}

#[derive(Deserialize)]
struct DerivedMessage {
    time: String,
    values: DerivedValues,
}

#[derive(Deserialize)]
struct DerivedValues {
    #[serde(rename = "Pulse_Rate")]
    pulse: Option<ValueMessage>,
    #[serde(rename = "Heart_Rate")]
    heart: Option<ValueMessage>,
}

#[derive(Deserialize)]
struct ValueMessage {
    value: f64,
}

/// The alarms of a retained list; an empty message takes the list away. `None` for what is no list.
pub(crate) fn alarms(payload: &[u8]) -> Option<Alarms> {
    if payload.is_empty() {
        return Some(Alarms::default());
    }
    let message: ListMessage = serde_json::from_slice(payload).ok()?;
    let open = message.alarms.into_iter().map(|alarm| {
        Some(OpenAlarm {
            number: alarm.number,
            condition: alarm.condition,
            priority: alarm.priority.parse().ok()?,
            text: alarm.text,
            is_active: alarm.active,
            is_acknowledged: alarm.acknowledged.is_some(),
        })
    });
    let silenced = Some(message.state.replace('-', " ")).filter(|state| state != "on");
    Some(Alarms { silenced, open: open.collect::<Option<_>>()? })
}

/// The rate of a derived reading. `None` for what is none.
pub(crate) fn rate(payload: &[u8]) -> Option<Rate> {
    let DerivedMessage { time, values } = serde_json::from_slice(payload).ok()?;
    let per_minute = values.pulse.or(values.heart).map(|value| value.value);
    Some(Rate { time, per_minute })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const FEVER: &str = concat!(
        r#"{"time":"2026-11-30T18:00:41.000Z","state":"on","until":null,"alarms":[{"number":12,"#,
        r#""condition":"temperature-high","priority":"medium","text":"** Temp 38.7 > 38.5","value":38.69,"limit":38.5,"#,
        r#""unit":"Cel","since":"2026-11-30T18:00:26.000Z","raised":"2026-11-30T18:00:41.000Z","active":true,"#,
        r#""ended":null,"acknowledged":null,"escalated":null,"delay_s":15}]}"#
    );
    pub(crate) const DERIVED: &str = concat!(
        r#"{"time":"2026-11-30T18:00:41.000Z","assurance":"authenticated","sequence":3,"#,
        r#""values":{"Pulse_Rate":{"value":71.6,"unit":"/min"},"Signal_Quality":{"value":0.97,"unit":"1"}}}"#
    );

    #[test]
    fn reads_an_open_alarm_and_who_knows_of_it() {
        let fever = alarms(FEVER.as_bytes()).unwrap();
        let expected = OpenAlarm {
            number: 12,
            condition: "temperature-high".to_owned(),
            priority: Priority::Medium,
            text: "** Temp 38.7 > 38.5".to_owned(),
            is_active: true,
            is_acknowledged: false,
        };
        assert_eq!(fever, Alarms { silenced: None, open: vec![expected] });
        let known = FEVER
            .replace(r#""acknowledged":null"#, r#""acknowledged":{"by":"kim","reason":null,"time":"…"}"#)
            .replace(r#""state":"on""#, r#""state":"alarm-paused""#);
        let known = alarms(known.as_bytes()).unwrap();
        assert!(known.open[0].is_acknowledged);
        assert_eq!(known.silenced.as_deref(), Some("alarm paused"));
        assert_eq!(alarms(b""), Some(Alarms::default()));
    }

    #[test]
    fn reads_a_rate_and_that_there_is_none() {
        let rate_of = |text: &str| rate(text.as_bytes()).unwrap().per_minute;
        assert_eq!(rate_of(DERIVED), Some(71.6));
        assert_eq!(rate_of(&DERIVED.replace("Pulse_Rate", "Heart_Rate")), Some(71.6));
        assert_eq!(rate_of(&DERIVED.replace("Pulse_Rate", "Score")), None);
    }

    #[test]
    fn what_was_cut_is_no_message() {
        for text in [FEVER, DERIVED] {
            for cut in 1..text.len() {
                assert_eq!(alarms(&text.as_bytes()[..cut]), None, "{cut}");
                assert_eq!(rate(&text.as_bytes()[..cut]), None, "{cut}");
            }
        }
        assert_eq!(alarms(&FEVER.replace("medium", "urgent").into_bytes()), None);
    }
}
