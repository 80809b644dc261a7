//! Alarms, from a device's values to all who are told: topics, events, registry and audit log.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use vitalwire_gateway::WhichAlarms;
use vitalwire_protocol::Variant;
use vitalwire_registry::AuditKind;
use vitalwire_testing::clinic::{Clinic, Subscriber};
use vitalwire_testing::link::{Connection, HELLO_MS, batch_of};
use vitalwire_vitals::alarm::{Condition, Limits};

const BOOT: u64 = 7;

/// A batch of one second, `ago` seconds before `Hello`, of this temperature in thousandths, and of no pulse.
fn second(sequence: u64, ago: u64, temperature: i32) -> Vec<u8> {
    let time_ms = HELLO_MS - ago * 1_000;
    batch_of(sequence, time_ms, &[(0, 50_000, &[temperature; 20]), (2, 50_000, &[1_500; 20])], None)
}

/// Eight live seconds of this temperature.
async fn eight_seconds(connection: &mut Connection, first: u64, temperature: i32) {
    for n in 0..8 {
        connection.send(&second(first + n, 8 - n, temperature)).await;
    }
    connection.acknowledged(first + 7).await;
}

/// Fever is an alarm after this long, and nothing else is.
async fn watch_fever(clinic: &Clinic, device: &str, delay_s: u16) {
    let others = Condition::ALL
        .into_iter()
        .filter(|condition| !matches!(condition, Condition::TemperatureHigh | Condition::JournalFull));
    let off: Vec<_> = others.map(Condition::name).collect();
    let limits = format!("delay-temperature-high={delay_s} off={}", off.join(","));
    let limits: Limits = limits.parse().unwrap();
    clinic.registry.set_limits(&device.parse().unwrap(), &limits).unwrap();
    clinic.known().await;
}

/// The next list of a device that `fits`.
async fn list(subscriber: &mut Subscriber, device: &str, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let text = subscriber.value(&format!("vitalwire/v1/{device}/alarm")).await;
        let list: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if fits(&list) {
            return list;
        }
    }
}

fn open(list: &Value) -> usize {
    list["alarms"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fever_is_one_alarm_on_the_topic_in_events_in_the_registry_and_in_the_audit_log() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    watch_fever(&clinic, "d", 5).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/alarm", "vitalwire/v1/alarms"]).await;
    let mut events = clinic.subscribe(&["vitalwire/v1/d/event"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    eight_seconds(&mut connection, 1, 39_000).await;
    let stands = list(&mut subscriber, "d", |list| open(list) == 1).await;
    let alarm = &stands["alarms"][0];
    assert_eq!((&alarm["condition"], &alarm["priority"]), (&"temperature-high".into(), &"medium".into()));
    assert_eq!((&alarm["text"], &alarm["value"]), (&"** Temp 39.0 > 38.5".into(), &39.0.into()));
    assert_eq!(
        (&alarm["limit"], &alarm["unit"], &alarm["delay_s"]),
        (&38.5.into(), &"Cel".into(), &5.into())
    );
    assert_eq!((&alarm["active"], &alarm["acknowledged"]), (&true.into(), &Value::Null));
    let number = alarm["number"].as_u64().unwrap();
    let kept = clinic.registry.open_alarms().unwrap();
    assert_eq!(kept.iter().map(|alarm| alarm.number).collect::<Vec<_>>(), [number]);
    assert_eq!(kept[0].raised.value, Some(39.0));
    let summary: Value = serde_json::from_str(&subscriber.value("vitalwire/v1/alarms").await).unwrap();
    assert_eq!((&summary["patients"], &summary["conditions"]["temperature-high"]), (&1.into(), &1.into()));
    // Someone knows.
    let number = WhichAlarms::Number(number);
    let by = "Ana, as root (uid 0)";
    assert_eq!(clinic.server().acknowledge(number.clone(), by, Some("paracetamol")).await, Ok(1));
    assert_eq!(clinic.server().acknowledge(number, by, None).await, Ok(0), "it is no news");
    let known = list(&mut subscriber, "d", |list| !list["alarms"][0]["acknowledged"].is_null()).await;
    assert_eq!(known["alarms"][0]["acknowledged"]["by"], by);
    assert_eq!(known["alarms"][0]["acknowledged"]["reason"], "paracetamol");
    // It is over.
    let (mut connection, _) = device.greet(BOOT).await;
    eight_seconds(&mut connection, 9, 36_600).await;
    list(&mut subscriber, "d", |list| list["alarms"].is_array() && open(list) == 0).await;
    assert!(clinic.registry.open_alarms().unwrap().is_empty());
    for kind in ["alarm-raised", "alarm-acknowledged", "alarm-ended", "alarm-closed"] {
        let (_, event) = events.next().await;
        assert_eq!(serde_json::from_str::<Value>(&event).unwrap()["kind"], kind, "{event}");
    }
    clinic.stop().await;
    assert!(events.rest().is_empty());
    let records = clinic.registry.audit(0, 1_000).unwrap();
    let of = |kind: AuditKind| records.iter().filter(|record| record.kind == kind.as_str()).count();
    assert_eq!(
        (of(AuditKind::AlarmRaised), of(AuditKind::AlarmAcknowledged), of(AuditKind::AlarmEnded)),
        (1, 1, 1)
    );
    let alarms = records.iter().filter(|record| record.kind.starts_with("alarm"));
    let mut details = alarms.map(|record| &record.detail);
    assert!(
        details.all(|detail| !detail.contains("39") && !detail.contains("paracetamol")),
        "no value, no reason"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fever_in_frames_is_an_alarm_too() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol("d").await;
    watch_fever(&clinic, "d", 0).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/alarm"]).await;
    let mut stream = device.connect().await;
    let json = r#"{"Temp":"39.2","TempMcu":"23.7","PulseSig":"1.9","Acel_x":"0.0","Acel_y":"0.0","Acel_z":"1.0","TempMpu":"23.4"}"#;
    for _ in 0..3 {
        stream.write_all(&device.frame(Variant::Chained, json)).await.unwrap();
    }
    let stands = list(&mut subscriber, "d", |list| open(list) == 1).await;
    assert_eq!(stands["alarms"][0]["condition"], "temperature-high");
}
