//! What the real binary says when something is wrong: what, where, and what to do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use support::{Data, Serve, run, stderr, stdout, vitalwire};
use vitalwire_testing::program::{Lines, Running, signal, until, wait};

/// The findings of `doctor` on ports, for a folder whose settings name these addresses.
fn ports(data: &Data, serve: &Serve) -> Vec<(String, String)> {
    let devices = serve.address("devices");
    let (mqtt, metrics, dashboard) =
        (serve.address("mqtt"), serve.address("metrics"), serve.address("dashboard"));
    let told = run(&[
        &["doctor", "--json", "--data", data.path(), "--listen", devices][..],
        &["--mqtt-listen", mqtt, "--metrics-listen", metrics, "--dashboard-listen", dashboard],
        &["--mqtt-tls-listen", "off", "--mqtt-websocket-listen", "off"],
    ]
    .concat());
    let findings: Vec<serde_json::Value> = serde_json::from_str(&stdout(&told)).unwrap();
    let ports = findings.iter().filter(|finding| finding["check"] == "ports");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    ports.map(|finding| (text(&finding["state"]), text(&finding["message"]))).collect()
}

#[test]
fn doctor_tells_the_folders_own_server_from_another_ones() {
    let (data, other) = (Data::new(), Data::new());
    let serve = Serve::start(&data.folder());
    let own = ports(&data, &serve);
    assert_eq!(own.len(), 4);
    assert!(
        own.iter().all(|(state, text)| state == "ok" && text.contains("by this folder's server")),
        "{own:?}"
    );
    let strange = ports(&other, &serve);
    let is_told = |(state, text): &(String, String)| {
        state == "fail"
            && text.contains("`vitalwire` (process ")
            && text.contains("not the server of this folder")
    };
    assert!(strange.len() == 4 && strange.iter().all(is_told), "{strange:?}");
}

#[test]
fn an_address_in_use_one_that_is_not_ours_and_a_small_port_are_told_apart() {
    let data = Data::new();
    let serve = Serve::start(&data.folder());
    let other = Data::new();
    for (flag, address, words) in [
        ("--listen", serve.address("devices"), "another data folder's server"),
        ("--listen", "192.0.2.1:9998", "does not have that address"),
        ("--metrics-listen", serve.address("mqtt"), "another data folder's server"),
        ("--dashboard-listen", serve.address("mqtt"), "choose a free port"),
        ("--mqtt-listen", serve.address("mqtt"), "another data folder's server"),
    ] {
        let mut arguments = vec!["serve", "--data", other.path(), flag, address];
        for other in ["--listen", "--metrics-listen", "--mqtt-listen"].iter().filter(|other| **other != flag)
        {
            arguments.extend([*other, "127.0.0.1:0"]);
        }
        arguments.extend(["--mqtt-tls-listen", "off", "--mqtt-websocket-listen", "off"]);
        let refused = run(&arguments);
        let told = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains(words) && told.contains(address), "{flag} {address}: {told}");
    }
}

#[test]
fn a_cause_is_said_once() {
    let data = Data::new();
    let missing = ["serve", "--data", data.path(), "--tls-cert", "/no/such.pem", "--tls-key", "/no/such.pem"];
    let folder = ["init", "--data", "/proc/vitalwire"];
    let recording = ["simulate", "device", "--flash", "/no/flash", "--recording", "/no/recording.csv"];
    for arguments in [&missing[..], &folder, &recording, &["history", "bed_07", "--data", "/no/such"]] {
        let told = stderr(&run(arguments));
        let causes = told.matches("No such file").count() + told.matches("os error").count();
        assert!(causes <= 2 && told.matches("os error").count() <= 1, "{arguments:?}: {told}");
        assert!(told.starts_with("vitalwire: "), "{told}");
    }
}

#[test]
fn an_event_that_is_none_says_what_would_be_one() {
    let data = Data::new();
    let keys = data.folder().join("KEYS.txt");
    fs::write(&keys, "{ \"id\": \"old\", \"key\": \"0123456789abcdef\", \"iv\": \"fedcba9876543210\" }\n")
        .unwrap();
    for (event, words) in [
        ("fevr at=20s", "`fevr` is no event; choose one of asystole"),
        ("fever at=20", "as in 500ms, 20s, 2m or 1h"),
        ("fever device=2", "devices have the numbers 1 to 1 here"),
    ] {
        let refused = run(&[
            &["simulate", "fleet", "--target", "127.0.0.1:1", "--seconds", "1", "--event", event][..],
            &["--keys", keys.to_str().unwrap()],
        ]
        .concat());
        assert_ne!(refused.status.code(), Some(0));
        let told = stderr(&refused);
        assert!(told.contains(words), "--event '{event}': {told}");
    }
}

#[test]
fn a_level_that_is_none_is_refused_and_does_not_silence_the_log() {
    let data = Data::new();
    let refused = run(&["user", "list", "--data", data.path(), "--log-level", "bogus"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    assert!(told.contains("--log-level bogus") && told.contains("error, warn, info"), "{told}");
}

#[test]
fn a_folder_that_may_not_be_looked_into_is_told() {
    let data = Data::new();
    assert_eq!(
        fs::metadata("/proc/self").unwrap().uid(),
        0,
        "this test runs as root, to run the program as another"
    );
    let folder = data.folder();
    let parent = folder.parent().unwrap();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
    // Where someone else may run it.
    let program = parent.join("vitalwire");
    fs::copy(env!("CARGO_BIN_EXE_vitalwire"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for command in [&["device", "list"][..], &["serve"], &["doctor"], &["init"]] {
        let refused =
            Command::new(&program).args(command).args(["--data", data.path()]).uid(65_534).output().unwrap();
        let told = stderr(&refused) + &stdout(&refused);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {told}");
        assert!(told.to_lowercase().contains("permission"), "{command:?}: {told}");
        assert!(!told.contains("holds no registry"), "{command:?}: {told}");
    }
}

#[test]
fn a_terminal_that_goes_stops_in_order() {
    let data = Data::new();
    let log = data.file("log", "");
    let serve = Serve::start_with(&data.folder(), |command| {
        command.args(["--mqtt-listen", "127.0.0.1:0"]).stderr(fs::File::create(&log).unwrap());
    });
    let (_, status) = serve.ended_by("HUP");
    assert!(status.success(), "{status}");
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("stopping"), "{told}");

    // The demonstration takes its folder along.
    let folder = tempfile::tempdir().unwrap();
    let local = "127.0.0.1:0";
    let mut demo = Running(
        vitalwire()
            .args([
                "demo",
                "--devices",
                "1",
                "--listen",
                local,
                "--mqtt-listen",
                local,
                "--metrics-listen",
                local,
            ])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let told = Lines::of(demo.0.stderr.take().unwrap());
    told.until("devices are served", |line| line.contains("1 of 1 served"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    signal(&demo.0, "HUP");
    assert!(wait(&mut demo.0).success());
    until("the folder is gone", || fs::read_dir(folder.path()).unwrap().count() == 0);
}

#[test]
fn under_nohup_a_server_stays_when_the_terminal_goes() {
    let data = Data::new();
    let local = "127.0.0.1:0";
    let mut serve = Running(
        Command::new("nohup")
            .arg(env!("CARGO_BIN_EXE_vitalwire"))
            .args(["serve", "--listen", local, "--mqtt-listen", local, "--metrics-listen", local])
            .args(["--mqtt-tls-listen", "off", "--mqtt-websocket-listen", "off", "--data", data.path()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let lines = Lines::of(serve.0.stdout.take().unwrap());
    lines.until("it listens", |line| line.starts_with("listening"));
    signal(&serve.0, "HUP");
    // It is still there to handle a request: another second signal would have ended it.
    let doctor = run(&["doctor", "--data", data.path(), "--listen", local]);
    assert!(!stderr(&doctor).contains("panicked"));
    assert!(serve.0.try_wait().unwrap().is_none());
    signal(&serve.0, "TERM");
    assert!(wait(&mut serve.0).success());
}

#[test]
fn proposed_commands_name_the_folder_that_was_given() {
    let data = Data::new();
    let flag = format!("--data {}", data.path());
    let told = stderr(&run(&["device", "list", "--data", data.path()]));
    assert!(told.contains(&format!("vitalwire device add NAME {flag}")), "{told}");
    data.must(&["device", "add", "bed_07"]);
    let bin = data.folder().with_file_name("bed_07.bin");
    let told = stderr(&run(&[
        "device",
        "provision",
        "bed_07",
        "--bin",
        bin.to_str().unwrap(),
        "--data",
        data.path(),
    ]));
    assert!(told.contains(&format!("vitalwire device label bed_07 --setup {flag}")), "{told}");
    // What the environment names it names for the next command, too.
    let told =
        vitalwire().args(["user", "remove", "admin"]).env("VITALWIRE_DATA", data.path()).output().unwrap();
    assert!(told.status.success());
    let told = vitalwire().args(["user", "list"]).env("VITALWIRE_DATA", data.path()).output().unwrap();
    assert!(
        stderr(&told).contains("vitalwire user add") && !stderr(&told).contains("--data"),
        "{}",
        stderr(&told)
    );
}
