//! Beats of people, as cardiologists noted them: records 100 and 105 of the MIT-BIH Arrhythmia Database, where they are there. Nothing in
//! this repository has them: name their folder in VITALWIRE_RECORDS, or have it beside the repository as `shared/records`.

#![expect(clippy::cast_possible_truncation, reason = "times are far from what their types can hold")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use vitalwire_signals::wfdb::{Header, annotations};
use vitalwire_vitals::wave::{Found, WaveKind, WaveMonitor};

/// ANSI/AAMI EC57.
const WINDOW_US: i64 = 150_000;
const TEN_SECONDS_US: i64 = 10_000_000;

/// What was found of a record.
struct Outcome {
    /// Of all beats, and of those in accepted windows: found, and true of those found.
    sensitivity: [f64; 2],
    predictivity: [f64; 2],
    accepted: f64,
}

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("VITALWIRE_RECORDS").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/records"));
    let folder = named.or_else(|| beside.is_dir().then_some(beside));
    if folder.is_none() {
        println!("skipped: there are no records; name their folder in VITALWIRE_RECORDS");
    }
    folder
}

/// The first signal of a record.
fn watch(name: &str) -> Option<Outcome> {
    let path = folder()?.join(name);
    let Ok(header) = fs::read_to_string(path.with_extension("hea")) else {
        println!("skipped: there is no record {name}");
        return None;
    };
    let header = Header::parse(&header).unwrap();
    let samples = header.samples(0, &fs::read(path.with_extension("dat")).unwrap()).unwrap();
    let notes = annotations(&fs::read(path.with_extension("atr")).unwrap()).unwrap();
    let to_us = |sample: u64| (sample as f64 * 1e6 / header.rate_hz) as i64;
    let truth: Vec<i64> = notes.iter().filter(|note| note.is_beat()).map(|note| to_us(note.sample)).collect();
    let mut monitor = WaveMonitor::new(WaveKind::Ecg);
    let mut found = Vec::new();
    for (number, batch) in samples.chunks(header.rate_hz as usize).enumerate() {
        let first = (number * header.rate_hz as usize) as u64;
        monitor.step(to_us(first), (1e6 / header.rate_hz) as u32, batch, &mut found);
    }
    let (mut beats, mut windows, mut total) = (Vec::new(), Vec::new(), 0);
    for found in found {
        match found {
            Found::Beat { time_us } => beats.push(time_us),
            Found::Second(second) if second.time_us % TEN_SECONDS_US == 0 => {
                total += 1;
                windows.extend(second.rate_per_min.map(|_| second.time_us - TEN_SECONDS_US..second.time_us));
            }
            Found::Second(_) => {}
        }
    }
    let near = |time: i64, others: &[i64]| {
        let after = others.partition_point(|other| *other < time - WINDOW_US);
        others.get(after).is_some_and(|other| *other <= time + WINDOW_US)
    };
    let share = |times: &[i64], others: &[i64], accepted: bool| {
        let counts = |time: &&i64| !accepted || windows.iter().any(|window| window.contains(*time));
        let hits = times.iter().filter(counts).filter(|time| near(**time, others)).count();
        hits as f64 / times.iter().filter(counts).count() as f64
    };
    Some(Outcome {
        sensitivity: [share(&truth, &beats, false), share(&truth, &beats, true)],
        predictivity: [share(&beats, &truth, false), share(&beats, &truth, true)],
        accepted: windows.len() as f64 / f64::from(total),
    })
}

#[test]
fn a_clean_ecg_with_ectopic_beats() {
    let Some(outcome) = watch("100") else { return };
    assert!(outcome.sensitivity[0] >= 0.995 && outcome.predictivity[0] >= 0.995);
    assert!(outcome.accepted >= 0.95, "{}", outcome.accepted);
}

#[test]
fn a_noisy_ecg_is_right_where_it_is_accepted() {
    let Some(outcome) = watch("105") else { return };
    assert!(outcome.sensitivity[1] >= 0.97 && outcome.predictivity[1] >= 0.95);
    assert!(outcome.accepted >= 0.7, "{}", outcome.accepted);
}
