//! Whatever a peer sends ends at most its own connection: the process, other devices and the broker go on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vitalwire_gateway::Limits;
use vitalwire_protocol::Variant;
use vitalwire_testing::clinic::{Clinic, Device, Subscriber, closed, closes, send};
use vitalwire_testing::paper::JSON;

const PULSE: &str = "Pico/good/Physiological_Data/Pulse_Signal";

/// A clinic with one good, connected device that is watched.
struct Ward {
    clinic: Clinic,
    good: Device,
    stream: TcpStream,
    subscriber: Subscriber,
    number: usize,
}

impl Ward {
    async fn open(limits: Limits) -> Self {
        let clinic = Clinic::with_limits(limits).await;
        let good = clinic.enrol("good").await;
        let mut subscriber = clinic.subscribe(&["Pico/#", "vitalwire/v1/+/reading"]).await;
        let stream = good.connect_delivering(&mut subscriber).await;
        subscriber.rest();
        Self { clinic, good, stream, subscriber, number: 0 }
    }

    /// The good device still delivers, and nothing but its readings has been published since.
    async fn assert_unharmed(&mut self, after: &str) {
        self.number += 1;
        self.stream.write_all(&self.good.numbered(self.number)).await.unwrap();
        loop {
            let (topic, value) = self.subscriber.next().await;
            assert!(topic.contains("/good/"), "{after} was published as {topic} = {value}");
            if topic == PULSE {
                assert_eq!(value, self.number.to_string(), "after {after}");
            }
            if topic.ends_with("/reading") {
                return;
            }
        }
    }

    async fn connect(&self) -> TcpStream {
        self.good.connect().await
    }

    /// A new connection that sends `bytes` is closed by the server.
    async fn assert_closes(&mut self, what: &str, bytes: &[u8]) {
        let mut stream = self.connect().await;
        send(&mut stream, bytes).await;
        closes(&mut stream, what).await;
        self.assert_unharmed(what).await;
    }
}

fn generous() -> Limits {
    Limits { identify_failures_max: 1_000_000, takeover_silence: Duration::ZERO, ..Limits::default() }
}

#[tokio::test]
async fn junk_text_and_tls_are_closed_at_their_first_byte() {
    let mut ward = Ward::open(generous()).await;
    ward.assert_closes("junk", &[0xff; 300]).await;
    ward.assert_closes("text", b"GET / HTTP/1.1\r\n\r\n").await;
    ward.assert_closes("a TLS hello", &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    ward.assert_closes("upper-case hex", b"ABCDEF0123456789ABCDEF0123456789").await;
    ward.assert_closes("no key's frame", "0123456789abcdef".repeat(2).as_bytes()).await;
}

#[tokio::test]
async fn half_a_frame_then_silence_ends_at_the_deadline() {
    // The good device has to be quicker.
    let limits = Limits { first_frame_timeout: Duration::from_secs(3), ..generous() };
    let mut ward = Ward::open(limits).await;
    let frame = ward.good.frame(Variant::Chained, JSON);
    let mut halves = Vec::new();
    for (what, part) in [("nothing", 0), ("a byte", 1), ("a block", 33), ("all but a byte", frame.len() - 1)]
    {
        let mut stream = ward.connect().await;
        send(&mut stream, &frame[..part]).await;
        halves.push((what, stream));
    }
    for (what, mut stream) in halves {
        closes(&mut stream, what).await;
    }
    ward.assert_unharmed("the halves").await;
}

#[tokio::test]
async fn silence_of_an_identified_device_ends_at_the_idle_deadline() {
    let clinic =
        Clinic::with_limits(Limits { idle_timeout: Duration::from_millis(200), ..Limits::default() }).await;
    let device = clinic.enrol("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/#"]).await;
    let mut stream = device.connect_delivering(&mut subscriber).await;
    closes(&mut stream, "silence").await;
    while subscriber.value("vitalwire/v1/d/status").await != "offline" {}
}

#[tokio::test]
async fn bad_frames_and_samples_of_a_known_device_end_its_connection_only() {
    let mut ward = Ward::open(generous()).await;
    let bad = ward.clinic.enrol("bad").await;
    drop(bad.connect_delivering(&mut ward.subscriber).await);
    ward.clinic.until("the end", |stats| stats.devices == 1).await;
    ward.subscriber.rest();
    let cases = [
        ("NaN", JSON.replace("\"36.600\"", "\"NaN\"")),
        ("infinity", JSON.replace("\"36.600\"", "\"1e999\"")),
        ("a missing key", JSON.replace("\"Temp\":\"36.600\",", "")),
        ("a doubled key", JSON.replace("\"TempMcu\"", "\"Temp\"")),
        ("an unknown key", JSON.replace("\"TempMpu\"", "\"TempXxx\"")),
        ("an address as a value", JSON.replace("23.400", "6.6.6.6&66")),
        ("a topic as a value", JSON.replace("23.400", "a/+/#")),
        ("an object", JSON.replace("\"36.600\"", "{}")),
        ("no JSON", "{\"Temp\":\"36.600\"".repeat(3) + "}"),
    ];
    for (what, json) in cases {
        for variant in [Variant::Chained, Variant::Blockwise] {
            ward.assert_closes(what, &bad.frame(variant, &json)).await;
        }
    }
    for (what, len) in [("65 blocks", 65 * 16), ("1 MB of JSON", 1 << 20)] {
        ward.assert_closes(what, &bad.endless_frame(len)).await;
    }
    ward.clinic.until("nothing stays behind", |stats| stats.devices == 1 && stats.connections == 1).await;
}

#[tokio::test]
async fn a_flipped_hex_digit_in_any_place_is_never_published() {
    let mut ward = Ward::open(generous()).await;
    let bad = ward.clinic.enrol("bad").await;
    drop(bad.connect_delivering(&mut ward.subscriber).await);
    ward.clinic.until("the end", |stats| stats.devices == 1).await;
    ward.subscriber.rest();
    for variant in [Variant::Chained, Variant::Blockwise] {
        let good = bad.frame(variant, JSON);
        for at in (0..good.len()).filter(|at| good[*at] != b'+') {
            let mut stream = bad.connect().await;
            let mut flipped = good.clone();
            flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
            // What follows the frame makes its end certain, whatever the flip did to it.
            flipped.extend_from_slice(&good);
            send(&mut stream, &flipped).await;
            closes(&mut stream, &format!("a flip at {at}")).await;
        }
    }
    ward.assert_unharmed("a flipped digit").await;
}

#[tokio::test]
async fn readings_before_a_bad_frame_are_published() {
    let mut ward = Ward::open(generous()).await;
    let mut bytes: Vec<u8> = (1..=3).flat_map(|number| ward.good.numbered(number)).collect();
    bytes.extend_from_slice(b"zz");
    ward.stream.write_all(&bytes).await.unwrap();
    for number in 1..=3 {
        assert_eq!(ward.subscriber.value(PULSE).await, number.to_string());
    }
    closes(&mut ward.stream, "a bad frame").await;
}

#[tokio::test]
async fn an_address_with_many_failures_costs_no_more_searches_but_keeps_its_devices() {
    let limits = Limits {
        identify_failures_max: 5,
        identify_failure_forgiven_after: Duration::from_secs(3_600),
        ..generous()
    };
    let mut ward = Ward::open(limits).await;
    for _ in 0..10 {
        ward.assert_closes("no key's frame", "0123456789abcdef".repeat(2).as_bytes()).await;
    }
    drop(std::mem::replace(&mut ward.stream, TcpStream::connect(ward.good.address).await.unwrap()));
    ward.assert_unharmed("the device's return to a punished address").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_half_open_connections_cost_good_devices_nothing() {
    const IDLE: usize = 5_000;
    const GOOD: usize = 50;
    const READINGS: usize = 40;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let clinic =
        Clinic::with_limits(Limits { first_frame_timeout: Duration::from_secs(600), ..generous() }).await;
    let mut devices = Vec::new();
    for n in 0..GOOD {
        devices.push(clinic.enrol(&format!("good-{n}")).await);
    }
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/+/reading"]).await;
    let mut streams = Vec::new();
    for device in &devices {
        streams.push(device.connect_delivering(&mut subscriber).await);
    }
    subscriber.rest();
    let mut idle = Vec::new();
    for n in 0..IDLE {
        let mut stream = devices[0].connect().await;
        if n % 2 == 0 {
            send(&mut stream, b"29").await;
        }
        idle.push(stream);
        if n % (IDLE / READINGS) == 0 {
            for (device, stream) in devices.iter().zip(&mut streams) {
                stream.write_all(&device.numbered(n)).await.unwrap();
            }
        }
    }
    clinic.until("the idle connections", |stats| stats.connections >= (IDLE + GOOD) as u64).await;
    for _ in 0..GOOD * READINGS {
        subscriber.next().await;
    }
    idle.truncate(10);
    clinic.until("the idle connections' end", |stats| stats.connections == (10 + GOOD) as u64).await;
    for stream in &mut streams {
        stream.shutdown().await.unwrap();
        closed(stream).await;
    }
}
