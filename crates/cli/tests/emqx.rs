//! `vitalwire emqx` against a real HTTP server that answers as EMQX's API document says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::emqx_api::{Cut, Emqx, State};
use support::{run, run_with_stdin, stderr, stdout, vitalwire};
use vitalwire_emqx::{Accounts, acl};

/// A file of accounts and one with the API key.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("api-key", "vitalwire:geheim\n");
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn users(&self) -> String {
        self.path("users.toml").to_str().unwrap().to_owned()
    }

    fn add(&self, name: &str, more: &[&str]) {
        let users = self.users();
        let arguments = [&["emqx", "add", name, "--users", &users, "--password-stdin"], more].concat();
        let added = run_with_stdin(&arguments, "a good password\n");
        assert!(added.status.success(), "{}", stderr(&added));
    }

    fn must(&self, arguments: &[&str], input: &str) {
        let users = self.users();
        let ended = run_with_stdin(&[&["emqx"], arguments, &["--users", &users]].concat(), input);
        assert!(ended.status.success(), "{}", stderr(&ended));
    }

    fn accounts(&self) -> Accounts {
        Accounts::parse(&std::fs::read_to_string(self.users()).unwrap()).unwrap()
    }

    fn sync(&self, url: &str, more: &[&str]) -> Output {
        let mut command = vitalwire();
        command.args(["emqx", "sync", "--url", url, "--users", &self.users(), "--api-key-file"]);
        command.arg(self.path("api-key")).args(more).output().unwrap()
    }

    fn sync_with(&self, emqx: &Emqx, more: &[&str]) -> Output {
        self.sync(&format!("http://127.0.0.1:{}", emqx.port), more)
    }

    /// Everyone that is wanted, and two who are not ours.
    fn ward() -> Self {
        let files = Self::new();
        files.add("vitalwire", &["--role", "gateway"]);
        files.add("nurse", &["--role", "reader"]);
        files.add("family", &["--role", "reader", "--device", "bed_07"]);
        files
    }
}

fn by_hand(names: impl IntoIterator<Item = String>) -> State {
    let users = names.into_iter().map(|name| (name, ("hash".to_owned(), "salt".to_owned()))).collect();
    State { users, rules: "{allow, all}.\n".into(), ..State::default() }
}

/// The lines of the table, user and result.
fn table(output: &Output) -> Vec<(String, String)> {
    assert!(output.status.success(), "{}{}", stdout(output), stderr(output));
    let text = stdout(output);
    let lines = text.lines().skip(1).map(|line| line.split_once("  ").unwrap());
    lines.map(|(user, result)| (user.trim().to_owned(), result.trim().to_owned())).collect()
}

fn pairs(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(user, result)| ((*user).to_owned(), (*result).to_owned())).collect()
}

#[test]
fn users_are_added_changed_and_removed_and_a_second_run_changes_nothing() {
    let files = Files::ward();
    // More than a page, and sorted before and behind ours.
    let emqx =
        Emqx::start(by_hand((0..1_500).map(|number| format!("by-hand-{number}")).chain(["z".into()])), None);
    let added = table(&files.sync_with(&emqx, &[]));
    let wanted = [("(rights)", "changed"), ("vitalwire", "added"), ("nurse", "added"), ("family", "added")];
    assert_eq!(added, pairs(&wanted));
    assert_eq!(emqx.state().users.len(), 1_504);
    assert_eq!(emqx.state().rules, acl(&files.accounts().users()));
    assert!(emqx.state().asked.iter().any(|asked| asked.contains("page=2")), "all users were looked at");
    let unchanged: Vec<_> = wanted.iter().map(|(user, _)| (*user, "unchanged")).collect();
    assert_eq!(table(&files.sync_with(&emqx, &[])), pairs(&unchanged));

    files.must(&["password", "nurse", "--password-stdin"], "another good password\n");
    files.must(&["remove", "family"], "");
    let before = emqx.state().users["nurse"].clone();
    emqx.state().clients =
        [("nurse.1", "nurse"), ("family.1", "family"), ("vitalwire.1", "vitalwire"), ("z.1", "z")]
            .map(|(id, user)| (id.to_owned(), user.to_owned()))
            .to_vec();
    let changed = table(&files.sync_with(&emqx, &[]));
    let wanted = [
        ("(rights)", "changed"),
        ("family", "removed"),
        ("vitalwire", "unchanged"),
        ("nurse", "changed"),
        ("family", "1 connection closed"),
        ("nurse", "1 connection closed"),
    ];
    assert_eq!(changed, pairs(&wanted));
    let state = emqx.state();
    assert!(!state.users.contains_key("family") && state.users["nurse"] != before);
    assert_eq!(state.users["by-hand-7"].0, "hash", "what a person made stays");
    let left: Vec<_> = state.clients.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(left, ["vitalwire.1", "z.1"]);
    assert!(files.accounts().removed().is_empty());
}

#[test]
fn a_dry_run_asks_and_changes_nothing() {
    let files = Files::ward();
    let emqx = Emqx::start(by_hand(["z".into()]), None);
    let before = files.accounts();
    let told = table(&files.sync_with(&emqx, &["--dry-run"]));
    let wanted = ["vitalwire", "nurse", "family"].map(|name| (name, "would be added"));
    assert_eq!(told, pairs(&[&[("(rights)", "would be changed")], &wanted[..]].concat()));
    assert_eq!(files.accounts(), before);
    let state = emqx.state();
    assert!(
        state.users.len() == 1 && state.asked.iter().all(|asked| asked.starts_with("GET")),
        "{:?}",
        state.asked
    );
}

#[test]
fn a_user_of_the_same_name_that_a_person_made_is_not_touched() {
    let files = Files::ward();
    let emqx = Emqx::start(by_hand(["nurse".into()]), None);
    let refused = files.sync_with(&emqx, &[]);
    assert!(!refused.status.success());
    let told = stderr(&refused);
    assert!(told.contains("did not make: nurse") && told.contains("--take-over"), "{told}");
    assert_eq!(emqx.state().users.len(), 1);
    assert_eq!(emqx.state().rules, "{allow, all}.\n");
    let taken = table(&files.sync_with(&emqx, &["--take-over"]));
    assert!(taken.contains(&("nurse".to_owned(), "changed".to_owned())), "{taken:?}");
}

#[test]
fn connections_cut_before_or_after_each_request_lose_and_double_nothing() {
    let files = Files::ward();
    files.must(&["remove", "family"], "");
    let accounts = std::fs::read_to_string(files.users()).unwrap();
    // Ours from the start, so that a second run is asked to remove it.
    let text = accounts
        .replacen("[[user]]", "removed = [\"family\"]\n\n[[user]]", 1)
        .replace("ours = false", "ours = true");
    let state = || by_hand(["family".into(), "nurse".into(), "z".into()]);
    let requests = {
        files.write("users.toml", &text);
        let emqx = Emqx::start(state(), None);
        table(&files.sync_with(&emqx, &[]));
        let requests = emqx.state().asked.len();
        assert!(requests >= 8, "{requests}");
        requests
    };
    for number in 1..=requests {
        for cut in [Cut::Before, Cut::After] {
            files.write("users.toml", &text);
            let emqx = Emqx::start(State { cut: Some((number, cut)), ..state() }, None);
            let synced = files.sync_with(&emqx, &[]);
            assert!(
                synced.status.success() && stderr(&synced).contains("asking again"),
                "{}",
                stderr(&synced)
            );
            let names: Vec<_> = emqx.state().users.keys().cloned().collect();
            assert_eq!(names, ["nurse", "vitalwire", "z"], "request {number}");
            assert_eq!(emqx.state().rules, acl(&files.accounts().users()));
            assert!(files.accounts().removed().is_empty());
        }
    }
}

#[test]
fn a_busy_emqx_is_asked_again() {
    let files = Files::ward();
    let emqx = Emqx::start(State { busy: [503, 429, 503].into(), ..by_hand([]) }, None);
    let synced = files.sync_with(&emqx, &[]);
    assert_eq!(table(&synced).len(), 4);
    assert!(stderr(&synced).contains("busy (HTTP 429)"), "{}", stderr(&synced));
}

#[test]
fn refusals_say_what_to_do() {
    let files = Files::ward();
    let emqx = Emqx::start(by_hand([]), None);
    let told = |files: &Files, more: &[&str]| {
        let refused = files.sync_with(&emqx, more);
        assert!(!refused.status.success());
        let told = stderr(&refused);
        assert!(!told.contains("geheim") && !told.contains("falsch"), "{told}");
        told
    };
    files.write("api-key", "vitalwire:falsch\n");
    assert!(told(&files, &[]).contains("refuses the API key"));
    files.write("api-key", "falsch\n");
    assert!(told(&files, &[]).contains("KEY:SECRET"));
    files.write("api-key", "vitalwire:geheim\n");
    std::fs::set_permissions(files.path("api-key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(told(&files, &[]).contains("chmod 600"));
    files.write("api-key", "vitalwire:geheim\n");
    emqx.state().is_bare = true;
    assert!(told(&files, &[]).contains("no built-in database of users"));
    emqx.state().is_bare = false;
    for (url, words) in [
        ("http://emqx.example:18083", "plain HTTP"),
        ("https://vitalwire:falsch@emqx.example", "leave the API key out"),
        ("emqx.example", "https://HOST:PORT"),
    ] {
        let refused = files.sync(url, &[]);
        let told = stderr(&refused);
        assert!(!refused.status.success() && told.contains(words) && !told.contains("falsch"), "{told}");
    }
    std::fs::set_permissions(files.users(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(told(&files, &[]).contains("chmod 600"));
    files.write("users.toml", "[[user]]\nname = \"n\"\n");
    assert!(told(&files, &[]).contains("no file of accounts"));
    std::fs::remove_file(files.users()).unwrap();
    assert!(told(&files, &[]).contains("users.toml"));
}

#[test]
fn over_tls_only_a_certificate_that_is_trusted_gets_the_key() {
    let files = Files::ward();
    let tls = |name: &str| {
        let folder = files.path(name);
        std::fs::create_dir(&folder).unwrap();
        vitalwire_broker::generate_self_signed(&folder, &["127.0.0.1".to_owned()]).unwrap()
    };
    let (ours, other) = (tls("ours"), tls("other"));
    let pem = |path: &Path| std::fs::read(path).unwrap();
    let emqx = Emqx::start(by_hand([]), Some((pem(&ours.certificate), pem(&ours.key))));
    let url = format!("https://127.0.0.1:{}", emqx.port);
    let refused = files.sync(&url, &["--ca", other.certificate.to_str().unwrap()]);
    let told = stderr(&refused);
    assert!(
        !refused.status.success() && told.contains("--ca FILE") && !told.contains("asking again"),
        "{told}"
    );
    assert!(emqx.state().asked.is_empty());
    assert_eq!(table(&files.sync(&url, &["--ca", ours.certificate.to_str().unwrap()])).len(), 4);
}

#[test]
fn the_file_of_accounts_is_its_owners_alone_and_names_are_checked() {
    let files = Files::ward();
    assert_eq!(std::fs::metadata(files.users()).unwrap().permissions().mode() & 0o777, 0o600);
    let users = files.users();
    for (arguments, words) in [
        (&["add", "nurse", "--role", "admin", "--generate"][..], "already"),
        (&["add", "a/b", "--role", "admin", "--generate"], "cannot stand in a name"),
        (&["add", "g", "--role", "gateway", "--device", "bed_07", "--generate"], "leave --device out"),
        (&["remove", "stranger"], "no user stranger"),
        (&["password", "stranger", "--generate"], "no user stranger"),
    ] {
        let refused = run(&[&["emqx"], arguments, &["--users", &users]].concat());
        assert!(!refused.status.success() && stderr(&refused).contains(words), "{}", stderr(&refused));
        assert_eq!(stdout(&refused), "", "no password of what was not stored");
    }
}
