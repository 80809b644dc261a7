//! What the server derives of a pulse wave: live on its topic, in the history, for readers that were away, and erased with its
//! device.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use std::time::{Duration, SystemTime};

use serde_json::Value;
use vitalwire_gateway::{HistoryQuery, Limits};
use vitalwire_testing::clinic::{Clinic, Reader};
use vitalwire_testing::link::{HELLO_MS, LinkDevice, batch_of};

const BOOT: u64 = 7;
/// Of the pulse wave that is sent.
const RATE_PER_MIN: f64 = 72.0;

/// A pulse wave of so many seconds that ends just before `Hello`: a beat rises quickly and falls slowly, as a finger's does.
fn pulse(sequence: u64, seconds: u32) -> Vec<u8> {
    let value = |n: u32| {
        let phase = (f64::from(n) / 20.0 * RATE_PER_MIN / 60.0).fract();
        let beat = (-((phase - 0.25) / 0.1).powi(2)).exp() + 0.35 * (-((phase - 0.55) / 0.12).powi(2)).exp();
        (1_500.0 + 500.0 * beat) as i32
    };
    let values: Vec<i32> = (0..seconds * 20).map(value).collect();
    let time_ms = HELLO_MS - u64::from(seconds) * 1_000;
    batch_of(
        sequence,
        time_ms,
        &[(0, 1_000_000, &vec![36_600; seconds as usize]), (2, 50_000, &values)],
        None,
    )
}

/// The place (boot, sequence, index) of a message, and its rate.
fn place(text: &str) -> ((String, u64, u64), Option<f64>) {
    let json: Value = serde_json::from_str(text).unwrap();
    let number = |field: &str| json[field].as_u64().unwrap();
    let place = (json["boot"].as_str().unwrap().to_owned(), number("sequence"), number("index"));
    assert!(json.get("device_time_ms").is_none() && json["assurance"] == "authenticated", "{text}");
    (place, json["values"]["Pulse_Rate"]["value"].as_f64())
}

async fn rates(clinic: &Clinic) -> u64 {
    let query = HistoryQuery {
        device: "d".parse().unwrap(),
        channel: "Pulse_Rate".into(),
        from: SystemTime::now() - Duration::from_secs(3_600),
        to: SystemTime::now() + Duration::from_secs(3_600),
    };
    clinic.server().history().buckets(&query, 1).await.unwrap().iter().map(|bucket| bucket.samples).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulse_rate_is_told_kept_told_again_and_erased() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let filter = "vitalwire/v1/+/derived";
    let away = Reader::connect(clinic.mqtt(), "away", &[filter]).await;
    away.leave().await;
    let mut subscriber = clinic.subscribe(&[filter]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&pulse(1, 40)).await;
    connection.acknowledged(1).await;
    let mut told = Vec::new();
    while told.len() < 35 {
        told.push(place(&subscriber.next().await.1));
    }
    let known: Vec<f64> = told.iter().filter_map(|(_, rate)| *rate).collect();
    assert!(known.len() >= 15, "{told:?}");
    assert!(known.iter().all(|rate| (rate - RATE_PER_MIN).abs() <= 2.0), "{known:?}");
    clinic.stop().await;
    told.extend(subscriber.rest().iter().map(|(_, text)| place(text)));
    let known = told.iter().filter(|(_, rate)| rate.is_some()).count() as u64;
    let places: Vec<_> = told.iter().map(|(place, _)| place.clone()).collect();
    assert!(places.is_sorted_by_key(|(_, sequence, index)| (*sequence, *index)), "{places:?}");
    clinic.start(Limits::default(), None).await;
    assert_eq!(rates(&clinic).await, known, "each is in the history once");
    // Who was away gets the same, by the same names.
    let mut reader = Reader::come_back(clinic.mqtt(), "away");
    let mut again = Vec::new();
    reader
        .take(|_, text| {
            again.push(place(text));
            again.len() == told.len()
        })
        .await;
    assert_eq!(again, told);
    let id = "d".parse().unwrap();
    clinic.registry.revoke_device(&id).unwrap();
    clinic.registry.request_erasure(&id).unwrap();
    clinic.eventually("the erasure", || clinic.registry.directory().unwrap().erasures.is_empty()).await;
    assert_eq!(rates(&clinic).await, 0);
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_changes_its_profile_is_watched_by_the_new_one() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/derived"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&pulse(1, 20)).await;
    connection.acknowledged(1).await;
    while place(&subscriber.next().await.1).1.is_none() {}
    // What was a pulse wave is an ECG from now on: its rate is no pulse rate.
    let device = LinkDevice { profile: "ecg", ..device };
    let (mut connection, _) = device.greet(BOOT + 1).await;
    connection.send(&pulse(1, 20)).await;
    connection.acknowledged(1).await;
    loop {
        let text = subscriber.next().await.1;
        let json: Value = serde_json::from_str(&text).unwrap();
        if json["sequence"].as_u64().unwrap() > 1 && json["values"].get("Pulse_Rate").is_none() {
            break;
        }
    }
}
