//! Patients, as a person at the command line meets them: a device that is handed on shows each patient's readings under
//! that patient alone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod support;

use support::{Data, Serve, run, stderr, stdout};

/// A ward with a server and two devices on the secure link.
struct Ward {
    data: Data,
    serve: Serve,
}

impl Ward {
    fn open() -> Self {
        let data = Data::new();
        data.must(&["device", "add", "bed_07"]);
        data.must(&["device", "add", "bed_12"]);
        Self::start(data)
    }

    fn start(data: Data) -> Self {
        let serve = Serve::start(&data.folder());
        Self { data, serve }
    }

    /// The device sends for a second; tells how many samples it sent.
    fn send(&self, device: &str) -> u64 {
        let links = self.data.folder().with_file_name("LINKS.txt");
        let _ = std::fs::remove_file(&links);
        self.data.must(&["device", "links", device, "--file", links.to_str().unwrap()]);
        let target = self.serve.address("devices");
        let sent = run(&[
            "simulate",
            "fleet",
            "--protocol",
            "tls",
            "--links",
            links.to_str().unwrap(),
            "--target",
            target,
            "--rate",
            "20",
            "--seconds",
            "1",
            "--json",
        ]);
        assert!(sent.status.success(), "{}", stderr(&sent));
        let report: serde_json::Value = serde_json::from_str(&stdout(&sent)).unwrap();
        assert_eq!(report["lost"].as_u64().unwrap_or(0), 0, "{report}");
        report["acknowledged"].as_u64().expect("a count of what was acknowledged")
    }

    fn history(&self, arguments: &[&str]) -> (Vec<serde_json::Value>, String) {
        let shown =
            run(&[&["history"], arguments, &["--raw", "--json", "--data", self.data.path()]].concat());
        assert!(shown.status.success(), "{}", stderr(&shown));
        let rows = stdout(&shown).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (rows, stderr(&shown))
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let refused = run(&[arguments, &["--data", self.data.path()]].concat());
        assert!(!refused.status.success(), "{}", stdout(&refused));
        stderr(&refused)
    }
}

#[test]
fn a_device_that_is_handed_on_shows_each_patients_readings_under_that_patient_alone() {
    let ward = Ward::open();
    let data = &ward.data;
    let first = ward.send("bed_07");
    assert!(first > 0);
    let (rows, told) = ward.history(&["bed_07"]);
    assert_eq!((rows.len() as u64, told.as_str()), (first, ""), "no one was set: all as before");
    assert!(rows[0].get("device").is_none());

    data.must(&["patient", "set", "bed_07", "--name", "Ana Canaria", "--bed", "7"]);
    assert_eq!(ward.history(&["bed_07"]).0.len() as u64, first, "she had it from its first day");
    assert!(ward.refused(&["patient", "set", "bed_07", "--name", "Bo"]).contains("--new"));
    data.must(&["patient", "set", "bed_07", "--new", "--name", "Bo Borealis"]);
    let (rows, told) = ward.history(&["bed_07"]);
    assert_eq!(rows.len(), 0, "nothing of hers is his");
    assert!(
        told.contains("history --stay 1 --channel Temperature --data") && !told.contains("Ana"),
        "{told}"
    );
    let second = ward.send("bed_07");
    assert_eq!(ward.history(&["bed_07"]).0.len() as u64, second);
    let (hers, told) = ward.history(&["--stay", "1"]);
    assert_eq!((hers.len() as u64, told.as_str()), (first, ""));
    assert_eq!(hers[0]["device"], "bed_07");
    // Her range named does not give hers either.
    let (rows, told) = ward.history(&["bed_07", "--last", "1d"]);
    assert!(rows.len() as u64 == second && told.contains("also in stay 1"), "{told}");

    // He is moved, and followed.
    data.must(&["patient", "move", "bed_07", "--to", "bed_12"]);
    let third = ward.send("bed_12");
    let fourth = ward.send("bed_07");
    let stay = stdout(&run(&["patient", "show", "bed_12", "--json", "--data", data.path()]));
    let stay: serde_json::Value = serde_json::from_str(&stay).unwrap();
    let last = stay.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["patient"]["name"], last["parts"].as_array().unwrap().len()),
        (&"Bo Borealis".into(), 2)
    );
    let number = last["stay"].to_string();
    let (his, _) = ward.history(&["--stay", &number]);
    let on = |device: &str| his.iter().filter(|row| row["device"] == device).count() as u64;
    assert_eq!((on("bed_07"), on("bed_12")), (second, third));
    assert_eq!(ward.history(&["bed_12"]).0.len() as u64, third);
    assert_eq!(ward.history(&["bed_07"]).0.len() as u64, fourth, "of no one known");
    let table = data.must(&["history", "--stay", &number]);
    assert!(
        table.contains(&format!("Temperature of bed_12, stay {number}")) && !table.contains("Bo"),
        "{table}"
    );

    assert!(ward.refused(&["patient", "move", "bed_12", "--to", "bed_12"]).contains("both"));
    data.must(&["patient", "discharge", "bed_12"]);
    assert!(ward.refused(&["patient", "discharge", "bed_12"]).contains("patient set"));
    assert_eq!(ward.history(&["bed_12"]).0.len(), 0);
    let listed = data.must(&["patient", "list", "--all"]);
    assert!(listed.contains("Ana Canaria") && listed.contains("(not known)"), "{listed}");
    assert!(!data.must(&["patient", "list"]).contains("Ana"), "her stay has ended");
    let audit = data.must(&["audit", "show"]);
    for kind in ["patient-admitted", "patient-moved", "patient-discharged"] {
        assert!(audit.contains(kind), "{audit}");
    }
    assert!(!audit.contains("Ana") && !audit.contains("Borealis"), "{audit}");
    assert!(data.must(&["audit", "verify"]).contains("is sound"));
    erased(&ward, &number);
}

/// What is erased of one device is not shown by way of the stay, and what the patient had on the other stays.
fn erased(ward: &Ward, number: &str) {
    ward.data.must(&["device", "erase", "bed_07", "--yes"]);
    let (his, _) = ward.history(&["--stay", number]);
    assert!(!his.is_empty() && his.iter().all(|row| row["device"] == "bed_12"));
    assert!(ward.refused(&["history", "--stay", "1"]).contains("there is no stay 1"));
    assert!(!ward.data.must(&["patient", "list", "--all"]).contains("Ana"));
    ward.data.must(&["device", "add", "bed_07"]);
    let (rows, told) = ward.history(&["bed_07"]);
    assert!(rows.is_empty() && told.is_empty(), "{told}");
}

#[test]
fn a_clock_that_was_ahead_when_a_stay_began_keeps_nothing_from_it() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.must(&["patient", "set", "bed_07", "--name", "Ana Canaria"]);
    data.must(&["patient", "set", "bed_07", "--new", "--name", "Bo Borealis"]);
    // As it stands when that was said by a clock that was years ahead.
    let registry = rusqlite::Connection::open(data.folder().join("registry.db")).unwrap();
    let ahead =
        "UPDATE stay_parts SET from_us = 4000000000000000, border_us = 4000000000000000 WHERE stay = 2";
    assert_eq!(registry.execute(ahead, []).unwrap(), 1);
    drop(registry);
    let ward = Ward::start(data);
    let sent = ward.send("bed_07");
    assert_eq!(ward.history(&["bed_07"]).0.len() as u64, sent, "he is who wears it");
    assert_eq!(ward.history(&["--stay", "1"]).0.len(), 0, "and she does not");
    assert_eq!(ward.history(&["--stay", "2"]).0.len() as u64, sent);
    let audit = ward.data.must(&["audit", "show"]);
    assert_eq!(audit.matches("stays-divided-anew").count(), 1, "{audit}");
    let shown = ward.data.must(&["patient", "show", "bed_07"]);
    assert!(shown.contains("has what came late when the clock had been set"), "{shown}");
}

#[test]
fn what_makes_no_sense_is_refused_with_words() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let refused = |arguments: &[&str]| {
        let refused = run(&[arguments, &["--data", data.path()]].concat());
        assert!(!refused.status.success());
        stderr(&refused)
    };
    let long = "x".repeat(10_240);
    for (arguments, words) in [
        (&["patient", "set", "bed_07"][..], "nothing to set"),
        (&["patient", "set", "bed_07", "--name", &long], "over the limit of 128"),
        (&["patient", "set", "bed_07", "--notes", "a\nb"], "control character"),
        (&["patient", "set", "bed_07", "--bed", "\u{1b}[2J"], "control character"),
        (&["patient", "set", "bed_08", "--name", "Ana"], "no enrolled device bed_08"),
        (&["patient", "show", "bed_08"], "no enrolled device bed_08"),
        (&["patient", "move", "bed_07", "--to", "bed_08"], "no enrolled device bed_08"),
        (&["patient", "discharge", "bed_07"], "no patient was set"),
    ] {
        let told = refused(arguments);
        assert!(told.contains(words) && !told.contains("xxx"), "{told}");
    }
    // A line of standard input each, in order; what is too long is refused there, too.
    let set = ["patient", "set", "bed_07", "--notes", "-", "--name", "-", "--data", data.path()];
    assert!(!support::run_with_stdin(&set, &"x".repeat(10_240)).status.success());
    let none = support::run_with_stdin(&set, "Ana M.\n");
    assert!(stderr(&none).contains("has no line"), "{}", stderr(&none));
    let told = support::run_with_stdin(&set, "Ana M.\nasthma\n");
    assert!(told.status.success() && stderr(&told).contains("measured since"), "{}", stderr(&told));
    assert!(!stderr(&told).contains("Ana"), "{}", stderr(&told));
    let shown = data.must(&["patient", "show", "bed_07"]);
    assert!(shown.contains("patient     Ana M.\n") && shown.contains("notes       asthma\n"), "{shown}");
    let doctor = run(&["doctor", "--data", data.path(), "--json"]);
    assert!(stdout(&doctor).contains("1 wear a device and are known"), "{}", stdout(&doctor));
    assert!(!stdout(&doctor).contains("Ana"));
    data.must(&["patient", "set", "bed_07", "--name", "", "--notes", "", "--correct"]);
    let nothing = run(&["patient", "list", "--data", data.path()]);
    assert!(nothing.status.success() && stderr(&nothing).contains("vitalwire patient set DEVICE"));
}
