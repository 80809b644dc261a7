//! From a rate that no one looks at to a web hook, through a whole server, and again after a restart.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use vitalwire_gateway::{Limits, WebHookConfig, WhichAlarms};
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::Clinic;
use vitalwire_testing::link::{HELLO_MS, LinkDevice, batch_of};
use vitalwire_vitals::alarm::{Condition, Timing};

const PROFILE: &str = r#"
name = "clip"
title = "A clip that counts"
[[channel]]
index = 0
name = "Rate"
title = "Pulse rate"
unit = "/min"
range = [20, 300]
rate_hz = 1
decimals = 0
loinc = "8867-4"
"#;

/// What a receiver got: its id and its body.
type Got = (String, Value);

/// Takes everything.
async fn receiver() -> (u16, mpsc::UnboundedReceiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, got) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let body = loop {
                assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole request");
                let text = std::str::from_utf8(&bytes).unwrap();
                let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                if let Some(body) = body {
                    break body;
                }
            };
            let text = String::from_utf8(bytes).unwrap();
            let id = text.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            let _ = told.send((id.to_owned(), body));
        }
    });
    (port, got)
}

async fn next(got: &mut mpsc::UnboundedReceiver<Got>) -> Got {
    tokio::time::timeout(PATIENCE, got.recv()).await.expect("a web hook is called").unwrap()
}

/// A clinic whose web hook is at this port, and a device that gives a rate; of it nothing else is an alarm.
async fn clinic(port: u16) -> (Clinic, LinkDevice) {
    let mut clinic = Clinic::closed();
    std::fs::create_dir(clinic.data().join("profiles")).unwrap();
    std::fs::write(clinic.data().join("profiles/clip.toml"), PROFILE).unwrap();
    clinic.alarm_timing = Timing { announce_again_s: 1, escalate_s: 1 };
    clinic.web_hooks = Some(WebHookConfig {
        urls: vec![format!("http://127.0.0.1:{port}/hook").parse().unwrap()],
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap(),
        tells_values: false,
        allowed_hosts: ["127.0.0.1".to_owned()].into(),
        ca: None,
    });
    clinic.start(Limits::default(), None).await;
    let device = LinkDevice { profile: "clip", ..clinic.enrol_link("d").await };
    let others = Condition::ALL
        .into_iter()
        .filter(|condition| !matches!(condition, Condition::RateHigh | Condition::JournalFull));
    let off: Vec<_> = others.map(Condition::name).collect();
    let limits = format!("delay-rate-high=0 off={}", off.join(",")).parse().unwrap();
    clinic.registry.set_limits(&"d".parse().unwrap(), &limits).unwrap();
    clinic.known().await;
    (clinic, device)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_high_alarm_that_no_one_acknowledges_reaches_a_web_hook_and_again_after_a_restart_with_its_id() {
    let (port, mut got) = receiver().await;
    let (mut clinic, device) = clinic(port).await;
    let (mut connection, _) = device.greet(1).await;
    for n in 0..3 {
        let time_ms = HELLO_MS - 3_000 + n * 1_000;
        connection.send(&batch_of(n + 1, time_ms, &[(0, 500_000, &[171_000; 2])], None)).await;
    }
    let (id, body) = next(&mut got).await;
    assert_eq!((&body["kind"], &body["device"]), (&"alarm-escalated".into(), &"d".into()));
    assert_eq!((&body["condition"], &body["priority"]), (&"rate-high".into(), &"high".into()));
    assert!(!body.to_string().contains("171"), "{body}");
    // The server cannot know whether the receiver kept it, so it says it again.
    clinic.stop().await;
    clinic.start(Limits::default(), None).await;
    let (again, body) = next(&mut got).await;
    assert_eq!(again, id);
    // Who acknowledges ends it.
    let number = WhichAlarms::Number(body["number"].as_u64().unwrap());
    clinic.known().await;
    assert_eq!(clinic.server().acknowledge(number, "Ana", None).await, Ok(1));
    clinic.stop().await;
    clinic.start(Limits::default(), None).await;
    clinic.stop().await;
    assert!(got.try_recv().is_err(), "an acknowledged alarm is escalated no more");
}
