//! The real binary: limits are set, open alarms are listed, counted, and what others would have raised is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::Value;
use support::{Data, Serve, run, stderr, stdout, vitalwire};
use vitalwire_registry::{AlarmEvent, AlarmWrite, Raised, Registry, master_key_path};
use vitalwire_testing::program::{Running, until, wait};
use vitalwire_vitals::alarm::Condition;

fn registry(data: &Data) -> Registry {
    let folder = data.folder();
    Registry::open_with_key_file(&folder, &master_key_path(&folder, None)).unwrap()
}

fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// What fails, with its message.
fn refused(data: &Data, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--data", data.path()]].concat());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stdout(&output));
    stderr(&output)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// An alarm that was raised so many seconds ago, and what became of it.
fn write_alarm(data: &Data, number: u64, condition: Condition, ago_s: i64, events: &[(i64, AlarmEvent)]) {
    let registry = registry(data);
    let device: vitalwire_access::DeviceId = "bed_07".parse().unwrap();
    let stay = registry.current_stay(&device).unwrap().id;
    let raised_us = now_us() - ago_s * 1_000_000;
    let raised = Raised {
        condition,
        priority: condition.priority(),
        since_us: raised_us - 15_000_000,
        delay_us: 15_000_000,
        value: condition.unit().map(|_| 134.2),
        limit: condition.unit().map(|_| 120.0),
        bad: vitalwire_vitals::alarm::BadSignals::NONE,
        is_late: false,
    };
    let write = |time_us, event| AlarmWrite {
        number,
        device: Some(device.clone()),
        stay: Some(stay),
        time_us,
        event,
    };
    let mut writes = vec![write(raised_us, AlarmEvent::Raised(raised))];
    writes
        .extend(events.iter().map(|(after_s, event)| write(raised_us + after_s * 1_000_000, event.clone())));
    registry.write_alarms(&writes).unwrap();
}

#[test]
fn limits_are_shown_set_and_refused_when_they_make_no_sense() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let before = json(&data.must(&["alarms", "limits", "bed_07", "--json"]));
    assert_eq!((&before["rate-high"], &before["temperature-high"]), (&120.into(), &38.5.into()));
    let set = ["--rate-high", "130", "--delay", "30s", "--delay", "rate-low=5s", "--off", "clock,battery"];
    let shown = data.must(&[&["alarms", "limits", "bed_07"][..], &set].concat());
    assert!(shown.contains("rate-high         > 130 /min      30 s  medium, high from 140"), "{shown}");
    let after = json(&data.must(&["alarms", "limits", "bed_07", "--json"]));
    assert_eq!((&after["delay-rate-low"], &after["delay-temperature-high"]), (&5.into(), &30.into()));
    assert_eq!(after["off"], json(r#"["clock", "battery"]"#));
    data.must(&["alarms", "limits", "bed_07", "--signals", "audio-off", "--on", "clock"]);
    for (flags, expected) in [
        (vec!["--rate-low", "140"], "rate-low 140 is not below rate-high 130"),
        (vec!["--rate-high", "145"], "rate-extreme-high 140 lies within rate-high 145"),
        (vec!["--temperature-high", "50"], "temperature-high 50 is outside 25 to 45 Cel"),
        (vec!["--delay", "asystole=1m"], "the delay of asystole, 60 s, is over the limit of 10 s"),
        (vec!["--off", "clock", "--on", "clock"], "clock cannot be on and off"),
    ] {
        let told = refused(&data, &[&["alarms", "limits", "bed_07"][..], &flags].concat());
        assert!(told.contains(expected), "{told}");
    }
    let last = json(&data.must(&["alarms", "limits", "bed_07", "--json"]));
    assert_eq!((&last["rate-high"], &last["signals"]), (&130.into(), &"audio-off".into()));
    assert_eq!(json(&data.must(&["alarms", "limits", "bed_07", "--defaults", "--json"])), before);
    assert!(refused(&data, &["alarms", "limits", "bed_08"]).contains("there is no device bed_08"));
    let audit = data.must(&["audit", "show"]);
    assert!(audit.contains("limits"), "{audit}");
}

#[test]
fn open_alarms_are_listed_without_a_server() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    assert_eq!(data.must(&["alarms", "list"]), "No alarm is open.\n");
    write_alarm(&data, 1, Condition::RateHigh, 300, &[]);
    let known = AlarmEvent::Acknowledged { by: "Ana".into(), reason: String::new() };
    write_alarm(&data, 2, Condition::Asystole, 60, &[(10, known)]);
    write_alarm(&data, 3, Condition::SensorOff, 60, &[(5, AlarmEvent::Ended), (5, AlarmEvent::Closed)]);
    let listed = run(&["alarms", "list", "--data", data.path()]);
    let table = stdout(&listed);
    assert!(table.contains("     1  bed_07  ** HR 134 > 120  for 5 m\n"), "{table}");
    assert!(table.contains("     2  bed_07  *** Asystole     for 1 m, known to Ana\n"), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(stderr(&listed).contains("No server runs"), "{}", stderr(&listed));
    let rows = json(&data.must(&["alarms", "list", "--json", "--device", "bed_07"]));
    assert_eq!((&rows[0]["number"], &rows[0]["value"]), (&1.into(), &134.2.into()));
    assert_eq!(rows[1]["acknowledged"]["by"], "Ana");
    assert!(refused(&data, &["alarms", "list", "--device", "bed_08"]).contains("no device bed_08"));
}

#[test]
fn acknowledging_and_pausing_need_a_server_and_words_that_can_be_kept() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let told = refused(&data, &["alarms", "ack", "12"]);
    assert!(told.contains("no server watches") && told.contains("vitalwire serve --data"), "{told}");
    let long = "x".repeat(10 << 10);
    for (reason, expected) in [
        (long.as_str(), "the reason has 10240 bytes, over the limit of 256"),
        ("all\u{1b}[2Jwell", "cannot be shown, U+001B"),
        ("a\nb", "U+000A"),
        ("", "the reason is empty"),
    ] {
        let told = refused(&data, &["alarms", "ack", "bed_07", "--reason", reason]);
        assert!(told.contains(expected) && !told.contains('\u{1b}'), "{told}");
        let told = refused(&data, &["alarms", "ack", "bed_07", "--name", reason]);
        assert!(told.contains("the name"), "{told}");
    }
    assert!(refused(&data, &["alarms", "ack", "bed 07"]).contains("neither the number of an alarm"));
    for time in ["0s", "3m", "1500ms", "100000000s"] {
        let told = refused(&data, &["alarms", "pause", "bed_07", "--for", time]);
        assert!(told.contains("a pause lasts from 1s to 2m"), "{told}");
    }
    assert!(refused(&data, &["alarms", "pause", "bed_07"]).contains("no server watches"));
}

#[test]
fn the_load_is_counted_by_condition_and_patient() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.must(&["device", "add", "bed_08"]);
    let none = run(&["alarms", "load", "--data", data.path()]);
    assert!(stderr(&none).contains("No alarm was raised"), "{}", stderr(&none));
    let known = || AlarmEvent::Acknowledged { by: "Ana".into(), reason: "walks".into() };
    write_alarm(&data, 1, Condition::RateHigh, 3_600, &[(5, AlarmEvent::Ended), (30, known())]);
    write_alarm(&data, 2, Condition::RateHigh, 1_800, &[(60, AlarmEvent::Ended), (120, known())]);
    write_alarm(&data, 3, Condition::Battery, 900, &[]);
    // Before the time that is asked for.
    write_alarm(&data, 4, Condition::Asystole, 9 * 86_400, &[]);
    let report = json(&data.must(&["alarms", "load", "--last", "7d", "--json"]));
    assert_eq!((&report["all"]["alarms"], &report["all"]["spared"]), (&3.into(), &1.into()));
    assert_eq!(report["conditions"]["rate-high"]["acknowledged_median_s"], 30.0);
    assert_eq!(report["conditions"]["rate-high"]["acknowledged_p90_s"], 120.0);
    assert_eq!(
        (&report["patients"][0]["device"], &report["patients"][0]["alarms"]),
        (&"bed_07".into(), &3.into())
    );
    assert_eq!(
        (&report["patients"][1]["device"], &report["patients"][1]["alarms"]),
        (&"bed_08".into(), &0.into())
    );
    let table = data.must(&["alarms", "load", "--longer", "90s"]);
    assert!(table.contains("rate-high               2      0   100 %        30 s / 2 m    100 %"), "{table}");
    assert!(table.contains("The 1 patient of 2 with most alarms caused 100 % of them."), "{table}");
    assert!(refused(&data, &["alarms", "load", "--longer", "0s"]).contains("--longer is from 1s"));
}

#[test]
fn a_replay_tells_what_other_limits_would_have_raised_and_changes_nothing() {
    let data = Data::new();
    let local = "127.0.0.1:0";
    let demo = ["demo", "--devices", "1", "--seconds", "3", "--json", "--listen", local];
    data.must(&[&demo[..], &["--mqtt-listen", local, "--metrics-listen", local]].concat());
    let head = data.must(&["audit", "verify"]);
    let asked = ["alarms", "replay", "patient_01", "--delay", "0s", "--temperature-high", "36", "--json"];
    let replayed = json(&data.must(&asked));
    assert_eq!(replayed["configured"]["counts"], json("{}"), "{replayed}");
    assert_eq!(replayed["asked"]["counts"]["temperature-high"], 1, "{replayed}");
    let raised = &replayed["asked"]["alarms"][0];
    assert_eq!((&raised["priority"], &raised["ended"]), (&"medium".into(), &Value::Null));
    let table = data.must(&["alarms", "replay", "patient_01", "--delay", "0s", "--temperature-high", "36"]);
    assert!(table.contains("temperature-high          0              0         1\n"), "{table}");
    assert!(table.contains("lasts         asked\n"), "{table}");
    assert_eq!(data.must(&["audit", "verify"]), head, "nothing was written");
    let limits = json(&data.must(&["alarms", "limits", "patient_01", "--json"]));
    assert_eq!(limits["temperature-high"], 38.5);
    let empty = ["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z"];
    let none = run(&[&["alarms", "replay", "patient_01", "--data", data.path()][..], &empty].concat());
    assert!(
        none.status.success() && stderr(&none).contains("The journal holds nothing"),
        "{}",
        stderr(&none)
    );
    let crossed = ["alarms", "replay", "patient_01", "--rate-low", "200"];
    assert!(refused(&data, &crossed).contains("is not below"));
    assert!(refused(&data, &["alarms", "replay", "bed_99"]).contains("no device bed_99"));
}

/// A device on the secure link that measures until the test ends.
fn device(data: &Data, serve: &Serve) -> Running {
    let links = data.file("links", &data.must(&["device", "links"]));
    std::fs::set_permissions(&links, std::fs::Permissions::from_mode(0o600)).unwrap();
    let fleet = ["simulate", "fleet", "--protocol", "tls", "--links", links.to_str().unwrap()];
    let mut command = vitalwire();
    command.args(fleet).args(["--target", serve.address("devices"), "--seconds", "600"]);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn open(data: &Data) -> Vec<Value> {
    json(&data.must(&["alarms", "list", "--json"])).as_array().unwrap().clone()
}

/// Limits under which every body has a fever at once, and nothing else is an alarm.
const FEVERISH: [&str; 8] = [
    "--temperature-high",
    "36",
    "--temperature-low",
    "30",
    "--delay",
    "0s",
    "--off",
    "rate-high,rate-low,asystole,sensor-off,bad-signal,implausible,device-offline,clock,battery",
];

#[test]
fn an_alarm_of_a_running_server_is_watched_acknowledged_and_paused() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.must(&[&["alarms", "limits", "bed_07"][..], &FEVERISH].concat());
    let serve = Serve::start(&data.folder());
    let mut watch = Running(
        vitalwire()
            .args(["alarms", "watch", "--json", "--data", data.path()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap(),
    );
    let (sender, lines) = std::sync::mpsc::channel();
    let output = BufReader::new(watch.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        output.lines().map_while(Result::ok).try_for_each(|line| sender.send(json(&line)))
    });
    let told = |change: &str| {
        let mut found = None;
        until(change, || {
            found = lines.try_iter().find(|line| line["change"] == change);
            found.is_some()
        });
        found.unwrap()
    };
    let _device = device(&data, &serve);
    let raised = told("raised");
    assert_eq!((&raised["condition"], &raised["device"]), (&"temperature-high".into(), &"bed_07".into()));
    let number = raised["number"].to_string();
    assert_eq!(open(&data)[0]["number"], raised["number"], "told is written");
    let answer = data.must(&["alarms", "ack", &number, "--reason", "fever is known", "--name", "Ana"]);
    assert_eq!(answer, format!("Acknowledged alarm {number}.\n"));
    let known = told("acknowledged");
    assert!(known["acknowledged"]["by"].as_str().unwrap().starts_with("Ana, as "), "{known}");
    assert_eq!(known["acknowledged"]["reason"], "fever is known");
    let again = data.must(&["alarms", "ack", &number]);
    assert_eq!(again, format!("Alarm {number} was acknowledged before.\n"));
    assert_eq!(data.must(&["alarms", "ack", "bed_07"]), "bed_07 has no alarm that no one acknowledged.\n");
    assert!(refused(&data, &["alarms", "ack", "999999"]).contains("999999"));
    assert!(refused(&data, &["alarms", "ack", "bed_99"]).contains("bed_99"));
    let paused = data.must(&["alarms", "pause", "bed_07", "--for", "90s"]);
    assert_eq!(paused, "Alarms of bed_07 are paused for 90 s.\n");
    assert_eq!(told("state")["state"], "alarm-paused");
    assert!(data.must(&["alarms", "list"]).contains("bed_07: alarms paused, "));
    data.must(&["alarms", "pause", "bed_07", "--end"]);
    assert_eq!(told("state")["state"], "on");
    // It hides nothing: the alarm stands until it is over.
    assert_eq!(open(&data).len(), 1);
    data.must(&["alarms", "limits", "bed_07", "--temperature-high", "45"]);
    assert_eq!(told("closed")["number"], raised["number"]);
    until("the list is empty", || open(&data).is_empty());
    let audit = data.must(&["audit", "show"]);
    for kind in ["alarm-raised", "alarm-acknowledged", "alarm-closed", "alarms-paused", "alarms-resumed"] {
        assert!(audit.contains(kind), "{kind}: {audit}");
    }
    vitalwire_testing::program::signal(&watch.0, "INT");
    assert!(wait(&mut watch.0).success(), "Ctrl-C ends it well");
}

#[test]
fn an_open_alarm_stands_again_after_a_kill_with_the_same_number() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.must(&[&["alarms", "limits", "bed_07"][..], &FEVERISH].concat());
    let serve = Serve::start(&data.folder());
    let first = device(&data, &serve);
    until("the fever is an alarm", || !open(&data).is_empty());
    let before = open(&data);
    let (_, status) = serve.ended_by("KILL");
    assert!(!status.success());
    drop(first);
    assert_eq!(open(&data), before, "also while no server runs");
    let serve = Serve::start(&data.folder());
    until("it stands in the server", || {
        run(&["alarms", "ack", &before[0]["number"].to_string(), "--data", data.path()]).status.success()
    });
    let _device = device(&data, &serve);
    let load = || json(&data.must(&["alarms", "load", "--json"]));
    assert_eq!(load()["all"]["alarms"], 1);
    data.must(&["alarms", "limits", "bed_07", "--temperature-high", "45"]);
    until("what lasted ends, and closes", || open(&data).is_empty());
    assert_eq!(load()["all"]["alarms"], 1, "it was not raised again");
}
