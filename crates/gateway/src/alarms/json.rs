//! Alarms as JSON on their topics (PROTOCOL.md §3.4).

use serde_json::{Map, Value, json};
use vitalwire_vitals::alarm::{Alarm, BadSignal, Change, Condition, Priority};

use super::{AlarmChange, AlarmList, WardSummary};
use crate::clock::rfc3339_millis;

/// Values have two decimals at most: no sensor knows more, and a computed rate has no end of digits.
const DIGITS: f64 = 100.0;

fn time(us: i64) -> Value {
    rfc3339_millis(us).to_string().into()
}

fn number(value: f64) -> Value {
    Value::from((value * DIGITS).round() / DIGITS)
}

pub(super) fn list(list: &AlarmList) -> String {
    let alarms: Vec<_> = list.alarms.iter().map(alarm).collect();
    json!({
        "time": time(list.time_us),
        "state": list.state.name(),
        "until": list.until_us.map(time),
        "floor": list.floor.map(Priority::name),
        "alarms": alarms,
    })
    .to_string()
}

pub(super) fn alarm(alarm: &Alarm) -> Value {
    let acknowledged = alarm
        .acknowledged
        .as_ref()
        .map(|it| json!({ "by": it.by, "reason": it.reason, "time": time(it.time_us) }));
    json!({
        "number": alarm.number,
        "condition": alarm.condition.name(),
        "priority": alarm.priority.name(),
        "text": alarm.text(),
        "value": alarm.value.map(number),
        "limit": alarm.limit.map(number),
        "unit": alarm.condition.unit(),
        "signals": (!alarm.bad.is_empty()).then(|| alarm.bad.iter().map(BadSignal::name).collect::<Vec<_>>()),
        "since": time(alarm.since_us),
        "raised": time(alarm.raised_us),
        "active": alarm.is_active(),
        "ended": alarm.ended_us.map(time),
        "acknowledged": acknowledged,
        "escalated": alarm.escalated_us.map(time),
        "delay_s": alarm.delay_s,
    })
}

pub(super) fn summary(summary: &WardSummary) -> String {
    let count = |wanted: &dyn Fn(&(Condition, Priority, usize)) -> bool| -> usize {
        summary.counts.iter().filter(|count| wanted(count)).map(|(.., count)| count).sum()
    };
    let priorities = Priority::ALL
        .map(|priority| (priority.name().to_owned(), count(&|(_, of, _)| *of == priority).into()));
    let conditions = Condition::ALL
        .map(|condition| (condition.name(), count(&|(of, ..)| *of == condition)))
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), count.into()));
    json!({
        "time": time(summary.time_us),
        "patients": summary.patients,
        "unacknowledged": summary.unacknowledged,
        "paused": summary.paused,
        "priorities": Map::from_iter(priorities),
        "conditions": conditions.collect::<Map<_, _>>(),
        "server": summary.server.iter().map(alarm).collect::<Vec<_>>(),
        "recorded": summary.is_recorded,
    })
    .to_string()
}

pub(super) fn escalation(change: &AlarmChange) -> String {
    let alarm = change.change.alarm();
    json!({
        "time": time(change.time_us),
        "device": change.device.as_ref().map(ToString::to_string),
        "number": alarm.map(|alarm| alarm.number),
        "condition": alarm.map(|alarm| alarm.condition.name()),
        "priority": alarm.map(|alarm| alarm.priority.name()),
        "raised": alarm.map(|alarm| time(alarm.raised_us)),
        "active": alarm.map(Alarm::is_active),
    })
    .to_string()
}

pub(super) fn detail(change: &AlarmChange) -> String {
    match &change.change {
        Change::Paused(pause) => format!("paused until {} by {}", rfc3339_millis(pause.until_us), pause.by),
        Change::Resumed { by: Some(by), .. } => format!("told again, as {by} asked"),
        Change::Resumed { by: None, .. } => "told again: the pause is over".to_owned(),
        of_alarm => of_alarm.alarm().map(words).unwrap_or_default(),
    }
}

fn words(alarm: &Alarm) -> String {
    let mut words = format!("alarm {}: {}, {}", alarm.number, alarm.condition, alarm.priority);
    if let Some(acknowledged) = &alarm.acknowledged {
        words += &format!(", acknowledged by {}", acknowledged.by);
    }
    words
}
