//! The standards' statements, MQTT 3.1.1 and 5, byte by byte over a socket. `CONFORMANCE.md` says which test holds which statement.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_broker::BrokerLimits;
use vitalwire_testing::{PASSWORD, PATIENCE};

/// A client that says what a test wants.
struct Raw {
    socket: TcpStream,
    v5: bool,
}

/// A packet: its first byte, and what follows the length.
fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut packet = vec![first];
    let mut len = body.len();
    while len > 0x7f {
        packet.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    packet.push(u8::try_from(len).unwrap());
    packet.extend(body);
    packet
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// CONNECT of `admin`: flags beside those of name and password, keep alive, properties, client id, will.
fn connect(v5: bool, flags: u8, keep_alive_s: u8, properties: &[u8], id: &str, will: &[u8]) -> Vec<u8> {
    let len = [u8::try_from(properties.len()).unwrap()];
    let properties: &[&[u8]] = if v5 { &[&len, properties] } else { &[] };
    let head = [0, 4, b'M', b'Q', b'T', b'T', if v5 { 5 } else { 4 }, 0xc0 | flags, 0, keep_alive_s];
    packet(0x10, &[&head, &properties.concat(), &text(id), will, &text("admin"), &text(PASSWORD)])
}

const CLEAN: u8 = 0x02;

impl Raw {
    async fn open(running: &Running, v5: bool) -> Self {
        Self { socket: TcpStream::connect(running.plain()).await.unwrap(), v5 }
    }

    /// Logged in, clean.
    async fn new(running: &Running, v5: bool, id: &str) -> Self {
        Self::with(running, v5, &connect(v5, CLEAN, 0, &[], id, &[])).await.0
    }

    /// Logged in; what CONNACK says.
    async fn with(running: &Running, v5: bool, connect: &[u8]) -> (Self, Vec<u8>) {
        let mut client = Self::open(running, v5).await;
        client.send(connect).await;
        let connack = client.next().await.expect("no CONNACK");
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:?}");
        (client, connack)
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The next packet; none when the connection ended.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let packet = async {
            let mut packet = vec![self.socket.read_u8().await.ok()?];
            let (mut len, mut shift) = (0, 0);
            loop {
                let byte = self.socket.read_u8().await.ok()?;
                packet.push(byte);
                len |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let begin = packet.len();
            packet.resize(begin + len, 0);
            self.socket.read_exact(&mut packet[begin..]).await.ok()?;
            Some(packet)
        };
        tokio::time::timeout(PATIENCE, packet).await.expect("nothing came, and it did not end")
    }

    /// Says something, and gets this answer.
    async fn ask(&mut self, said: &[u8], answer: &[u8]) {
        self.send(said).await;
        assert_eq!(self.next().await.as_deref(), Some(answer), "to {said:?}");
    }

    async fn subscribe(&mut self, filter: &str, options: u8) {
        self.subscribe_with(filter, options, &[]).await;
    }

    async fn subscribe_with(&mut self, filter: &str, options: u8, properties: &[u8]) {
        let len = [u8::try_from(properties.len()).unwrap()];
        let properties = if self.v5 { [&len, properties].concat() } else { Vec::new() };
        self.send(&packet(0x82, &[&[0, 9], &properties, &text(filter), &[options]])).await;
        let answer = [&[0, 9][..], if self.v5 { &[0] } else { &[] }, &[options & 3]].concat();
        assert_eq!(self.next().await.unwrap(), packet(0x90, &[&answer]));
    }

    /// What follows the length of a PUBLISH of QoS 0 and 1, with these properties.
    fn publish(&self, topic: &str, packet_id: &[u8], properties: &[u8], payload: &str) -> Vec<u8> {
        let len = [u8::try_from(properties.len()).unwrap()];
        let properties = if self.v5 { [&len, properties].concat() } else { Vec::new() };
        [&text(topic), packet_id, &properties, payload.as_bytes()].concat()
    }

    /// Ends without another packet but DISCONNECT, whose reason it gives.
    async fn end(&mut self) -> Option<u8> {
        let last = self.next().await?;
        assert_eq!((last[0], self.v5), (0xe0, true), "{last:?}");
        assert_eq!(self.next().await, None);
        Some(last[2])
    }

    /// Says what is forbidden. It ends, and PINGREQ behind that is not answered; the reason.
    async fn transgress(running: &Running, v5: bool, said: &[u8]) -> Option<u8> {
        let mut client = Self::new(running, v5, "client").await;
        client.send(&[said, &[0xc0, 0]].concat()).await;
        let last = client.next().await?;
        assert_eq!((last[0], v5), (0xe0, true), "{said:02x?} was taken: {last:02x?}");
        assert_eq!((client.next().await, last.len()), (None, 3));
        Some(last[2])
    }

    /// It was not cut off.
    async fn is_alive(&mut self) {
        self.ask(&[0xc0, 0], &[0xd0, 0]).await;
    }
}

/// What no client may send, in both versions, and the reason with which version 5 ends.
const FORBIDDEN: &[(&[u8], u8)] = &[
    // Flags that are reserved.
    (b"\x80\x06\0\x01\0\x01a\0", 0x81),
    (b"\xa0\x05\0\x01\0\x01a", 0x81),
    (b"\x60\x02\0\x01", 0x81),
    (b"\xe1\0", 0x81),
    (b"\xc1\0", 0x81),
    (b"\x41\x02\0\x01", 0x81),
    (b"\xf1\0", 0x81),
    // QoS 3; a length with a byte too many, and one that never ends.
    (b"\x36\x07\0\x01a\0\x01\0x", 0x81),
    (b"\xc0\x80\0", 0x81),
    (b"\xc0\xff\xff\xff\xff\x01", 0x81),
    // A topic that is cut.
    (b"\x30\x03\0\x09a", 0x81),
];

#[tokio::test]
async fn what_no_client_may_send_ends_the_connection() {
    let running = start().await;
    for v5 in [false, true] {
        for (said, reason) in FORBIDDEN {
            let got = Raw::transgress(&running, v5, said).await;
            assert_eq!(got, v5.then_some(*reason), "{v5} {said:02x?}");
        }
        // Packets that only a broker sends, and a second CONNECT.
        for first in [0x20, 0x90, 0xb0, 0xd0] {
            let said = packet(first, &[&[0, 1, 0][..if first == 0xd0 { 0 } else { 3 }]]);
            let reason = Raw::transgress(&running, v5, &said).await;
            assert!(reason.is_none_or(|reason| matches!(reason, 0x81 | 0x82)), "{v5} {first:x} {reason:?}");
        }
        let again = connect(v5, CLEAN, 0, &[], "client", &[]);
        assert_eq!(Raw::transgress(&running, v5, &again).await, v5.then_some(0x82));
    }
    running.broker.stop().await;
}

/// The same where the packets of the versions differ; `P` stands for no properties.
#[tokio::test]
async fn bad_names_and_filters_and_identifiers_end_the_connection() {
    let running = start().await;
    let names: [&[u8]; 5] = [b"\xff", b"a\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\0b"];
    for v5 in [false, true] {
        let none: &[u8] = if v5 { &[0] } else { &[] };
        let mut forbidden = Vec::new();
        for name in names {
            let name = [&[0, u8::try_from(name.len()).unwrap()], name].concat();
            forbidden.push(packet(0x30, &[&name, none, b"x"]));
            forbidden.push(packet(0x82, &[&[0, 1], none, &name, &[0]]));
            forbidden.push(packet(0xa2, &[&[0, 1], none, &name]));
        }
        for topic in ["home/+", "home/#", ""] {
            forbidden.push(packet(0x30, &[&text(topic), none, b"x"]));
        }
        // A packet identifier of zero, no filter at all, a QoS of 3, and bits that are reserved.
        forbidden.push(packet(0x32, &[&text("home/a"), &[0, 0], none, b"x"]));
        forbidden.push(packet(0x82, &[&[0, 0], none, &text("home/a"), &[0]]));
        forbidden.push(packet(0xa2, &[&[0, 0], none, &text("home/a")]));
        forbidden.push(packet(0x82, &[&[0, 1], none]));
        forbidden.push(packet(0xa2, &[&[0, 1], none]));
        for options in [0x03, 0x40, 0x80, if v5 { 0x30 } else { 0x04 }] {
            forbidden.push(packet(0x82, &[&[0, 1], none, &text("home/a"), &[options]]));
        }
        for said in forbidden {
            let reason = Raw::transgress(&running, v5, &said).await;
            assert_eq!(reason.is_some_and(|reason| reason >= 0x81), v5, "{v5} {said:02x?} {reason:?}");
        }
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn what_version_5_forbids_ends_the_connection() {
    let running = start().await;
    let publish = |properties: &[u8]| {
        let len = [u8::try_from(properties.len()).unwrap()];
        packet(0x30, &[&text("home/a"), &len, properties, b"x"])
    };
    let forbidden = [
        // A subscription identifier; aliases of zero and beyond the limit; wildcards in the response topic.
        publish(&[0x0b, 1]),
        publish(&[0x23, 0, 0]),
        publish(&[0x23, 0, 17]),
        publish(b"\x08\0\x03r/#"),
        // A property that is not for PUBLISH, one that does not exist, one twice, and a value that there is not.
        publish(&[0x11, 0, 0, 0, 1]),
        publish(&[0x7f, 0]),
        publish(&[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1]),
        publish(&[0x01, 2]),
        // What is no text, and NUL, in each kind of text.
        publish(b"\x03\0\x01\xff"),
        publish(b"\x08\0\x01\xff"),
        publish(b"\x26\0\x01a\0\x01\xff"),
        publish(b"\x03\0\x02a\0"),
        publish(b"\x08\0\x02a\0"),
        publish(b"\x26\0\x01\0\0\x01a"),
        publish(b"\x26\0\x01a\0\x01\0"),
        // An alias that was not defined.
        packet(0x30, &[&text(""), &[3, 0x23, 0, 1], b"x"]),
        // A subscription identifier of zero, No Local on a shared subscription, AUTH.
        packet(0x82, &[&[0, 1], &[2, 0x0b, 0], &text("home/a"), &[0]]),
        packet(0x82, &[&[0, 1], &[0], &text("$share/g/home/a"), &[0x04]]),
        packet(0xf0, &[&[0x19, 0]]),
        // A session that was not to be kept, made one that is.
        packet(0xe0, &[&[0, 5, 0x11, 0, 0, 0, 9]]),
    ];
    for said in forbidden {
        let reason = Raw::transgress(&running, true, &said).await;
        assert!(reason.is_some_and(|reason| reason >= 0x81), "{said:02x?} {reason:?}");
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn a_connect_that_is_none_is_not_accepted() {
    let running = start().await;
    for v5 in [false, true] {
        let good = connect(v5, CLEAN, 0, &[], "client", &[]);
        let with = |at: usize, byte: u8| {
            let mut connect = good.clone();
            connect[at] = byte;
            connect
        };
        let mut refused = vec![
            // The protocol's name and version; a flag that is reserved; flags of a will that is not there; a will of QoS 3; a
            // name and a will that are not there.
            with(5, b'X'),
            with(8, 6),
            with(8, 3),
            with(9, 0xc3),
            with(9, 0xca),
            with(9, 0xe2),
            with(9, 0xde),
            with(9, 0x02),
            with(9, 0xc6),
            // A client id and a user name that are no text; reserved flags of the packet; not CONNECT at all.
            with(if v5 { 15 } else { 14 }, 0xff),
            with(if v5 { 23 } else { 22 }, 0xff),
            with(0, 0x11),
            vec![0xc0, 0],
            packet(0x30, &[&text("home/a"), b"x"]),
        ];
        let will: &[u8] = if v5 { b"\0\0\x01\xff\0\0" } else { b"\0\x01\xff\0\0" };
        refused.push(connect(v5, 0x06, 0, &[], "client", will));
        if v5 {
            // A receive maximum of zero, a packet size of zero, an expiry twice, a property of another packet.
            for properties in [&[0x21, 0, 0][..], &[0x27, 0, 0, 0, 0], &[0x17, 2], &[0x23, 0, 1]] {
                refused.push(connect(v5, CLEAN, 0, properties, "client", &[]));
            }
            // A way to authenticate that there is not.
            refused.push(connect(v5, CLEAN, 0, b"\x15\0\x01m", "client", &[]));
        } else {
            // A password without a name, and no name for a session that is to be kept.
            refused.push(with(9, 0x42));
            refused.push(connect(v5, 0, 0, &[], "", &[]));
        }
        for said in refused {
            let mut client = Raw::open(&running, v5).await;
            // What comes behind it is not processed.
            client
                .send(
                    &[&said[..], &packet(0x30, &[&text("home/a"), if v5 { &[0] } else { &[] }, b"x"])]
                        .concat(),
                )
                .await;
            if let Some(answer) = client.next().await {
                assert!(answer[0] == 0x20 && answer[2] == 0 && answer[3] != 0, "{v5} {said:02x?} {answer:?}");
                // The short answer is that of 3.1.1, which versions get that there are not.
                let codes = if answer[1] == 2 { 1..=5 } else { 0x80..=0x9f };
                assert!(codes.contains(&answer[3]), "{v5} {said:02x?} {answer:?}");
                assert_eq!(client.next().await, None);
            }
        }
    }
    assert_eq!(running.broker.stats().published, 0);
    running.broker.stop().await;
}

#[tokio::test]
async fn client_ids_are_taken_or_chosen() {
    let running = start().await;
    let longest = "0123456789abcdefghiJKLM";
    // The characters of the standard, none at all, and a mark that must stay, so that these are two.
    let mut clients = Vec::new();
    for (v5, id) in
        [(false, longest), (true, "NOPQRSTUVWXYZjklmnopqrs"), (false, ""), (true, "\u{feff}a"), (true, "a")]
    {
        clients.push(Raw::new(&running, v5, id).await);
    }
    for client in &mut clients {
        client.is_alive().await;
    }
    let mut chosen = Vec::new();
    for _ in 0..2 {
        let (client, connack) = Raw::with(&running, true, &connect(true, CLEAN, 0, &[], "", &[])).await;
        // The property: an assigned client id.
        let at =
            connack.windows(7).position(|part| part[0] == 0x12 && part[3..].starts_with(b"auto")).unwrap();
        chosen.push((connack[at..].to_vec(), client));
    }
    assert_ne!(chosen[0].0, chosen[1].0);
    let mut refused = Raw::open(&running, false).await;
    refused.ask(&connect(false, 0, 0, &[], "", &[]), &[0x20, 2, 0, 2]).await;
    assert_eq!(refused.next().await, None);
    running.broker.stop().await;
}

#[tokio::test]
async fn a_session_is_told_of_and_resumed_and_forgotten() {
    let running = start().await;
    for v5 in [false, true] {
        let expiry: &[u8] = &[0x11, 0, 0, 0, 60];
        let stays = connect(v5, 0, 0, expiry, "stays", &[]);
        let present = |connack: &[u8]| connack[2];
        let (mut client, connack) = Raw::with(&running, v5, &stays).await;
        assert_eq!(present(&connack), 0);
        client.subscribe("home/#", 1).await;
        client.send(&[0xe0, 0]).await;
        assert_eq!(client.next().await, None);
        let (mut client, connack) = Raw::with(&running, v5, &stays).await;
        assert_eq!(present(&connack), 1);
        running.publish("home/a", "x", false).await;
        let wanted = client.publish("home/a", &[0, 1], &[], "x");
        assert_eq!(client.next().await.unwrap(), packet(0x32, &[&wanted]));
        // Taken over: it comes again, as a duplicate with its identifier.
        let (mut again, connack) = Raw::with(&running, v5, &stays).await;
        assert_eq!(present(&connack), 1);
        assert_eq!(client.end().await, v5.then_some(0x8e));
        assert_eq!(again.next().await.unwrap(), packet(0x3a, &[&wanted]));
        let (mut clean, connack) = Raw::with(&running, v5, &connect(v5, CLEAN, 0, &[], "stays", &[])).await;
        assert_eq!(present(&connack), 0);
        running.publish("home/a", "y", false).await;
        clean.is_alive().await;
        drop(clean);
        let (mut client, connack) = Raw::with(&running, v5, &connect(v5, 0, 0, &[], "stays", &[])).await;
        assert_eq!(present(&connack), 0, "a clean session ends with its connection");
        client.is_alive().await;
        drop(Raw::with(&running, v5, &connect(v5, CLEAN, 0, &[], "stays", &[])).await);
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn each_packet_gets_its_answer_in_order() {
    let running = start().await;
    for v5 in [false, true] {
        let none: &[u8] = if v5 { &[0] } else { &[] };
        let mut client = Raw::new(&running, v5, "client").await;
        // One that is refused among others: admin may not read nothing at all, so it is a filter that is none.
        let filters = [&text("home/a")[..], &[1], &text("home/#/a"), &[0], &text("home/b"), &[2]].concat();
        let refused = if v5 { 0x8f } else { 0x80 };
        let granted = packet(0x90, &[&[1, 2], none, &[1, refused, 2]]);
        client.ask(&packet(0x82, &[&[1, 2], none, &filters]), &granted).await;
        let gone = [text("home/a"), text("home/c")].concat();
        let answer: &[u8] = if v5 { &[0, 0, 0x11] } else { &[] };
        client.ask(&packet(0xa2, &[&[3, 4], none, &gone]), &packet(0xb0, &[&[3, 4], answer])).await;
        client
            .ask(
                &packet(0xa2, &[&[3, 5], none, &text("none")]),
                &packet(0xb0, &[&[3, 5], none, if v5 { &[0x11] } else { &[] }]),
            )
            .await;
        let publish = client.publish("home/a", &[5, 6], &[], "x");
        client.ask(&packet(0x32, &[&publish]), &[0x40, 2, 5, 6]).await;
        client.ask(&packet(0x34, &[&publish]), &[0x50, 2, 5, 6]).await;
        client.send(&[0x62, 2, 5, 6]).await;
        let answer = client.next().await.unwrap();
        assert!(answer == [0x70, 2, 5, 6] || answer == [0x70, 3, 5, 6, 0], "{answer:?}");
        client.is_alive().await;
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn exactly_once_is_once_and_an_identifier_is_free_afterwards() {
    let running = start().await;
    for v5 in [false, true] {
        let mut reader = Raw::new(&running, v5, "reader").await;
        reader.subscribe("home/#", 0).await;
        let stays = connect(v5, 0, 0, &[0x11, 0, 0, 0, 60], "sender", &[]);
        let (mut sender, _) = Raw::with(&running, v5, &stays).await;
        let first = sender.publish("home/a", &[0, 7], &[], "first");
        let again = sender.publish("home/a", &[0, 7], &[], "second");
        sender.ask(&packet(0x34, &[&first]), &[0x50, 2, 0, 7]).await;
        sender.ask(&packet(0x3c, &[&first]), &[0x50, 2, 0, 7]).await;
        drop(sender);
        // Also on the next connection.
        let (mut sender, _) = Raw::with(&running, v5, &stays).await;
        sender.ask(&packet(0x3c, &[&first]), &[0x50, 2, 0, 7]).await;
        sender.send(&[0x62, 2, 0, 7]).await;
        assert_eq!(sender.next().await.unwrap()[0], 0x70);
        sender.ask(&packet(0x34, &[&again]), &[0x50, 2, 0, 7]).await;
        // At QoS 1 the identifier is free at once, whatever DUP says.
        let third = sender.publish("home/a", &[0, 8], &[], "third");
        for _ in 0..2 {
            sender.ask(&packet(0x3a, &[&third]), &[0x40, 2, 0, 8]).await;
        }
        for text in ["first", "second", "third", "third"] {
            let wanted = reader.publish("home/a", &[], &[], text);
            assert_eq!(
                reader.next().await.unwrap(),
                packet(0x30, &[&wanted]),
                "DUP and QoS are not those of the sender"
            );
        }
        drop(Raw::with(&running, v5, &connect(v5, CLEAN, 0, &[], "sender", &[])).await);
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn an_identifier_of_zero_ends_each_connection_of_a_session() {
    let running = start().await;
    let stays = connect(true, 0, 0, &[0x11, 0, 0, 0, 60], "zero", &[]);
    for _ in 0..2 {
        let (mut client, _) = Raw::with(&running, true, &stays).await;
        let publish = packet(0x34, &[&client.publish("home/a", &[0, 0], &[], "x")]);
        client.send(&publish).await;
        assert_eq!(client.end().await, Some(0x81));
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn properties_go_on_unaltered_and_an_alias_does_not() {
    let running = start().await;
    let mut reader = Raw::new(&running, true, "reader").await;
    let mut old = Raw::new(&running, false, "old").await;
    reader.subscribe_with("home/#", 0, &[0x0b, 5]).await;
    reader.subscribe_with("home/+", 0, &[0x0b, 0x80, 0x02]).await;
    old.subscribe("home/#", 0).await;
    let mut sender = Raw::new(&running, true, "sender").await;
    // Format, type, response topic, correlation, and user properties of which one comes twice.
    let properties =
        b"\x01\x01\x03\0\x01t\x08\0\x03r/s\x09\0\x02\0\xff\x26\0\x01k\0\x01v\x26\0\x01a\0\x01b\x26\0\x01k\0\x01v";
    let with_alias = [&b"\x23\0\x10"[..], properties].concat();
    let defined = sender.publish("home/a", &[], &with_alias, "x");
    let used = sender.publish("", &[], b"\x23\0\x10", "y");
    sender.send(&packet(0x30, &[&defined])).await;
    sender.send(&packet(0x30, &[&used])).await;
    for (properties, text) in [(&properties[..], "x"), (&[], "y")] {
        let got = reader.next().await.unwrap();
        let [either, or] = [&[0x0b, 5, 0x0b, 0x80, 0x02][..], &[0x0b, 0x80, 0x02, 0x0b, 5]]
            .map(|ids| packet(0x30, &[&reader.publish("home/a", &[], &[properties, ids].concat(), text)]));
        assert!(got == either || got == or, "{got:02x?}");
        assert_eq!(old.next().await.unwrap(), packet(0x30, &[&old.publish("home/a", &[], &[], text)]));
    }
    // An alias is its connection's.
    let mut other = Raw::new(&running, true, "other").await;
    other.send(&packet(0x30, &[&used])).await;
    assert!(other.end().await.is_some_and(|reason| matches!(reason, 0x82 | 0x94)));
    running.broker.stop().await;
}

#[tokio::test]
async fn retained_messages_and_their_flag_are_as_the_subscription_asks() {
    let running = start().await;
    let mut sender = Raw::new(&running, true, "sender").await;
    let mut plain = Raw::new(&running, true, "plain").await;
    plain.subscribe("home/#", 1).await;
    let mut published = Raw::new(&running, true, "published").await;
    published.subscribe("home/#", 0x08).await;
    for (first, text) in [(0x31, "one"), (0x31, "two"), (0x30, "not retained")] {
        sender.send(&packet(first, &[&sender.publish("home/a", &[], &[], text)])).await;
        let body = plain.publish("home/a", &[], &[], text);
        assert_eq!(plain.next().await.unwrap(), packet(0x30, &[&body]));
        assert_eq!(published.next().await.unwrap(), packet(first, &[&body]));
    }
    let mut late = Raw::new(&running, true, "late").await;
    late.subscribe("home/#", 0x20).await;
    late.is_alive().await;
    let kept = packet(0x31, &[&late.publish("home/a", &[], &[], "two")]);
    for (filter, options, comes) in [("home/+", 0x10, true), ("home/+", 0x10, false), ("home/+", 0, true)] {
        late.subscribe(filter, options).await;
        if comes {
            assert_eq!(late.next().await.unwrap(), kept, "{options}");
        }
        late.is_alive().await;
    }
    let mut old = Raw::new(&running, false, "old").await;
    old.subscribe("home/a", 0).await;
    assert_eq!(old.next().await.unwrap(), packet(0x31, &[&old.publish("home/a", &[], &[], "two")]));
    let empty = packet(0x31, &[&sender.publish("home/a", &[], &[], "")]);
    sender.send(&empty).await;
    sender.is_alive().await;
    assert_eq!(running.broker.retained("#"), []);
    running.broker.stop().await;
}

#[tokio::test]
async fn a_will_goes_out_unless_its_client_takes_leave() {
    let running = start().await;
    for v5 in [false, true] {
        let mut reader = Raw::new(&running, v5, "reader").await;
        reader.subscribe("home/#", 2).await;
        let properties: &[u8] = b"\x26\0\x01k\0\x01v\x26\0\x01a\0\x01b";
        let len = [u8::try_from(properties.len()).unwrap()];
        let properties = if v5 { [&len, properties].concat() } else { Vec::new() };
        let will = [&properties, &text("home/will")[..], &text("gone")].concat();
        // Who left no will, has none.
        drop(Raw::new(&running, v5, "dying").await);
        // Will flag, QoS 0, not retained; then QoS 1, retained.
        for (flags, retained) in [(0x06, 0), (0x2e, 1)] {
            let said = connect(v5, flags, 0, &[], "dying", &will);
            let (mut leaving, _) = Raw::with(&running, v5, &said).await;
            leaving.send(&[0xe0, 0]).await;
            assert_eq!(leaving.next().await, None);
            let (dying, _) = Raw::with(&running, v5, &said).await;
            drop(dying);
            let got = reader.next().await.unwrap();
            assert_eq!(
                got[0],
                if retained == 1 { 0x32 } else { 0x30 },
                "one will, of its QoS, and of who did not leave"
            );
            assert!(got.ends_with(&[&properties[..], b"gone"].concat()), "{got:?}");
            if retained == 1 {
                reader.send(&[0x40, 2, 0, 1]).await;
            }
            assert_eq!(running.broker.retained("#").len(), retained);
        }
        running.publish("home/will", "", true).await;
        let got = reader.next().await.unwrap();
        assert_eq!(got[0], 0x32, "{got:?}");
        if v5 {
            let (mut with_will, _) =
                Raw::with(&running, v5, &connect(v5, 0x06, 0, &[], "dying", &will)).await;
            with_will.send(&[0xe0, 1, 0x04]).await;
            assert_eq!(reader.next().await.unwrap()[0], 0x30, "DISCONNECT with will");
        }
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn who_is_silent_for_one_and_a_half_keep_alives_is_cut_off() {
    let running = start().await;
    for v5 in [false, true] {
        // Before the broker begins to count.
        let begun = Instant::now();
        let (mut silent, _) = Raw::with(&running, v5, &connect(v5, CLEAN, 1, &[], "silent", &[])).await;
        assert_eq!(silent.end().await, v5.then_some(0x8d));
        assert!(begun.elapsed() >= Duration::from_millis(1_400), "{:?}", begun.elapsed());
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn limits_that_were_told_hold_in_both_directions() {
    let limits = BrokerLimits { client_publishes_max: 2, ..BrokerLimits::default() };
    let running = start_limited(limits).await;
    // It takes two messages at once, and packets of 40 bytes.
    let properties = [0x21, 0, 2, 0x27, 0, 0, 0, 40];
    let (mut client, _) =
        Raw::with(&running, true, &connect(true, CLEAN, 0, &properties, "client", &[])).await;
    client.subscribe("home/#", 1).await;
    running.publish("home/long", &"x".repeat(40), false).await;
    for text in ["0", "1", "2", "3"] {
        running.publish("home/a", text, false).await;
    }
    let body =
        |client: &Raw, id: u8, text: &str| packet(0x32, &[&client.publish("home/a", &[0, id], &[], text)]);
    let mut ids = Vec::new();
    for text in ["0", "1"] {
        let got = client.next().await.unwrap();
        let id = got[got.len() - 3];
        assert_eq!(got, body(&client, id, text));
        ids.push(id);
    }
    // No third one; other packets go on. An acknowledgement that refuses counts as well.
    client.is_alive().await;
    client.send(&[0x40, 3, 0, ids[0], 0x80]).await;
    let got = client.next().await.unwrap();
    assert!(got.ends_with(b"2"), "{got:?}");
    client.is_alive().await;
    // Three of QoS 2 without a release are one too many.
    for id in 1..=3 {
        let publish = packet(0x34, &[&client.publish("home/z", &[1, id], &[], "x")]);
        client.send(&publish).await;
    }
    while let Some(got) = client.next().await {
        assert!(matches!(got[0], 0x32 | 0x50 | 0xe0), "{got:?}");
        if got[0] == 0xe0 {
            assert_eq!(got[2], 0x93);
        }
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn a_client_of_3_1_1_that_knows_no_limit_may_have_a_hundred_publications_under_way() {
    let running = start().await;
    let mut client = Raw::new(&running, false, "client").await;
    for id in 1..=100 {
        client.send(&packet(0x34, &[&client.publish("home/z", &[0, id], &[], "x")])).await;
        assert_eq!(client.next().await.unwrap(), [0x50, 2, 0, id]);
    }
    client.is_alive().await;
    running.broker.stop().await;
}

#[tokio::test]
async fn a_subscription_that_is_replaced_loses_nothing_and_one_that_ends_finishes_what_it_began() {
    let running = start().await;
    // One message at a time: the others wait.
    let said = connect(true, CLEAN, 0, &[0x21, 0, 1], "client", &[]);
    let (mut client, _) = Raw::with(&running, true, &said).await;
    client.subscribe("home/a", 1).await;
    for text in ["0", "1"] {
        running.publish("home/a", text, false).await;
    }
    let body = |client: &Raw, id: u8, text: &str| client.publish("home/a", &[0, id], &[], text);
    assert_eq!(client.next().await.unwrap(), packet(0x32, &[&body(&client, 1, "0")]));
    client.subscribe("home/a", 2).await;
    let second = packet(0x32, &[&body(&client, 2, "1")]);
    client.ask(&[0x40, 2, 0, 1], &second).await;
    client.send(&[0x40, 2, 0, 2]).await;
    // Ended in the middle of an exchange of QoS 2.
    let mut sender = Raw::new(&running, true, "sender").await;
    sender.ask(&packet(0x34, &[&body(&sender, 1, "2")]), &[0x50, 2, 0, 1]).await;
    assert_eq!(client.next().await.unwrap(), packet(0x34, &[&body(&client, 3, "2")]));
    let gone = packet(0xa2, &[&[0, 4, 0], &text("home/a")]);
    client.ask(&gone, &[0xb0, 4, 0, 4, 0, 0]).await;
    running.publish("home/a", "3", false).await;
    client.ask(&[0x50, 2, 0, 3], &[0x62, 2, 0, 3]).await;
    client.send(&[0x70, 2, 0, 3]).await;
    client.is_alive().await;
    running.broker.stop().await;
}

#[tokio::test]
async fn a_refused_publication_is_answered_and_reaches_no_one_and_its_identifier_is_free() {
    let running = start().await;
    for v5 in [false, true] {
        let mut reader = Raw::new(&running, v5, "reader").await;
        reader.subscribe("#", 0).await;
        let mut sender = Raw::new(&running, v5, "sender").await;
        // The gateway's own topic.
        let refused = sender.publish("vitalwire/v1/dev_a/status", &[0, 7], &[], "x");
        let answer = |kind: u8| if v5 { vec![kind, 3, 0, 7, 0x87] } else { vec![kind, 2, 0, 7] };
        sender.ask(&packet(0x32, &[&refused]), &answer(0x40)).await;
        sender.ask(&packet(0x34, &[&refused]), &answer(0x50)).await;
        if v5 {
            sender.ask(&packet(0x34, &[&refused]), &answer(0x50)).await;
        } else {
            sender.ask(&[0x62, 2, 0, 7], &[0x70, 2, 0, 7]).await;
        }
        let allowed = sender.publish("home/a", &[0, 7], &[], "y");
        sender.ask(&packet(0x34, &[&allowed]), &[0x50, 2, 0, 7]).await;
        assert_eq!(reader.next().await.unwrap(), packet(0x30, &[&reader.publish("home/a", &[], &[], "y")]));
    }
    running.broker.stop().await;
}

/// `CONFORMANCE.md` names tests that there are.
#[test]
fn the_table_of_statements_names_tests_that_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(folder.join("CONFORMANCE.md")).unwrap();
    let mut names = 0;
    for name in table.split('`').skip(1).step_by(2) {
        let Some((file, name)) = name.split_once("::") else { continue };
        let files = ["src", "tests"].map(|place| folder.join(place).join(format!("{file}.rs")));
        let has_it = |file: &std::path::PathBuf| {
            std::fs::read_to_string(file).is_ok_and(|source| source.contains(&format!("fn {name}()")))
        };
        assert!(files.iter().any(has_it), "there is no test {file}::{name}");
        names += 1;
    }
    assert!(names > 100, "{names}");
}
