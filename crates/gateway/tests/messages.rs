//! What subscribers read, to the letter: the statements of PROTOCOL.md §3 that are not told by the examples there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use vitalwire_gateway::Limits;
use vitalwire_protocol::batch::{Hello, MESSAGE_LEN_MAX, Samples, encode_batch};
use vitalwire_testing::clinic::{Clinic, Subscriber};
use vitalwire_testing::link::{Answer, Connection, HELLO_MS, LinkDevice, hello_of};

/// Two values a second of a count in hundreds, and a wave at 400 Hz.
const PROFILE: &str = r#"
name = "counter"
title = "Counter"
[[channel]]
index = 0
name = "Count"
title = "Count"
unit = "1"
range = [0, 1000]
rate_hz = 2
decimals = 0
topic = "Count"
[[channel]]
index = 1
name = "Wave"
title = "Wave"
unit = "mV"
range = [-5, 5]
rate_hz = 400
decimals = 3
waveform = true
"#;

const fn samples(index: u8, interval_us: u32, scale: i8, values: &[i32]) -> Samples<'_> {
    Samples { index, interval_us, delay_us: 0, scale, values }
}

async fn clinic() -> (Clinic, LinkDevice) {
    let mut clinic = Clinic::closed();
    std::fs::create_dir(clinic.data().join("profiles")).unwrap();
    std::fs::write(clinic.data().join("profiles/counter.toml"), PROFILE).unwrap();
    clinic.start(Limits::default(), None).await;
    let device = clinic.enrol_link("d").await;
    (clinic, device)
}

async fn greet(device: &LinkDevice) -> Connection {
    let mut connection = device.shake().await;
    let (time_ms, firmware) = (HELLO_MS, "test");
    let hello = Hello { boot: 1, profile: "counter", firmware, time_ms, oldest: None, past: false };
    connection.send(&hello_of(&hello)).await;
    assert_eq!(connection.answer().await, Answer::Welcome(None));
    connection
}

async fn send(connection: &mut Connection, channels: &[Samples<'_>]) {
    let mut out = [0; MESSAGE_LEN_MAX];
    let len = encode_batch(1, HELLO_MS - 2_000, None, channels, &mut out).unwrap();
    connection.send(&out[..len]).await;
    connection.acknowledged(1).await;
}

async fn json(subscriber: &mut Subscriber, topic: &str) -> serde_json::Value {
    serde_json::from_str(&subscriber.value(topic).await).unwrap()
}

#[tokio::test]
async fn a_scale_above_0_appends_zeros() {
    let (clinic, device) = clinic().await;
    let mut subscriber = clinic.subscribe(&["Pico/d/Count", "vitalwire/v1/d/reading"]).await;
    send(&mut greet(&device).await, &[samples(0, 500_000, 2, &[-5, 7])]).await;
    assert_eq!(subscriber.value("Pico/d/Count").await, "-500");
    let reading = subscriber.value("vitalwire/v1/d/reading").await;
    assert!(reading.contains(r#""Count":{"value":-500,"unit":"1","plausible":false}"#), "{reading}");
}

#[tokio::test]
async fn the_interval_of_a_waveform_may_be_a_fraction() {
    let (clinic, device) = clinic().await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/waveform/Wave"]).await;
    send(&mut greet(&device).await, &[samples(1, 2_500, -3, &[12, -1, 15])]).await;
    let waveform = subscriber.value("vitalwire/v1/d/waveform/Wave").await;
    assert!(waveform.contains(r#""interval_ms":2.5,"#), "{waveform}");
    assert!(waveform.ends_with(r#""values":[0.012,-0.001,0.015]}"#), "{waveform}");
}

#[tokio::test]
async fn a_reading_has_all_channels_of_its_microsecond_and_index_skips_waveforms_alone() {
    let (clinic, device) = clinic().await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/#"]).await;
    let count = samples(0, 500_000, 0, &[1, 2]);
    // The wave's second value shares a microsecond with the count's; its first comes a microsecond after the count's.
    let late = Samples { delay_us: 1, ..samples(1, 499_999, -3, &[10, 11]) };
    send(&mut greet(&device).await, &[count, late]).await;
    let first = json(&mut subscriber, "vitalwire/v1/d/reading").await;
    assert_eq!((&first["index"], &first["device_time_ms"]), (&0.into(), &(HELLO_MS - 2_000).into()));
    assert!(first["values"]["Wave"].is_null(), "{first}");
    let second = json(&mut subscriber, "vitalwire/v1/d/reading").await;
    assert_eq!((&second["index"], &second["device_time_ms"]), (&2.into(), &(HELLO_MS - 1_500).into()));
    assert_eq!(second["values"]["Wave"]["value"], 0.011, "{second}");
    assert_eq!(second["values"]["Count"]["value"], 2, "{second}");
}
