//! The texts, read by others: the rights by Erlang's `file:consult/1`, the settings by Debian's ruby-hocon.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use vitalwire_access::{Role as PersonRole, Scope, acl as ours};
use vitalwire_emqx::{ACL_FILE, Role, Settings, User, Verifier, acl, config};

fn user(name: &str, role: Role) -> User {
    let verifier = Verifier::from_digits(&"0".repeat(32), &"0".repeat(64)).unwrap();
    User { name: name.parse().unwrap(), role, verifier }
}

fn reader(devices: Scope) -> Role {
    Role::Person(PersonRole::Reader { devices })
}

fn named(ids: &[&str]) -> Scope {
    Scope::Named(ids.iter().map(|id| id.parse().unwrap()).collect())
}

/// Every kind of role, and a name in which all kinds of characters are.
fn users() -> Vec<User> {
    vec![
        user("gateway", Role::Gateway),
        user("admin", Role::Person(PersonRole::Admin)),
        user("nurse", reader(Scope::All)),
        user("Family_of-7", reader(named(&["bed_07", "bed-08"]))),
        user("former", reader(named(&[]))),
        user("doctor", Role::Person(PersonRole::Clinician { devices: named(&["bed_07"]) })),
    ]
}

/// What Erlang says of each question, which is a user, an action and a topic or filter.
fn ask(rules: &str, questions: &[(String, &str, String)]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acl.conf");
    std::fs::write(&file, rules).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acl.escript");
    let mut erlang = Command::new("escript");
    erlang.arg(script).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut erlang = erlang.spawn().expect("Erlang is installed (scripts/install erlang-base)");
    let text: String =
        questions.iter().map(|(user, action, topic)| format!("{user}\t{action}\t{topic}\n")).collect();
    let mut input = erlang.stdin.take().unwrap();
    // In a thread, for the answers fill the pipe before all questions are asked.
    let asking = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let answered = erlang.wait_with_output().unwrap();
    asking.join().unwrap().unwrap();
    assert!(answered.status.success());
    let answers = String::from_utf8(answered.stdout).unwrap();
    let answers: Vec<bool> = answers.lines().map(|line| line == "allow").collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// What the embedded broker says; the gateway is none of its users.
fn broker_says(role: &Role, action: &str, topic: &str) -> bool {
    let is_below_ours = |topic: &str| matches!(topic.split('/').next(), Some("Pico" | "vitalwire"));
    match (role, action) {
        (Role::Gateway, "publish") => is_below_ours(topic),
        (Role::Gateway, _) => false,
        (Role::Person(role), "publish") => ours::may_publish(role, topic),
        (Role::Person(role), _) => ours::may_subscribe(role, topic),
    }
}

/// Topics and filters of words that mean something to a rule, in every mixture.
fn topics(count: usize) -> BTreeSet<String> {
    let words = [
        "Pico",
        "vitalwire",
        "v1",
        "bed_07",
        "bed-08",
        "bed_09",
        "status",
        "+",
        "#",
        "$SYS",
        "",
        "x",
        "pico",
    ];
    let topic = proptest::collection::vec(proptest::sample::select(words.to_vec()), 1..5);
    let mut runner = TestRunner::deterministic();
    let topics = std::iter::from_fn(|| Some(topic.new_tree(&mut runner).unwrap().current().join("/")));
    // MQTT knows no other: `#` stands last, and nothing is empty.
    let is_filter = |topic: &String| !topic.is_empty() && !topic.trim_end_matches('#').contains('#');
    topics.filter(is_filter).take(count).collect()
}

#[test]
fn emqx_and_the_embedded_broker_let_everyone_do_the_same() {
    let users = users();
    let mut questions = Vec::new();
    let mut wanted = Vec::new();
    for user in &users {
        for topic in topics(4_000) {
            for action in ["subscribe", "publish"] {
                // Only filters have wildcards. And of a version that is not there yet who sees named devices sees
                // nothing at EMQX.
                let is_publish_of_filter = action == "publish" && topic.contains(['+', '#']);
                let version = topic.strip_prefix("vitalwire/").and_then(|rest| rest.split('/').next());
                let is_other_version = version.is_some_and(|version| !["v1", "+", "#"].contains(&version));
                let is_of_some = ["Family_of-7", "doctor"].contains(&user.name.as_str());
                if is_publish_of_filter || (is_other_version && is_of_some) {
                    continue;
                }
                wanted.push(broker_says(&user.role, action, &topic));
                questions.push((user.name.to_string(), action, topic.clone()));
            }
        }
    }
    let allowed = wanted.iter().filter(|allowed| **allowed).count();
    assert!(allowed > 100 && wanted.len() - allowed > 1_000, "{allowed} of {} are allowed", wanted.len());
    for ((question, wanted), said) in questions.iter().zip(&wanted).zip(ask(&acl(&users), &questions)) {
        assert_eq!(said, *wanted, "{question:?}");
    }
}

#[test]
fn a_stranger_may_do_nothing() {
    let questions =
        ["Pico/bed_07/Ip_address", "#", "x"].map(|topic| ("stranger".to_owned(), "subscribe", topic.into()));
    assert_eq!(ask(&acl(&users()), &questions), [false; 3]);
    assert_eq!(ask(&acl(&[]), &questions), [false; 3]);
}

/// The settings as Typesafe's rules of HOCON read them.
fn read(settings: &Settings) -> Value {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config(settings).unwrap().expose_secret().as_bytes()).unwrap();
    let script = "require 'hocon'; require 'json'; puts JSON.generate(Hocon.parse(File.read(ARGV[0])))";
    let read = Command::new("ruby").args(["-e", script]).arg(file.path()).output();
    let read = read.expect("ruby is installed (scripts/install ruby-hocon)");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

#[test]
fn the_settings_say_what_they_shall_to_another_reader() {
    let settings =
        Settings::new("emqx@172.20.0.20", "/opt/emqx/vitalwire/", "c00k1e".into(), "geheim".into());
    let tls = json!({
        "certfile": "/opt/emqx/vitalwire/cert.pem", "keyfile": "/opt/emqx/vitalwire/key.pem",
        "cacertfile": "/opt/emqx/vitalwire/ca.pem", "verify": "verify_none", "versions": ["tlsv1.3", "tlsv1.2"],
    });
    let wanted = json!({
        "node": { "name": "emqx@172.20.0.20", "cookie": "c00k1e", "data_dir": "/opt/emqx/data" },
        "cluster": { "name": "vitalwire", "discovery_strategy": "singleton" },
        "listeners": {
            "tcp": { "default": { "enable": false, "bind": "0.0.0.0:1883", "enable_authn": "quick_deny_anonymous" } },
            "ssl": { "default": {
                "enable": true, "bind": "0.0.0.0:8883", "enable_authn": "quick_deny_anonymous", "ssl_options": tls,
            } },
            "ws": { "default": { "enable": false, "bind": "127.0.0.1:8083" } },
            "wss": { "default": { "enable": false, "bind": "127.0.0.1:8084" } },
        },
        "authentication": [{
            "mechanism": "password_based", "backend": "built_in_database", "user_id_type": "username",
            "password_hash_algorithm": { "name": "pbkdf2", "mac_fun": "sha256", "iterations": 210_000 },
            "bootstrap_file": "/opt/emqx/vitalwire/users.csv", "bootstrap_type": "hash",
        }],
        "authorization": {
            "no_match": "deny", "deny_action": "disconnect",
            "sources": [{ "type": "file", "enable": true, "path": format!("/opt/emqx/{ACL_FILE}") }],
        },
        "mqtt": {
            "max_mqueue_len": 10_000, "session_expiry_interval": "604800s",
            "clientid_override": "concat([username, '.', clientid])",
        },
        "durable_sessions": { "enable": true, "message_retention_period": "604800s" },
        "retainer": {
            "max_publish_rate": "infinity", "backend": { "type": "built_in_database", "storage_type": "disc" },
        },
        "dashboard": {
            "default_password": "geheim",
            "listeners": { "http": { "bind": 0 }, "https": { "bind": "0.0.0.0:18083", "ssl_options": tls } },
        },
        "api_key": { "bootstrap_file": "/opt/emqx/vitalwire/api-keys" },
        "telemetry": { "enable": false },
    });
    assert_eq!(read(&settings), wanted);
    assert_eq!(
        read(&Settings { plain: true, ..settings })["listeners"]["tcp"]["default"]["enable"],
        json!(true)
    );
}

#[test]
fn secrets_of_all_characters_are_read_back() {
    let mut runner = TestRunner::deterministic();
    let secret = proptest::string::string_regex("[ -~äß€]{1,60}").unwrap();
    let mut secrets = vec![
        "\"".to_owned(),
        "\\".into(),
        "a\\\"b".into(),
        "${HOME}".into(),
        "# //".into(),
        "\\u0041".into(),
    ];
    secrets.extend((0..10).map(|_| secret.new_tree(&mut runner).unwrap().current()));
    for secret in secrets {
        let settings = Settings::new("emqx@h", "/f", secret.as_str().into(), secret.as_str().into());
        let read = read(&settings);
        assert_eq!(read["node"]["cookie"], json!(secret));
        assert_eq!(read["dashboard"]["default_password"], json!(secret));
    }
}
