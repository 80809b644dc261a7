//! What an operator sees of sessions, and the end of one that he asks for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use support::*;
use vitalwire_broker::{BrokerError, SessionInfo, StoredSessions};
use vitalwire_testing::mosquitto::Subscriber;
use vitalwire_testing::until;

const DISPLAY: [&str; 7] = ["-i", "display", "-c", "-q", "1", "-t", "Pico/#"];

fn of<'a>(sessions: &'a [SessionInfo], client_id: &str) -> &'a SessionInfo {
    sessions.iter().find(|session| *session.client_id == *client_id).unwrap()
}

/// A session that is away and misses two messages, and a client that is connected and has everything.
async fn ward() -> (Running, Subscriber) {
    let running = start().await;
    Subscriber::start(running.plain(), "reader", &DISPLAY).await.kill().await;
    until("the client has left", || running.broker.stats().clients == 0).await;
    let live = ["-i", "live", "-q", "1", "-t", "Pico/dev_a/#", "-t", "vitalwire/v1/dev_a/#"];
    let mut live = Subscriber::start(running.plain(), "scoped", &live).await;
    for text in ["one", "two"] {
        running.publish("Pico/dev_a/x", text, false).await;
        live.line_with(text).await;
    }
    until("it has acknowledged", || of(&running.broker.sessions(), "live").waiting == 0).await;
    (running, live)
}

#[tokio::test]
async fn sessions_are_listed_with_what_waits_for_them() {
    let (running, _live) = ward().await;
    let sessions = running.broker.sessions();
    let ids: Vec<_> = sessions.iter().map(|session| &*session.client_id).collect();
    assert_eq!(ids, ["display", "live"], "those who miss most come first");
    let display = of(&sessions, "display");
    assert_eq!((&*display.user, display.waiting), ("reader", 2));
    assert_eq!(display.filters, ["Pico/#".into()]);
    assert!(display.away_s.is_some() && display.kept_s > 0);
    let live = of(&sessions, "live");
    assert_eq!((&*live.user, live.away_s, live.kept_s), ("scoped", None, 0));
    assert_eq!(live.filters.len(), 2);
    running.broker.stop().await;
}

#[tokio::test]
async fn a_session_that_is_ended_loses_its_connection_and_what_waited_for_good() {
    let (running, _live) = ward().await;
    assert_eq!(running.broker.end_session("nobody").await, Ok(None));
    assert_eq!(running.broker.end_session("live").await, Ok(Some("scoped".into())));
    until("its connection is closed", || running.broker.stats().clients == 0).await;
    assert_eq!(running.broker.end_session("display").await, Ok(Some("reader".into())));
    assert_eq!(running.broker.sessions(), []);
    // Also after a kill: it was on the disk when `end_session` returned.
    let running = running.restart().await;
    assert_eq!(running.broker.sessions(), []);
    let mut back = Subscriber::start(running.plain(), "reader", &DISPLAY).await;
    running.publish("Pico/dev_a/x", "three", false).await;
    back.line_with("Pico/dev_a/x three").await;
    running.broker.stop().await;
}

#[tokio::test]
async fn sessions_of_a_broker_that_does_not_run_are_listed_and_ended() {
    let (running, live) = ward().await;
    let folder = running.folder.path().join("mqtt");
    assert!(matches!(StoredSessions::open(&folder), Err(BrokerError::StorageInUse { .. })));
    live.kill().await;
    running.broker.stop().await;
    let mut stored = StoredSessions::open(&folder).unwrap().unwrap();
    let sessions = stored.list();
    assert_eq!(sessions.len(), 1, "what ends with its connection is not stored");
    assert_eq!((sessions[0].waiting, &*sessions[0].user), (2, "reader"));
    assert_eq!(stored.end("nobody"), Ok(None));
    assert_eq!(stored.end("display"), Ok(Some("reader".into())));
    drop(stored);
    assert_eq!(StoredSessions::open(&folder).unwrap().unwrap().list(), []);
    assert!(StoredSessions::open(&folder.join("none")).unwrap().is_none(), "nothing is made");
    assert!(!folder.join("none").exists());
}
