//! An external broker: Debian's mosquitto carries the same topics; while it is away nothing is lost.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use vitalwire_protocol::Variant;
use vitalwire_protocol::batch::{MESSAGE_LEN_MAX, Samples, encode_batch};
use vitalwire_testing::clinic::{Subscriber, clinic_at, clinic_with};
use vitalwire_testing::free_port;
use vitalwire_testing::link::{HELLO_MS, batch_of};
use vitalwire_testing::mosquitto::Mosquitto;
use vitalwire_testing::paper::{JSON, eleven_topics};

#[tokio::test]
async fn mosquitto_carries_the_same_eleven_topics() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let mut clinic = clinic_with(mosquitto.port).await;
    let device = clinic.enrol("iot_med_dev_01").await;
    let mut subscriber = Subscriber::connect(mosquitto.port, &["Pico/#", "vitalwire/v1/#"], true).await;
    let stream = device.connect_delivering(&mut subscriber).await;
    let mut later = Subscriber::connect(mosquitto.port, &["Pico/#"], true).await;
    let mut stream = stream;
    stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
    let seen = later.collect(&eleven_topics("iot_med_dev_01")).await;
    assert_eq!(seen["Pico/iot_med_dev_01/Physiological_Data/Pulse_Signal"], "1.802");
    assert_eq!(seen.len(), 11);
    let mut status = Subscriber::connect(mosquitto.port, &["vitalwire/v1/+/status"], true).await;
    assert_eq!(status.value("vitalwire/v1/iot_med_dev_01/status").await, "online");
    clinic.stop().await;
    assert_eq!(status.value("vitalwire/v1/iot_med_dev_01/status").await, "offline");
}

/// The number of a reading whose device numbered it.
fn pulse_of(reading: &str) -> String {
    let reading: serde_json::Value = serde_json::from_str(reading).unwrap();
    reading["values"]["Pulse_Signal"]["value"].to_string()
}

#[tokio::test]
async fn what_was_held_up_has_no_value_below_pico() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let port = mosquitto.port;
    let clinic = clinic_with(port).await;
    let device = clinic.enrol("d").await;
    let pulse = "Pico/d/Physiological_Data/Pulse_Signal";
    let mut subscriber = Subscriber::connect(port, &[pulse, "vitalwire/v1/d/reading"], false).await;
    let mut stream = device.connect_delivering(&mut subscriber).await;
    mosquitto.stop();
    clinic.until("the broker is missed", |stats| !stats.broker_connected).await;
    subscriber.rest();
    for number in 5..10 {
        stream.write_all(&device.numbered(number)).await.unwrap();
    }
    clinic.until("they are taken", |stats| stats.readings == 6).await;
    let _mosquitto = Mosquitto::start(folder.path(), port).await;
    // What was on its way when the broker went comes again first.
    while pulse_of(&subscriber.value("vitalwire/v1/d/reading").await) != "9" {}
    stream.write_all(&device.numbered(10)).await.unwrap();
    loop {
        let (topic, payload) = subscriber.next().await;
        if topic == pulse {
            assert_eq!(payload, "10", "only what is live");
            break;
        }
    }
}

#[tokio::test]
async fn two_servers_at_one_broker_do_not_evict_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    // In one process, as in two containers, where each is process 1.
    let clinics = [clinic_with(mosquitto.port).await, clinic_with(mosquitto.port).await];
    let filters = ["Pico/+/Physiological_Data/Pulse_Signal", "vitalwire/v1/+/reading"];
    let mut subscriber = Subscriber::connect(mosquitto.port, &filters, true).await;
    let mut streams = Vec::new();
    for (clinic, id) in clinics.iter().zip(["a", "b"]) {
        clinic.until("the broker is there", |stats| stats.broker_connected).await;
        let device = clinic.enrol(id).await;
        let stream = device.connect().await;
        streams.push((device, stream));
    }
    for number in 0..20 {
        for (device, stream) in &mut streams {
            stream.write_all(&device.numbered(number)).await.unwrap();
            // A live value: while a server has lost its broker it publishes none.
            let topic = format!("Pico/{}/Physiological_Data/Pulse_Signal", device.id);
            assert_eq!(subscriber.value(&topic).await, number.to_string());
        }
    }
}

#[tokio::test]
async fn a_takeover_says_no_offline_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let clinic = clinic_with(mosquitto.port).await;
    let device = clinic.enrol_link("d").await;
    let (status, reading) = ("vitalwire/v1/d/status", "vitalwire/v1/d/reading");
    let mut subscriber = Subscriber::connect(mosquitto.port, &[status, reading], true).await;
    clinic.until("the broker is there", |stats| stats.broker_connected).await;
    let mut old = device.greet(1).await.0;
    assert_eq!(subscriber.value(status).await, "online");
    for sequence in 1..=5 {
        let (mut new, _) = device.greet(1).await;
        old.closes("a newer session").await;
        new.send(&batch_of(sequence, HELLO_MS, &[(0, 50_000, &[36_600])], None)).await;
        new.acknowledged(sequence).await;
        old = new;
        loop {
            let (topic, payload) = subscriber.next().await;
            if topic == reading {
                break;
            }
            assert_eq!(payload, "online", "takeover {sequence}");
        }
    }
    drop(old);
    assert_eq!(subscriber.value(status).await, "offline");
    // It comes again at once, when the connection that said so may not have ended yet.
    let _again = device.greet(1).await;
    assert_eq!(subscriber.value(status).await, "online");
}

#[tokio::test]
async fn readings_wait_while_the_broker_is_away_and_arrive_in_order() {
    const READINGS: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let port = mosquitto.port;
    let clinic = clinic_with(port).await;
    let device = clinic.enrol("d").await;
    let mut subscriber = Subscriber::connect(port, &["vitalwire/v1/d/reading"], false).await;
    let mut stream = device.connect_delivering(&mut subscriber).await;
    subscriber.rest();
    let mut mosquitto = Some(mosquitto);
    for number in 0..READINGS {
        stream.write_all(&device.numbered(number)).await.unwrap();
        if number == READINGS / 4 {
            mosquitto.take().unwrap().stop();
        }
    }
    clinic.until("all readings are taken", |stats| stats.readings > READINGS as u64).await;
    let _mosquitto = Mosquitto::start(folder.path(), port).await;
    let mut expected = 0;
    while expected < READINGS {
        let Ok(value) = pulse_of(&subscriber.next().await.1).parse::<usize>() else { continue };
        // At least once: what was sent again may repeat, but nothing is missing.
        assert!(value <= expected, "{expected} is missing before {value}");
        expected = expected.max(value + 1);
    }
    clinic.until("nothing waits", |stats| stats.backlog == 0).await;
    let stats = clinic.server().stats();
    assert_eq!(stats.dropped, 0);
    assert!(stats.backfilled > 0, "what came meanwhile was read from the journal");
}

#[tokio::test]
async fn the_longest_waveform_reaches_the_broker_and_jams_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let clinic = clinic_with(mosquitto.port).await;
    let device = clinic.enrol_link("d").await;
    let waveform = "vitalwire/v1/d/waveform/Pulse_Signal";
    let mut subscriber = Subscriber::connect(mosquitto.port, &[waveform], true).await;
    clinic.until("the broker is there", |stats| stats.broker_connected).await;
    let (mut connection, _) = device.greet(1).await;
    // Each value is written with 20 characters, as many as there can be.
    let samples = Samples { index: 2, interval_us: 2_000, delay_us: 0, scale: 9, values: &[i32::MIN; 5_000] };
    let mut message = vec![0; MESSAGE_LEN_MAX];
    let len = encode_batch(1, HELLO_MS - 10_000, None, &[samples], &mut message).unwrap();
    connection.send(&message[..len]).await;
    connection.acknowledged(1).await;
    connection.send(&batch_of(2, HELLO_MS, &[(2, 50_000, &[1_800])], None)).await;
    connection.acknowledged(2).await;
    assert!(subscriber.value(waveform).await.len() > 5_000 * 20);
    assert!(subscriber.value(waveform).await.contains("1.800"));
}

#[tokio::test]
async fn what_waits_of_an_erased_device_never_reaches_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let port = mosquitto.port;
    let mut subscriber = Subscriber::connect(port, &["vitalwire/v1/+/reading"], false).await;
    mosquitto.stop();
    let clinic = clinic_with(port).await;
    let (device, other) = (clinic.enrol_link("d").await, clinic.enrol_link("other").await);
    // More than the backfill hands to the publisher at once, and old, so that only the backfill publishes them.
    let old = |sequence| batch_of(sequence, HELLO_MS - 60_000, &[(0, 50_000, &[36_600])], None);
    let (mut connection, _) = device.greet(1).await;
    for sequence in 1..=200 {
        connection.send(&old(sequence)).await;
    }
    connection.acknowledged(200).await;
    clinic.until("the backfill waits for the broker", |stats| stats.backfilled >= 60).await;
    let id = "d".parse().unwrap();
    clinic.registry.request_erasure(&id).unwrap();
    let done = || clinic.registry.erasure(&id).unwrap().is_some_and(|erasure| erasure.done.is_some());
    clinic.eventually("the erasure is done", done).await;
    let (mut connection, _) = other.greet(1).await;
    connection.send(&old(1)).await;
    connection.acknowledged(1).await;
    let _mosquitto = Mosquitto::start(folder.path(), port).await;
    let (topic, _) = subscriber.next().await;
    assert_eq!(topic, "vitalwire/v1/other/reading");
}

#[tokio::test]
async fn a_broker_over_tls_is_used_only_with_a_certificate_that_we_trust() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["127.0.0.1".to_owned()];
    let identity = vitalwire_broker::generate_self_signed(folder.path(), &names).unwrap();
    let (plain, tls) = (free_port(), free_port());
    let settings = format!(
        "listener {tls} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
        identity.certificate.display(),
        identity.key.display()
    );
    let _mosquitto = Mosquitto::start_with(folder.path(), plain, &settings).await;
    let url = format!("mqtts://watcher@127.0.0.1:{tls}");
    let distrusting = clinic_at(&url, None).await;
    let trusting = clinic_at(&url, Some(identity.certificate.clone())).await;
    let mut subscriber = Subscriber::connect(plain, &["vitalwire/v1/+/reading"], true).await;
    let device = trusting.enrol("trusted").await;
    drop(device.connect_delivering(&mut subscriber).await);
    let waiting = distrusting.enrol("distrusted").await;
    let send = async {
        loop {
            let mut stream = waiting.connect().await;
            vitalwire_testing::clinic::send(&mut stream, &waiting.frame(Variant::Chained, JSON)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = distrusting.until("a reading waits", |stats| stats.backlog > 0) => {}
        () = send => {}
    }
    let rest = subscriber.rest();
    assert!(!rest.iter().any(|(topic, _)| topic.contains("distrusted")), "{rest:?}");
}

#[tokio::test]
async fn devices_are_offline_at_the_broker_when_the_gateway_dies() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let port = mosquitto.port;
    let mut status = Subscriber::connect(port, &["vitalwire/v1/d/status"], true).await;
    let (die, dies) = tokio::sync::oneshot::channel::<()>();
    // The runtime is dropped without a stop: its sockets close as they do when a process is killed.
    let gateway = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let clinic = clinic_with(port).await;
            let device = clinic.enrol("d").await;
            let mut subscriber = Subscriber::connect(port, &["vitalwire/v1/d/reading"], true).await;
            let stream = device.connect_delivering(&mut subscriber).await;
            let _ = dies.await;
            drop((clinic, stream, subscriber));
        });
    });
    assert_eq!(status.value("vitalwire/v1/d/status").await, "online");
    die.send(()).unwrap();
    gateway.join().unwrap();
    assert_eq!(status.value("vitalwire/v1/d/status").await, "offline");
}

#[tokio::test]
async fn open_alarms_stand_again_at_a_broker_that_lost_them() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let port = mosquitto.port;
    let clinic = clinic_with(port).await;
    let device = clinic.enrol_link("d").await;
    let limits = "delay-temperature-high=0".parse().unwrap();
    clinic.registry.set_limits(&"d".parse().unwrap(), &limits).unwrap();
    clinic.known().await;
    let topic = "vitalwire/v1/d/alarm";
    let mut subscriber = Subscriber::connect(port, &[topic], true).await;
    let (mut connection, _) = device.greet(7).await;
    connection.send(&batch_of(1, HELLO_MS - 1_000, &[(0, 50_000, &[39_000; 20])], None)).await;
    while !subscriber.value(topic).await.contains("temperature-high") {}
    mosquitto.stop();
    clinic.until("the broker is missed", |stats| !stats.broker_connected).await;
    // Nothing of before is there.
    let folder = tempfile::tempdir().unwrap();
    let _mosquitto = Mosquitto::start(folder.path(), port).await;
    let mut later = Subscriber::connect(port, &[topic, "vitalwire/v1/alarms"], true).await;
    let expected = [topic.to_owned(), "vitalwire/v1/alarms".to_owned()];
    let seen = later.collect(&expected).await;
    assert!(seen[topic].contains("temperature-high"), "{seen:?}");
    // One that is revoked has none there any more.
    clinic.registry.revoke_device(&"d".parse().unwrap()).unwrap();
    while !later.value(topic).await.is_empty() {}
}
