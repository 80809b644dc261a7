//! What was once enough to bring a broker down, or to lock others out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_broker::BrokerLimits;
use vitalwire_testing::{PASSWORD, PATIENCE, until};

const CLEAN: u8 = 0x02;
const WILL: u8 = 0x04;
const RETAIN: u8 = 0x20;

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// A packet of less than 128 bytes behind its length.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(body.len()).unwrap()], body].concat()
}

/// CONNECT of a version, with flags, and what follows the properties: client id, will, name, password.
fn connect(v5: bool, flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let head = [0, 4, b'M', b'Q', b'T', b'T', if v5 { 5 } else { 4 }, 0xc0 | flags, 0, 0];
    let none: &[u8] = if v5 { &[0] } else { &[] };
    packet(0x10, &[&head, none, &fields.concat()].concat())
}

/// Says CONNECT, and gives the answer.
async fn say(running: &Running, connect: &[u8]) -> (TcpStream, Vec<u8>) {
    let mut socket = TcpStream::connect(running.plain()).await.unwrap();
    socket.write_all(connect).await.unwrap();
    let mut answer = vec![0; 2];
    let heard = async {
        socket.read_exact(&mut answer).await.unwrap();
        answer.resize(2 + usize::from(answer[1]), 0);
        socket.read_exact(&mut answer[2..]).await.unwrap();
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("no CONNACK");
    (socket, answer)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count()
    }
}

#[tokio::test]
async fn a_hundred_absent_sessions_of_one_reader_are_counted_and_flood_no_log() {
    const STREAM: u64 = 20_000;
    let limits = BrokerLimits { queued_messages_max: 1_000, ..Default::default() };
    let running = start_limited(limits).await;
    for number in 0..100 {
        let id = text(&format!("display {number}"));
        let (mut socket, answer) =
            say(&running, &connect(false, 0, &[&id, &text("reader"), &text(PASSWORD)])).await;
        assert_eq!(answer, [0x20, 2, 0, 0]);
        socket.write_all(&packet(0x82, &[&[0, 1], &text("Pico/#")[..], &[1]].concat())).await.unwrap();
        let mut suback = [0; 5];
        socket.read_exact(&mut suback).await.unwrap();
        assert_eq!(suback, [0x90, 3, 0, 1, 1]);
    }
    until("they have left", || running.broker.stats().clients == 0).await;
    let (log, began) = (Log::default(), Instant::now());
    let writer = log.clone();
    let logging = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let logging = tracing::subscriber::set_default(logging);
    for number in 0..STREAM {
        running.publish("Pico/dev_a/x", &number.to_string(), false).await;
    }
    let stats = running.broker.stats();
    assert_eq!((stats.sessions, stats.sessions_behind, stats.messages_behind), (100, 100, 1_000));
    assert_eq!((stats.sent, stats.dropped), (0, STREAM - 1_000), "once for all");
    until("it is told", || log.lines() > 0).await;
    for number in 0..STREAM {
        running.publish("Pico/dev_a/x", &number.to_string(), false).await;
    }
    until("it has been swept since", || running.broker.stats().storage_passes > stats.storage_passes + 20)
        .await;
    drop(logging);
    // One line in ten seconds.
    let lines_max = 1 + began.elapsed().as_secs() / 10;
    assert!(log.lines() as u64 <= lines_max, "{}", String::from_utf8_lossy(&log.0.lock().unwrap()));
    running.broker.stop().await;
}

#[tokio::test]
async fn silent_connections_of_one_address_are_counted_and_lock_out_no_one() {
    // As many as one address may have, and more; none ends by itself meanwhile.
    let running = start_limited(BrokerLimits { connect_ms_max: 600_000, ..Default::default() }).await;
    let per_address = BrokerLimits::default().connections_per_address_max as u64;
    let mut silent = Vec::new();
    for _ in 0..per_address + 44 {
        silent.push(TcpStream::connect(running.plain()).await.unwrap());
    }
    let reader = [&text("display")[..], &text("reader"), &text(PASSWORD)];
    let (_socket, answer) = say(&running, &connect(false, CLEAN, &reader)).await;
    assert_eq!(answer, [0x20, 2, 0, 0]);
    let stats = running.broker.stats();
    assert_eq!((stats.clients, stats.evicted_connections, stats.refused_connections), (1, 45, 0));
    running.broker.stop().await;
}

#[tokio::test]
async fn each_refusal_is_one_of_the_clients_version() {
    let limits = BrokerLimits { sessions_per_user_max: 1, ..Default::default() };
    let running = start_limited(limits).await;
    let password = text(PASSWORD);
    let (_taken, answer) =
        say(&running, &connect(false, CLEAN, &[&text("taken"), &text("admin"), &password])).await;
    assert_eq!(answer, [0x20, 2, 0, 0]);
    let none = |v5| if v5 { &[0][..] } else { &[] };
    for v5 in [false, true] {
        let will = [none(v5), &text("Pico/dev_a/x"), &text("x")].concat();
        let wildcards = [none(v5), &text("home/#"), &text("x")].concat();
        let refused = [
            // A wrong password; no such user; another user's client id; one session too many; a will that may not be.
            (CLEAN, [&text("a")[..], &[], &text("admin"), &text("wrong")], 4, 0x86),
            (CLEAN, [&text("a"), &[], &text("nobody"), &password], 4, 0x86),
            (CLEAN, [&text("taken"), &[], &text("reader"), &password], 5, 0x87),
            (CLEAN, [&text("a"), &[], &text("admin"), &password], 3, 0x97),
            (CLEAN | WILL, [&text("a"), &will, &text("reader"), &password], 5, 0x87),
            (CLEAN | WILL | RETAIN, [&text("taken"), &wildcards, &text("admin"), &password], 5, 0x90),
        ];
        for (flags, fields, of_3, of_5) in refused {
            let (mut socket, answer) = say(&running, &connect(v5, flags, &fields)).await;
            let wanted = if v5 { vec![0x20, 3, 0, of_5, 0] } else { vec![0x20, 2, 0, of_3] };
            assert_eq!(answer, wanted, "{v5} {:?}", String::from_utf8_lossy(&fields.concat()));
            let end = tokio::time::timeout(PATIENCE, socket.read(&mut [0; 1])).await.expect("it ends");
            assert_eq!(end.unwrap_or(0), 0);
        }
    }
    assert_eq!(running.broker.retained("#"), [], "no will of who was refused");
    assert_eq!((running.broker.stats().failed_logins, running.broker.stats().published), (4, 0));
    running.broker.stop().await;
}
