//! The real binary over the life of a device's key: enrolled, shown, labelled, rotated, erased, and all of it in the audit
//! log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use support::{Data, run, stderr, stdout, vitalwire};
use vitalwire_access::DeviceId;
use vitalwire_registry::{DATABASE_FILE, MasterKey, Registry, TokenHash, master_key_path};
use vitalwire_testing::program::until;

fn registry(data: &Data) -> Registry {
    let master = MasterKey::load(&master_key_path(&data.folder(), None)).unwrap();
    Registry::open(&data.folder(), &master).unwrap()
}

/// Identity and PSK of two lines `identity: …` and `psk: …`, and of nothing else.
fn two_lines(text: &str) -> (String, String) {
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let identity = lines[0].strip_prefix("identity: ").unwrap();
    let psk = lines[1].strip_prefix("psk: ").unwrap();
    let hex =
        |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    assert!(identity.len() == 32 && hex(identity) && psk.len() == 64 && hex(psk), "{text}");
    (identity.to_owned(), psk.to_owned())
}

fn refused(data: &Data, arguments: &[&str]) -> String {
    let output = vitalwire().args(arguments).args(["--data", data.path()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stdout(&output));
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", stdout(&output));
    stderr(&output)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn tls_is_the_default_and_the_psk_is_that_of_the_registry() {
    let data = Data::new();
    let added = data.must(&["device", "add", "bed_07"]);
    let (identity, psk) = two_lines(&added);
    assert_eq!(data.must(&["device", "psk", "bed_07"]), added);
    let directory = registry(&data).directory().unwrap();
    let link = directory.link(&identity.parse().unwrap(), SystemTime::now()).unwrap();
    assert_eq!(link.device.id.as_str(), "bed_07");
    assert_eq!(link.psk.bytes().map(|byte| format!("{byte:02x}")).concat(), psk);
    let shown = data.must(&["device", "show", "bed_07"]) + &data.must(&["device", "list", "--json"]);
    assert!(shown.contains("tls") && shown.contains(&identity) && !shown.contains(&psk), "{shown}");
}

#[test]
fn a_token_is_shown_once_listed_without_it_and_removed() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let token =
        data.must(&["token", "add", "study", "--role", "clinician", "--device", "bed_07", "--lasts", "1h"]);
    assert!(token.starts_with("vwt_") && token.trim_end().len() == 68, "{token}");
    let hash = TokenHash::of(token.trim_end());
    let found = registry(&data).directory().unwrap().token(&hash, SystemTime::now()).cloned().unwrap();
    assert_eq!((found.name.as_str(), found.role.name()), ("study", "clinician"));
    let listed = data.must(&["token", "list"]) + &data.must(&["token", "list", "--json"]);
    assert!(listed.contains("bed_07") && listed.contains(r#""ended":false"#), "{listed}");
    assert!(!listed.contains(token.trim_end()), "{listed}");
    assert!(refused(&data, &["token", "add", "study", "--role", "reader"]).contains("already exists"));
    assert_eq!(data.must(&["token", "remove", "study"]), "Removed study.\n");
    assert!(registry(&data).directory().unwrap().token(&hash, SystemTime::now()).is_none());
    assert!(refused(&data, &["token", "remove", "study"]).contains("there is no token study"));
    let log = data.must(&["audit", "show"]);
    assert!(
        log.contains("token-added") && log.contains("token-removed") && !log.contains(token.trim_end()),
        "{log}"
    );
}

#[test]
fn links_are_what_a_fleet_reads_and_what_psk_shows() {
    let data = Data::new();
    let refused = refused(&data, &["device", "links"]);
    assert!(refused.contains("vitalwire device add NAME --data"), "{refused}");
    let keys = ["bed_07", "bed_08"].map(|id| two_lines(&data.must(&["device", "add", id])));
    data.must(&["device", "add", "old_01", "--protocol", "aes-cbc"]);
    let line = |id: &str, (identity, psk): &(String, String)| format!("{id} {identity} {psk}\n");
    let all = line("bed_07", &keys[0]) + &line("bed_08", &keys[1]);
    assert_eq!(data.must(&["device", "links"]), all);
    assert_eq!(data.must(&["device", "links", "bed_08"]), line("bed_08", &keys[1]));
    let file = data.folder().with_file_name("LINKS.txt");
    assert_eq!(data.must(&["device", "links", "--file", file.to_str().unwrap()]), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), all);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(data.must(&["audit", "show"]).matches("key-shown").count() == 5);
}

#[test]
fn a_key_goes_to_standard_output_only() {
    let data = Data::new();
    for arguments in [
        ["device", "add", "bed_07"],
        ["device", "psk", "bed_07"],
        ["device", "label", "bed_07"],
        ["device", "rotate", "bed_07"],
    ] {
        let output = vitalwire()
            .args(arguments)
            .args(["--log-level", "trace", "--data", data.path()])
            .output()
            .unwrap();
        assert!(output.status.success());
        let text = stdout(&output);
        let psk = text.lines().find_map(|line| line.strip_prefix("psk: ")).unwrap();
        let errors = stderr(&output);
        assert!(!errors.contains(psk) && !errors.contains('█'), "{arguments:?}: {errors}");
    }
}

#[test]
fn the_label_is_drawn_into_new_private_files() {
    let data = Data::new();
    let (_, psk) = two_lines(&data.must(&["device", "add", "bed_07"]));
    let (svg, png) = (data.folder().with_file_name("label.svg"), data.folder().with_file_name("label.png"));
    let draw = ["device", "label", "bed_07", "--svg", svg.to_str().unwrap(), "--png", png.to_str().unwrap()];
    assert_eq!(data.must(&draw), "");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.starts_with("<svg ") && drawn.contains(">bed_07</text>") && !drawn.contains(&psk));
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    for path in [&svg, &png] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(&svg, "another label").unwrap();
    let message = refused(&data, &["device", "label", "bed_07", "--svg", svg.to_str().unwrap()]);
    assert!(message.contains("there already"), "{message}");
    assert_eq!(std::fs::read_to_string(&svg).unwrap(), "another label");
}

#[test]
fn a_rotation_tells_until_when_the_old_key_works() {
    let data = Data::new();
    let (old, _) = two_lines(&data.must(&["device", "add", "bed_07"]));
    let output = run(&["device", "rotate", "bed_07", "--overlap", "36h", "--data", data.path()]);
    let (new, _) = two_lines(&stdout(&output));
    assert_ne!(old, new);
    let listed = json(&data.must(&["device", "list", "--json"]))[0].clone();
    let until = listed["old_key_until"].as_str().unwrap();
    assert!(stderr(&output).contains(until), "{}", stderr(&output));
    let left = humantime::parse_rfc3339(until).unwrap().duration_since(SystemTime::now()).unwrap();
    assert!((35 * 3600..=36 * 3600).contains(&left.as_secs()), "{left:?}");
    assert_eq!((&listed["identity"], &listed["generation"]), (&new.as_str().into(), &2.into()));
    assert!(data.must(&["device", "list"]).contains(until));
    assert!(data.must(&["device", "show", "bed_07"]).contains(until));
    assert_eq!(two_lines(&data.must(&["device", "psk", "bed_07"])).0, new);

    registry(&data).confirm_rotation(&"bed_07".parse().unwrap(), &new.parse().unwrap()).unwrap();
    assert!(!data.must(&["device", "list"]).contains("rotating"));
    let ended = run(&["device", "rotate", "bed_07", "--overlap", "0s", "--data", data.path()]);
    assert!(stderr(&ended).contains("within a second"), "{}", stderr(&ended));
    let message = refused(&data, &["device", "rotate", "bed_07", "--overlap", "1year"]);
    assert!(message.contains("90 days"), "{message}");
}

#[test]
fn an_aes_cbc_device_has_no_psk_no_label_and_no_overlap() {
    let data = Data::new();
    let line = data.must(&["device", "add", "old_01", "--protocol", "aes-cbc"]);
    assert_eq!(json(&line)["id"], "old_01");
    for command in [["device", "psk", "old_01"].as_slice(), &["device", "label", "old_01"]] {
        let message = refused(&data, command);
        assert!(message.contains("AES-CBC") && message.contains("rotate"), "{message}");
    }
    let message = refused(&data, &["device", "rotate", "old_01", "--overlap", "1d"]);
    assert!(message.contains("--overlap"), "{message}");
    assert_eq!(json(&data.must(&["device", "list", "--json"]))[0]["generation"], 1);
}

#[test]
fn erasing_asks_first_and_without_a_server_waits_for_the_next_start() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let message = refused(&data, &["device", "erase", "bed_07"]);
    assert!(message.contains("--yes"), "{message}");
    assert_eq!(json(&data.must(&["device", "list", "--json"]))[0]["id"], "bed_07");

    let asked = run(&["device", "erase", "bed_07", "--yes", "--data", data.path()]);
    assert!(asked.status.success());
    assert!(stdout(&asked).contains("waits for the server"), "{}", stdout(&asked));
    assert!(stderr(&asked).contains("next start"), "{}", stderr(&asked));
    assert!(data.must(&["device", "show", "bed_07"]).contains("waits for the server"));
    let message = refused(&data, &["device", "add", "bed_07"]);
    assert!(message.contains("erased") && message.contains("device show bed_07"), "{message}");
}

#[test]
fn erasing_prints_what_the_server_says_shows_it() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let server = registry(&data);
    let bed: DeviceId = "bed_07".parse().unwrap();
    let serving = std::thread::spawn(move || {
        until("the request arrives", || server.directory().unwrap().erasures.contains(&bed));
        server.erasure_done(&bed, 1_234, "no entry of it is left").unwrap();
    });
    let done = run(&["device", "erase", "bed_07", "--yes", "--data", data.path()]);
    serving.join().unwrap();
    let text = stdout(&done);
    // On a slow machine the server may be later than the command waits; then its next words are these.
    let text = if text.contains("waits") { data.must(&["device", "show", "bed_07"]) } else { text };
    assert!(text.contains("1234 entries erased; no entry of it is left"), "{text}");
    data.must(&["device", "add", "bed_07"]);
}

#[test]
fn the_audit_log_tells_all_of_it_and_verifies() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let first = json(&data.must(&["audit", "verify", "--json"]));
    data.must(&["device", "psk", "bed_07"]);
    data.must(&["device", "rotate", "bed_07"]);
    data.must(&["device", "revoke", "bed_07"]);
    let lines = data.must(&["audit", "show", "--after", "0", "--json"]);
    let records: Vec<_> = lines.lines().map(json).collect();
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    let expected = [
        "log-started",
        "user-added",
        "login-link-made",
        "device-enrolled",
        "key-shown",
        "device-rotated",
        "device-revoked",
    ];
    assert_eq!(kinds, expected);
    assert!(records.iter().all(|record| record["actor"].as_str().unwrap().contains("uid ")));
    let last = data.must(&["audit", "show", "--last", "2"]);
    assert!(last.lines().count() == 2 && last.contains("device-revoked"), "{last}");
    let head = first["head"].as_str().unwrap();
    assert_eq!((&first["sound"], &first["records"]), (&true.into(), &4.into()));
    let sound = data.must(&["audit", "verify", "--head", head]);
    assert!(sound.contains("sound: 7 records") && sound.contains("record 4"), "{sound}");
}

#[test]
fn a_tampered_audit_log_is_an_error_that_names_the_record() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let other = "0".repeat(64);
    let unknown = run(&["audit", "verify", "--head", &other, "--data", data.path()]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stdout(&unknown).contains(&other), "{}", stdout(&unknown));
    let connection = rusqlite::Connection::open(data.folder().join(DATABASE_FILE)).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.execute("UPDATE audit SET subject = 'bed_\x1b[2J08' WHERE sequence = 3", []).unwrap();
    let found = run(&["audit", "verify", "--data", data.path()]);
    assert_eq!(found.status.code(), Some(1));
    assert!(stdout(&found).contains("NOT sound: record 3"), "{}", stdout(&found));
    let shown = data.must(&["audit", "show"]);
    assert!(shown.contains("bed_") && !shown.contains('\x1b'), "{shown}");
}
