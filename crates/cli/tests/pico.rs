//! The pseudo pico on a terminal of its own: what its keys do is seen by a subscriber of a real server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use support::{Data, Serve, vitalwire};
use vitalwire_testing::program::{Lines, Running, wait};

const PASSWORD: &str = "a good password";

/// The program on a terminal.
struct Pico {
    running: Running,
    keys: File,
}

impl Pico {
    fn start(arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 30, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal =
            File::from(rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap());
        let mut command = vitalwire();
        command.args(["simulate", "pico"]).args(arguments).env("TERM", "xterm-256color");
        let child = command
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal)
            .spawn()
            .unwrap();
        let keys = File::from(master);
        let mut screen = keys.try_clone().unwrap();
        // Somebody must look, or the program could not draw. It ends with the terminal.
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while screen.read(&mut bytes).is_ok_and(|len| len > 0) {}
        });
        Self { running: Running(child), keys }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }
}

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
    let mut pico = Pico::start(&["--identity", identity, "--server", serve.address("devices")]);
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
    assert!(wait(&mut pico.running.0).success());
}
