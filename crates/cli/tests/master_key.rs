//! The real binary rotates the master key: while a server runs, and killed at any moment.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Data, Serve, run, stderr, stdout, vitalwire};
use vitalwire_testing::program::until;

fn key_file(data: &Data) -> PathBuf {
    data.folder().with_file_name("data.master-key")
}

/// Whether a device is served, with the links that the registry has of it.
fn is_served(data: &Data, server: &Serve, device: &str) -> bool {
    let links = data.file("links", &data.must(&["device", "links", device]));
    Command::new("chmod").arg("600").arg(&links).status().unwrap();
    let target = format!("127.0.0.1:{}", server.port("devices"));
    let fleet = ["simulate", "fleet", "--protocol", "tls", "--target", &target, "--seconds", "1", "--json"];
    let ended = run(&[&fleet[..], &["--links", links.to_str().unwrap()]].concat());
    let report: serde_json::Value = serde_json::from_str(stdout(&ended).trim()).unwrap_or_default();
    report["connected"] == 1 && report["acknowledged"] == report["measured"] && report["measured"] != 0
}

#[test]
fn a_running_server_takes_the_new_key_up_and_the_old_one_opens_nothing() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let server = Serve::start(&data.folder());
    let old = fs::read(key_file(&data)).unwrap();
    let said = data.must(&["master-key", "rotate"]);
    assert!(said.contains("1 devices are sealed under a new master key"), "{said}");
    let new = fs::read(key_file(&data)).unwrap();
    assert!(old != new && !said.contains(std::str::from_utf8(&new).unwrap().trim()));
    // One from before, and one from after.
    data.must(&["device", "add", "bed_08"]);
    assert!(is_served(&data, &server, "bed_07"));
    until("the new device is served", || is_served(&data, &server, "bed_08"));
    assert!(data.must(&["audit", "verify"]).contains("sound"));
    drop(server);
    let server = Serve::start(&data.folder());
    assert!(is_served(&data, &server, "bed_07"));
    let copy = data.file("old-key", std::str::from_utf8(&old).unwrap());
    Command::new("chmod").arg("600").arg(&copy).status().unwrap();
    let refused = run(&["device", "list", "--data", data.path(), "--master-key", copy.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("not the one"), "{}", stderr(&refused));
}

#[test]
fn a_server_that_got_a_copy_of_the_key_says_what_to_do_and_serves_on() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    // As systemd hands a credential over.
    let credentials = tempfile::tempdir().unwrap();
    let credential = credentials.path().join("vitalwire-master-key");
    fs::copy(key_file(&data), &credential).unwrap();
    let log = data.file("log", "");
    let file = fs::File::options().append(true).open(&log).unwrap();
    let start = |file: &fs::File| {
        Serve::start_with(&data.folder(), |command| {
            command.env("CREDENTIALS_DIRECTORY", credentials.path()).stderr(file.try_clone().unwrap());
        })
    };
    let server = start(&file);
    data.must(&["master-key", "rotate"]);
    until("the server says it", || fs::read_to_string(&log).unwrap().contains("systemctl restart"));
    assert!(is_served(&data, &server, "bed_07"));
    drop(server);
    fs::copy(key_file(&data), &credential).unwrap();
    assert!(is_served(&data, &start(&file), "bed_07"));
    assert!(data.must(&["audit", "verify"]).contains("sound"));
}

#[test]
fn what_cannot_be_rotated_is_left_and_told() {
    let data = Data::new();
    let none = data.folder().with_file_name("none");
    let refused = run(&["master-key", "rotate", "--data", none.to_str().unwrap()]);
    assert!(stderr(&refused).contains("vitalwire init"), "{}", stderr(&refused));
    let before = fs::read(key_file(&data)).unwrap();
    let held = fs::File::open(key_file(&data)).unwrap();
    held.lock().unwrap();
    let refused = run(&["master-key", "rotate", "--data", data.path()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("another process"), "{}", stderr(&refused));
    assert!(fs::read(key_file(&data)).unwrap() == before);
}

#[test]
fn killed_at_any_moment_it_leaves_a_registry_that_opens() {
    let data = Data::new();
    let names: Vec<_> = (0..300)
        .map(|number| {
            format!("{{ \"id\":\"d{number}\", \"key\":\"key{number:013}\", \"iv\":\"AAAAAAAAAAAAAAAA\"}}")
        })
        .collect();
    let keys = data.file("keys", &names.join("\n"));
    data.must(&["device", "import", keys.to_str().unwrap()]);
    let mut killed = 0;
    for wait_us in (0..).step_by(2_000) {
        let mut rotation = vitalwire()
            .args(["master-key", "rotate", "--data", data.path()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(wait_us));
        let has_ended = rotation.try_wait().unwrap().is_some();
        rotation.kill().unwrap();
        let status = rotation.wait().unwrap();
        let listed = data.must(&["device", "list", "--json"]);
        let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed.len(), 300, "after {wait_us} us");
        assert!(data.must(&["audit", "verify"]).contains("sound"), "after {wait_us} us");
        // The keys themselves: the same file brings nothing new.
        data.must(&["device", "import", keys.to_str().unwrap()]);
        if has_ended {
            assert!(status.success());
            break;
        }
        killed += 1;
    }
    assert!(killed > 0);
    data.must(&["master-key", "rotate"]);
    assert_eq!(fs::read(key_file(&data)).unwrap().len(), 65);
}
