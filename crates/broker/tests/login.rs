//! Logging in: who gets in, who is slowed down, whose client id it is, and what a change of the user does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_broker::{Broker, BrokerError, BrokerLimits};
use vitalwire_testing::mosquitto::{Subscriber, client, run};
use vitalwire_testing::{PASSWORD, PATIENCE, quick, until};

async fn can_log_in(running: &Running, arguments: &[&str]) -> bool {
    let mut command = tokio::process::Command::new("mosquitto_pub");
    command.args(["-p", &running.plain().port().to_string(), "-t", "home/x", "-m", "1"]).args(arguments);
    let output = run(command).await;
    output.status.success() && output.stderr.is_empty()
}

#[tokio::test]
async fn no_one_gets_in_without_the_right_name_and_password() {
    let running = start().await;
    for refused in [
        &[][..],
        &["-u", "reader"],
        &["-u", "reader", "-P", "wrong horse"],
        &["-u", "nobody", "-P", PASSWORD],
        &["-u", "", "-P", ""],
        &["-u", "reader/../admin", "-P", PASSWORD],
        &["-V", "mqttv5"],
        &["-V", "mqttv5", "-u", "nobody", "-P", PASSWORD],
    ] {
        assert!(!can_log_in(&running, refused).await, "{refused:?}");
    }
    assert!(can_log_in(&running, &["-u", "reader", "-P", PASSWORD]).await);
    assert!(can_log_in(&running, &["-V", "mqttv5", "-u", "admin", "-P", PASSWORD]).await);
    assert_eq!(running.broker.stats().failed_logins, 8);
    running.broker.stop().await;
}

#[tokio::test]
async fn hammering_one_account_locks_out_no_one_else_behind_that_address() {
    let running = start().await;
    for _ in 0..6 {
        assert!(!can_log_in(&running, &["-u", "reader", "-P", "wrong horse"]).await);
    }
    assert!(!can_log_in(&running, &["-u", "reader", "-P", PASSWORD]).await, "this pair is locked out");
    assert!(can_log_in(&running, &["-u", "scoped", "-P", PASSWORD]).await, "another user at that address");
    // Linux has all of 127.0.0.0/8: the same account from another address.
    assert!(can_log_in(&running, &["-u", "reader", "-P", PASSWORD, "-A", "127.0.0.2"]).await);
    running.broker.stop().await;
}

#[tokio::test]
async fn another_user_neither_takes_over_nor_reads_a_session() {
    let running = start().await;
    let theirs =
        Subscriber::start(running.plain(), "reader", &["-i", "display", "-c", "-q", "1", "-t", "Pico/#"])
            .await;
    for clean in [&["-i", "display"][..], &["-i", "display", "-c"]] {
        let mut command = client("mosquitto_sub", running.plain(), "scoped");
        command.args(["-t", "Pico/dev_a/#", "-W", "5"]).args(clean);
        assert!(!run(command).await.status.success(), "connected: {clean:?}");
    }
    let mut theirs = theirs;
    running.publish("Pico/dev_b/x", "secret", false).await;
    theirs.line_with("Pico/dev_b/x secret").await;
    theirs.kill().await;
    until("the client has left", || running.broker.stats().clients == 0).await;
    running.publish("Pico/dev_b/x", "queued secret", false).await;
    for clean in [&["-i", "display"][..], &["-i", "display", "-c"]] {
        let mut command = client("mosquitto_sub", running.plain(), "admin");
        command.args(["-t", "home/#", "-W", "5"]).args(clean);
        assert!(!run(command).await.status.success(), "connected to the stored session: {clean:?}");
    }
    let mut back =
        Subscriber::connect(running.plain(), "reader", &["-i", "display", "-c", "-q", "1", "-t", "Pico/#"]);
    back.line_with("Pico/dev_b/x queued secret").await;
    running.broker.stop().await;
}

#[tokio::test]
async fn a_removed_user_is_cut_off_within_a_second_and_its_session_is_gone() {
    let running = start().await;
    let arguments = ["-i", "display", "-c", "-q", "1", "-t", "Pico/#"];
    let mut live = None;
    quick(Duration::from_secs(1), async || {
        running.change_users(usual());
        live = Some(Subscriber::start(running.plain(), "reader", &arguments).await);
        let removed = Instant::now();
        running.change_users(vec![user("scoped", reader_of(&["dev_a"]))]);
        until("its connection is closed", || running.broker.stats().clients == 0).await;
        removed.elapsed()
    })
    .await;
    running.publish("Pico/dev_a/x", "after", false).await;
    // The same name again, another person: nothing of the old session is there.
    running.change_users(usual());
    drop(live);
    let mut next = Subscriber::connect(
        running.plain(),
        "reader",
        &["-i", "display", "-c", "-q", "1", "-t", "vitalwire/#"],
    );
    next.line_with("Subscribed").await;
    running.publish("Pico/dev_a/x", "later", false).await;
    running.publish("vitalwire/v1/dev_a/status", "online", false).await;
    let first = next.line_with(" online").await;
    assert!(first.contains("vitalwire/v1/dev_a/status"));
    running.broker.stop().await;
}

#[tokio::test]
async fn a_narrowed_scope_ends_connections_and_takes_messages_and_subscriptions_out_of_the_session() {
    let running = start().await;
    let both = ["-i", "display", "-c", "-q", "1", "-t", "Pico/dev_a/#", "-t", "Pico/dev_b/#"];
    Subscriber::start(running.plain(), "reader", &both).await.kill().await;
    until("the client has left", || running.broker.stats().clients == 0).await;
    running.publish("Pico/dev_b/x", "before", false).await;
    running.publish("Pico/dev_a/x", "before", false).await;
    let admin = user("admin", vitalwire_access::Role::Admin);
    running.change_users(vec![admin, user("reader", reader_of(&["dev_a"]))]);
    // The broker follows the users in this thread: before it has let someone else in.
    assert!(can_log_in(&running, &["-u", "admin", "-P", PASSWORD]).await);
    running.publish("Pico/dev_b/x", "after", false).await;
    running.publish("Pico/dev_a/x", "after", false).await;
    let more = ["-i", "display", "-c", "-q", "1", "-t", "Pico/dev_a/y"];
    let mut back = Subscriber::connect(running.plain(), "reader", &more);
    let mut seen: Vec<String> = Vec::new();
    back.line_with("received CONNACK").await;
    running.publish("Pico/dev_a/z", "end", false).await;
    while seen.last().is_none_or(|line| !line.ends_with("end")) {
        seen.push(back.line_with("Pico/").await);
        seen.retain(|line| line.starts_with("Pico/"));
    }
    assert_eq!(seen, ["Pico/dev_a/x before", "Pico/dev_a/x after", "Pico/dev_a/z end"]);
    running.broker.stop().await;
}

#[tokio::test]
async fn a_changed_password_closes_connections_and_counts_from_then_on() {
    let running = start().await;
    let mut live = Subscriber::start(running.plain(), "reader", &["-t", "Pico/#"]).await;
    let mut changed = user("reader", reader_of_all());
    changed.password_hash = hash("battery staple");
    running.change_users(vec![changed]);
    assert!(live.find("will never come").await.is_none() || live.child.try_wait().is_ok());
    assert!(!can_log_in(&running, &["-u", "reader", "-P", PASSWORD]).await);
    assert!(can_log_in(&running, &["-u", "reader", "-P", "battery staple"]).await);
    running.broker.stop().await;
}

#[tokio::test]
async fn who_says_nothing_is_closed_in_time() {
    let limits = BrokerLimits { connect_ms_max: 200, ..Default::default() };
    let running = start_limited(limits).await;
    for half in [&b""[..], b"\x10", b"\x10\x20\x00\x04MQTT", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = TcpStream::connect(running.plain()).await.unwrap();
        socket.write_all(half).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open after {half:?}");
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn connections_over_the_cap_are_closed_and_counted() {
    let limits = BrokerLimits { connections_per_address_max: 2, ..Default::default() };
    let running = start_limited(limits).await;
    let _first = Subscriber::start(running.plain(), "reader", &["-t", "Pico/#"]).await;
    let _second = Subscriber::start(running.plain(), "reader", &["-t", "Pico/#"]).await;
    let mut third = TcpStream::connect(running.plain()).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(running.broker.stats().refused_connections, 1);
    running.broker.stop().await;
}

#[tokio::test]
async fn who_says_nothing_locks_out_no_one() {
    let limits =
        BrokerLimits { connections_per_address_max: 4, connect_ms_max: 600_000, ..Default::default() };
    let running = start_limited(limits).await;
    let mut silent = Vec::new();
    for half in [&b""[..], b"\x10", b"\x10\x20\x00\x04MQTT", b""].iter().cycle().take(12) {
        let mut socket = TcpStream::connect(running.plain()).await.unwrap();
        socket.write_all(half).await.unwrap();
        silent.push(socket);
    }
    let mut reader = Subscriber::start(running.plain(), "reader", &["-t", "Pico/#"]).await;
    running.publish("Pico/dev_a/x", "seen", false).await;
    reader.line_with("Pico/dev_a/x seen").await;
    let stats = running.broker.stats();
    assert_eq!((stats.evicted_connections, stats.refused_connections), (9, 0));
    running.broker.stop().await;
}

#[tokio::test]
async fn an_address_in_use_and_a_storage_in_use_are_named() {
    let running = start().await;
    let mut config = config(running.folder.path(), BrokerLimits::default());
    let Err(error) = Broker::start(config.clone(), logins(&running.users)).await else {
        panic!("started twice")
    };
    assert!(matches!(error, BrokerError::StorageInUse { .. }), "{error}");
    config.storage = running.folder.path().join("other");
    config.plain = Some(running.plain());
    let Err(error) = Broker::start(config, logins(&running.users)).await else { panic!("bound twice") };
    let text = error.to_string();
    assert!(
        text.contains(&running.plain().to_string())
            && text.contains("another program, or another data folder's server"),
        "{text}"
    );
    running.broker.stop().await;
}
