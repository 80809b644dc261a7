//! The real program on a full disk: it starts, serves what is live, acknowledges nothing and says so; and goes on by itself when
//! there is room. It needs root, to mount a disk of a few MiB.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod support;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Serve, run, run_with_stdin, stderr, stdout};
use vitalwire_registry::{DeviceKey, MasterKey, Registry};
use vitalwire_testing::clinic::Subscriber;
use vitalwire_testing::link::{Answer, LinkDevice, batch};
use vitalwire_testing::program::until;
use vitalwire_testing::{PASSWORD, PATIENCE};

const BOOT: u64 = 7;

/// A file system in memory.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "none"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: no small disk can be mounted here; run as root to test a full one");
        None
    }

    /// A data folder with a device and a reader.
    fn ward(&self) -> PathBuf {
        let folder = self.0.path().join("data");
        let data = folder.to_str().unwrap();
        must(&["init"], data);
        must(&["device", "add", "d"], data);
        let user = ["user", "add", "watcher", "--role", "reader", "--password-stdin", "--data", data];
        assert!(run_with_stdin(&user, PASSWORD).status.success());
        folder
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// A server whose journal knows that the disk is full. A start frees a little, which on a busy machine the journal may find before
    /// the disk is full again, and then it does not look until something comes: so it is started again.
    fn full_server(&self, data: &Path) -> Serve {
        for _ in 0..20 {
            self.fill();
            let serve = Serve::start(data);
            self.fill();
            let metrics = serve.address("metrics").to_owned();
            let mut answer = String::new();
            until("/readyz says how it is", || {
                answer = get(&metrics, "/readyz");
                answer.contains("disk of the journal is full") || answer.starts_with("HTTP/1.1 200")
            });
            if !answer.starts_with("HTTP/1.1 200") {
                return serve;
            }
            serve.terminate();
        }
        panic!("it is ready on a full disk each time");
    }

    fn fill(&self) {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        while ballast.write(&[0; 1_024]).is_ok_and(|written| written > 0) {}
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// What `doctor` finds of a running server's ports.
fn ports(serve: &Serve, data: &str) -> String {
    let (devices, mqtt) = (serve.address("devices"), serve.address("mqtt"));
    // It is there on a full disk, too.
    let dashboard = ["--dashboard-listen", serve.address("dashboard")];
    let arguments = ["doctor", "--data", data, "--listen", devices, "--mqtt-listen", mqtt];
    let off = ["--mqtt-tls-listen", "off", "--mqtt-websocket-listen", "off"];
    stdout(
        &run(&[&arguments[..], &off, &["--metrics-listen", serve.address("metrics")], &dashboard].concat()),
    )
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn must(arguments: &[&str], data: &str) -> String {
    let output = run(&[arguments, &["--data", data]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// Asking for a key is recorded, so it needs room on the disk.
fn device(data: &Path) -> LinkDevice {
    let key = MasterKey::load(&data.with_extension("master-key")).unwrap();
    let registry = Registry::open(data, &key).unwrap();
    let DeviceKey::Tls(links) = registry.device_key(&"d".parse().unwrap()).unwrap() else {
        panic!("no link")
    };
    let address = ([127, 0, 0, 1], 0).into();
    LinkDevice { id: "d".to_owned(), link: links.current, address, profile: "pico" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_on_a_full_disk_four_times_of_four() {
    let Some(disk) = TinyDisk::mount() else { return };
    let folder = disk.ward();
    let data = folder.to_str().unwrap();
    Serve::start(&folder).terminate();
    let mut device = device(&folder);
    let mut held = 0;
    for round in 1..=4 {
        // As it was left by a stop in order, and by a kill.
        let serve = disk.full_server(&folder);
        let metrics = serve.address("metrics").to_owned();
        assert!(get(&metrics, "/readyz").starts_with("HTTP/1.1 503"));
        assert!(get(&metrics, "/metrics").contains("vitalwire_journal_healthy 0"));
        let doctor = run(&["doctor", "--data", data]);
        assert!(stdout(&doctor).contains("is full"), "{}{}", stdout(&doctor), stderr(&doctor));
        assert!(must(&["device", "list"], data).contains('d'));
        let refused = run(&["device", "add", "another", "--data", data]);
        assert!(!refused.status.success() && stderr(&refused).contains("full"), "{}", stderr(&refused));

        device.address = serve.address("devices").parse().unwrap();
        let port = serve.port("mqtt").parse().unwrap();
        let mut subscriber = Subscriber::connect(port, &["vitalwire/v1/d/reading"], true).await;
        let (mut connection, _) = device.greet(BOOT).await;
        connection.send(&batch(held + 1)).await;
        subscriber.until("vitalwire/v1/d/reading").await;
        // With room again the server asks for what it did not acknowledge, by ending the connection.
        std::fs::remove_file(disk.ballast()).unwrap();
        assert_eq!(connection.answer().await, Answer::Closed, "nothing was acknowledged, round {round}");
        until("it is ready again", || get(&metrics, "/readyz").starts_with("HTTP/1.1 200"));
        let (mut connection, before) = device.greet(BOOT).await;
        assert_eq!(before.unwrap_or(0), held, "what was acknowledged before is still held");
        connection.send(&batch(held + 1)).await;
        connection.acknowledged(held + 1).await;
        held += 1;
        let status = must(&["journal", "status", "--json"], data);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["suspended"], serde_json::Value::Null);
        // Each batch once; what the server derived of it lies beside it.
        let temperatures = ["history", "d", "--channel", "Temperature", "--last", "1h", "--raw", "--json"];
        assert_eq!(must(&temperatures, data).lines().count() as u64, held * 20);
        if round % 2 == 0 {
            serve.terminate();
        } else {
            drop(serve);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_folders_server_starts_on_a_full_disk_is_known_to_doctor_and_keeps_all_when_there_is_room() {
    let Some(disk) = TinyDisk::mount() else { return };
    let folder = disk.ward();
    let data = folder.to_str().unwrap();
    let mut device = device(&folder);
    disk.fill();
    assert!(!folder.join("journal.db").exists() && !folder.join("broker/broker.db").exists());
    let serve = Serve::start(&folder);
    let found = ports(&serve, data);
    assert_eq!(found.matches("by this folder's server").count(), 4, "{found}");
    let any = "127.0.0.1:0";
    let second = ["serve", "--data", data, "--listen", any, "--mqtt-listen", any, "--metrics-listen", any];
    let second = run(&second);
    assert!(!second.status.success() && stderr(&second).contains("another process"), "{}", stderr(&second));

    device.address = serve.address("devices").parse().unwrap();
    let topics = ["vitalwire/v1/d/reading", "vitalwire/v1/d/status"];
    let mut subscriber = Subscriber::connect(serve.port("mqtt").parse().unwrap(), &topics, true).await;
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    subscriber.until(topics[0]).await;
    std::fs::remove_file(disk.ballast()).unwrap();
    assert_eq!(connection.answer().await, Answer::Closed, "nothing was acknowledged");
    let (mut connection, _) = device.greet(BOOT).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    serve.terminate();
    // The broker's file was made meanwhile: what was retained is there.
    let serve = Serve::start(&folder);
    let mut subscriber = Subscriber::connect(serve.port("mqtt").parse().unwrap(), &topics, true).await;
    assert_eq!(subscriber.value(topics[1]).await, "offline");
}
