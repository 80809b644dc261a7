//! Alarms as this program shows them: in a table for people, as JSON for other programs.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use vitalwire_gateway::recorded_alarm;
use vitalwire_registry::AlarmRecord;
use vitalwire_vitals::alarm::{Acknowledgement, Alarm, AlarmState, BadSignal};

/// An alarm, and whose it is; no device when it is the server's own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub(super) device: Option<String>,
    pub(super) alarm: Alarm,
}

/// As other programs get it: the fields of the topic `vitalwire/v1/<id>/alarm` (PROTOCOL.md §3.4), and the device.
#[derive(Serialize)]
pub(super) struct Row {
    device: Option<String>,
    number: u64,
    condition: &'static str,
    priority: &'static str,
    text: String,
    value: Option<f64>,
    limit: Option<f64>,
    unit: Option<&'static str>,
    signals: Option<Vec<&'static str>>,
    since: String,
    raised: String,
    active: bool,
    ended: Option<String>,
    acknowledged: Option<Known>,
    escalated: Option<String>,
    delay_s: u16,
}

#[derive(Serialize)]
struct Known {
    by: String,
    reason: Option<String>,
    time: String,
}

impl From<&AlarmRecord> for Shown {
    fn from(record: &AlarmRecord) -> Self {
        let device = record.device.as_ref().map(ToString::to_string);
        Self { device, alarm: recorded_alarm(record.clone()) }
    }
}

impl From<&Shown> for Row {
    fn from(shown: &Shown) -> Self {
        let alarm = &shown.alarm;
        let known = |known: &Acknowledgement| Known {
            by: known.by.clone(),
            reason: known.reason.clone(),
            time: time(known.time_us),
        };
        Self {
            device: shown.device.clone(),
            number: alarm.number,
            condition: alarm.condition.name(),
            priority: alarm.priority.name(),
            text: alarm.text(),
            value: alarm.value,
            limit: alarm.limit,
            unit: alarm.condition.unit(),
            signals: (!alarm.bad.is_empty()).then(|| alarm.bad.iter().map(BadSignal::name).collect()),
            since: time(alarm.since_us),
            raised: time(alarm.raised_us),
            active: alarm.is_active(),
            ended: alarm.ended_us.map(time),
            acknowledged: alarm.acknowledged.as_ref().map(known),
            escalated: alarm.escalated_us.map(time),
            delay_s: alarm.delay_s,
        }
    }
}

/// The most urgent first; of those that are alike, the oldest.
pub(super) fn sort(alarms: &mut [Shown]) {
    alarms.sort_by_key(|shown| {
        let alarm = &shown.alarm;
        (!alarm.is_calling(), std::cmp::Reverse(alarm.priority), alarm.number)
    });
}

/// A table that fits 80 columns, or says that nothing is open.
pub(super) fn table(alarms: &[Shown], now_us: i64) -> String {
    if alarms.is_empty() {
        return "No alarm is open.\n".to_owned();
    }
    let rows: Vec<[String; 4]> = alarms
        .iter()
        .map(|shown| {
            let device = shown.device.as_deref().unwrap_or("(server)");
            let number = shown.alarm.number.to_string();
            [number, cut(device, 16), cut(&shown.alarm.text(), 26), state(&shown.alarm, now_us)]
        })
        .collect();
    let head = ["NUMBER", "DEVICE", "ALARM", "STATE"].map(str::to_owned);
    let width = |at: usize| {
        let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (number_width, device_width, text_width) = (width(0), width(1), width(2));
    let line = |[number, device, text, state]: &[String; 4]| {
        format!("{number:>number_width$}  {device:device_width$}  {text:text_width$}  {state}\n")
    };
    std::iter::once(&head).chain(&rows).map(line).collect()
}

/// Whether a patient's alarms are told, for people; nothing when they are. `until_us` is the end of a pause.
pub(super) fn silence(device: &str, state: AlarmState, until_us: Option<i64>, now_us: i64) -> Option<String> {
    let left = until_us.map(|until_us| span_left(until_us.saturating_sub(now_us))).unwrap_or_default();
    match state {
        AlarmState::On => None,
        AlarmState::AlarmPaused => Some(format!("{device}: alarms paused{left}")),
        AlarmState::AudioPaused => Some(format!("{device}: audio paused{left}")),
        AlarmState::AlarmOff => Some(format!("{device}: alarm off, none is raised")),
        AlarmState::AudioOff => Some(format!("{device}: audio off, none sounds")),
    }
}

fn span_left(us: i64) -> String {
    format!(", {} s left", us.max(0) / 1_000_000)
}

/// How it stands, in a few words.
fn state(alarm: &Alarm, now_us: i64) -> String {
    let age = |since_us: i64| span(now_us.saturating_sub(since_us));
    let lasts = match alarm.ended_us {
        None => format!("for {}", age(alarm.since_us)),
        Some(ended_us) => format!("ended {} ago", age(ended_us)),
    };
    match &alarm.acknowledged {
        Some(known) => {
            // The name is enough here; the audit log also has the system's user.
            let name = known.by.split_once(", as ").map_or(known.by.as_str(), |(name, _)| name);
            cut(&format!("{lasts}, known to {name}"), 30)
        }
        None if alarm.escalated_us.is_some() => format!("{lasts}, escalated"),
        None => lasts,
    }
}

/// Names and reasons come from the registry, where they were checked; what is too long for a column is cut.
fn cut(words: &str, width: usize) -> String {
    if words.chars().count() <= width {
        return words.to_owned();
    }
    words.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// In its largest unit: `45 s`, `6 d`.
pub(super) fn span(us: i64) -> String {
    match us.max(0) / 1_000_000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// RFC 3339, to the millisecond.
pub(super) fn time(utc_us: i64) -> String {
    let since = Duration::from_micros(u64::try_from(utc_us).unwrap_or(0));
    let time = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_millis(time).to_string()
}

/// UTC, microseconds since 1970.
pub(super) fn utc_us(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use vitalwire_vitals::alarm::{Condition, Priority};

    use super::*;

    pub(crate) fn alarm(number: u64, condition: Condition, priority: Priority) -> Shown {
        let alarm = Alarm {
            number,
            condition,
            priority,
            since_us: 1_000_000,
            raised_us: 16_000_000,
            ended_us: None,
            returns: 0,
            acknowledged: None,
            value: condition.unit().map(|_| 134.0),
            limit: condition.unit().map(|_| 120.0),
            bad: vitalwire_vitals::alarm::BadSignals::NONE,
            delay_s: 15,
            announced_us: None,
            escalated_us: None,
        };
        Shown { device: Some("bed_07".into()), alarm }
    }

    #[test]
    fn the_most_urgent_that_calls_comes_first_and_the_table_fits() {
        let mut known = alarm(2, Condition::Asystole, Priority::High);
        let by = "a very long name of a very busy person".to_owned();
        known.alarm.acknowledged = Some(Acknowledgement { time_us: 20_000_000, by, reason: None });
        let mut ended = alarm(3, Condition::RateHigh, Priority::High);
        (ended.alarm.ended_us, ended.alarm.escalated_us) = (Some(30_000_000), Some(1));
        let mut server = alarm(u64::MAX, Condition::JournalFull, Priority::Medium);
        server.device = Some("x".repeat(64));
        let mut alarms = vec![known, server, alarm(1, Condition::Battery, Priority::Low), ended];
        sort(&mut alarms);
        let numbers: Vec<u64> = alarms.iter().map(|shown| shown.alarm.number).collect();
        assert_eq!(numbers, [3, u64::MAX, 1, 2]);
        let text = table(&alarms, 90_000_000);
        assert!(text.contains("*** HR 134 > 120"), "{text}");
        assert!(text.contains("ended 1 m ago, escalated"), "{text}");
        assert!(text.contains("for 1 m, known to a very long"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn a_pause_counts_down() {
        let paused = silence("bed_07", AlarmState::AlarmPaused, Some(90_500_000), 1_000_000);
        assert_eq!(paused.as_deref(), Some("bed_07: alarms paused, 89 s left"));
        assert_eq!(silence("bed_07", AlarmState::On, None, 0), None);
        assert!(silence("bed_07", AlarmState::AudioPaused, Some(0), 9).unwrap().ends_with("0 s left"));
    }

    #[test]
    fn json_has_the_fields_of_the_topic() {
        let row = Row::from(&alarm(12, Condition::RateHigh, Priority::High));
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["text"], "*** HR 134 > 120");
        assert_eq!((&json["unit"], &json["since"]), (&"/min".into(), &"1970-01-01T00:00:01.000Z".into()));
        assert_eq!(json["acknowledged"], serde_json::Value::Null);
    }
}
