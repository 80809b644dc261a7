//! The pseudo pico on a terminal of its own: what its keys do is seen by a subscriber of a real server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;

use support::screen::Screen;
use support::{Data, Serve, vitalwire};
use vitalwire_testing::program::{Lines, Running};

const PASSWORD: &str = "a good password";

/// A subscriber of everything.
struct Subscriber {
    _running: Running,
    lines: Lines,
}

impl Subscriber {
    fn start(serve: &Serve) -> Self {
        let mut child = vitalwire()
            .args(["subscribe", "--url", &format!("mqtt://nurse@{}", serve.address("mqtt"))])
            .args(["--filter", "Pico/#", "--filter", "vitalwire/#"])
            .env("VITALWIRE_MQTT_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        Self { _running: Running(child), lines }
    }

    /// Reads up to a message that is wanted.
    #[track_caller]
    fn until(&self, what: &str, mut is_wanted: impl FnMut(&str, &str) -> bool) {
        self.lines.until(what, |line| {
            line.split_once(' ').is_some_and(|(topic, payload)| is_wanted(topic, payload))
        });
    }

    fn value(&self, name: &str, is_wanted: impl Fn(f64) -> bool) {
        self.until(name, |topic, payload| topic.ends_with(name) && is_wanted(payload.parse().unwrap()));
    }

    fn status(&self, wanted: &str) {
        self.until(wanted, |topic, payload| topic.ends_with("/status") && payload == wanted);
    }
}

/// The batch that a reading came in.
fn sequence(topic: &str, payload: &str) -> Option<u64> {
    let reading: Option<serde_json::Value> =
        topic.ends_with("/reading").then(|| serde_json::from_str(payload).unwrap());
    reading?["sequence"].as_u64()
}

#[test]
fn keys_change_what_a_subscriber_sees_and_a_cut_network_costs_no_batch() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.add_user("nurse", PASSWORD);
    let identity = data.folder().with_file_name("bed_07.bin");
    let identity = identity.to_str().unwrap();
    data.must(&["device", "provision", "bed_07", "--bin", identity]);
    let serve = Serve::start(&data.folder());
    let subscriber = Subscriber::start(&serve);
    let mut command = vitalwire();
    command.args(["simulate", "pico", "--identity", identity, "--server", serve.address("devices")]);
    let mut pico = Screen::start(command, 80, 24);
    subscriber.status("online");
    subscriber.value("Physiological_Data/Temperature", |celsius| celsius > 35.0);
    pico.press("2222222222");
    subscriber.value("Physiological_Data/Temperature", |celsius| celsius < 33.0);
    pico.press("333333333333");
    subscriber.value("Temperature/MCU", |celsius| celsius > 27.5);
    // Choice 12, ten times.
    pico.press("12121212121212121212");
    subscriber.value("Accelerometer/z", |g| g < 0.4);

    // The network goes and comes; every batch is there in the end.
    let mut sequences = BTreeSet::new();
    pico.press("n");
    for status in ["offline", "online"] {
        subscriber.until(status, |topic, payload| {
            sequences.extend(sequence(topic, payload));
            topic.ends_with("/status") && payload == status
        });
        if status == "offline" {
            pico.press("n");
        }
    }
    let last_before = *sequences.last().unwrap();
    subscriber.until("batches without a gap", |topic, payload| {
        sequences.extend(sequence(topic, payload));
        let (first, last) = (sequences.first().unwrap(), *sequences.last().unwrap());
        last >= last_before + 3 && u64::try_from(sequences.len()).unwrap() == last - first + 1
    });

    // The switch restarts it in configuration mode, and back.
    pico.press("s");
    subscriber.status("offline");
    pico.press("s");
    subscriber.status("online");
    pico.press("q");
    assert!(pico.ended().success());
}
