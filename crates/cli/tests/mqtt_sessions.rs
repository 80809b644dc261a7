//! The real binary: MQTT sessions are listed and ended, with a server and without one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::Value;
use support::{Data, Serve, run, stderr, stdout};
use vitalwire_testing::program::{Running, until};

const PASSWORD: &str = "a good password";

fn display(serve: &Serve) -> Running {
    let mut command = std::process::Command::new("mosquitto_sub");
    command.args(["-h", "127.0.0.1", "-p", serve.port("mqtt"), "-u", "nurse", "-P", PASSWORD]);
    command.args(["-i", "display 1", "-c", "-q", "1", "-t", "Pico/#", "-t", "vitalwire/#"]);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn sessions(data: &Data) -> Vec<Value> {
    serde_json::from_str(&data.must(&["mqtt", "sessions", "--json"])).unwrap()
}

fn end(data: &Data, client_id: &str) -> std::process::Output {
    run(&["mqtt", "end-session", client_id, "--data", data.path()])
}

#[test]
fn sessions_are_listed_and_ended_while_the_server_runs() {
    let data = Data::new();
    data.add_user("nurse", PASSWORD);
    let serve = Serve::start(&data.folder());
    let mode = data.folder().join("control.sock").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(data.must(&["mqtt", "sessions"]), "");
    let mut client = display(&serve);
    until("the client has subscribed", || {
        sessions(&data).first().is_some_and(|session| session["filters"].as_array().unwrap().len() == 2)
    });
    let listed = sessions(&data);
    assert_eq!((&listed[0]["client_id"], &listed[0]["user"]), (&"display 1".into(), &"nurse".into()));
    assert_eq!(listed[0]["away_s"], Value::Null);
    let table = data.must(&["mqtt", "sessions"]);
    assert!(table.contains("display 1  nurse  connected        2        0  7 d"), "{table}");
    let unknown = end(&data, "nobody");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("no MQTT session has the client id nobody"), "{}", stderr(&unknown));
    client.0.kill().unwrap();
    client.0.wait().unwrap();
    until("it is away", || sessions(&data)[0]["away_s"].is_u64());
    let ended = end(&data, "display 1");
    assert_eq!(stdout(&ended), "Ended the session display 1 of nurse.\n", "{}", stderr(&ended));
    assert_eq!(sessions(&data), Vec::<Value>::new());
    let audit = data.must(&["audit", "show"]);
    assert!(audit.contains("session-ended") && audit.contains("client id display 1"), "{audit}");
}

#[test]
fn a_session_that_is_ended_loses_its_connection() {
    let data = Data::new();
    data.add_user("nurse", PASSWORD);
    let serve = Serve::start(&data.folder());
    let _client = display(&serve);
    until("the client is connected", || !sessions(&data).is_empty());
    assert!(end(&data, "display 1").status.success());
    // mosquitto_sub connects again, and begins anew.
    until("there is no or a new session", || {
        sessions(&data).first().is_none_or(|session| session["away_s"].is_null())
    });
}

#[test]
fn without_a_server_the_stored_sessions_are_listed_and_ended() {
    let data = Data::new();
    let none = run(&["mqtt", "sessions", "--data", data.path()]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("no MQTT broker of ours has run there"), "{}", stderr(&none));
    data.add_user("nurse", PASSWORD);
    let serve = Serve::start(&data.folder());
    let client = display(&serve);
    until("the client has subscribed", || {
        sessions(&data).first().is_some_and(|session| session["filters"].as_array().unwrap().len() == 2)
    });
    drop(client);
    serve.terminate();
    // A kill leaves the socket, at which no one answers.
    drop(std::os::unix::net::UnixListener::bind(data.folder().join("control.sock")).unwrap());
    let listed = run(&["mqtt", "sessions", "--data", data.path()]);
    assert!(listed.status.success(), "{}", stderr(&listed));
    assert!(stderr(&listed).contains("No server runs there"), "{}", stderr(&listed));
    assert!(stdout(&listed).contains("display 1  nurse  away"), "{}", stdout(&listed));
    let ended = end(&data, "display 1");
    assert_eq!(stdout(&ended), "Ended the session display 1 of nurse.\n", "{}", stderr(&ended));
    assert_eq!(sessions(&data), Vec::<Value>::new());
    let _again = Serve::start(&data.folder());
    assert_eq!(sessions(&data), Vec::<Value>::new());
}

#[test]
fn a_server_with_a_broker_elsewhere_says_so() {
    let data = Data::new();
    let _serve = Serve::start_with(&data.folder(), |command| {
        command.args(["--mqtt-url", "mqtt://gateway@127.0.0.1:1"]).env("VITALWIRE_MQTT_PASSWORD", PASSWORD);
    });
    let asked = run(&["mqtt", "sessions", "--data", data.path()]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(stderr(&asked).contains("a broker elsewhere"), "{}", stderr(&asked));
}
