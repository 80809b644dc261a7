//! Alarms, from a device's values to all who are told: topics, events, registry and audit log.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use vitalwire_gateway::{ControlError, Silence, WhichAlarms};
use vitalwire_protocol::Variant;
use vitalwire_registry::{AlarmQuery, AuditKind, DATABASE_FILE, Moment, PatientChange};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fever_that_comes_late_is_on_record_and_told_to_no_one() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    watch_fever(&clinic, "d", 5).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/alarm", "vitalwire/v1/d/event"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    for n in 0..8 {
        connection.send(&second(1 + n, 60 - n, 39_000)).await;
    }
    for n in 0..2 {
        connection.send(&second(9 + n, 52 - n, 36_600)).await;
    }
    connection.acknowledged(10).await;
    let all = || clinic.registry.alarms(&AlarmQuery::default()).unwrap();
    clinic.eventually("it is on record", || !all().is_empty()).await;
    let late = all();
    assert!(late.len() == 1 && late[0].raised.is_late && late[0].closed_us.is_some(), "{late:?}");
    clinic.stop().await;
    assert_eq!(subscriber.rest(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acknowledges_is_the_systems_user_whatever_name_is_given() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    watch_fever(&clinic, "d", 0).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/alarm"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    eight_seconds(&mut connection, 1, 39_000).await;
    list(&mut subscriber, "d", |list| open(list) == 1).await;
    let data = clinic.data();
    let asked = tokio::task::spawn_blocking(move || {
        let open = vitalwire_gateway::alarms(&data).unwrap();
        let number = open.patients[0].alarms[0].number;
        let unknown = vitalwire_gateway::acknowledge(&data, &WhichAlarms::Number(number + 1), None, None);
        assert!(unknown.unwrap_err().to_string().contains("no open alarm"), "another number");
        let long = "x".repeat(10 << 10);
        for bad in ["", "\u{1b}[2J", "a\nb", &long] {
            let which = WhichAlarms::Device("d".parse().unwrap());
            let refused = vitalwire_gateway::acknowledge(&data, &which, Some("Ana"), Some(bad));
            assert!(matches!(refused, Err(ControlError::Failed(_))), "{bad:?}");
        }
        let pause = Silence::Alarms { seconds: 121 };
        assert!(vitalwire_gateway::silence(&data, &"d".parse().unwrap(), pause, None).is_err());
        vitalwire_gateway::silence(&data, &"d".parse().unwrap(), Silence::Audio { seconds: 60 }, None)
            .unwrap();
        vitalwire_gateway::acknowledge(&data, &WhichAlarms::Number(number), Some("Ana"), Some("walks"))
    });
    assert_eq!(asked.await.unwrap().unwrap(), 1);
    let known = list(&mut subscriber, "d", |list| !list["alarms"][0]["acknowledged"].is_null()).await;
    let by = known["alarms"][0]["acknowledged"]["by"].as_str().unwrap();
    let uid = own_uid();
    assert!(by.starts_with("Ana, as ") && by.contains(&format!("uid {uid}")), "{by}");
    assert_eq!(known["state"], "audio-paused");
}

/// Of this process.
fn own_uid() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_patient_begins_without_alarms_and_a_revoked_device_has_no_list() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let id = "d".parse().unwrap();
    watch_fever(&clinic, "d", 0).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/alarm"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    eight_seconds(&mut connection, 1, 39_000).await;
    let before = list(&mut subscriber, "d", |list| open(list) == 1).await;
    let first = before["alarms"][0]["number"].as_u64().unwrap();
    let moment = Moment { time_us: 1, position: 0 };
    clinic.registry.set_patient(&id, &PatientChange::default(), Some(moment)).unwrap();
    // The sensor that is off is so for the next patient, too.
    let fever = |list: &Value| {
        let alarms = list["alarms"].as_array().cloned().unwrap_or_default();
        let fever = alarms.into_iter().find(|alarm| alarm["condition"] == "temperature-high");
        fever.map(|alarm| alarm["number"].as_u64().unwrap())
    };
    list(&mut subscriber, "d", |list| list["alarms"].is_array() && fever(list).is_none()).await;
    let is_open = |alarm: &vitalwire_registry::AlarmRecord| alarm.number == first;
    assert!(
        !clinic.registry.open_alarms().unwrap().iter().any(is_open),
        "that of the patient before is closed"
    );
    watch_fever(&clinic, "d", 0).await;
    let (mut connection, _) = device.greet(BOOT).await;
    eight_seconds(&mut connection, 9, 39_000).await;
    let after = list(&mut subscriber, "d", |list| fever(list).is_some()).await;
    assert!(fever(&after).unwrap() > first, "it is another alarm");
    let mut kept = clinic.registry.alarms(&AlarmQuery::default()).unwrap();
    kept.retain(|alarm| alarm.raised.condition == Condition::TemperatureHigh);
    assert!(kept.len() == 2 && kept[0].stay != kept[1].stay, "of another stay");
    clinic.registry.revoke_device(&id).unwrap();
    assert_eq!(subscriber.value("vitalwire/v1/d/alarm").await, "", "the list is taken away");
    assert!(clinic.registry.open_alarms().unwrap().is_empty());
    let mut late = clinic.subscribe(&["vitalwire/v1/d/alarm", "vitalwire/v1/alarms"]).await;
    assert_eq!(late.next().await.0, "vitalwire/v1/alarms", "nothing is retained of the device");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escalations_and_events_show_no_value() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    watch_fever(&clinic, "d", 0).await;
    let mut events = clinic.subscribe(&["vitalwire/v1/d/event"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    eight_seconds(&mut connection, 1, 39_700).await;
    let event = events.value("vitalwire/v1/d/event").await;
    assert!(event.contains("alarm-raised") && event.contains("temperature-high") && !event.contains("39.7"));
    let metrics = clinic.get("/metrics").await;
    assert!(
        metrics
            .contains("vitalwire_alarms_raised_total{condition=\"temperature-high\",priority=\"medium\"} 1")
    );
    assert!(!metrics.contains("device=") && !metrics.contains("39.7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_registry_takes_nothing_alarms_are_told_and_written_when_it_does_again() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    watch_fever(&clinic, "d", 0).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/alarm", "vitalwire/v1/alarms"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&second(1, 1, 36_600)).await;
    connection.acknowledged(1).await;
    // Another process holds the registry.
    let lock = rusqlite::Connection::open(clinic.data().join(DATABASE_FILE)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    eight_seconds(&mut connection, 2, 39_000).await;
    list(&mut subscriber, "d", |list| open(list) == 1).await;
    loop {
        let summary = subscriber.value("vitalwire/v1/alarms").await;
        if summary.contains(r#""recorded":false"#) {
            break;
        }
    }
    assert!(!clinic.server().health().are_alarms_recorded);
    assert!(clinic.get("/readyz").await.contains("alarms cannot be written"));
    drop(lock);
    clinic.eventually("it is written", || clinic.registry.open_alarms().unwrap().len() == 1).await;
    clinic.eventually("health says so", || clinic.server().health().are_alarms_recorded).await;
}
