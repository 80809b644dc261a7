//! Readers of MQTT that were away: what they missed comes out of the journal. `just faults` kills the server a hundred times:
//! VITALWIRE_FAULTS=full.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::net::TcpStream;
use vitalwire_gateway::Limits;
use vitalwire_testing::clinic::child::{self, Gateway, serve_until_killed};
use vitalwire_testing::clinic::{Clinic, Reader};
use vitalwire_testing::link::{Answer, LinkDevice, batch, hello, shake};
use vitalwire_testing::seed::{length, seed};
use vitalwire_testing::{PATIENCE, until};

const BOOT: u64 = 7;
/// Values of a channel in one batch.
const MOMENTS: u64 = 20;

/// Sends these batches of the device, each acknowledged.
async fn deliver(device: &LinkDevice, batches: std::ops::RangeInclusive<u64>) {
    let (mut connection, _) = device.greet(BOOT).await;
    for sequence in batches {
        connection.send(&batch(sequence)).await;
        connection.acknowledged(sequence).await;
    }
}

/// The (sequence, index) of a `reading`; nothing of other messages.
fn number(topic: &str, text: &str) -> Option<(u64, u64)> {
    let reading: serde_json::Value =
        topic.ends_with("/reading").then(|| serde_json::from_str(text).unwrap())?;
    Some((reading["sequence"].as_u64().unwrap(), reading["index"].as_u64().unwrap()))
}

/// The numbers of the next `count` readings, and the topics of all that came with them.
async fn take(reader: &mut Reader, count: usize) -> (Vec<(u64, u64)>, Vec<String>) {
    let (mut numbers, mut topics) = (Vec::new(), Vec::new());
    let is_last = |topic: &str, text: &str| {
        numbers.extend(number(topic, text));
        topics.push(topic.to_owned());
        numbers.len() == count
    };
    reader.take(is_last).await;
    (numbers, topics)
}

fn moments(batches: std::ops::RangeInclusive<u64>) -> Vec<(u64, u64)> {
    batches.flat_map(|sequence| (0..MOMENTS).map(move |index| (sequence, index))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reader_missed_comes_out_of_the_journal_in_order_and_nothing_of_it_is_in_the_brokers_file() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut reader = Reader::connect(clinic.mqtt(), "ward", &["vitalwire/v1/+/reading", "Pico/#"]).await;
    deliver(&device, 1..=5).await;
    assert_eq!(take(&mut reader, 100).await.0, moments(1..=5));
    reader.leave().await;
    deliver(&device, 6..=20).await;
    // What waits for it is in the journal, and only there.
    clinic.stop().await;
    let stored = std::fs::read(clinic.data().join("mqtt/broker.db")).unwrap();
    let holds = |text: &[u8]| stored.windows(text.len()).any(|window| window == text);
    assert!(holds(b"Pico/d/Ip_address") && !holds(b"vitalwire/v1/d/reading"));
    clinic.start(Limits::default(), None).await;
    let device = LinkDevice { address: clinic.server().addresses().devices, ..device };
    deliver(&device, 21..=40).await;
    let mut reader = Reader::come_back(clinic.mqtt(), "ward");
    // While it catches up, more comes.
    let ((numbers, topics), ()) = tokio::join!(take(&mut reader, 900), deliver(&device, 41..=50));
    assert_eq!(numbers, moments(6..=50));
    let values = topics.iter().filter(|topic| *topic == "Pico/d/Physiological_Data/Temperature");
    assert_eq!(values.count(), 900, "values have their own topics, as they had when they came");
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_erased_device_had_comes_to_no_one_who_was_away() {
    let mut clinic = Clinic::open().await;
    let (gone, stays) = (clinic.enrol_link("gone").await, clinic.enrol_link("stays").await);
    let reader = Reader::connect(clinic.mqtt(), "ward", &["vitalwire/v1/+/reading"]).await;
    reader.leave().await;
    for device in [&gone, &stays] {
        deliver(device, 1..=5).await;
    }
    clinic.stop().await;
    clinic.start(Limits::default(), None).await;
    clinic.registry.revoke_device(&"gone".parse().unwrap()).unwrap();
    clinic.registry.request_erasure(&"gone".parse().unwrap()).unwrap();
    clinic.eventually("the erasure", || clinic.registry.directory().unwrap().erasures.is_empty()).await;
    let mut reader = Reader::come_back(clinic.mqtt(), "ward");
    let (_, topics) = take(&mut reader, 100).await;
    assert!(topics.iter().all(|topic| topic.contains("/stays/")), "{topics:?}");
    // Five of the device, and one of what was derived of them.
    let gone = "vitalwire_mqtt_entries_gone_total 6";
    assert!(clinic.get("/metrics").await.contains(gone), "what it missed for good is counted");
    clinic.stop().await;
}

/// No test of its own, but the process that the test below starts and kills.
#[tokio::test]
#[ignore = "it serves until it is killed"]
async fn the_gateway_that_is_killed() {
    serve_until_killed().await;
}

/// Sends all up to this batch, from what is held on; false when the connection ends before.
async fn send_up_to(device: &LinkDevice, last: u64) -> bool {
    let Ok(stream) = TcpStream::connect(device.address).await else { return false };
    let Ok(mut connection) = shake(stream, &device.context()).await else { return false };
    connection.try_send(&hello(BOOT)).await;
    let Answer::Welcome(held) = connection.answer().await else { return false };
    for sequence in held.unwrap_or(0) + 1..=last {
        connection.try_send(&batch(sequence)).await;
    }
    let mut held = held.unwrap_or(0);
    while held < last {
        let Answer::Ack(sequence) = connection.answer().await else { return false };
        held = sequence;
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_and_go_miss_nothing_though_the_server_is_killed_again_and_again() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let kills = length(4, 100);
    let clinic = Clinic::closed();
    let folder = clinic.folder.path().to_owned();
    let link = clinic.registry.add_tls_device(&"d".parse().unwrap()).unwrap();
    let mut device =
        LinkDevice { id: "d".into(), link, address: "127.0.0.1:0".parse().unwrap(), profile: "pico" };
    let mut gateway = Gateway::start(&folder);
    let mut mqtt;
    (device.address, mqtt) = child::serving(&folder).await;
    for (name, filter) in [("here", "vitalwire/v1/+/reading"), ("away", "vitalwire/v1/d/reading")] {
        Reader::connect(mqtt, name, &[filter]).await.leave().await;
        // The broker writes a moment later; a session that a kill takes away misses everything.
        until("the session is on the disk", || {
            let stored = ["broker.db", "broker.db-wal"].map(|file| folder.join("data/mqtt").join(file));
            let holds = |bytes: &[u8]| bytes.windows(filter.len()).any(|text| text == filter.as_bytes());
            stored.iter().any(|file| std::fs::read(file).is_ok_and(|bytes| holds(&bytes)))
        })
        .await;
    }
    let (mut here, mut away) = (BTreeSet::new(), BTreeSet::new());
    let mut last = 0;
    for kill in 0..kills {
        last += 10;
        let mut reader = Reader::come_back(mqtt, "here");
        let killed = Duration::from_micros(random.random_range(0..150_000));
        // One reads until the server is killed under load; one is there now and then.
        let load = async { while !send_up_to(&device, last).await {} };
        let _ = tokio::time::timeout(killed, load).await;
        drop(gateway);
        reader.take_rest(|topic, text| here.extend(number(topic, text)));
        gateway = Gateway::start(&folder);
        (device.address, mqtt) = child::serving(&folder).await;
        if kill % 3 == 1 {
            let mut reader = Reader::come_back(mqtt, "away");
            tokio::time::sleep(Duration::from_micros(random.random_range(0..150_000))).await;
            reader.take_rest(|topic, text| away.extend(number(topic, text)));
        }
    }
    let sent = async { while !send_up_to(&device, last).await {} };
    tokio::time::timeout(PATIENCE, sent).await.expect("all is acknowledged");
    let all: BTreeSet<_> = moments(1..=last).into_iter().collect();
    for (name, mut got) in [("here", here), ("away", away)] {
        let mut reader = Reader::come_back(mqtt, name);
        if got.len() < all.len() {
            // What it had at the last may come again first.
            let is_last = |topic: &str, text: &str| {
                number(topic, text).is_some_and(|of| got.insert(of) && got.len() == all.len())
            };
            reader.take(is_last).await;
        }
        assert!(got == all, "{name}");
    }
    println!("{kills} kills, {last} batches, no reader missed one");
}
