//! The real binary whose output is not read: no command panics, and no secret is stored that no one saw.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::pipe;
use std::process::{Output, Stdio};

use support::{Data, Serve, run, stderr, stdout, vitalwire};
use vitalwire_testing::program::{Running, until, wait};

/// The writing end of a pipe that no one reads.
fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A disk without room.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn run_into(arguments: &[&str], out: Stdio) -> Output {
    vitalwire()
        .args(arguments)
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

/// A data folder with a device of each protocol, an admin, and a bit of history.
fn ward() -> Data {
    let data = Data::new();
    let local = "127.0.0.1:0";
    let demo =
        ["demo", "--devices", "2", "--seconds", "0.5", "--json", "--listen", local, "--mqtt-listen", local];
    data.must(&[&demo[..], &["--metrics-listen", local]].concat());
    data
}

/// Commands that print and store nothing, with what they need; `{DATA}` is the data folder.
const PRINTING: [&str; 46] = [
    "init --data {DATA}",
    "device psk patient_01 --data {DATA}",
    "device links --data {DATA}",
    "device label patient_01 --data {DATA}",
    "device label patient_01 --setup --wpa2 --data {DATA}",
    "device list --data {DATA}",
    "device list --json --data {DATA}",
    "device show patient_01 --data {DATA}",
    "device import {DATA}/none.txt --data {DATA}",
    "patient set patient_01 --name Ana --json --data {DATA}",
    "patient show patient_01 --data {DATA}",
    "patient show patient_01 --json --data {DATA}",
    "patient list --data {DATA}",
    "patient list --all --json --data {DATA}",
    "patient move patient_01 --to patient_02 --json --data {DATA}",
    "patient discharge patient_02 --json --data {DATA}",
    "alarms list --data {DATA}",
    "alarms list --json --data {DATA}",
    "alarms limits patient_01 --rate-high 130 --data {DATA}",
    "alarms load --data {DATA}",
    "alarms load --json --data {DATA}",
    "alarms replay patient_01 --delay 0s --data {DATA}",
    "alarms replay patient_01 --json --data {DATA}",
    "user list --data {DATA}",
    "user list --json --data {DATA}",
    "token list --data {DATA}",
    "token list --json --data {DATA}",
    "master-key rotate --data {DATA}",
    "audit verify --data {DATA}",
    "audit verify --json --data {DATA}",
    "audit show --data {DATA}",
    "audit show --json --data {DATA}",
    "history patient_01 --data {DATA}",
    "history patient_01 --json --data {DATA}",
    "journal status --data {DATA}",
    "journal status --json --data {DATA}",
    "journal confirm-clock --data {DATA}",
    "mqtt sessions --data {DATA}",
    "mqtt sessions --json --data {DATA}",
    "config show --data {DATA}",
    "config show --defaults",
    "completions bash",
    "man {DATA}/man",
    "demo --devices 1 --seconds 0.2 --listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0",
    "user remove demo --data {DATA}",
    "device revoke patient_02 --data {DATA}",
];

/// Commands that have tests of their own below or elsewhere, or print nothing to standard output.
const ELSEWHERE: [&str; 26] = [
    "alarms ack",
    "alarms pause",
    "alarms test-hook",
    "alarms watch",
    "device add",
    "device erase",
    "device provision",
    "device rotate",
    "doctor",
    "emqx add",
    "emqx password",
    "emqx remove",
    "emqx sync",
    "healthcheck",
    "mqtt end-session",
    "serve",
    "simulate device",
    "simulate fleet",
    "simulate pico",
    "subscribe",
    "token add",
    "token remove",
    "user add",
    "user link",
    "user password",
    "verify-capture",
];

fn words(line: &str, data: &Data) -> Vec<String> {
    line.replace("{DATA}", data.path()).split(' ').map(str::to_owned).collect()
}

#[test]
fn a_reader_that_went_away_ends_every_printing_command_quietly_and_well() {
    let data = ward();
    std::fs::write(data.folder().join("none.txt"), "").unwrap();
    for line in PRINTING {
        let words = words(line, &data);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = run_into(&words, closed());
        let told = stderr(&ended);
        assert_eq!(ended.status.code(), Some(0), "{line}: {told}");
        assert!(!told.contains("panicked") && !told.contains("cannot write"), "{line}: {told}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let data = Data::new();
    for line in ["user list --data {DATA}", "audit show --data {DATA}", "device list --json --data {DATA}"] {
        let words = words(line, &data);
        let ended = run_into(&words.iter().map(String::as_str).collect::<Vec<_>>(), full());
        assert_eq!(ended.status.code(), Some(1), "{line}");
        assert!(stderr(&ended).contains("cannot write the result to standard output"), "{}", stderr(&ended));
    }
}

/// Every command of the help pages, as `device add`.
fn commands() -> BTreeSet<String> {
    let named = |arguments: &[&str]| {
        let help = stdout(&run(&[arguments, &["--help"]].concat()));
        let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let lines = commands.lines().take_while(|line| !line.is_empty());
        let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut all = BTreeSet::new();
    for name in named(&[]).iter().filter(|name| *name != "help") {
        match named(&[name]) {
            inner if inner.is_empty() => drop(all.insert(name.clone())),
            inner => all
                .extend(inner.iter().filter(|inner| *inner != "help").map(|inner| format!("{name} {inner}"))),
        }
    }
    all
}

#[test]
fn no_command_is_left_out_here() {
    let is_covered = |command: &String| {
        let starts = |line: &str| *line == **command || line.starts_with(&format!("{command} "));
        PRINTING.iter().any(|line| starts(line)) || ELSEWHERE.iter().any(|line| starts(line))
    };
    let missing: Vec<_> = commands().into_iter().filter(|command| !is_covered(command)).collect();
    assert!(missing.is_empty(), "add to PRINTING: {missing:?}");
    assert!(commands().len() > 15, "the help pages are read");
}

#[test]
fn the_verdict_of_doctor_and_audit_stands_when_no_one_reads() {
    let data = Data::new();
    let database = rusqlite::Connection::open(data.folder().join("registry.db")).unwrap();
    database.execute("UPDATE audit SET actor = 'no one'", []).unwrap();
    drop(database);
    assert_eq!(run_into(&["audit", "verify", "--data", data.path()], closed()).status.code(), Some(1));
    let absent = run_into(&["doctor", "--data", "/no/such/folder"], closed());
    assert_eq!(absent.status.code(), Some(1));
    assert!(!stderr(&absent).contains("panicked"), "{}", stderr(&absent));
}

#[test]
fn a_password_that_was_not_shown_is_not_stored() {
    for out in [closed, full] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let refused = run_into(&["init", "--data", path.to_str().unwrap()], out());
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("nothing was stored"), "{}", stderr(&refused));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "init leaves nothing behind");

        let data = Data::new();
        let add = ["user", "add", "nurse", "--role", "reader", "--generate", "--data", data.path()];
        let refused = run_into(&add, out());
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("nothing was stored"), "{}", stderr(&refused));
        assert!(!data.must(&["user", "list"]).contains("nurse"));

        let add = ["token", "add", "study", "--role", "reader", "--data", data.path()];
        assert_eq!(run_into(&add, out()).status.code(), Some(1));
        assert_eq!(data.must(&["token", "list", "--json"]), "[]\n");

        let head = data.must(&["audit", "verify"]);
        let set = ["user", "password", "admin", "--generate", "--data", data.path()];
        assert_eq!(run_into(&set, out()).status.code(), Some(1));
        assert_eq!(data.must(&["audit", "verify"]), head, "the password is the one before");
        assert_eq!(run_into(&["user", "link", "admin", "--data", data.path()], out()).status.code(), Some(1));
        assert_eq!(data.must(&["audit", "verify"]), head, "there is no other link");

        let accounts = folder.path().join("emqx-users.toml");
        let users = ["--users", accounts.to_str().unwrap()];
        let add = [&["emqx", "add", "nurse", "--role", "reader", "--generate"][..], &users].concat();
        assert_eq!(run_into(&add, out()).status.code(), Some(1));
        assert!(!accounts.exists(), "EMQX's accounts, too");
        assert!(run(&add).status.success());
        let before = std::fs::read(&accounts).unwrap();
        let set = [&["emqx", "password", "nurse", "--generate"][..], &users].concat();
        assert_eq!(run_into(&set, out()).status.code(), Some(1));
        assert_eq!(std::fs::read(&accounts).unwrap(), before);
        let remove = run_into(&[&["emqx", "remove", "nurse"][..], &users].concat(), closed());
        assert!(remove.status.success(), "{}", stderr(&remove));
    }
}

#[test]
fn a_key_that_was_not_shown_is_not_stored() {
    for (protocol, out) in [("tls", closed as fn() -> Stdio), ("aes-cbc", closed), ("aes-cbc", full)] {
        let data = Data::new();
        let add = ["device", "add", "bed_07", "--protocol", protocol, "--data", data.path()];
        let refused = run_into(&add, out());
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("nothing was stored"), "{}", stderr(&refused));
        assert_eq!(data.must(&["device", "list", "--json"]), "[]\n");

        data.must(&["device", "add", "bed_07", "--protocol", protocol]);
        let before = data.must(&["device", "list", "--json"]);
        assert_eq!(
            run_into(&["device", "rotate", "bed_07", "--data", data.path()], out()).status.code(),
            Some(1)
        );
        assert_eq!(data.must(&["device", "list", "--json"]), before, "the key is the one before");
    }
}

#[test]
fn what_cannot_be_stored_shows_no_secret() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    for arguments in [
        &["device", "add", "bed_07"][..],
        &["device", "rotate", "bed_08"],
        &["device", "rotate", "bed_07", "--overlap", "365d"],
        &["user", "add", "admin", "--role", "admin", "--generate"],
        &["user", "add", "family", "--role", "reader", "--device", "bed_08", "--generate"],
        &["user", "password", "nobody", "--generate"],
        &["token", "add", "study", "--role", "reader", "--device", "bed_08"],
        &["token", "add", "study", "--role", "admin", "--device", "bed_07"],
        &["token", "add", "study", "--role", "reader", "--lasts", "0s"],
        &["token", "add", "study", "--role", "reader", "--lasts", "99999y"],
    ] {
        let refused = run(&[arguments, &["--data", data.path()]].concat());
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stdout(&refused), "", "{arguments:?}");
    }
}

#[test]
fn an_erasure_goes_on_when_no_one_reads() {
    let data = Data::new();
    let serve = Serve::start(&data.folder());
    data.must(&["device", "add", "bed_07"]);
    let ended = run_into(&["device", "erase", "bed_07", "--yes", "--data", data.path()], closed());
    assert!(ended.status.success(), "{}", stderr(&ended));
    assert!(data.must(&["device", "show", "bed_07"]).contains("done at"));
    assert!(serve.terminate().1.success());
}

#[test]
fn a_server_and_a_subscriber_outlive_or_leave_a_reader_that_went_away() {
    let data = Data::new();
    data.add_user("nurse", "a good password");
    let keys = data.file("keys", &data.must(&["device", "add", "bed_07", "--protocol", "aes-cbc"]));
    let log = data.file("log", "");
    let local = "127.0.0.1:0";
    let mqtt = std::net::TcpListener::bind(local).unwrap().local_addr().unwrap().to_string();
    let mut serve = Running(
        vitalwire()
            .args(["serve", "--listen", local, "--metrics-listen", local, "--mqtt-tls-listen", local])
            .args(["--mqtt-websocket-listen", local, "--mqtt-listen", &mqtt, "--data", data.path()])
            .stdout(closed())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    until("the server is ready", || std::fs::read_to_string(&log).unwrap().contains("Ctrl-C stops it"));
    let told = std::fs::read_to_string(&log).unwrap();
    let devices = told.lines().find_map(|line| line.trim().strip_prefix("devices")).unwrap();
    let devices = devices.trim().split(',').next().unwrap();
    // A fleet whose report no one reads has its verdict as ever.
    let fleet =
        ["simulate", "fleet", "--seconds", "1", "--target", devices, "--keys", keys.to_str().unwrap()];
    let fleet = vitalwire().args(fleet).stdout(closed()).stderr(closed()).spawn().unwrap();
    let mut subscriber = Running(
        vitalwire()
            .args(["subscribe", "--url", &format!("mqtt://nurse@{mqtt}")])
            .env("VITALWIRE_MQTT_PASSWORD", "a good password")
            .stdout(closed())
            .spawn()
            .unwrap(),
    );
    assert!(wait(&mut subscriber.0).success(), "it leaves as soon as there is something to write");
    assert!(wait(&mut Running(fleet).0).success());
    let pid = serve.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(wait(&mut serve.0).success(), "{}", std::fs::read_to_string(&log).unwrap());
}

#[test]
fn standard_error_that_no_one_reads_stops_nothing() {
    let data = Data::new();
    let add = ["user", "add", "nurse", "--role", "reader", "--generate", "--data", data.path()];
    let added = vitalwire().args(add).stderr(closed()).stdout(Stdio::piped()).output().unwrap();
    assert!(added.status.success());
    assert_eq!(stdout(&added).trim().len(), 23, "the password");
    let refused =
        vitalwire().args(["device", "list", "--data", "/no/such"]).stderr(closed()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}
