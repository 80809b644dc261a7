//! Erasure, looked at from outside: after it a second program finds nothing of the device in the data folder, but what has
//! to stay in the registry's files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tokio::io::AsyncWriteExt;
use vitalwire_protocol::Variant;
use vitalwire_testing::clinic::Clinic;
use vitalwire_testing::mosquitto::{Subscriber, client, run};
use vitalwire_testing::paper::JSON;

const DEVICE: &str = "patient_of_bed_4711";

/// The names of the files below the folder in which `grep` finds the text.
fn files_with(text: &str, folder: &Path) -> Vec<String> {
    let found = Command::new("grep").args(["-rlaF", "--", text]).arg(folder).output().unwrap();
    let text = String::from_utf8(found.stdout).unwrap();
    let mut names: Vec<_> =
        text.lines().map(|path| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_second_program_finds_nothing_of_an_erased_device() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol(DEVICE).await;
    let mqtt: SocketAddr = clinic.server().addresses().mqtt.unwrap();
    // A reader that comes back: its subscription, and what it misses, are kept. One part of it is the device's alone.
    let (own, all) = (format!("Pico/{DEVICE}/#"), "vitalwire/v1/+/reading");
    let stored = ["-i", "ward", "-c", "-q", "1", "-t", own.as_str(), "-t", all];
    Subscriber::start(mqtt, "watcher", &stored).await.kill().await;
    clinic.eventually("the reader has left", || clinic.server().stats().mqtt_clients == 0).await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/+/reading"]).await;
    let mut stream = device.connect_delivering(&mut subscriber).await;
    for number in 0..200 {
        stream.write_all(&device.numbered(number)).await.unwrap();
    }
    stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
    let data = clinic.data();
    let held = |file: &str| files_with(DEVICE, &data).iter().any(|name| name.starts_with(file));
    clinic.eventually("both keep something of it", || held("journal.db") && held("broker.db")).await;

    let id = DEVICE.parse().unwrap();
    clinic.registry.request_erasure(&id).unwrap();
    let done = || clinic.registry.erasure(&id).unwrap().and_then(|erasure| erasure.done);
    clinic.eventually("the erasure is done", || done().is_some()).await;
    let left: Vec<_> = files_with(DEVICE, &data);
    assert!(left.iter().all(|name| name.starts_with("registry.db")), "{left:?}");
    assert!(!left.is_empty(), "the record of it stays");
    let proof = done().unwrap().proof;
    assert!(proof.contains("no file of the data folder holds") && proof.contains("registry.db"), "{proof}");

    // The reader is served on, and gets nothing of it.
    let mut back = client("mosquitto_sub", mqtt, "watcher");
    back.args(["-i", "ward", "-c", "-q", "1", "-t", all, "-W", "2"]);
    let got = run(back).await;
    assert!(got.stdout.is_empty(), "{}", String::from_utf8_lossy(&got.stdout));
}

#[tokio::test]
async fn a_file_that_the_server_does_not_write_is_named_in_the_proof() {
    let clinic = Clinic::open().await;
    clinic.enrol(DEVICE).await;
    std::fs::write(clinic.data().join("notes.json"), format!("{{\"device\": \"{DEVICE}\"}}")).unwrap();
    let id = DEVICE.parse().unwrap();
    clinic.registry.request_erasure(&id).unwrap();
    let done = || clinic.registry.erasure(&id).unwrap().and_then(|erasure| erasure.done);
    clinic.eventually("the erasure is done", || done().is_some()).await;
    let proof = done().unwrap().proof;
    assert!(proof.contains("notes.json, which the server does not write, hold"), "{proof}");
}
