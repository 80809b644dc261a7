//! Samples flow: device → gateway → embedded broker → subscriber, on real sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use vitalwire_gateway::{FeedItem, Health, Limits};
use vitalwire_protocol::Variant;
use vitalwire_testing::clinic::{Clinic, closes, send};
use vitalwire_testing::link::batch;
use vitalwire_testing::mosquitto::Subscriber;
use vitalwire_testing::paper::{JSON, eleven_topics};
use vitalwire_testing::{PATIENCE, quick};

#[tokio::test]
async fn eleven_topics_carry_the_values_as_sent() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol("iot_med_dev_01").await;
    let mut subscriber = clinic.subscribe(&["Pico/#", "vitalwire/v1/#"]).await;
    let stream = device.connect_delivering(&mut subscriber).await;
    let mut later = clinic.subscribe(&["Pico/#"]).await;
    let mut stream = stream;
    stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
    let seen = later.collect(&eleven_topics("iot_med_dev_01")).await;
    let value = |suffix: &str| seen[&format!("Pico/iot_med_dev_01/{suffix}")].as_str();
    assert_eq!(value("Physiological_Data/Temperature"), "36.600");
    assert_eq!(value("Physiological_Data/Pulse_Signal"), "1.802");
    assert_eq!(value("Physiological_Data/Accelerometer/y"), "-0.12");
    assert_eq!(value("Internal_Device_Data/Temperature/MPU"), "23.400");
    assert_eq!(value("Ip_address"), "127.0.0.1");
    assert_eq!(value("Port_address"), stream.local_addr().unwrap().port().to_string());
    assert_eq!(value("Internal_Server/Port_address"), device.address.port().to_string());
    assert_eq!(seen.len(), 11, "the tree below Pico/ is exactly the paper's: {seen:?}");
}

#[tokio::test]
async fn reading_is_one_json_message_with_units_and_assurance() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    let mut stream = device.connect_delivering(&mut subscriber).await;
    stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
    let json = subscriber.value("vitalwire/v1/d/reading").await;
    let reading: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(reading["sequence"], 2, "counts from 1 in each connection");
    assert_eq!(reading["assurance"], "confidential-only");
    assert_eq!(reading["values"]["Temperature"], serde_json::json!({"value": 36.6, "unit": "Cel"}));
    assert_eq!(reading["values"]["Accelerometer/y"]["value"], -0.12);
    let time = humantime::parse_rfc3339(reading["time"].as_str().unwrap()).unwrap();
    assert!(time.elapsed().unwrap() < PATIENCE);
}

#[tokio::test]
async fn both_variants_and_any_coalescing_arrive_in_order() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol("d").await;
    let mut subscriber =
        clinic.subscribe(&["Pico/d/Physiological_Data/Pulse_Signal", "vitalwire/v1/d/reading"]).await;
    drop(device.connect_delivering(&mut subscriber).await);
    subscriber.rest();
    for variant in [Variant::Chained, Variant::Blockwise] {
        let mut stream = device.connect().await;
        let frames: Vec<u8> = (0..50)
            .flat_map(|n| device.frame(variant, &vitalwire_testing::paper::numbered_json(n)))
            .collect();
        stream.write_all(&frames).await.unwrap();
        for n in 0..50 {
            let value = subscriber.value("Pico/d/Physiological_Data/Pulse_Signal").await;
            assert_eq!(value, n.to_string(), "{variant}");
        }
        drop(stream);
        clinic.until("the connection's end", |stats| stats.devices == 0).await;
    }
}

#[tokio::test]
async fn a_frame_split_at_every_byte_is_handed_on_at_its_last_byte() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol("d").await;
    let topic = "Pico/d/Physiological_Data/Pulse_Signal";
    let mut subscriber = clinic.subscribe(&[topic, "vitalwire/v1/d/reading"]).await;
    let mut stream = device.connect_delivering(&mut subscriber).await;
    subscriber.rest();
    let frame = device.numbered(7);
    for cut in 1..frame.len() {
        stream.write_all(&frame[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(&frame[cut..]).await.unwrap();
        assert_eq!(subscriber.value(topic).await, "7", "cut at {cut}");
    }
}

#[tokio::test]
async fn status_turns_with_the_connection_and_is_retained() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/+"]).await;
    let mut stream = device.connect().await;
    send(&mut stream, &device.frame(Variant::Chained, JSON)).await;
    assert_eq!(subscriber.value("vitalwire/v1/d/status").await, "online");
    let mut later = clinic.subscribe(&["vitalwire/v1/d/status"]).await;
    assert_eq!(later.value("vitalwire/v1/d/status").await, "online");
    drop(stream);
    assert_eq!(later.value("vitalwire/v1/d/status").await, "offline");
}

#[tokio::test]
async fn second_connection_never_wins_over_one_that_delivers() {
    // However long the machine stands still, the first is not silent for that long.
    let limits = Limits { takeover_silence: PATIENCE, ..Limits::default() };
    let clinic = Clinic::with_limits(limits).await;
    let device = clinic.enrol("d").await;
    let mut subscriber =
        clinic.subscribe(&["vitalwire/v1/d/#", "Pico/d/Physiological_Data/Pulse_Signal"]).await;
    let mut first = device.connect_delivering(&mut subscriber).await;
    // A capture of the device's own frames, replayed from elsewhere: they carry number 666.
    let mut replay = device.connect().await;
    replay.write_all(&device.numbered(666)).await.unwrap();
    let deliver = async {
        for number in 0.. {
            send(&mut first, &device.numbered(number)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = closes(&mut replay, "a replay") => {}
        () = deliver => {}
    }
    let event: serde_json::Value =
        serde_json::from_str(&subscriber.value("vitalwire/v1/d/event").await).unwrap();
    assert_eq!(event["kind"], "second-connection-refused");
    first.write_all(&device.numbered(999)).await.unwrap();
    loop {
        let value = subscriber.value("Pico/d/Physiological_Data/Pulse_Signal").await;
        assert_ne!(value, "666", "a replayed frame must not be published");
        if value == "999" {
            break;
        }
    }
}

#[tokio::test]
async fn second_connection_takes_over_after_silence_and_loses_nothing() {
    let limits = Limits { takeover_silence: Duration::from_millis(300), ..Limits::default() };
    let clinic = Clinic::with_limits(limits).await;
    let device = clinic.enrol("d").await;
    let pulse = "Pico/d/Physiological_Data/Pulse_Signal";
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/#", pulse]).await;
    let mut silent = device.connect_delivering(&mut subscriber).await;
    subscriber.rest();
    let mut newcomer = device.connect().await;
    for number in 0..5 {
        newcomer.write_all(&device.numbered(number)).await.unwrap();
    }
    for number in 0..5 {
        assert_eq!(subscriber.value(pulse).await, number.to_string());
    }
    closes(&mut silent, "a takeover").await;
    let mut later = clinic.subscribe(&["vitalwire/v1/d/status"]).await;
    assert_eq!(later.value("vitalwire/v1/d/status").await, "online");
}

#[tokio::test]
async fn revoking_and_rotating_close_the_connection_within_a_second() {
    let clinic = Clinic::open().await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/#"]).await;
    let mut round = 0;
    quick(Duration::from_secs(1), async || {
        round += 1;
        let names = [format!("revoked_{round}"), format!("rotated_{round}")];
        let (revoked, rotated) = (clinic.enrol(&names[0]).await, clinic.enrol(&names[1]).await);
        let mut first = revoked.connect_delivering(&mut subscriber).await;
        let mut second = rotated.connect_delivering(&mut subscriber).await;
        let started = Instant::now();
        clinic.registry.revoke_device(&names[0].parse().unwrap()).unwrap();
        clinic.registry.rotate_device(&names[1].parse().unwrap(), Duration::ZERO).unwrap();
        closes(&mut first, "a revocation").await;
        closes(&mut second, "a rotation").await;
        let took = started.elapsed();
        let mut again = revoked.connect().await;
        again.write_all(&revoked.frame(Variant::Chained, JSON)).await.unwrap();
        closes(&mut again, "a revoked device's frame").await;
        took
    })
    .await;
}

#[tokio::test]
async fn stop_hands_on_what_was_sent_and_leaves_devices_offline() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol("d").await;
    let pulse = "Pico/d/Physiological_Data/Pulse_Signal";
    let mut subscriber = clinic.subscribe(&[pulse, "vitalwire/v1/d/+"]).await;
    let mut stream = device.connect_delivering(&mut subscriber).await;
    subscriber.rest();
    for number in 0..100 {
        stream.write_all(&device.numbered(number)).await.unwrap();
    }
    let started = Instant::now();
    clinic.stop().await;
    assert!(started.elapsed() < PATIENCE / 2, "took {:?}", started.elapsed());
    let mut pulses = Vec::new();
    loop {
        let (topic, value) = subscriber.next().await;
        match topic.as_str() {
            topic if topic == pulse => pulses.push(value),
            "vitalwire/v1/d/status" => {
                assert_eq!(value, "offline");
                break;
            }
            _ => {}
        }
    }
    assert_eq!(pulses, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn health_and_metrics_are_served() {
    let clinic = Clinic::open().await;
    for (path, expected) in
        [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "vitalwire_readings_total 0")]
    {
        let answer = clinic.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(expected), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_reader_that_is_away_shows_in_the_metrics() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol("d").await;
    let addresses = clinic.server().addresses();
    let stored = ["-i", "ward", "-c", "-q", "1", "-t", "vitalwire/v1/+/reading"];
    Subscriber::start(addresses.mqtt.unwrap(), "watcher", &stored).await.kill().await;
    clinic.eventually("the reader has left", || clinic.server().stats().mqtt_clients == 0).await;
    let mut others = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    let mut stream = device.connect_delivering(&mut others).await;
    stream.write_all(&device.numbered(1)).await.unwrap();
    others.next().await;
    let metrics = clinic.get("/metrics").await;
    let lag = "vitalwire_mqtt_session_messages_behind{client=\"ward\",user=\"watcher\"} ";
    assert!(metrics.contains(lag) && metrics.contains("vitalwire_mqtt_sessions_behind 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_handle_tells_what_the_server_knows() {
    let mut clinic = Clinic::open().await;
    let (framed, linked) = (clinic.enrol("framed").await, clinic.enrol_link("linked").await);
    let handle = clinic.server();
    let mut feed = handle.feed().subscribe("test");
    let (mut connection, _) = linked.greet(1).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    let Some(FeedItem::Status(status)) = feed.next().await else { panic!("a status") };
    assert_eq!((status.device.as_str(), status.is_online), ("linked", true));
    let Some(FeedItem::Reading(reading)) = feed.next().await else { panic!("a reading") };
    let values = reading.values();
    assert_eq!((reading.device().as_str(), reading.sequence(), values.len()), ("linked", 1, 20));
    assert_eq!((values[0].channel.name.as_str(), values[0].value), ("Temperature", 36.001));
    assert_eq!(values[19].time_us - values[0].time_us, 19 * 50_000);
    let states: Vec<_> =
        handle.devices().into_iter().map(|state| (state.device.to_string(), state.is_connected)).collect();
    assert_eq!(states, [(framed.id, false), (linked.id, true)]);
    let health = handle.health();
    assert!(health.journal == Health::Ok && health.is_broker_connected && !health.is_stopping);
    clinic.stop().await;
    assert!(handle.health().is_stopping);
    let mut last = None;
    while let Some(item) = feed.next().await {
        if matches!(item, FeedItem::Status(_) | FeedItem::Event(_)) {
            last = Some(item);
        }
    }
    let Some(FeedItem::Status(status)) = last else { panic!("it left last") };
    assert!(!status.is_online);
}
