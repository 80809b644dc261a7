//! Everything at trace, with devices of both protocols and a reader: the log is then searched for every secret and every
//! value that a patient's device sent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};

use support::{Data, Serve, vitalwire};
use vitalwire_testing::program::wait;

const KEY: &str = "Kq3vTz8LmWx5RbNc";
const IV: &str = "Jh7sPd2FgYe9UaVt";
const PASSWORD: &str = "correct horse battery";
const READINGS: usize = 60;
/// A single word would leave the libraries at warnings.
const EVERYTHING: &str = "trace,vitalwire=trace";

/// Runs a fleet of one to its end, with everything it logs.
fn fleet(data: &Data, serve: &Serve, log: &str, more: &[&str]) -> String {
    let path = data.file(log, "");
    let mut child = vitalwire()
        .env("RUST_LOG", EVERYTHING)
        .args(["simulate", "fleet", "--devices", "1", "--rate", "20", "--seconds", "3"])
        .args(["--target", serve.address("devices")])
        .args(more)
        .stdout(Stdio::null())
        .stderr(File::create(&path).unwrap())
        .spawn()
        .unwrap();
    assert!(wait(&mut child).success(), "{}", std::fs::read_to_string(&path).unwrap());
    std::fs::read_to_string(path).unwrap()
}

/// Whether the log holds this number as a number of its own: not as part of a longer one, nor as a duration.
fn holds(log: &str, number: &str) -> bool {
    log.match_indices(number).any(|(at, _)| {
        let before = log[..at].chars().next_back();
        let after = log[at + number.len()..].chars().next();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit() || c == '.');
        !is_part(before) && !is_part(after) && !after.is_some_and(|c| matches!(c, 'm' | 'µ' | 'n' | 's'))
    })
}

#[test]
fn no_secret_and_no_value_is_logged_at_any_level() {
    let data = Data::new();
    data.add_user("watcher", PASSWORD);
    let keys = data.file("keys", &format!("{{\"id\":\"framed\",\"key\":\"{KEY}\",\"iv\":\"{IV}\"}}\n"));
    data.must(&["device", "import", keys.to_str().unwrap()]);
    data.must(&["device", "add", "linked"]);
    let psk = data.must(&["device", "psk", "linked"]);
    let words: Vec<&str> = psk.split_whitespace().collect();
    let links = data.file("links", &format!("linked {} {}\n", words[1], words[3]));
    let private = Command::new("chmod").arg("600").arg(&links).status().unwrap();
    assert!(private.success());

    let server_log = data.file("server.log", "");
    let serve = Serve::start_with(&data.folder(), |command| {
        let log = File::create(&server_log).unwrap();
        command.args(["--mqtt-listen", "127.0.0.1:0"]).env("RUST_LOG", EVERYTHING).stderr(log);
    });
    // A session that is kept: what comes while no one reads waits for the reader.
    let reader = |more: &[&str]| {
        let mut command = Command::new("mosquitto_sub");
        command
            .args(["-h", "127.0.0.1", "-p", serve.port("mqtt"), "-u", "watcher", "-P", PASSWORD, "-q", "1"])
            .args(["-c", "-i", "reader", "-t", "Pico/+/Physiological_Data/+"])
            .args(more);
        let output =
            command.output().expect("mosquitto_sub is installed (apt-get install mosquitto-clients)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    reader(&["-E"]);
    let mut logs =
        fleet(&data, &serve, "frames.log", &["--variant", "chained", "--keys", keys.to_str().unwrap()]);
    logs += &fleet(&data, &serve, "link.log", &["--protocol", "tls", "--links", links.to_str().unwrap()]);
    let text = reader(&["-C", &(2 * 2 * READINGS).to_string(), "-W", "30"]);
    assert!(serve.terminate().1.success());
    logs += &std::fs::read_to_string(&server_log).unwrap();
    assert!(logs.contains("TRACE") && logs.contains("device connected"), "everything is logged");

    let master_key = std::fs::read_to_string(data.folder().with_extension("master-key")).unwrap();
    for secret in [KEY, IV, PASSWORD, words[3], master_key.trim()] {
        assert!(!logs.contains(secret), "a secret was logged");
        let upper = secret.to_uppercase();
        assert!(!logs.contains(&upper), "a secret was logged");
    }
    let values: BTreeSet<&str> = text.lines().collect();
    assert!(values.len() > 50, "the values differ");
    let logged: Vec<&&str> = values.iter().filter(|value| holds(&logs, value)).collect();
    assert!(
        logged.is_empty(),
        "{} values of {} were logged, such as {:?}",
        logged.len(),
        values.len(),
        logged[0]
    );
}
