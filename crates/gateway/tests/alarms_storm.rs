//! The network of a whole ward goes: each patient's own alarm stands, one summary is told, and nothing is held up.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use vitalwire_gateway::Limits;
use vitalwire_protocol::Variant;
use vitalwire_registry::parse_paper_keys;
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::{Clinic, Device};
use vitalwire_testing::paper::JSON;

const DEVICES: usize = 1_000;

/// Keys of the devices that go, and of the one that stays.
fn key_file() -> String {
    let mut text = String::new();
    for n in 0..DEVICES {
        writeln!(text, r#"{{ "id":"gone{n:04}", "key":"key-{n:012}", "iv":"iv--{n:012}"}}"#).unwrap();
    }
    writeln!(text, r#"{{ "id":"stays", "key":"stays-0123456789", "iv":"AAAAAAAAAAAAAAAA"}}"#).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_goes_is_a_thousand_alarms_one_summary_and_holds_up_no_reading() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // However long a busy machine takes to connect them all.
    let limits = Limits {
        idle_timeout: Duration::from_secs(3_600),
        first_frame_timeout: PATIENCE,
        ..Limits::default()
    };
    let clinic = Clinic::with_limits(limits).await;
    let keys = key_file();
    clinic.registry.import_paper_keys(keys.as_bytes()).unwrap();
    clinic.known().await;
    let address = clinic.server().addresses().devices;
    let device =
        |(id, secret): (vitalwire_access::DeviceId, _)| Device { id: id.to_string(), secret, address };
    let mut devices: Vec<_> = parse_paper_keys(keys.as_bytes()).unwrap().into_iter().map(device).collect();
    let at = devices.iter().position(|device| device.id == "stays").unwrap();
    let stays = devices.remove(at);
    let mut readings = clinic.subscribe(&["Pico/stays/Physiological_Data/Pulse_Signal"]).await;
    let mut events = clinic.subscribe(&["vitalwire/v1/event"]).await;
    let mut connections = Vec::new();
    for device in &devices {
        let mut stream = device.connect().await;
        stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
        connections.push(stream);
    }
    clinic.until("all are connected", |stats| stats.devices == DEVICES as u64).await;
    let mut steady = stays.connect().await;
    let mut number = 0;
    number += 1;
    steady.write_all(&stays.numbered(number)).await.unwrap();
    assert_eq!(readings.next().await.1, number.to_string());
    drop(connections);
    clinic.until("all are gone", |stats| stats.devices <= 1).await;
    // A reading of another device comes through as long as it goes on, in its order.
    let is_open = || clinic.server().alarms().ward.counts.iter().map(|(.., count)| count).sum::<usize>();
    let mut event = None;
    while event.is_none() || is_open() < DEVICES {
        number += 1;
        steady.write_all(&stays.numbered(number)).await.unwrap();
        assert_eq!(readings.next().await.1, number.to_string(), "in order, and none is missing");
        event = event.or_else(|| events.rest().into_iter().next());
    }
    let (_, event) = event.unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event["kind"], "many-offline");
    assert!(event["detail"].as_str().unwrap().starts_with("1000 devices"), "{event}");
    assert_eq!(events.rest(), [], "one event stands for all");
    each_patients_own_stands(&clinic).await;
    assert!(clinic.get("/metrics").await.contains(r#"vitalwire_feed_missed_total{reader="alarms"} 0"#));
}

/// On its topic, in the summary and in the registry.
async fn each_patients_own_stands(clinic: &Clinic) {
    let mut lists = clinic.subscribe(&["vitalwire/v1/+/alarm", "vitalwire/v1/alarms"]).await;
    let (mut offline, mut summary) = (BTreeSet::new(), Value::Null);
    while offline.len() < DEVICES || summary.is_null() {
        let (topic, text) = lists.next().await;
        let json: Value = serde_json::from_str(&text).unwrap();
        if topic == "vitalwire/v1/alarms" {
            summary = json;
        } else if json["alarms"][0]["condition"] == "device-offline" {
            offline.insert(topic);
        }
    }
    assert_eq!(
        (&summary["patients"], &summary["conditions"]["device-offline"]),
        (&DEVICES.into(), &DEVICES.into())
    );
    let kept = clinic.registry.open_alarms().unwrap();
    let numbers: BTreeSet<_> = kept.iter().map(|alarm| alarm.number).collect();
    assert_eq!((kept.len(), numbers.len()), (DEVICES, DEVICES));
}
