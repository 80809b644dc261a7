//! Alarms while the gateway is killed at random moments: what was told is kept, nothing twice, and what is open stands again.
//! `just faults` kills it a hundred times: VITALWIRE_FAULTS=full.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::net::TcpStream;
use vitalwire_gateway::{Limits as ServerLimits, WhichAlarms};
use vitalwire_registry::{AlarmQuery, AlarmRecord, AuditKind};
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::child::{self, Gateway, serve_until_killed_with};
use vitalwire_testing::clinic::{Clinic, Subscriber};
use vitalwire_testing::link::{Answer, Connection, HELLO_MS, LinkDevice, batch, batch_of, hello, shake};
use vitalwire_testing::seed::{length, seed};
use vitalwire_vitals::alarm::{Condition, Limits};

const DEVICES: usize = 3;
const TOPIC: &str = "vitalwire/v1/+/alarm";

/// Devices have the delay of `device-offline` and this to come back, so that no test waits for longer than it must.
fn limits() -> ServerLimits {
    ServerLimits { return_grace: Duration::from_secs(5), ..ServerLimits::default() }
}

/// No test of its own, but the process that the test below starts and kills.
#[tokio::test]
#[ignore = "it serves until it is killed"]
async fn the_gateway_that_is_killed() {
    serve_until_killed_with(limits()).await;
}

/// Fever and no fever in turn, until the connection ends.
async fn suffer(device: LinkDevice, boot: u64) {
    let Ok(stream) = TcpStream::connect(device.address).await else { return };
    let Ok(mut connection) = shake(stream, &device.context()).await else { return };
    connection.try_send(&hello(boot)).await;
    let Answer::Welcome(_) = connection.answer().await else { return };
    for sequence in 1.. {
        let temperature = if sequence % 2 == 1 { 39_000 } else { 36_600 };
        let batch = batch_of(sequence, HELLO_MS - 1_000, &[(0, 50_000, &[temperature; 20])], None);
        connection.try_send(&batch).await;
        loop {
            match connection.answer().await {
                Answer::Ack(acknowledged) if acknowledged >= sequence => break,
                Answer::Ack(_) => {}
                _ => return,
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Acknowledges what is open, again and again; the numbers for which the server said that it is done.
fn acknowledge(data: &Path, known: &std::sync::Mutex<BTreeSet<u64>>) {
    let Ok(alarms) = vitalwire_gateway::alarms(data) else { return };
    for list in alarms.patients {
        for alarm in list.alarms.iter().filter(|alarm| alarm.acknowledged.is_none()) {
            let which = WhichAlarms::Number(alarm.number);
            if matches!(vitalwire_gateway::acknowledge(data, &which, Some("Ana"), Some("seen")), Ok(1)) {
                known.lock().unwrap().insert(alarm.number);
            }
        }
    }
}

/// The numbers in a list.
fn numbers(text: &str) -> BTreeSet<u64> {
    let list: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let alarms = list["alarms"].as_array().cloned().unwrap_or_default();
    alarms.iter().map(|alarm| alarm["number"].as_u64().unwrap()).collect()
}

fn open(clinic: &Clinic) -> BTreeMap<String, BTreeSet<u64>> {
    let mut by_topic: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for alarm in clinic.registry.open_alarms().unwrap() {
        let topic = format!("vitalwire/v1/{}/alarm", alarm.device.unwrap());
        by_topic.entry(topic).or_default().insert(alarm.number);
    }
    by_topic
}

/// Waits until what stands on the topics is what is open in the registry. No device is there yet, so nothing changes it.
async fn stands(clinic: &Clinic, mqtt: SocketAddr) {
    let expected = open(clinic);
    let mut shown: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut subscriber = Subscriber::connect(mqtt.port(), &[TOPIC], true).await;
    let standing = |shown: &BTreeMap<String, BTreeSet<u64>>| {
        let mut shown = shown.clone();
        shown.retain(|_, numbers| !numbers.is_empty());
        shown == expected
    };
    while !standing(&shown) {
        let next = tokio::time::timeout(PATIENCE / 2, subscriber.next()).await;
        let (topic, text) = next.unwrap_or_else(|_| panic!("open are {expected:?}, and shown {shown:?}"));
        shown.insert(topic, numbers(&text));
    }
}

fn all(clinic: &Clinic) -> BTreeMap<u64, AlarmRecord> {
    let alarms = clinic.registry.alarms(&AlarmQuery::default()).unwrap();
    alarms.into_iter().map(|alarm| (alarm.number, alarm)).collect()
}

/// Devices whose only alarm is a fever, which is one at once.
fn ward(clinic: &Clinic) -> Vec<LinkDevice> {
    let limits = "delay-temperature-high=0 off=asystole,rate-high,rate-low,device-offline,sensor-off,bad-signal,\
                  implausible,clock,battery,temperature-low";
    let limits: Limits = limits.parse().unwrap();
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        let id = format!("d{n}").parse().unwrap();
        let link = clinic.registry.add_tls_device(&id).unwrap();
        clinic.registry.set_limits(&id, &limits).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        devices.push(LinkDevice { id: id.to_string(), link, address, profile: "pico" });
    }
    devices
}

fn check_records(clinic: &Clinic, told: &BTreeSet<u64>, known: &BTreeSet<u64>) {
    let report = clinic.registry.verify_audit(None).unwrap();
    assert!(report.fault.is_none(), "{report:?}");
    let records = clinic.registry.audit(0, 1_000_000).unwrap();
    let is_of = |number: &u64, kind: AuditKind| {
        let begins = format!("alarm {number}: ");
        records.iter().any(|record| record.kind == kind.as_str() && record.detail.starts_with(&begins))
    };
    let forgotten: Vec<_> =
        known.iter().filter(|number| !is_of(number, AuditKind::AlarmAcknowledged)).collect();
    assert!(forgotten.is_empty(), "said to be acknowledged, and not on record: {forgotten:?}");
    assert!(told.iter().all(|number| is_of(number, AuditKind::AlarmRaised)));
    // A number is one alarm for ever, and no two of a patient and condition are open at the same time.
    let mut last: BTreeMap<_, AlarmRecord> = BTreeMap::new();
    for alarm in all(clinic).into_values() {
        if let Some(before) = last.insert((alarm.device.clone(), alarm.raised.condition), alarm.clone()) {
            assert!(
                before.closed_us.is_some_and(|closed_us| closed_us <= alarm.raised_us),
                "{before:?} {alarm:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_survive_every_kill_and_none_is_doubled() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let kills = length(4, 100);
    let clinic = Clinic::closed();
    let folder = clinic.folder.path().to_owned();
    let devices = ward(&clinic);
    let known = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let mut told = BTreeSet::new();
    for kill in 0..kills {
        let gateway = Gateway::start(&folder);
        let (address, mqtt) = child::serving(&folder).await;
        tokio::time::timeout(PATIENCE, stands(&clinic, mqtt)).await.expect("what is open stands again");
        let mut subscriber = Subscriber::connect(mqtt.port(), &[TOPIC], true).await;
        let mut suffering = tokio::task::JoinSet::new();
        for device in &devices {
            suffering.spawn(suffer(LinkDevice { address, ..device.clone() }, 100 + kill));
        }
        // Under load: alarms came and went since the start. Then at a random moment, while someone acknowledges.
        for _ in 0..2 * DEVICES {
            told.extend(numbers(&subscriber.next().await.1));
        }
        let (data, done) = (clinic.data(), std::sync::Arc::clone(&known));
        let acknowledging = tokio::task::spawn_blocking(move || {
            for _ in 0..3 {
                acknowledge(&data, &done);
            }
        });
        tokio::time::sleep(Duration::from_micros(random.random_range(0..150_000))).await;
        drop(gateway);
        acknowledging.await.unwrap();
        suffering.shutdown().await;
        told.extend(subscriber.rest().iter().flat_map(|(_, text)| numbers(text)));
        let kept = all(&clinic);
        let lost: Vec<_> = told.iter().filter(|number| !kept.contains_key(number)).collect();
        assert!(lost.is_empty(), "told and not kept: {lost:?}");
        for (topic, numbers) in open(&clinic) {
            assert_eq!(numbers.len(), 1, "one alarm of a condition and patient: {topic}");
        }
    }
    check_records(&clinic, &told, &known.lock().unwrap());
    println!("{kills} kills, {} alarms told, {} acknowledged", told.len(), known.lock().unwrap().len());
}

/// Two devices whose only alarm is that they are away.
fn pair(clinic: &Clinic) -> [LinkDevice; 2] {
    let others = Condition::ALL
        .into_iter()
        .filter(|condition| !matches!(condition, Condition::DeviceOffline | Condition::JournalFull));
    let off: Vec<_> = others.map(Condition::name).collect();
    let limits: Limits = format!("off={}", off.join(",")).parse().unwrap();
    ["back", "lost"].map(|name| {
        let id = name.parse().unwrap();
        let link = clinic.registry.add_tls_device(&id).unwrap();
        clinic.registry.set_limits(&id, &limits).unwrap();
        LinkDevice { id: id.to_string(), link, address: "127.0.0.1:0".parse().unwrap(), profile: "pico" }
    })
}

/// Connects, and sends what is then in the journal.
async fn send(device: &LinkDevice, address: SocketAddr, sequence: u64) -> Connection {
    let (mut connection, _) = LinkDevice { address, ..device.clone() }.greet(7).await;
    connection.send(&batch(sequence)).await;
    connection.acknowledged(sequence).await;
    connection
}

/// After a restart in which one of both devices came back: the other is an alarm, once, and the one that is back is none.
async fn only_the_lost_one_is_an_alarm(clinic: &Clinic, mqtt: SocketAddr) {
    let mut subscriber = Subscriber::connect(mqtt.port(), &[TOPIC], true).await;
    let (topic, text) = loop {
        let (topic, text) = subscriber.next().await;
        if !numbers(&text).is_empty() {
            break (topic, text);
        }
    };
    assert_eq!(topic, "vitalwire/v1/lost/alarm");
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&list["alarms"][0]["condition"], numbers(&text).len()), (&"device-offline".into(), 1));
    let kept: Vec<_> = all(clinic).into_values().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].device.as_ref().unwrap().as_str(), "lost");
    assert!(kept[0].raised_us - kept[0].raised.since_us >= 15_000_000, "grace and delay: {kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_does_not_come_back_after_a_kill_is_one_alarm() {
    let clinic = Clinic::closed();
    let folder = clinic.folder.path().to_owned();
    let [back, lost] = pair(&clinic);
    let gateway = Gateway::start(&folder);
    let (address, _) = child::serving(&folder).await;
    let connections = [send(&back, address, 1).await, send(&lost, address, 1).await];
    drop(gateway);
    drop(connections);
    let _gateway = Gateway::start(&folder);
    let (address, mqtt) = child::serving(&folder).await;
    let _back = send(&back, address, 2).await;
    only_the_lost_one_is_an_alarm(&clinic, mqtt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_does_not_come_back_after_a_stop_is_one_alarm() {
    let mut clinic = Clinic::closed();
    let [back, lost] = pair(&clinic);
    clinic.start(limits(), None).await;
    let address = clinic.server().addresses().devices;
    let connections = [send(&back, address, 1).await, send(&lost, address, 1).await];
    clinic.stop().await;
    drop(connections);
    clinic.start(limits(), None).await;
    let _back = send(&back, clinic.server().addresses().devices, 2).await;
    only_the_lost_one_is_an_alarm(&clinic, clinic.mqtt()).await;
}
