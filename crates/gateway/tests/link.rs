//! The secure link on real sockets: handshakes, batches and their acknowledgements, reconnections.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_gateway::{GapState, HistoryQuery, Limits, is_unmapped};
use vitalwire_protocol::batch::refusal_code::{
    BAD_MESSAGE, BOOT_USED_TWICE, OTHER_BATCH_HELD, SEQUENCE_BACK, SPAN_TOO_LONG, UNKNOWN_CHANNEL,
    UNKNOWN_PROFILE,
};
use vitalwire_protocol::batch::{Event, Hello, encode_ack, encode_event, encode_welcome};
use vitalwire_registry::AuditKind;
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::{Clinic, Subscriber, closes};
use vitalwire_testing::link::{
    Answer, HELLO_MS, LinkDevice, TLS, Version, batch, batch_of, client_context, hello, hello_of, shake,
};

const TEMPERATURE: &str = "Pico/d/Physiological_Data/Temperature";
const BOOT: u64 = 0x0123_4567_89ab_cdef;

#[tokio::test]
async fn a_batch_is_published_acknowledged_and_in_the_history() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["Pico/d/#", "vitalwire/v1/d/#"]).await;
    let (mut connection, held) = device.greet(BOOT).await;
    assert_eq!(held, None);
    let values = [36_600, 36_650, 36_700];
    let pulse = [1_800, 1_900, 99_000];
    let message = batch_of(1, HELLO_MS - 1_000, &[(0, 50_000, &values), (2, 50_000, &pulse)], None);
    connection.send(&message).await;
    connection.acknowledged(1).await;
    let mut readings = Vec::new();
    let waveform = loop {
        let (topic, payload) = subscriber.next().await;
        match topic.as_str() {
            "vitalwire/v1/d/reading" => readings.push(payload),
            "vitalwire/v1/d/waveform/Pulse_Signal" => break payload,
            TEMPERATURE => assert_eq!(payload, ["36.600", "36.650", "36.700"][readings.len()]),
            _ => {}
        }
    };
    assert_eq!(readings.len(), 3);
    let reading: serde_json::Value = serde_json::from_str(&readings[2]).unwrap();
    assert_eq!(reading["boot"], "0123456789abcdef");
    assert_eq!((&reading["sequence"], &reading["index"]), (&1.into(), &2.into()));
    assert_eq!(reading["assurance"], "authenticated");
    assert_eq!(reading["device_time_ms"], HELLO_MS - 1_000 + 100);
    assert_eq!(reading["values"]["Temperature"]["value"].to_string(), "36.7");
    assert_eq!(reading["values"]["Pulse_Signal"]["plausible"], false, "99 V is kept and marked");
    let time = humantime::parse_rfc3339(reading["time"].as_str().unwrap()).unwrap();
    let age = SystemTime::now().duration_since(time).unwrap();
    assert!(age >= Duration::from_millis(900) && age < PATIENCE, "measured 0.9 s before Hello: {age:?}");
    let waveform: serde_json::Value = serde_json::from_str(&waveform).unwrap();
    assert_eq!((&waveform["unit"], &waveform["interval_ms"]), (&"V".into(), &50.into()));
    assert_eq!(waveform["values"].as_array().unwrap().len(), 3);

    let query = HistoryQuery {
        device: "d".parse().unwrap(),
        channel: "Temperature".into(),
        from: time - Duration::from_secs(60),
        to: time + Duration::from_secs(60),
    };
    let buckets = clinic.server().history().buckets(&query, 1).await.unwrap();
    assert_eq!(buckets.len(), 1);
    assert_eq!((buckets[0].samples, buckets[0].min, buckets[0].max), (3, 36.6, 36.7));
}

#[tokio::test]
async fn a_new_kind_of_device_needs_a_profile_and_no_code() {
    let mut clinic = Clinic::closed();
    std::fs::create_dir(clinic.data().join("profiles")).unwrap();
    let clip = include_str!("../../profile/profiles/spo2-clip.toml");
    std::fs::write(clinic.data().join("profiles/clip.toml"), clip).unwrap();
    clinic.start(Limits::default(), None).await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/#"]).await;
    let mut connection = device.shake().await;
    let hello = Hello {
        boot: 1,
        profile: "spo2-clip",
        firmware: "test",
        time_ms: HELLO_MS,
        oldest: None,
        past: false,
    };
    connection.send(&hello_of(&hello)).await;
    assert_eq!(connection.answer().await, Answer::Welcome(None));
    connection.send(&batch_of(1, HELLO_MS, &[(0, 1_000_000, &[97_000])], None)).await;
    connection.acknowledged(1).await;
    let reading = subscriber.value("vitalwire/v1/d/reading").await;
    assert!(reading.contains(r#""Oxygen_Saturation":{"value":97.000,"unit":"%"}"#), "{reading}");
}

#[tokio::test]
async fn what_is_held_is_told_again_and_published_once() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    for sequence in 1..=3 {
        connection.send(&batch(sequence)).await;
    }
    connection.acknowledged(3).await;
    let (mut connection, held) = device.greet(BOOT).await;
    assert_eq!(held, Some(3));
    // As if the last acknowledgements had been lost.
    for sequence in 2..=5 {
        connection.send(&batch(sequence)).await;
    }
    connection.acknowledged(5).await;
    for sequence in 1..=5_u64 {
        for index in 0..20 {
            let reading: serde_json::Value =
                serde_json::from_str(&subscriber.value("vitalwire/v1/d/reading").await).unwrap();
            assert_eq!((&reading["sequence"], &reading["index"]), (&sequence.into(), &index.into()));
        }
    }
    clinic.until("the duplicates are dropped", |stats| stats.duplicates == 2).await;
    let (_, held) = device.greet(BOOT + 1).await;
    assert_eq!(held, None, "another boot counts again");
}

#[tokio::test]
async fn a_gap_is_on_record_and_does_not_hold_the_acknowledgement_back() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut events = clinic.subscribe(&["vitalwire/v1/d/event"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    connection.send(&batch(4)).await;
    connection.acknowledged(4).await;
    drop(connection);
    // Lost while there was no connection: the device says what it still holds.
    let mut connection = device.shake().await;
    let hello =
        Hello { boot: BOOT, profile: "pico", firmware: "t", time_ms: HELLO_MS, oldest: Some(8), past: false };
    connection.send(&hello_of(&hello)).await;
    assert_eq!(connection.answer().await, Answer::Welcome(Some(7)));
    connection.send(&batch(8)).await;
    connection.acknowledged(8).await;
    assert!(events.value("vitalwire/v1/d/event").await.contains("batches-lost"));
    let gaps = clinic.server().history().gaps(&"d".parse().unwrap(), 10).await.unwrap();
    let ranges: Vec<_> = gaps.iter().map(|gap| (gap.first, gap.last, gap.state)).collect();
    assert!(ranges.contains(&(2, 3, GapState::GivenUp)), "{ranges:?}");
    assert!(ranges.contains(&(5, 7, GapState::GivenUp)), "{ranges:?}");
}

#[tokio::test]
async fn times_of_a_past_boot_keep_their_mapping_or_say_that_they_have_none() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    drop(device.greet(BOOT).await);
    let mut uncertainties = Vec::new();
    for boot in [BOOT, BOOT + 1] {
        let mut connection = device.shake().await;
        let past =
            Hello { boot, profile: "pico", firmware: "t", time_ms: HELLO_MS, oldest: Some(1), past: true };
        connection.send(&hello_of(&past)).await;
        assert_eq!(connection.answer().await, Answer::Welcome(None));
        connection.send(&batch_of(1, HELLO_MS - 20_000, &[(0, 50_000, &[36_600])], None)).await;
        connection.acknowledged(1).await;
        // It is old, so it comes by the backfill.
        let reading = subscriber.value("vitalwire/v1/d/reading").await;
        let reading: serde_json::Value = serde_json::from_str(&reading).unwrap();
        uncertainties.push(reading["uncertainty_ms"].as_u64().unwrap());
    }
    let a_day_ms = 24 * 3_600_000;
    assert!(uncertainties[0] < a_day_ms && uncertainties[1] > 300 * a_day_ms, "{uncertainties:?}");
}

#[tokio::test]
async fn the_mapping_of_a_past_boot_outlives_the_server_and_what_has_none_is_marked_in_the_history() {
    let mut clinic = Clinic::open().await;
    let mut device = clinic.enrol_link("d").await;
    for boot in [BOOT, BOOT + 1] {
        drop(device.greet(boot).await);
    }
    clinic.stop().await;
    clinic.start(Limits::default(), None).await;
    device.address = clinic.server().addresses().devices;
    for boot in [BOOT, BOOT + 1, BOOT + 2] {
        let mut connection = device.shake().await;
        let past =
            Hello { boot, profile: "pico", firmware: "t", time_ms: HELLO_MS, oldest: Some(1), past: true };
        connection.send(&hello_of(&past)).await;
        assert_eq!(connection.answer().await, Answer::Welcome(None));
        connection.send(&batch_of(1, HELLO_MS - 5_000, &[(0, 50_000, &[36_600])], None)).await;
        connection.acknowledged(1).await;
        let query = HistoryQuery {
            device: "d".parse().unwrap(),
            channel: "Temperature".into(),
            from: SystemTime::now() - Duration::from_secs(3_600),
            to: SystemTime::now() + Duration::from_secs(3_600),
        };
        let marked = clinic.server().history().buckets(&query, 1).await.unwrap();
        assert_eq!(is_unmapped(&marked[0]), boot == BOOT + 2, "{boot:x}");
    }
}

#[tokio::test]
async fn the_newest_session_of_a_device_ends_the_one_before() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut status = clinic.subscribe(&["vitalwire/v1/d/status"]).await;
    let (mut old, _) = device.greet(BOOT).await;
    assert_eq!(status.value("vitalwire/v1/d/status").await, "online");
    let (mut new, _) = device.greet(BOOT).await;
    old.closes("a newer session").await;
    new.send(&batch(1)).await;
    new.acknowledged(1).await;
    drop(new);
    assert_eq!(status.value("vitalwire/v1/d/status").await, "online", "no offline in between");
    assert_eq!(status.value("vitalwire/v1/d/status").await, "offline");
}

#[tokio::test]
async fn a_backlog_has_no_value_below_pico() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&[TEMPERATURE, "vitalwire/v1/d/reading"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch_of(1, HELLO_MS - 60_000, &[(0, 50_000, &[36_600])], None)).await;
    connection.acknowledged(1).await;
    let (topic, reading) = subscriber.next().await;
    assert_eq!(topic, "vitalwire/v1/d/reading");
    assert!(reading.contains(r#""value":36.600"#), "{reading}");
    connection.send(&batch_of(2, HELLO_MS, &[(0, 50_000, &[36_700])], None)).await;
    assert_eq!(subscriber.next().await, (TEMPERATURE.into(), "36.700".into()));
}

#[tokio::test]
async fn a_device_whose_newest_connection_fails_is_offline() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut status = clinic.subscribe(&["vitalwire/v1/d/status"]).await;
    let (_old, _) = device.greet(BOOT).await;
    assert_eq!(status.value("vitalwire/v1/d/status").await, "online");
    let mut newest = device.shake().await;
    newest.send(&hello(BOOT)).await;
    // Reset before the welcome comes.
    newest.tap().socket.set_zero_linger().unwrap();
    drop(newest);
    while status.value("vitalwire/v1/d/status").await != "offline" {}
}

#[tokio::test]
async fn a_batch_that_comes_though_it_was_given_up_is_published() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    let mut connection = device.shake().await;
    let hello =
        Hello { boot: BOOT, profile: "pico", firmware: "t", time_ms: HELLO_MS, oldest: Some(8), past: false };
    connection.send(&hello_of(&hello)).await;
    assert_eq!(connection.answer().await, Answer::Welcome(Some(7)));
    connection.send(&batch(3)).await;
    clinic.until("the journal takes it", |stats| stats.journaled == 1).await;
    let reading = subscriber.value("vitalwire/v1/d/reading").await;
    assert!(reading.contains(r#""sequence":3,"#), "{reading}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_device_that_never_stops_sending() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut status = clinic.subscribe(&["vitalwire/v1/d/status"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    assert_eq!(status.value("vitalwire/v1/d/status").await, "online");
    let flood = tokio::spawn(async move {
        let mut sequence = 0;
        loop {
            sequence += 1;
            connection.try_send(&batch(sequence)).await;
            tokio::task::yield_now().await;
        }
    });
    clinic.until("batches are taken", |stats| stats.journaled > 100).await;
    clinic.stop().await;
    assert_eq!(status.value("vitalwire/v1/d/status").await, "offline");
    flood.abort();
}

#[tokio::test]
async fn a_device_floods_no_one_with_events() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/event", "vitalwire/v1/d/reading"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    let mut event = [0; 64];
    let len = encode_event(&Event { code: 2, text: "DS18B20", time_ms: 1 }, &mut event).unwrap();
    connection.send(&event[..len].repeat(2_000)).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    let mut events = 0;
    while subscriber.next().await.0 != "vitalwire/v1/d/reading" {
        events += 1;
    }
    assert!((1..1_000).contains(&events), "{events}");
}

#[tokio::test]
async fn an_ordinary_restart_publishes_nothing_twice() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    clinic.stop().await;
    clinic.start(Limits::default(), None).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    let device = LinkDevice { address: clinic.server().addresses().devices, ..device };
    let (mut connection, held) = device.greet(BOOT).await;
    assert_eq!(held, Some(1));
    // So old that the backfill publishes it, after whatever came before.
    connection.send(&batch_of(2, HELLO_MS - 60_000, &[(0, 50_000, &[36_600])], None)).await;
    let reading = subscriber.value("vitalwire/v1/d/reading").await;
    assert!(reading.contains(r#""sequence":2,"#), "{reading}");
}

#[tokio::test]
async fn bad_messages_end_their_connection_only() {
    let clinic = Clinic::open().await;
    let (good, bad) = (clinic.enrol_link("good").await, clinic.enrol_link("bad").await);
    let (mut steady, _) = good.greet(BOOT).await;
    let mut answer = [0; 64];
    // What is refused, with which code, and which batch.
    let mut after_hello: Vec<(&str, Vec<u8>, u16, Option<u64>)> = Vec::new();
    let len = encode_ack(1, &mut answer).unwrap();
    after_hello.push(("an Ack of the device's own", answer[..len].to_vec(), BAD_MESSAGE, None));
    let welcome = vitalwire_protocol::batch::Welcome { utc_ms: 1, sequence: None };
    let len = encode_welcome(&welcome, &mut answer).unwrap();
    after_hello.push(("a Welcome of the device's own", answer[..len].to_vec(), BAD_MESSAGE, None));
    after_hello.push(("a second Hello", hello(BOOT), BAD_MESSAGE, None));
    let unknown_channel = batch_of(9, 1, &[(9, 50_000, &[1])], None);
    after_hello.push(("a channel that the profile lacks", unknown_channel, UNKNOWN_CHANNEL, Some(9)));
    let too_long = batch_of(9, 1, &[(0, 60_000_000, &[1, 2, 3])], None);
    after_hello.push(("a batch of two minutes", too_long, SPAN_TOO_LONG, Some(9)));
    after_hello.push(("no CBOR", vec![0xff; 10], BAD_MESSAGE, None));
    // It begins as a batch: the first of this connection.
    let endless = vec![0x82, 0x02, 0xa1, 0x00, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    after_hello.push(("a string without end", endless, BAD_MESSAGE, Some(1)));
    let mut number = 0;
    for (what, bytes, code, sequence) in after_hello {
        let (mut connection, _) = bad.greet(BOOT).await;
        connection.send(&bytes).await;
        connection.refuses(what, code, sequence).await;
        number += 1;
        steady.send(&batch(number)).await;
        steady.acknowledged(number).await;
    }
    for (what, bytes) in [("a batch before Hello", batch(1)), ("no Hello", b"hello".to_vec())] {
        let mut connection = bad.shake().await;
        connection.send(&bytes).await;
        connection.refuses(what, BAD_MESSAGE, None).await;
    }
    let unknown = Hello { boot: 1, profile: "nobody", firmware: "t", time_ms: 1, oldest: None, past: false };
    let mut events = clinic.subscribe(&["vitalwire/v1/bad/event"]).await;
    let mut connection = bad.shake().await;
    connection.send(&hello_of(&unknown)).await;
    connection.refuses("a profile that is not there", UNKNOWN_PROFILE, None).await;
    assert!(events.value("vitalwire/v1/bad/event").await.contains("unknown-profile"));
    let mut connection = bad.shake().await;
    connection.send(&hello_of(&Hello { profile: "derived", ..unknown })).await;
    connection.refuses("the server's own profile", UNKNOWN_PROFILE, None).await;
    assert!(events.value("vitalwire/v1/bad/event").await.contains("the server's own"));
    let (mut connection, _) = bad.greet(BOOT + 1).await;
    connection.send(&batch(5)).await;
    connection.acknowledged(5).await;
    connection.send(&batch(5)).await;
    connection.refuses("a sequence that goes back", SEQUENCE_BACK, Some(6)).await;
}

#[tokio::test]
async fn a_batch_cut_anywhere_is_taken_when_it_is_whole() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let (mut connection, _) = device.greet(BOOT).await;
    let message = batch(1);
    for byte in &message {
        connection.send(std::slice::from_ref(byte)).await;
    }
    connection.acknowledged(1).await;
    let mut two = batch(2);
    two.extend_from_slice(&batch(3));
    connection.send(&two).await;
    connection.acknowledged(3).await;
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_is_held_back_and_said() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/#"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch_of(1, HELLO_MS + 3_600_000, &[(0, 50_000, &[36_600])], None)).await;
    connection.acknowledged(1).await;
    assert!(subscriber.value("vitalwire/v1/d/event").await.contains("clock-jump"));
    let reading = subscriber.value("vitalwire/v1/d/reading").await;
    let reading: serde_json::Value = serde_json::from_str(&reading).unwrap();
    let time = humantime::parse_rfc3339(reading["time"].as_str().unwrap()).unwrap();
    assert!(time <= SystemTime::now(), "nothing is measured in the future");
    assert!(reading["uncertainty_ms"].as_u64().unwrap() > 3_500_000);
}

#[tokio::test]
async fn a_clock_that_stays_ahead_is_told_once_and_once_when_it_no_longer_is() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut events = clinic.subscribe(&["vitalwire/v1/d/event"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    let ahead = |sequence| batch_of(sequence, HELLO_MS + 3_600_000, &[(0, 50_000, &[36_600])], None);
    let batches: Vec<u8> = (1..=2_000).flat_map(ahead).collect();
    connection.send(&batches).await;
    connection.send(&batch(2_001)).await;
    connection.acknowledged(2_001).await;
    let [first, second] = [device_event(&mut events).await, device_event(&mut events).await];
    assert!(first.contains(r#""kind":"clock-jump","#) && first.contains("from batch 1 on"), "{first}");
    assert!(second.contains("clock-jump-over") && second.contains("it was for 2000 batches"), "{second}");
    // And nothing in between or after.
    let mut event = [0; 64];
    let len = encode_event(&Event { code: 2, text: "DS18B20", time_ms: 1 }, &mut event).unwrap();
    connection.send(&event[..len]).await;
    assert!(device_event(&mut events).await.contains("DS18B20"));
}

/// The next event that is none of an alarm.
async fn device_event(events: &mut Subscriber) -> String {
    loop {
        let (_, event) = events.next().await;
        if !event.contains(r#""kind":"alarm"#) {
            return event;
        }
    }
}

#[tokio::test]
async fn a_boot_whose_clock_goes_back_is_refused_and_nothing_of_it_is_acknowledged() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut events = clinic.subscribe(&["vitalwire/v1/d/event"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    drop(connection);
    // The device starts again and draws the same number.
    let hello_at = |time_ms, past| {
        hello_of(&Hello { boot: BOOT, profile: "pico", firmware: "t", time_ms, oldest: Some(1), past })
    };
    let mut connection = device.shake().await;
    connection.send(&hello_at(2_000, false)).await;
    connection.refuses("a clock that went back", BOOT_USED_TWICE, None).await;
    assert!(events.value("vitalwire/v1/d/event").await.contains("boot-used-twice"));
    // The least that a past boot's clock would show now may be less than what it has shown.
    let mut connection = device.shake().await;
    connection.send(&hello_at(2_000, true)).await;
    assert_eq!(connection.answer().await, Answer::Welcome(Some(1)));
    let mut connection = device.shake().await;
    connection.send(&hello_at(HELLO_MS, false)).await;
    assert_eq!(connection.answer().await, Answer::Welcome(Some(1)));
}

#[tokio::test]
async fn a_boot_used_twice_is_known_after_a_restart_of_the_server_too() {
    let mut clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    clinic.stop().await;
    clinic.start(vitalwire_gateway::Limits::default(), None).await;
    let device = LinkDevice { address: clinic.server().addresses().devices, ..device };
    let mut connection = device.shake().await;
    let again =
        Hello { boot: BOOT, profile: "pico", firmware: "t", time_ms: 2_000, oldest: Some(1), past: false };
    connection.send(&hello_of(&again)).await;
    connection.refuses("a clock that went back", BOOT_USED_TWICE, None).await;
    // Another number is welcome.
    let (_, held) = device.greet(BOOT + 1).await;
    assert_eq!(held, None);
}

#[tokio::test]
async fn another_batch_under_a_held_number_is_refused_and_not_acknowledged() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let mut events = clinic.subscribe(&["vitalwire/v1/d/event"]).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    // It did not wait to be told that 1 is held. The same batch is, also with `oldest`.
    let (mut connection, held) = device.greet(BOOT).await;
    assert_eq!(held, Some(1));
    let same = batch_of(1, HELLO_MS - 1_000, &[(0, 50_000, &[36_001; 20])], Some(1));
    connection.send(&same).await;
    connection.send(&batch(2)).await;
    connection.acknowledged(2).await;
    connection.send(&batch(3)).await;
    connection.acknowledged(3).await;
    // Another start of the device, so soon that its clock does not tell.
    let (mut connection, _) = device.greet(BOOT).await;
    let other = batch_of(1, HELLO_MS - 1_000, &[(0, 50_000, &[40_000; 20])], None);
    connection.send(&other).await;
    connection.refuses("another batch 1", OTHER_BATCH_HELD, Some(1)).await;
    assert!(events.value("vitalwire/v1/d/event").await.contains("boot-used-twice"));
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let stream = TcpStream::connect(device.address).await.unwrap();
    let (identity, key) = (device.link.id.to_string(), *device.link.psk.bytes());
    assert!(shake(stream, &client_context(&identity, key, Version::Tls12)).await.is_err());
    device.greet(BOOT).await;
}

#[tokio::test]
async fn two_cipher_suites_are_served_and_no_other() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let (identity, key) = (device.link.id.to_string(), *device.link.psk.bytes());
    for (suite, is_served) in [
        ("TLS_AES_128_GCM_SHA256", true),
        ("TLS_CHACHA20_POLY1305_SHA256", true),
        ("TLS_AES_128_CCM_SHA256", false),
        ("TLS_AES_256_GCM_SHA384", false),
    ] {
        let stream = TcpStream::connect(device.address).await.unwrap();
        let context = client_context(&identity, key, Version::Tls13(suite));
        assert_eq!(shake(stream, &context).await.is_ok(), is_served, "{suite}");
    }
}

/// Sends a client's first flight and reads what the server says to it, alert and end.
async fn alert_to(device: &vitalwire_testing::link::LinkDevice, identity: &str, key: [u8; 32]) -> Vec<u8> {
    let stream = TcpStream::connect(device.address).await.unwrap();
    let context = client_context(identity, key, TLS);
    let error = shake(stream, &context).await.err().expect("the handshake fails");
    let stack = error.ssl_error().map(ToString::to_string).unwrap_or_default();
    stack.into_bytes()
}

#[tokio::test]
async fn an_unknown_identity_and_a_wrong_key_look_the_same() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let known = device.link.id.to_string();
    let wrong_key = alert_to(&device, &known, [7; 32]).await;
    assert!(!wrong_key.is_empty());
    for identity in ["00112233445566778899aabbccddeeff", "no link id at all", &known.to_uppercase()] {
        assert_eq!(alert_to(&device, identity, [7; 32]).await, wrong_key, "{identity}");
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_record_is_refused() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let record_len = 5 + 1 + 16 + batch(1).len();
    // A bit of each byte: type, version, length, ciphertext and tag.
    for place in 0..record_len {
        let (mut connection, held) = device.greet(BOOT).await;
        assert_eq!(held, None, "nothing was taken");
        let mut record = connection.record_of(&batch(1)).await;
        assert_eq!(record.len(), record_len);
        record[place] ^= 1 << (place % 8);
        connection.tap().socket.write_all(&record).await.unwrap();
        // A longer length waits for more, which must not help either.
        let _ = connection.tap().socket.write_all(&[0; 16_640]).await;
        connection.closes(&format!("a flipped bit in byte {place}")).await;
    }
}

#[tokio::test]
async fn a_recorded_session_cannot_be_replayed() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    let recorded = std::mem::take(&mut connection.tap().written);
    drop(connection);
    assert!(recorded.len() > 300, "a handshake, a Hello and a batch");
    let mut replay = TcpStream::connect(device.address).await.unwrap();
    let _ = replay.write_all(&recorded).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, replay.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the server ends it");
    clinic.until("the handshake fails", |stats| stats.identified == 1).await;
    let (_, held) = device.greet(BOOT).await;
    assert_eq!(held, Some(1), "nothing was added");
}

#[tokio::test]
async fn a_device_never_falls_back_to_frames_nor_frames_to_tls() {
    let clinic = Clinic::open().await;
    let (framed, linked) = (clinic.enrol("framed").await, clinic.enrol_link("linked").await);
    let mut stream = framed.connect().await;
    // The link's secrets as those of frames.
    let secret = vitalwire_protocol::CbcSecret::new(
        linked.link.psk.bytes()[..16].try_into().unwrap(),
        linked.link.psk.bytes()[16..].try_into().unwrap(),
    );
    let forged = vitalwire_testing::clinic::Device { secret, ..framed.clone() };
    stream.write_all(&forged.numbered(1)).await.unwrap();
    closes(&mut stream, "frames under a link's key").await;
    let mut key = [0; 32];
    key[..16].copy_from_slice(framed.secret.key());
    key[16..].copy_from_slice(framed.secret.iv());
    for identity in ["framed", "linked"] {
        alert_to(&linked, identity, key).await;
    }
}

#[tokio::test]
async fn rotation_overlaps_until_the_new_key_is_used() {
    let clinic = Clinic::open().await;
    let old = clinic.enrol_link("d").await;
    let (mut connection, _) = old.greet(BOOT).await;
    let new = clinic.rotate_link("d").await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    old.greet(BOOT).await;
    let (mut connection, _) = new.greet(BOOT).await;
    let id = "d".parse().unwrap();
    let is_over = || clinic.registry.device_key(&id).unwrap().links().unwrap().previous.is_none();
    clinic.eventually("the overlap ends", is_over).await;
    clinic.known().await;
    assert!(!old.is_accepted().await);
    connection.send(&batch(2)).await;
    connection.acknowledged(2).await;
    clinic.registry.revoke_device(&id).unwrap();
    connection.closes("a revocation").await;
    assert!(!new.is_accepted().await);
}

/// Whether any file of the data folder holds these bytes.
fn is_in_a_file(folder: &std::path::Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_a_file(&path, bytes);
        }
        // The server's socket cannot be read.
        path.is_file() && std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test]
async fn logins_of_devices_and_users_are_in_the_audit_log() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    device.greet(BOOT).await;
    let _watcher = clinic.subscribe(&["Pico/#"]).await;
    let recorded = |kind: AuditKind, subject: &str| {
        let records = clinic.registry.audit(0, 1_000).unwrap();
        records.iter().any(|record| record.kind == kind.as_str() && record.subject == subject)
    };
    clinic.eventually("the device's login", || recorded(AuditKind::DeviceLogin, "d")).await;
    clinic.eventually("the user's login", || recorded(AuditKind::UserLogin, "watcher")).await;
    clinic.registry.verify_audit(None).unwrap();
}

#[tokio::test]
async fn an_erased_device_leaves_nothing_and_the_record_says_so() {
    let clinic = Clinic::open().await;
    let (device, other) = (clinic.enrol_link("d").await, clinic.enrol_link("other").await);
    let messages = [41_234, 31_234].map(|value| batch_of(1, HELLO_MS, &[(0, 50_000, &[value; 3])], None));
    for (device, message) in [&device, &other].into_iter().zip(&messages) {
        let (mut connection, _) = device.greet(BOOT).await;
        connection.send(message).await;
        connection.acknowledged(1).await;
    }
    let id = "d".parse().unwrap();
    clinic.registry.request_erasure(&id).unwrap();
    let done = || clinic.registry.erasure(&id).unwrap().is_some_and(|erasure| erasure.done.is_some());
    clinic.eventually("the erasure is done", done).await;
    let query = |device: &str| HistoryQuery {
        device: device.parse().unwrap(),
        channel: "Temperature".into(),
        from: SystemTime::now() - Duration::from_secs(3_600),
        to: SystemTime::now() + Duration::from_secs(3_600),
    };
    assert!(clinic.server().history().buckets(&query("d"), 1).await.unwrap().is_empty());
    assert_eq!(clinic.server().history().buckets(&query("other"), 1).await.unwrap()[0].samples, 3);
    let [is_there, other_is_there] = messages.map(|message| is_in_a_file(&clinic.data(), &message));
    assert!(!is_there, "a file still holds what the device sent");
    assert!(other_is_there, "the search finds what is there");
    let mut late = clinic.subscribe(&["Pico/#", "vitalwire/v1/#"]).await;
    let (mut connection, _) = other.greet(BOOT).await;
    connection.send(&batch(2)).await;
    loop {
        let (topic, _) = late.next().await;
        // The ward's counts are no device's.
        assert!(topic.contains("/other/") || topic == "vitalwire/v1/alarms", "{topic} is still there");
        if topic.ends_with("/reading") {
            break;
        }
    }
}
