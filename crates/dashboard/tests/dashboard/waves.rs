//! Waves out of history, with their beats.

use vitalwire_registry::DeviceKey;
use vitalwire_testing::link::{Connection, HELLO_MS, LinkDevice, batch_of};

use crate::support::{Ward, now_ms};

/// From beat to beat.
const BEAT_MS: f64 = 800.0;
const EVERY_MS: u64 = 50;

async fn greet(ward: &Ward) -> Connection {
    let DeviceKey::Tls(links) = ward.clinic.registry.device_key(&"bed_1".parse().unwrap()).unwrap() else {
        panic!()
    };
    let address = ward.clinic.server().addresses().devices;
    let device = LinkDevice { id: "bed_1".to_owned(), link: links.current, address, profile: "pico" };
    device.greet(7).await.0
}

/// A second of a pulse at 20 Hz, in mV: it rises steeply, and falls with a second bump.
fn pulse(time_ms: u64) -> Vec<i32> {
    let bump = |part: f64, at: f64, width: f64| (-((part - at) / width).powi(2) / 2.0).exp();
    let value = |at: u64| {
        #[expect(clippy::cast_precision_loss, reason = "it is small")]
        let part = ((time_ms + at * EVERY_MS) as f64 / BEAT_MS).fract();
        #[expect(clippy::cast_possible_truncation, reason = "it is some thousands")]
        let value = (1_200.0 + 900.0 * bump(part, 0.25, 0.09) + 250.0 * bump(part, 0.55, 0.12)) as i32;
        value
    };
    (0..1_000 / EVERY_MS).map(value).collect()
}

/// Half a minute of it, with four seconds left out.
async fn deliver(ward: &Ward) {
    let mut connection = greet(ward).await;
    let mut sequence = 0;
    for second in (0..34).filter(|second| !(20..24).contains(second)) {
        sequence += 1;
        let time_ms = HELLO_MS - 40_000 + second * 1_000;
        connection.send(&batch_of(sequence, time_ms, &[(2, 50_000, &pulse(time_ms))], None)).await;
    }
    connection.acknowledged(sequence).await;
}

/// As the page reads it: pieces with the time of their first value, interval in ms and values, and beats.
#[derive(Debug, Default)]
struct Read {
    pieces: Vec<(f64, f64, Vec<i64>)>,
    beats: Vec<f64>,
}

fn read(bytes: &[u8]) -> Read {
    assert_eq!((bytes[0], bytes[1]), (1, 2), "version and channel");
    let (mut at, mut read) = (2, Read::default());
    let number = |at: &mut usize| {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = bytes[*at];
            *at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    };
    while at < bytes.len() {
        let kind = bytes[at];
        at += if kind == 3 { 1 } else { 2 };
        let first_ms = f64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let count = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap());
        at += 12;
        if kind == 3 {
            let mut time_ms = first_ms;
            for _ in 0..count {
                #[expect(clippy::cast_precision_loss, reason = "it is small")]
                let after_us = number(&mut at) as f64;
                time_ms += after_us / 1_000.0;
                read.beats.push(time_ms);
            }
        } else {
            assert_eq!(kind, 1);
            let interval_us = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            at += 4;
            let mut value = 0;
            let mut values = Vec::new();
            for _ in 0..count {
                let zigzag = number(&mut at);
                value += (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                values.push(value);
            }
            read.pieces.push((first_ms, f64::from(interval_us) / 1_000.0, values));
        }
    }
    read
}

#[tokio::test]
async fn a_wave_comes_as_it_was_sent_with_its_gap_and_its_beats() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    deliver(&ward).await;
    let (from, to) = (now_ms() - 60_000, now_ms() + 60_000);
    let ask = |query: String| {
        let (ward, cookie) = (&ward, &cookie);
        async move { ward.get(&format!("/api/v1/devices/bed_1/waves?{query}"), cookie).await }
    };
    let answer = ask(format!("channel=Pulse_Signal&from={from}&to={to}")).await;
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let all = read(&answer.body);
    assert_eq!(all.pieces.len(), 2, "one on each side of the gap: {all:?}");
    let [(first_ms, interval_ms, before), (after_ms, _, after)] = &all.pieces[..] else { panic!() };
    assert_eq!((*interval_ms, before.len(), after.len()), (50.0, 400, 200));
    assert!((after_ms - first_ms - 24_000.0).abs() < 1.0);
    let sent: Vec<i64> = (0..20).flat_map(|s| pulse(HELLO_MS - 40_000 + s * 1_000)).map(i64::from).collect();
    assert_eq!(*before, sent);
    // Of the first seconds the detector knows too little; then it finds each.
    let beats: Vec<f64> = all.beats.iter().copied().filter(|ms| *ms < first_ms + 20_000.0).collect();
    assert!(beats.len() >= 18, "{} beats", beats.len());
    assert!(beats.windows(2).all(|two| (two[1] - two[0] - BEAT_MS).abs() < 60.0), "{beats:?}");
    assert!(all.beats.iter().all(|ms| *ms < first_ms + 20_500.0 || *ms > *after_ms), "none in the gap");

    // A part of it has the same beats: the detector saw what was before.
    #[expect(clippy::cast_possible_truncation, reason = "it is the time of day")]
    let part_ms = *first_ms as i64 + 12_000;
    let part = ask(format!("channel=Pulse_Signal&from={part_ms}&to={}", part_ms + 4_000)).await;
    let part = read(&part.body);
    assert!((79..=81).contains(&part.pieces[0].2.len()));
    let same = |ms: &f64| all.beats.iter().any(|other| (other - ms).abs() < 60.0);
    assert!((4..=6).contains(&part.beats.len()) && part.beats.iter().all(same), "{part:?}");

    for wrong in [
        String::new(),
        format!("channel=Pulse_Signal&from={from}&to={from}"),
        format!("channel=Pulse_Signal&from={from}&to={}", from + 1_800_001),
        format!("channel=Pulse_Signal&from=-1&to={to}"),
        "channel=Pulse_Signal&from=253402300800000&to=253402300800001".to_owned(),
        format!("channel=%27%3B%20DROP%20TABLE%20entries%20--&from={from}&to={to}"),
        format!("channel=..%2F..%2Fetc&from={from}&to={to}"),
    ] {
        let answer = ask(wrong.clone()).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["error"].as_str().unwrap().len() > 10, "{wrong}");
    }
    for ends in ["from=0&to=1", "from=253402300799998&to=253402300799999"] {
        let none = ask(format!("channel=Pulse_Signal&{ends}")).await;
        assert_eq!((none.status, none.body.len()), (200, 2), "{ends}");
    }
}

#[tokio::test]
async fn a_wave_is_of_the_present_stay_and_for_who_sees_the_device() {
    let ward = Ward::open().await;
    let (scoped, ana) = (ward.log_in("scoped").await, ward.log_in("ana").await);
    deliver(&ward).await;
    let path = |device: &str| {
        format!(
            "/api/v1/devices/{device}/waves?channel=Pulse_Signal&from={}&to={}",
            now_ms() - 60_000,
            now_ms() + 60_000
        )
    };
    assert!(ward.get(&path("bed_1"), &scoped).await.body.len() > 600);
    for other in ["bed_2", "bed_9", "..%2f..%2fetc"] {
        assert_eq!(ward.get(&path(other), &scoped).await.status, 404, "{other}");
    }
    let other = vitalwire_registry::PatientChange { name: Some("Bo".to_owned()), ..Default::default() };
    let moment =
        vitalwire_registry::Moment { time_us: i64::try_from(now_ms()).unwrap() * 1_000, position: 1_000 };
    ward.clinic.registry.set_patient(&"bed_1".parse().unwrap(), &other, Some(moment)).unwrap();
    ward.clinic.known().await;
    assert_eq!(ward.get(&path("bed_1"), &ana).await.body, [1, 0], "Bo measured nothing yet");
}

#[tokio::test]
async fn what_the_server_has_not_derived_yet_is_no_mistake() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    crate::patients::deliver(&ward).await;
    let path = |what: &str, channel: &str| {
        let (from, to) = (now_ms() - 60_000, now_ms());
        format!("/api/v1/devices/bed_1/{what}?channel={channel}&from={from}&to={to}&points=10")
    };
    let answer = ward.get(&path("history", "Heart_Rate"), &cookie).await;
    assert_eq!((answer.status, &answer.json()["time"]), (200, &serde_json::json!([])), "{answer:?}");
    assert_eq!(ward.get(&path("history", "Hart_Rate"), &cookie).await.status, 400);
}

#[tokio::test]
async fn history_says_why_nothing_was_measured() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let mut connection = greet(&ward).await;
    // Between the second and the third two batches are missing: devices send in order, so they are lost.
    for (sequence, ago_ms) in [(1, 20_000), (2, 12_000), (5, 2_000)] {
        let time_ms = HELLO_MS - ago_ms;
        connection.send(&batch_of(sequence, time_ms, &[(2, 50_000, &pulse(time_ms))], None)).await;
    }
    connection.acknowledged(5).await;
    let path = format!(
        "/api/v1/devices/bed_1/history?channel=Pulse_Signal&from={}&to={}&points=1000",
        now_ms() - 60_000,
        now_ms() + 600_000
    );
    let gaps = ward.get(&path, &cookie).await.json()["gaps"].as_array().unwrap().clone();
    let causes: Vec<_> = gaps.iter().map(|gap| gap["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["unmeasured", "lost"]);
    let longs: Vec<_> =
        gaps.iter().map(|gap| gap["to"].as_i64().unwrap() - gap["from"].as_i64().unwrap()).collect();
    assert!((longs[0] - 7_050).abs() <= 2 && (longs[1] - 9_050).abs() <= 2, "{longs:?}");
}

#[tokio::test]
async fn beats_and_the_ends_of_the_connection_are_told_live() {
    let ward = Ward::open().await;
    let mut live = ward.live(&ward.log_in("scoped").await).await;
    let mut connection = greet(&ward).await;
    let known = live.json(1, |device| device["id"] == "bed_1" && device["online"] == true).await;
    let devices_at = ward.clinic.server().addresses().devices.to_string();
    assert_eq!(known["local"], devices_at.as_str());
    assert!(known["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{known}");
    for second in 0..9 {
        let time_ms = HELLO_MS - 9_000 + second * 1_000;
        connection.send(&batch_of(second + 1, time_ms, &[(2, 50_000, &pulse(time_ms))], None)).await;
    }
    connection.acknowledged(9).await;
    let mut beats: Vec<f64> = Vec::new();
    while beats.len() < 4 {
        let bytes = live.until(8, |_| true).await;
        assert_eq!(u64::from(u16::from_le_bytes([bytes[0], bytes[1]])), known["n"].as_u64().unwrap());
        let times = bytes[2..].as_chunks::<8>().0;
        beats.extend(times.iter().map(|time| f64::from_le_bytes(*time)));
    }
    assert!(beats.windows(2).all(|two| (two[1] - two[0] - BEAT_MS).abs() < 60.0), "{beats:?}");
    drop(connection);
    let gone = live.json(1, |device| device["id"] == "bed_1" && device["online"] == false).await;
    assert_eq!((&gone["peer"], &gone["local"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}
