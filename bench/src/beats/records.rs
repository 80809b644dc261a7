//! Recorded signals: each record of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use vitalwire_signals::wfdb::{Header, annotations};
use vitalwire_vitals::alarm::{Alarm, Limits};
use vitalwire_vitals::wave::WaveKind;

use super::alarms::{is_false, is_of_the_body, raised};
use super::score::{Findings, Score, find, percent};

/// Alarms of one signal that are listed.
const LISTED: usize = 20;
/// Seconds of each record in a quick run.
const QUICK_S: usize = 120;

/// One signal of a record, read.
struct Track {
    name: String,
    kind: WaveKind,
    rate_hz: f64,
    samples: Vec<f32>,
    truth_us: Option<Vec<i64>>,
}

pub(crate) fn report(folder: &Path, quick: bool) -> Result<()> {
    let headers = headers(folder)?;
    let mut tracks = Vec::new();
    for header in &headers {
        match read(header, quick) {
            Ok(read) => tracks.extend(read),
            // Other records of the folder may be readable.
            Err(error) => println!("{}: {error:#}\n", header.display()),
        }
    }
    if tracks.is_empty() {
        bail!("no record in {} can be read", folder.display());
    }
    println!("## Records\n");
    if tracks.iter().any(|track| track.truth_us.is_some()) {
        head();
    }
    let mut others = Vec::new();
    for track in &tracks {
        let findings = find(track.kind, track.rate_hz, &track.samples);
        let alarms = raised(track.kind, track.rate_hz, &track.samples);
        match &track.truth_us {
            Some(truth_us) => row(track, &findings, &alarms, truth_us),
            None => others.push((track, findings, alarms)),
        }
    }
    println!();
    for (track, findings, alarms) in others {
        unannotated(track, &findings);
        list(track, &alarms);
    }
    Ok(())
}

fn head() {
    println!(
        "Se and PPV by ANSI/AAMI EC57 (150 ms); windows are 10 s; the rate's error is over accepted windows, a minute; alarms are those of \
         the body, with the default limits.\n"
    );
    println!(
        "| record, signal | beats | Se % | PPV % | accepted % | Se % in them | PPV % in them | error mean | p95 | wrong by > 2 % | alarms | \
         false an hour |"
    );
    println!("| --- |{}", " ---: |".repeat(11));
}

fn headers(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut headers: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "hea"))
        .collect();
    headers.sort();
    if headers.is_empty() {
        bail!("{} has no WFDB header (.hea)", folder.display());
    }
    Ok(headers)
}

fn read(path: &Path, quick: bool) -> Result<Vec<Track>> {
    let header = Header::parse(&fs::read_to_string(path)?)?;
    let truth_us = match fs::read(path.with_extension("atr")) {
        Ok(data) => {
            let beats = annotations(&data)?.into_iter().filter(|annotation| annotation.is_beat());
            Some(beats.map(|beat| to_us(beat.sample, header.rate_hz)).collect::<Vec<i64>>())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).context("its annotations"),
    };
    let mut tracks = Vec::new();
    for (number, signal) in header.signals.iter().enumerate() {
        let Some(kind) = kind(&signal.description, &signal.units) else { continue };
        let data = fs::read(path.with_file_name(&signal.file)).with_context(|| signal.file.clone())?;
        let mut samples = header.samples(number, &data)?;
        let mut truth_us = truth_us.clone();
        if quick {
            samples.truncate((header.rate_hz * QUICK_S as f64) as usize);
            let end_us = to_us(samples.len() as u64, header.rate_hz);
            truth_us.iter_mut().for_each(|truth| truth.retain(|beat| *beat < end_us));
        }
        let name = format!("{} {}", header.name, signal.description);
        tracks.push(Track { name, kind, rate_hz: header.rate_hz, samples, truth_us });
    }
    Ok(tracks)
}

/// What a signal is by its name, as PhysioNet's records have them. What is measured in mV is taken for an ECG.
fn kind(description: &str, units: &str) -> Option<WaveKind> {
    let name = description.to_ascii_uppercase();
    let is_pulse = ["PLETH", "PPG", "ABP", "ART", "BP"].iter().any(|part| name.contains(part));
    let is_other = ["RESP", "CO2", "EEG", "EMG", "EOG", "CVP", "PAP"].iter().any(|part| name.contains(part));
    match (is_pulse, is_other) {
        (true, _) => Some(WaveKind::Ppg),
        (false, false) if units.eq_ignore_ascii_case("mv") => Some(WaveKind::Ecg),
        _ => None,
    }
}

fn to_us(sample: u64, rate_hz: f64) -> i64 {
    (sample as f64 * 1e6 / rate_hz) as i64
}

fn row(track: &Track, findings: &Findings, alarms: &[Alarm], truth_us: &[i64]) {
    let hours = track.samples.len() as f64 / track.rate_hz / 3_600.0;
    let score = Score::of(findings, truth_us);
    let limits = Limits::default();
    let of_the_body = alarms.iter().filter(|alarm| is_of_the_body(alarm)).count();
    let wrong = alarms.iter().filter(|alarm| is_false(alarm, &limits, truth_us)).count();
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {} | {of_the_body} | {:.1} |",
        track.name,
        truth_us.len(),
        percent(score.sensitivity),
        percent(score.predictivity),
        percent(score.accepted),
        percent(score.sensitivity_accepted),
        percent(score.predictivity_accepted),
        score.error_mean(),
        score.error_p95(),
        percent(score.wrong()),
        wrong as f64 / hours,
    );
}

/// Without annotations no one knows what is right.
fn unannotated(track: &Track, findings: &Findings) {
    let rates: Vec<f32> = findings.seconds.iter().filter_map(|second| second.rate_per_min).collect();
    let quality: f32 = findings.seconds.iter().map(|second| second.quality).sum();
    let count = findings.seconds.len().max(1) as f32;
    let (low, high) =
        rates.iter().fold((f32::INFINITY, 0.0_f32), |(low, high), rate| (low.min(*rate), high.max(*rate)));
    println!(
        "{}, without annotations: {} beats; a rate in {} % of {} s, {low:.0} to {high:.0} a minute; mean quality {:.2}.\n",
        track.name,
        findings.beats_us.len(),
        percent(rates.len() as f64 / f64::from(count)),
        findings.seconds.len(),
        quality / count,
    );
    for minute in findings.seconds.chunks(60).take(60) {
        let rates: Vec<f32> = minute.iter().filter_map(|second| second.rate_per_min).collect();
        let quality = minute.iter().map(|second| second.quality).sum::<f32>() / minute.len() as f32;
        let rate = rates.iter().sum::<f32>() / rates.len() as f32;
        let rate = if rates.is_empty() { "—".to_owned() } else { format!("{rate:.0}") };
        let start_s = minute.first().map_or(0, |second| second.time_us / 1_000_000 - 1);
        println!("- {}:{:02} rate {rate}, quality {quality:.2}", start_s / 60, start_s % 60);
    }
    println!();
}

fn list(track: &Track, alarms: &[Alarm]) {
    println!("Alarms of {}: {}\n", track.name, alarms.len());
    for alarm in alarms.iter().take(LISTED) {
        let at_s = alarm.raised_us / 1_000_000;
        println!("- {}:{:02} {}", at_s / 60, at_s % 60, alarm.text());
    }
    if alarms.len() > LISTED {
        println!("- and {} more", alarms.len() - LISTED);
    }
    println!();
}
