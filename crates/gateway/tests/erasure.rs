//! Erasure, looked at from outside: after it a second program finds nothing of the device in the data folder, but what has
//! to stay in the registry's files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tokio::io::AsyncWriteExt;
use vitalwire_protocol::Variant;
use vitalwire_testing::clinic::Clinic;
use vitalwire_testing::link::batch;
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

    let proof = erase(&clinic).await;
    let left: Vec<_> = files_with(DEVICE, &data);
    assert!(left.iter().all(|name| name.starts_with("registry.db")), "{left:?}");
    assert!(!left.is_empty(), "the record of it stays");
    assert!(proof.contains("no file of the data folder holds") && proof.contains("registry.db"), "{proof}");

    // The reader is served on, and gets nothing of it.
    let mut back = client("mosquitto_sub", mqtt, "watcher");
    back.args(["-i", "ward", "-c", "-q", "1", "-t", all, "-W", "2"]);
    let got = run(back).await;
    assert!(got.stdout.is_empty(), "{}", String::from_utf8_lossy(&got.stdout));
}

/// A device on the secure link, which has a link id, too. One whose name holds the erased device's stays.
#[tokio::test]
async fn a_second_program_finds_no_link_id_of_an_erased_device() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link(DEVICE).await;
    let neighbour = clinic.enrol_link(&format!("{DEVICE}2")).await;
    for device in [&device, &neighbour] {
        let (mut connection, _) = device.greet(7).await;
        connection.send(&batch(1)).await;
        connection.acknowledged(1).await;
    }
    let proof = erase(&clinic).await;
    let (data, link) = (clinic.data(), device.link.id.to_string());
    for trace in [link.as_str(), DEVICE] {
        let left = files_with(trace, &data);
        let neighbours = files_with(&neighbour.id, &data);
        let is_allowed = |name: &String| name.starts_with("registry.db") || neighbours.contains(name);
        assert!(left.iter().all(is_allowed), "{trace}: {left:?}");
    }
    assert!(files_with(&neighbour.id, &data).iter().any(|name| name.starts_with("journal.db")), "it stays");
    assert!(
        proof.ends_with("no other file holds the bare name"),
        "the neighbour's name is no trace: {proof}"
    );
}

/// Asks for the device's erasure and waits for its proof.
async fn erase(clinic: &Clinic) -> String {
    let id = DEVICE.parse().unwrap();
    clinic.registry.request_erasure(&id).unwrap();
    let done = || clinic.registry.erasure(&id).unwrap().and_then(|erasure| erasure.done);
    clinic.eventually("the erasure is done", || done().is_some()).await;
    done().unwrap().proof
}

#[tokio::test]
async fn a_file_that_the_server_does_not_write_is_named_in_the_proof() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link(DEVICE).await;
    std::fs::write(clinic.data().join("labels.txt"), device.link.id.to_string()).unwrap();
    std::fs::write(clinic.data().join("ward.txt"), format!("moved {DEVICE} to room 3")).unwrap();
    let proof = erase(&clinic).await;
    assert!(proof.contains("labels.txt, which the server does not write, hold"), "{proof}");
    assert!(proof.contains("these letters, stands in ward.txt"), "{proof}");
}
