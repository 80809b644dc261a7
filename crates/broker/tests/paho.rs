//! Paho, the client that most programs in Python use, over TLS: Debian's 1.6, and 2 from a virtual environment.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use support::*;
use tokio::process::Command;
use tokio::sync::watch;
use vitalwire_broker::{Broker, BrokerConfig, BrokerLimits, generate_self_signed};
use vitalwire_testing::PASSWORD;

/// All that the program does, twice.
const PROGRAM_MAX: Duration = Duration::from_secs(240);
const SCENES: [&str; 9] = [
    "3.1.1 away_and_back",
    "3.1.1 each_qos",
    "3.1.1 will",
    "3.1.1 refusal",
    "5 away_and_back",
    "5 each_qos",
    "5 will",
    "5 refusal",
    "5 properties",
];

async fn run_with(python: &Path, major: &str) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let identity = generate_self_signed(folder.path(), &["localhost".to_owned()]).unwrap();
    let certificate = identity.certificate.clone();
    let tls = Some((([127, 0, 0, 1], 0).into(), identity));
    let (users, _) = watch::channel(directory(usual()));
    let config = BrokerConfig { tls, ..config(folder.path(), BrokerLimits::default()) };
    let broker = Broker::start(config, logins(&users)).await.unwrap();
    let port = broker.addresses().tls.unwrap().port().to_string();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/with_paho.py"));
    command.args([major, "localhost", &port]).arg(&certificate).arg(PASSWORD);
    command.kill_on_drop(true).stdin(Stdio::null());
    let output = tokio::time::timeout(PROGRAM_MAX, command.output())
        .await
        .expect("Paho ends")
        .unwrap_or_else(|error| {
            panic!("{}: {error}; `scripts/test integration` installs what is missing", python.display())
        });
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.lines().collect::<Vec<_>>(), SCENES, "{told}");
    assert!(output.status.success(), "{told}");
    assert_eq!(broker.stats().failed_logins, 2, "a refused client does not try again");
    broker.stop().await;
}

#[tokio::test]
async fn paho_1_does_all_of_it_over_tls() {
    run_with(Path::new("/usr/bin/python3"), "1").await;
}

#[tokio::test]
async fn paho_2_does_all_of_it_over_tls() {
    // `scripts/test` makes it, beside cargo's folder for tests.
    let python = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("paho2").join("bin/python");
    run_with(&python, "2").await;
}
