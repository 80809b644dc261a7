//! What conformance suites found (`CONFORMANCE.md`), said byte by byte over a socket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vitalwire_broker::BrokerLimits;
use vitalwire_testing::{PASSWORD, PATIENCE};

/// Of CONNECT.
const CLEAN: u8 = 2;
const CONNACK: u8 = 0x20;
const DISCONNECT: u8 = 0xe0;

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// A packet of less than 16 KiB.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len() & 0x7f).unwrap();
    match u8::try_from(body.len() >> 7).unwrap() {
        0 => [&[first, len], body].concat(),
        more => [&[first, len | 0x80, more], body].concat(),
    }
}

/// CONNECT of version 5, as `admin`, with these properties.
fn connect_5(properties: &[u8]) -> Vec<u8> {
    let len = u8::try_from(properties.len()).unwrap();
    let body = [
        &text("MQTT")[..],
        &[5, 0xc0 | CLEAN, 0, 0, len],
        properties,
        &text("raw"),
        &text("admin"),
        &text(PASSWORD),
    ];
    packet(0x10, &body.concat())
}

/// A client without any library.
struct Raw(TcpStream);

impl Raw {
    async fn connect(running: &Running, connect: &[u8]) -> (Self, Vec<u8>) {
        let mut raw = Self(TcpStream::connect(running.plain()).await.unwrap());
        raw.say(connect).await;
        let answer = raw.hear().await.unwrap();
        (raw, answer)
    }

    async fn new(running: &Running, connect: &[u8]) -> Self {
        let (raw, answer) = Self::connect(running, connect).await;
        assert_eq!((answer[0], answer[3]), (CONNACK, 0), "{answer:?}");
        raw
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next packet of less than 128 bytes; nothing at the end of the connection.
    async fn hear(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 2];
        let read = async {
            if self.0.read(&mut head[..1]).await.unwrap() == 0 {
                return None;
            }
            self.0.read_exact(&mut head[1..]).await.unwrap();
            let mut packet = vec![0; 2 + usize::from(head[1])];
            packet[..2].copy_from_slice(&head);
            self.0.read_exact(&mut packet[2..]).await.unwrap();
            Some(packet)
        };
        timeout(PATIENCE, read).await.unwrap()
    }
}

#[tokio::test]
async fn a_client_may_say_that_it_takes_no_topic_aliases() {
    let running = start().await;
    for properties in [&b"\x22\0\0"[..], b"\x26\0\x01a\0\x01b\x11\0\0\0\x05\x22\0\0\x21\0\x02", b"\x22\0\x01"]
    {
        let (_, answer) = Raw::connect(&running, &connect_5(properties)).await;
        assert_eq!((answer[0], answer[3]), (CONNACK, 0), "{properties:?}: {answer:?}");
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn who_breaks_the_protocol_and_still_talks_is_told_why() {
    let limits = BrokerLimits { client_publishes_max: 64, ..BrokerLimits::default() };
    let running = start_limited(limits).await;
    let mut raw = Raw::new(&running, &connect_5(b"")).await;
    // One publication more than the broker takes at once, and all that a client says behind it.
    let publishes: Vec<u8> = (1..=65_u16)
        .flat_map(|id| packet(0x34, &[&text("home/x")[..], &id.to_be_bytes(), &[0], &[b'x'; 300]].concat()))
        .collect();
    raw.say(&publishes).await;
    raw.say(&packet(0x30, &[&text("home/x")[..], &[0], &[b'x'; 16_000]].concat()).repeat(20)).await;
    for _ in 0..64 {
        let mut received = raw.hear().await.unwrap();
        assert_eq!(received[0], 0x50);
        // A socket that was closed with something unread takes nothing more: this fails.
        received[0] = 0x62;
        raw.say(&received).await;
    }
    assert_eq!(raw.hear().await.unwrap(), [DISCONNECT, 1, 0x93], "Receive Maximum exceeded");
    assert_eq!(raw.hear().await, None);
    running.broker.stop().await;
}

#[tokio::test]
async fn an_alias_that_there_cannot_be_is_called_so() {
    let limits = BrokerLimits { topic_aliases_max: 3, ..BrokerLimits::default() };
    let running = start_limited(limits).await;
    // Zero, alone and behind one of each form of property; and one more than there may be. At QoS 0 and 1.
    let many = b"\x01\x01\x02\0\0\0\x09\x03\0\x01c\x08\0\x01r\x09\0\x01d\x26\0\x01k\0\x01v\x23\0\0";
    for properties in [&b"\x23\0\0"[..], many, b"\x23\0\x04"] {
        for (first, id) in [(0x30, &b""[..]), (0x32, b"\0\x01")] {
            let mut raw = Raw::new(&running, &connect_5(b"")).await;
            let len = [u8::try_from(properties.len()).unwrap()];
            raw.say(&packet(first, &[&text("home/x")[..], id, &len, properties, b"x"].concat())).await;
            assert_eq!(raw.hear().await.unwrap(), [DISCONNECT, 1, 0x94], "Topic Alias invalid");
            assert_eq!(raw.hear().await, None);
        }
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn properties_that_may_come_once_or_not_alone_end_the_connection() {
    let running = start().await;
    let mut raw = Raw::new(&running, &connect_5(b"")).await;
    raw.say(&packet(0x82, &[b"\0\x01\x04\x0b\x01\x0b\x02", &text("a")[..], &[0]].concat())).await;
    assert_eq!(raw.hear().await.unwrap(), [DISCONNECT, 1, 0x82], "two subscription identifiers");
    assert_eq!(raw.hear().await, None);
    let (mut raw, answer) = Raw::connect(&running, &connect_5(b"\x16\0\x01x")).await;
    assert_eq!((answer[0], answer[3]), (CONNACK, 0x8c), "authentication data without a method");
    assert_eq!(raw.hear().await, None);
    running.broker.stop().await;
}

#[tokio::test]
async fn what_comes_at_once_with_connect_and_disconnect_is_answered() {
    let running = start().await;
    let publish = packet(0x32, &[&text("home/x")[..], b"\0\x02\0x"].concat());
    let subscribe = packet(0x82, &[&b"\0\x01\0"[..], &text("home/y"), &[1]].concat());
    let said = [connect_5(b""), subscribe, publish, vec![DISCONNECT, 0]].concat();
    let mut raw = Raw::new(&running, &said).await;
    assert_eq!(raw.hear().await.unwrap(), [0x90, 4, 0, 1, 0, 1]);
    assert_eq!(raw.hear().await.unwrap(), [0x40, 2, 0, 2]);
    assert_eq!(raw.hear().await, None);
    running.broker.stop().await;
}

#[tokio::test]
async fn who_takes_no_packet_as_long_as_connack_is_not_left_waiting() {
    let running = start().await;
    let mut raw = Raw(TcpStream::connect(running.plain()).await.unwrap());
    raw.say(&connect_5(b"\x27\0\0\0\x0a")).await;
    assert_eq!(raw.hear().await, None);
    running.broker.stop().await;
}

#[tokio::test]
async fn answers_to_messages_are_judged_as_a_whole() {
    let running = start().await;
    for good in [&b"\0\x05"[..], b"\0\x05\0", b"\0\x05\x10\0", b"\0\x05\x87\x0b\x1f\0\x01a\x26\0\x01b\0\x01c"]
    {
        let mut raw = Raw::new(&running, &connect_5(b"")).await;
        raw.say(&[packet(0x40, good), vec![0xc0, 0]].concat()).await;
        assert_eq!(raw.hear().await.unwrap(), [0xd0, 0], "{good:?}");
    }
    for bad in [
        packet(0x40, b"\0\x05\x01"),
        packet(0x40, b"\0\x05\0\x05"),
        packet(0x40, b"\0\x05\0\0\0"),
        packet(0x40, b"\0\x05\0\x02\x01\x01"),
        packet(0x50, b"\0\x05\x92"),
        packet(0x70, b"\0\x05\x87"),
    ] {
        let mut raw = Raw::new(&running, &connect_5(b"")).await;
        raw.say(&bad).await;
        assert_eq!(raw.hear().await.unwrap(), [DISCONNECT, 1, 0x81], "{bad:?}");
    }
    let body = [&text("MQTT")[..], &[4, 0xc0 | CLEAN, 0, 0], &text("raw"), &text("admin"), &text(PASSWORD)];
    let mut raw = Raw::new(&running, &packet(0x10, &body.concat())).await;
    raw.say(&packet(0x50, b"\0\x05\x87")).await;
    assert_eq!(raw.hear().await, None, "3.1.1 has no reasons");
    running.broker.stop().await;
}
