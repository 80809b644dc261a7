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
    for (arguments, reason) in [
        (["history", "patient_01", "--channel", "Pulse", "--data", data_text], "there are Accelerometer/x"),
        (["history", "nobody", "--last", "1h", "--data", data_text], "sent nothing"),
        (["history", "patient_01", "--last", "1h", "--data", "/nowhere"], "no history in /nowhere"),
    ] {
        let refused = run(&arguments);
        assert!(!refused.status.success() && stderr(&refused).contains(reason), "{}", stderr(&refused));
    }
}
