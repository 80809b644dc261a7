//! What the devices of a demonstration measured, read afterwards from its data folder, and while a server has it open.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod support;

use support::{Data, Serve, run, stderr, stdout};

#[test]
fn history_shows_what_devices_of_both_protocols_sent_also_while_a_server_runs() {
    let data = Data::new();
    let data_text = data.path();
    let local = "127.0.0.1:0";
    let demo = ["demo", "--devices", "2", "--seconds", "3", "--rate", "20", "--json", "--data", data_text];
    let shown =
        run(&[&demo[..], &["--listen", local, "--mqtt-listen", local, "--metrics-listen", local]].concat());
    assert!(shown.status.success(), "{}", stderr(&shown));
    let _serve = Serve::start(&data.folder());
    // The first is on the secure link, the last sends frames.
    for device in ["patient_01", "patient_02"] {
        let asked = ["history", device, "--last", "10m", "--points", "1", "--json", "--data", data_text];
        let answer = run(&asked);
        assert!(answer.status.success(), "{}", stderr(&answer));
        let samples: u64 = stdout(&answer)
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["samples"].as_u64().unwrap())
            .sum();
        assert_eq!(samples, 60, "{device}");
        let table = stdout(&run(&["history", device, "--channel", "Pulse_Signal", "--data", data_text]));
        assert!(table.contains(&format!("Pulse_Signal of {device}")) && table.contains("60"), "{table}");
    }
    raw_values(data_text);
    // Nothing was measured then: an empty result, and no error.
    let before = ["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z", "--data", data_text];
    for (more, shown) in [(&["--json"][..], ""), (&["--json", "--raw"], ""), (&[], "no values in this time")]
    {
        let answer = run(&[&["history", "patient_01"], &before[..], more].concat());
        assert!(answer.status.success(), "{}", stderr(&answer));
        assert!(
            stdout(&answer).contains(shown) && (!more.is_empty() || stdout(&answer).lines().count() == 3)
        );
    }
    journal_of(&data, data_text);
    for (arguments, reason) in [
        (["history", "patient_01", "--channel", "Pulse", "--data", data_text], "there are Accelerometer/x"),
        (
            ["history", "patient_1", "--last", "1h", "--data", data_text],
            "enrolled are patient_01, patient_02",
        ),
        (["history", "patient_01", "--last", "1h", "--data", "/nowhere"], "no history in /nowhere"),
    ] {
        let refused = run(&arguments);
        assert!(!refused.status.success() && stderr(&refused).contains(reason), "{}", stderr(&refused));
    }
}

/// Every value with its digits, time, unit and uncertainty, as lines for people and for programs.
fn raw_values(data: &str) {
    for (device, channel, decimals) in [("patient_01", "Temperature", 3), ("patient_02", "Pulse_Signal", 3)] {
        let asked = ["history", device, "--channel", channel, "--raw", "--data", data];
        let text = stdout(&run(&asked));
        assert_eq!(text.lines().count(), 62, "{text}");
        let json = stdout(&run(&[&asked[..], &["--json"]].concat()));
        let mut last = String::new();
        for (line, row) in text.lines().skip(2).zip(json.lines()) {
            let value: serde_json::Value = serde_json::from_str(row).unwrap();
            let time = value["time"].as_str().unwrap().to_owned();
            let digits = row.split_once(r#""value":"#).unwrap().1.split(',').next().unwrap();
            assert_eq!(digits.split_once('.').unwrap().1.len(), decimals, "{row}");
            for part in [time.as_str(), digits, value["unit"].as_str().unwrap(), "±"] {
                assert!(line.contains(part), "{line} lacks {part}");
            }
            assert!(value["uncertainty_ms"].is_u64() && value.get("unmapped").is_none(), "{row}");
            assert!(last <= time, "in the order of time");
            last = time;
        }
        assert_eq!(json.lines().count(), 60);
    }
    let piped =
        format!("{} history patient_01 --raw --data {data} | head -1", env!("CARGO_BIN_EXE_vitalwire"));
    let output = std::process::Command::new("bash").args(["-o", "pipefail", "-c", &piped]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

/// How the journal is, and what an operator does after the clock was set.
fn journal_of(data: &Data, data_text: &str) {
    let status = stdout(&run(&["journal", "status", "--data", data_text]));
    for part in ["old entries are removed", "publisher, behind by", "runs (process", "MiB free"] {
        assert!(status.contains(part), "{part} is not in {status}");
    }
    let nothing = stdout(&run(&["journal", "confirm-clock", "--data", data_text]));
    assert!(nothing.contains("nothing to confirm"), "{nothing}");
    // As the server writes it when the clock was set by ten days; no server has this folder's copy open.
    let other = Data::new();
    let copy = other.folder().join("journal.db");
    let file = rusqlite::Connection::open(data.folder().join("journal.db")).unwrap();
    file.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let file = rusqlite::Connection::open(&copy).unwrap();
    let suspend = "UPDATE clock SET suspended_us = 1795000000000000, stopped = 0, trouble_us = 864000000000, steady_us = 0";
    assert_eq!(file.execute(suspend, []).unwrap(), 1);
    drop(file);
    let status = other.must(&["journal", "status"]);
    assert!(
        status.contains("SUSPENDED since 2026-11-18") && status.contains("set forward by 10 days"),
        "{status}"
    );
    let confirmed = other.must(&["journal", "confirm-clock", "--json"]);
    let confirmed: serde_json::Value = serde_json::from_str(&confirmed).unwrap();
    assert_eq!(confirmed["confirmed"]["why"], "the clock was set forward by 10 days");
    let records = other.must(&["audit", "show"]);
    let record = records.lines().find(|line| line.contains("clock-confirmed")).expect(&records);
    assert!(record.contains("(uid ") && record.contains("the clock was set forward by 10 days"), "{record}");
    assert!(other.must(&["audit", "verify"]).contains("is sound"));
    let none = run(&["journal", "status", "--data", "/nowhere"]);
    assert!(!none.status.success() && stderr(&none).contains("no journal in /nowhere"), "{}", stderr(&none));
}
