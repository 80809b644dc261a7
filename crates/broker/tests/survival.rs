//! What survives: a restart, a `kill -9`, a subscriber that reads nothing, a full queue.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use vitalwire_broker::{Broker, BrokerLimits};
use vitalwire_testing::mosquitto::Subscriber;
use vitalwire_testing::{PASSWORD, PATIENCE, quick, until};

const STORED: [&str; 7] = ["-i", "display", "-c", "-q", "1", "-t", "Pico/#"];

async fn leave_a_session(running: &Running) {
    Subscriber::start(running.plain(), "reader", &STORED).await.kill().await;
    until("the client has left", || running.broker.stats().clients == 0).await;
}

#[tokio::test]
async fn missed_and_retained_messages_survive_a_restart_in_order() {
    let running = start().await;
    leave_a_session(&running).await;
    running.publish("Pico/dev_a/Ip_address", "192.0.2.7", true).await;
    running.publish("Pico/dev_a/gone", "x", true).await;
    running.publish("Pico/dev_a/gone", "", true).await;
    for number in 0..2_500 {
        running.publish("Pico/dev_a/x", &format!("number {number}"), false).await;
    }
    let running = running.restart().await.restart().await;
    assert_eq!(running.broker.retained("#"), [("Pico/dev_a/Ip_address".to_owned(), "192.0.2.7".into())]);
    let mut back = Subscriber::connect(running.plain(), "reader", &STORED);
    for number in 0..2_500 {
        let line = back.line_with("Pico/dev_a/x number").await;
        assert_eq!(line, format!("Pico/dev_a/x number {number}"));
    }
    running.broker.stop().await;
}

/// Not a test of its own: the broker as a process of its own, for a test that kills it.
#[tokio::test]
#[ignore = "started by the test that kills it"]
async fn broker_process() {
    let folder = PathBuf::from(std::env::var("BROKER_TEST_FOLDER").unwrap());
    let (users, _) = watch::channel(directory(usual()));
    let broker = Broker::start(config(&folder, BrokerLimits::default()), logins(&users)).await.unwrap();
    println!("\nlistening {}", broker.addresses().plain.unwrap());
    // What the parent asks for on standard input: "retain TOPIC TEXT", "publish TOPIC TEXT", or "await stored TEXT".
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await.unwrap() {
        let words: Vec<&str> = order.splitn(3, ' ').collect();
        if words[0] == "await" {
            let passes = broker.stats().storage_passes + 2;
            until("everything is stored", || broker.stats().storage_passes >= passes).await;
        } else {
            broker.publish(words[1], words[2].to_owned().into(), words[0] == "retain");
        }
        println!("\ndone {}", words[2]);
    }
}

struct Process {
    child: Child,
    address: SocketAddr,
    answers: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Process {
    async fn start(folder: &std::path::Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "broker_process", "--ignored", "--nocapture"])
            .env("BROKER_TEST_FOLDER", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = answer(&mut answers, "listening ").await.parse().unwrap();
        Self { child, address, answers }
    }

    async fn order(&mut self, order: &str, topic: &str, text: &str) {
        let line = format!("{order} {topic} {text}\n");
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut self.answers, "done ").await, text);
    }

    async fn kill(mut self) {
        // SIGKILL: no handler of it runs.
        self.child.kill().await.unwrap();
    }
}

async fn answer(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>, start: &str) -> String {
    let found = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the broker process ended");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the broker process says nothing")
}

#[tokio::test]
async fn missed_and_retained_messages_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path()).await;
    Subscriber::start(process.address, "reader", &STORED).await.kill().await;
    process.order("retain", "vitalwire/v1/dev_a/status", "online").await;
    for number in 0..50 {
        process.order("publish", "Pico/dev_a/x", &format!("number {number}")).await;
    }
    // The storage's own rhythm; nothing is flushed.
    process.order("await", "stored", "now").await;
    process.kill().await;
    let mut process = Process::start(folder.path()).await;
    let mut back = Subscriber::connect(process.address, "reader", &STORED);
    for number in 0..50 {
        assert_eq!(back.line_with("Pico/dev_a/x number").await, format!("Pico/dev_a/x number {number}"));
    }
    back.kill().await;
    let mut late = Subscriber::start(process.address, "reader", &["-t", "vitalwire/#"]).await;
    late.line_with("vitalwire/v1/dev_a/status online").await;
    // Killed again while it writes all the time: what is there afterwards is whole and in order.
    for number in 50..400 {
        process.order("publish", "Pico/dev_a/x", &format!("number {number}")).await;
    }
    process.kill().await;
    let mut process = Process::start(folder.path()).await;
    process.order("publish", "Pico/dev_a/x", "end").await;
    let mut back = Subscriber::connect(process.address, "reader", &STORED);
    read_in_order(&mut back).await;
}

/// Says CONNECT of 3.1.1 with a session that stays, as `admin`; the answer.
async fn connect(address: SocketAddr, id: &str) -> (TcpStream, [u8; 4]) {
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let body = [&b"\0\x04MQTT\x04\xc0\0\0"[..], &text(id), &text("admin"), &text(PASSWORD)].concat();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&[&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()).await.unwrap();
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).await.unwrap();
    (socket, answer)
}

#[tokio::test]
async fn what_comes_again_after_a_kill_is_published_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path()).await;
    let reader = ["-i", "display", "-c", "-q", "1", "-t", "home/#"];
    Subscriber::start(process.address, "admin", &reader).await.kill().await;
    let publish = |first: u8, text: &str| {
        let body = [&b"\0\x06home/a\0\x07"[..], text.as_bytes()].concat();
        [&[first, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    };
    let ask = async |socket: &mut TcpStream, said: &[u8], answer: [u8; 4]| {
        socket.write_all(said).await.unwrap();
        let mut got = [0; 4];
        tokio::time::timeout(PATIENCE, socket.read_exact(&mut got)).await.unwrap().unwrap();
        assert_eq!(got, answer);
    };
    let (mut sender, answer) = connect(process.address, "sender").await;
    assert_eq!(answer, [0x20, 2, 0, 0]);
    ask(&mut sender, &publish(0x34, "once"), [0x50, 2, 0, 7]).await;
    process.order("await", "stored", "now").await;
    process.kill().await;
    // Its PUBREC may have been lost: the client sends it again, on two connections, of which the first is reset.
    let mut process = Process::start(folder.path()).await;
    for _ in 0..2 {
        let (mut sender, answer) = connect(process.address, "sender").await;
        assert_eq!(answer, [0x20, 2, 1, 0], "its session is there");
        ask(&mut sender, &publish(0x3c, "once"), [0x50, 2, 0, 7]).await;
        sender.set_zero_linger().unwrap();
    }
    let (mut sender, _) = connect(process.address, "sender").await;
    ask(&mut sender, &[0x62, 2, 0, 7], [0x70, 2, 0, 7]).await;
    // Now the identifier is free.
    ask(&mut sender, &publish(0x34, "another"), [0x50, 2, 0, 7]).await;
    process.order("publish", "home/a", "end").await;
    let mut back = Subscriber::connect(process.address, "admin", &reader);
    for text in ["once", "another", "end"] {
        assert_eq!(back.line_with("home/a ").await, format!("home/a {text}"));
    }
}

/// Reads what is queued, up to `end`, and checks that no number is missing between the first and the last.
async fn read_in_order(subscriber: &mut Subscriber) {
    let mut last: Option<u32> = None;
    loop {
        let line = subscriber.line_with("Pico/dev_a/x ").await;
        let text = line.rsplit(' ').next().unwrap();
        if text == "end" {
            break;
        }
        let number = text.parse().unwrap();
        assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
        last = Some(number);
    }
    assert!(last.is_some(), "nothing was stored");
}

/// A client that logs in, subscribes at this QoS, and then never reads again.
async fn deaf_client(address: SocketAddr, qos: u8) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut connect = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b1100_0010, 0, 60, 0, 0, 0, 6];
    connect.extend(b"reader");
    connect.extend([0, u8::try_from(PASSWORD.len()).unwrap()]);
    connect.extend(PASSWORD.as_bytes());
    let mut packets = vec![0x10, u8::try_from(connect.len()).unwrap()];
    packets.extend(connect);
    packets.extend([0x82, 11, 0, 1, 0, 6, b'P', b'i', b'c', b'o', b'/', b'#', qos]);
    socket.write_all(&packets).await.unwrap();
    // CONNACK and SUBACK: it is logged in and subscribed.
    let mut answers = [0; 9];
    socket.read_exact(&mut answers).await.unwrap();
    assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 3, 0, 1, qos]);
    socket
}

#[tokio::test]
async fn a_subscriber_that_never_reads_does_not_delay_readings() {
    let running = start().await;
    let mut deaf = Vec::new();
    for qos in [0, 1, 1] {
        deaf.push(deaf_client(running.plain(), qos).await);
    }
    let mut healthy =
        Subscriber::start(running.plain(), "reader", &["-q", "1", "-t", "Pico/dev_a/end"]).await;
    let payload = bytes::Bytes::from(vec![b'x'; 450]);
    // The longest publish of a round.
    quick(Duration::from_millis(200), async || {
        let mut longest = Duration::ZERO;
        for number in 0..60_000_u32 {
            let begun = Instant::now();
            running.broker.publish("Pico/dev_a/x", payload.clone(), false);
            longest = longest.max(begun.elapsed());
            if number % 200 == 0 {
                tokio::task::yield_now().await;
            }
        }
        running.publish("Pico/dev_a/end", "here", false).await;
        healthy.line_with("Pico/dev_a/end here").await;
        longest
    })
    .await;
    running.broker.stop().await;
}

#[tokio::test]
async fn a_full_queue_drops_its_oldest_messages_and_counts_them() {
    let limits = BrokerLimits { queued_messages_max: 100, ..Default::default() };
    let running = start_limited(limits).await;
    leave_a_session(&running).await;
    for number in 0..250 {
        running.publish("Pico/dev_a/x", &format!("number {number}"), false).await;
    }
    until("the queue is trimmed", || running.broker.stats().dropped == 150).await;
    let mut back = Subscriber::connect(running.plain(), "reader", &STORED);
    assert_eq!(back.line_with("Pico/dev_a/x number").await, "Pico/dev_a/x number 150");
    running.broker.stop().await;
}

#[tokio::test]
async fn a_stop_delivers_what_was_published_and_is_quick() {
    let running = start().await;
    let mut subscriber = Subscriber::start(running.plain(), "reader", &["-q", "0", "-t", "Pico/#"]).await;
    for number in 0..2_000 {
        running.publish("Pico/dev_a/x", &format!("number {number}"), false).await;
    }
    let begun = Instant::now();
    running.broker.stop().await;
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    subscriber.line_with("Pico/dev_a/x number 1999").await;
}

#[tokio::test]
async fn the_storage_is_private_and_a_damaged_row_stops_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let running = start().await;
    leave_a_session(&running).await;
    running.publish("Pico/dev_a/x", "kept", true).await;
    let Running { broker, users, folder } = running;
    broker.stop().await;
    let file = folder.path().join("mqtt/broker.db");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let rows = rusqlite::Connection::open(&file).unwrap();
    rows.execute("UPDATE session SET body = 'nonsense'", []).unwrap();
    rows.execute("UPDATE log SET body = x'ff00'", []).unwrap();
    drop(rows);
    let running = start_with(Arc::clone(&folder), users, BrokerLimits::default()).await;
    assert_eq!(running.broker.retained("#").len(), 1);
    running.broker.stop().await;
}

#[tokio::test]
async fn a_user_removed_while_the_broker_was_down_leaves_no_session_behind() {
    let running = start().await;
    leave_a_session(&running).await;
    running.publish("Pico/dev_a/x", "secret", false).await;
    let Running { broker, users, folder } = running;
    broker.stop().await;
    users.send_replace(directory(vec![user("admin", vitalwire_access::Role::Admin)]));
    start_with(Arc::clone(&folder), users.clone(), BrokerLimits::default()).await.broker.stop().await;
    users.send_replace(directory(usual()));
    let running = start_with(folder, users, BrokerLimits::default()).await;
    let mut next = Subscriber::connect(running.plain(), "reader", &STORED);
    next.line_with("Subscribed").await;
    running.publish("Pico/dev_a/x", "new", false).await;
    assert_eq!(next.line_with("Pico/dev_a/x ").await, "Pico/dev_a/x new");
    running.broker.stop().await;
}

/// The tables of format 1, which the broker of another crate wrote.
const FORMAT_1: &str = "
    CREATE TABLE session(client TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE retained(topic TEXT PRIMARY KEY, qos INTEGER NOT NULL, payload BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE queue(
        client TEXT NOT NULL, chunk INTEGER NOT NULL, taken INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY(client, chunk));
    CREATE TABLE inflight(client TEXT PRIMARY KEY, body BLOB NOT NULL);
    INSERT INTO session VALUES ('display', '{}');
    INSERT INTO retained VALUES ('vitalwire/v1/dev_a/status', 1, x'6f6e6c696e65');
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn retained_messages_of_an_earlier_version_stay() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (users, _) = watch::channel(directory(usual()));
    std::fs::create_dir(folder.path().join("mqtt")).unwrap();
    let rows = rusqlite::Connection::open(folder.path().join("mqtt/broker.db")).unwrap();
    rows.execute_batch(FORMAT_1).unwrap();
    drop(rows);
    let running = start_with(folder, users, BrokerLimits::default()).await.restart().await;
    let status = ("vitalwire/v1/dev_a/status".to_owned(), "online".into());
    assert_eq!(running.broker.retained("#"), [status]);
    leave_a_session(&running).await;
    running.broker.stop().await;
}
