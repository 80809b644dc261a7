//! The real binary on a data folder: init, device, user, doctor.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::os::unix::fs::PermissionsExt;

use support::{Data, run, run_with_stdin, stderr, stdout};

const KEYS: &str = r#"{ "id":"iot_med_dev_01", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}
{ "id":"iot_med_dev_02", "key":"6543210987654321", "iv":"BBBBBBBBBBBBBBBB"}
"#;

#[test]
fn second_init_changes_nothing_and_says_so() {
    let data = Data::new();
    let snapshot = || {
        let mut files: Vec<_> =
            std::fs::read_dir(data.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
            .into_iter()
            .filter(|path| path.is_file())
            .map(|path| (std::fs::read(&path).unwrap(), path))
            .collect::<Vec<_>>()
    };
    let before = snapshot();
    let again = run(&["init", "--data", data.path()]);
    assert!(again.status.success());
    assert!(stdout(&again).contains("nothing was changed"), "{}", stdout(&again));
    assert!(before == snapshot());
}

#[test]
fn init_keeps_the_master_key_apart_and_private() {
    let data = Data::new();
    let key = data.folder().with_file_name("data.master-key");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(data.folder()).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(data.folder().join("vitalwire.toml").exists());
    assert!(data.must(&["user", "list"]).contains("admin"));
}

#[test]
fn init_and_user_link_show_links_that_no_file_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let path = path.to_str().unwrap();
    let made = run(&["init", "--data", path]);
    let token = |text: &str| {
        let (_, token) = text.split_once("http://127.0.0.1:8080/#link=").unwrap_or_else(|| panic!("{text}"));
        token.split_whitespace().next().unwrap().to_owned()
    };
    let link = run(&["user", "link", "admin", "--for", "30m", "--data", path]);
    let tokens = [token(&stdout(&made)), token(&stdout(&link))];
    assert_ne!(tokens[0], tokens[1]);
    for file in
        std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        for token in &tokens {
            assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{file:?}");
        }
    }
    let audit = stdout(&run(&["audit", "show", "--data", path]));
    assert!(
        audit.contains("login-link-made") && audit.contains("for 1day") && audit.contains("for 30m"),
        "{audit}"
    );
    let other = run(&["user", "link", "admin", "--url", "https://ward.example", "--data", path]);
    assert!(stdout(&other).starts_with("https://ward.example/#link="), "{}", stdout(&other));
    for (arguments, reason) in [
        (&["no-one"][..], "no-one"),
        (&["admin", "--for", "8d"], "at most 7d"),
        (&["admin", "--for", "0s"], "more than 0"),
        (&["admin", "--url", "ward.example/page"], "write https://HOST"),
        (&["admin", "--dashboard-listen", "off"], "the dashboard is off"),
        (&["admin", "--dashboard-listen", "127.0.0.1:0"], "--url"),
    ] {
        let refused = run(&[&["user", "link"], arguments, &["--data", path]].concat());
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&refused).contains(reason) && stdout(&refused).is_empty(), "{}", stderr(&refused));
    }
}

#[test]
fn init_leaves_a_strange_folder_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let refused = run(&["init", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("not empty"), "{}", stderr(&refused));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn imported_devices_are_listed_and_importing_again_changes_nothing() {
    let data = Data::new();
    let file = data.file("DEVICES_KEYS.txt", KEYS);
    let file = file.to_str().unwrap();
    assert_eq!(data.must(&["device", "import", file]), "2 added, 0 unchanged\n");
    assert_eq!(data.must(&["device", "import", file]), "0 added, 2 unchanged\n");
    let list = data.must(&["device", "list"]);
    assert!(list.contains("iot_med_dev_01") && list.contains("aes-cbc"), "{list}");
    let json: serde_json::Value = serde_json::from_str(&data.must(&["device", "list", "--json"])).unwrap();
    assert_eq!(json[1]["id"], "iot_med_dev_02");
    assert_eq!(json[1]["generation"], 1);
}

#[test]
fn broken_key_file_is_refused_with_its_line() {
    let data = Data::new();
    let file = data.file(
        "keys",
        "{ \"id\":\"a\", \"key\":\"1234567890123456\", \"iv\":\"AAAAAAAAAAAAAAAA\"}\nnonsense\n",
    );
    let refused = run(&["device", "import", file.to_str().unwrap(), "--data", data.path()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("line 2"), "{}", stderr(&refused));
    assert_eq!(data.must(&["device", "list", "--json"]), "[]\n");
}

#[test]
fn keys_are_printed_once_when_new_and_never_shown() {
    let data = Data::new();
    let line = data.must(&["device", "add", "bed_07", "--protocol", "aes-cbc"]);
    let key: serde_json::Value = serde_json::from_str(&line).unwrap();
    let rotated: serde_json::Value =
        serde_json::from_str(&data.must(&["device", "rotate", "bed_07"])).unwrap();
    assert_ne!(key["key"], rotated["key"]);
    let shown = data.must(&["device", "show", "bed_07"]) + &data.must(&["device", "list"]);
    for secret in [&key["key"], &key["iv"], &rotated["key"], &rotated["iv"]] {
        assert!(!shown.contains(secret.as_str().unwrap()), "{shown}");
    }
    assert!(shown.contains("generation  2"), "{shown}");
    data.must(&["device", "revoke", "bed_07"]);
    let gone = run(&["device", "show", "bed_07", "--data", data.path()]);
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn names_that_would_bend_topics_are_refused() {
    for name in ["a/b", "#", "+", "", "a b"] {
        let refused = run(&["device", "add", name, "--data", "unused"]);
        assert_eq!(refused.status.code(), Some(2), "{name}");
    }
}

#[test]
fn users_are_added_with_role_scope_and_password_from_stdin() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.add_user("nurse", "a good password\n");
    let family = [
        "user",
        "add",
        "family",
        "--role",
        "reader",
        "--device",
        "bed_07",
        "--password-stdin",
        "--data",
        data.path(),
    ];
    assert!(run_with_stdin(&family, "another password").status.success());
    let list = data.must(&["user", "list"]);
    assert!(
        list.contains("nurse") && list.contains("reader     all") && list.contains("reader     bed_07"),
        "{list}"
    );
    let short = ["user", "add", "short", "--role", "reader", "--password-stdin", "--data", data.path()];
    assert_eq!(run_with_stdin(&short, "short").status.code(), Some(1));
    data.must(&["user", "remove", "family"]);
    assert!(!data.must(&["user", "list"]).contains("family"));
}

#[test]
fn without_terminal_or_pipe_the_password_is_asked_for_in_the_message() {
    let data = Data::new();
    let refused = run(&["user", "add", "nurse", "--role", "reader", "--data", data.path()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("--password-stdin"), "{}", stderr(&refused));
}

#[test]
fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let data = Data::new();
    let free = "[devices]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nlisten = \"off\"\ntls_listen = \"off\"\nwebsocket_listen = \"off\"\n[metrics]\nlisten = \"off\"\n";
    std::fs::write(data.folder().join("vitalwire.toml"), free).unwrap();
    let healthy = data.must(&["doctor"]);
    assert!(
        healthy.contains("✓ data") && healthy.contains("! devices") && !healthy.contains('✗'),
        "{healthy}"
    );

    let key = data.folder().with_file_name("data.master-key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ill = run(&["doctor", "--json", "--data", data.path()]);
    assert_eq!(ill.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_str(&stdout(&ill)).unwrap();
    let bad = findings.as_array().unwrap().iter().find(|finding| finding["state"] == "fail").unwrap();
    assert!(bad["message"].as_str().unwrap().contains("chmod"), "{bad}");
}
