//! What it costs to watch: processor time a channel, and memory a patient.

use std::time::Instant;

use anyhow::{Context, Result};
use vitalwire_signals::made::{Kind, Noise, Wave};
use vitalwire_vitals::alarm::{Limits, Numbers, Timing};
use vitalwire_vitals::monitor::{Measured, Outcome, PatientMonitor, Quantity};
use vitalwire_vitals::wave::{WaveKind, WaveMonitor};

use super::score::batches;

/// Tries of a time; the shortest counts, for what disturbs only adds.
const TRIES: usize = 5;
/// Monitors whose memory is measured.
const MONITORS: usize = 4_000;

pub(crate) fn report(quick: bool) -> Result<()> {
    println!("## Cost\n");
    println!("| channels | share of a core % | goal |\n| --- | ---: | --- |");
    for (name, kind, rate_hz, channels, goal) in [
        ("16 ECGs at 250 Hz", Kind::Ecg, 250.0, 16.0, "< 1"),
        ("16 pulse waves at 250 Hz", Kind::Ppg, 250.0, 16.0, "< 1"),
        ("1,000 pulse waves at 20 Hz", Kind::Ppg, 20.0, 1_000.0, "< 10"),
        ("1,000 ECGs at 20 Hz", Kind::Ecg, 20.0, 1_000.0, "< 10"),
    ] {
        println!("| {name} | {:.2} | {goal} |", 100.0 * channels * share(kind, rate_hz, quick));
    }
    println!("\n| memory a patient | KiB | goal |\n| --- | ---: | --- |");
    // All stay, for what one gave back the next would take.
    let mut all = Vec::new();
    for (name, kind, rate_hz) in [
        ("pulse wave at 20 Hz", Kind::Ppg, 20.0),
        ("pulse wave at 250 Hz", Kind::Ppg, 250.0),
        ("ECG at 125 Hz", Kind::Ecg, 125.0),
        ("ECG at 250 Hz", Kind::Ecg, 250.0),
    ] {
        let count = if quick { MONITORS / 10 } else { MONITORS };
        println!(
            "| {name}, with its alarms and score | {:.1} | < 8 |",
            memory_kib(kind, rate_hz, count, &mut all)?
        );
    }
    println!();
    Ok(())
}

fn wave_kind(kind: Kind) -> WaveKind {
    if kind == Kind::Ecg { WaveKind::Ecg } else { WaveKind::Ppg }
}

/// Seconds of the processor for a second of one channel.
fn share(kind: Kind, rate_hz: f64, quick: bool) -> f64 {
    let seconds = if quick { 60.0 } else { 600.0 };
    let samples = Wave { seconds, noise: Noise::White(15.0), ..Wave::new(kind, rate_hz, 9) }.make().samples;
    let time = |_| {
        let mut monitor = WaveMonitor::new(wave_kind(kind));
        let mut found = Vec::new();
        let start = Instant::now();
        for batch in batches(rate_hz, &samples) {
            monitor.step(batch.first_us, batch.interval_us, batch.samples, &mut found);
            found.clear();
        }
        start.elapsed().as_secs_f64() / seconds
    };
    (0..TRIES).map(time).fold(f64::INFINITY, f64::min)
}

/// By how much the process grows with patients that have been watched for 15 s, a patient.
fn memory_kib(kind: Kind, rate_hz: f64, count: usize, all: &mut Vec<Vec<PatientMonitor>>) -> Result<f64> {
    let samples = Wave { seconds: 15.0, ..Wave::new(kind, rate_hz, 9) }.make().samples;
    let values: Vec<f64> = samples.iter().map(|sample| f64::from(*sample)).collect();
    let before = resident_kib()?;
    let patients: Vec<PatientMonitor> = (0..count)
        .map(|_| {
            let mut patient = PatientMonitor::new(Limits::default(), Timing::default(), Vec::new());
            let (mut numbers, mut outcome) = (Numbers::starting_at(1), Outcome::default());
            for batch in values.chunks(rate_hz as usize).enumerate() {
                let measured = Measured {
                    quantity: Quantity::Wave(wave_kind(kind)),
                    plausible: (f64::NEG_INFINITY, f64::INFINITY),
                    first_us: batch.0 as i64 * 1_000_000,
                    interval_us: (1e6 / rate_hz) as u32,
                    values: batch.1,
                    is_live: true,
                };
                patient.measured(&measured, measured.first_us, &mut numbers, &mut outcome);
            }
            patient
        })
        .collect();
    let after = resident_kib()?;
    all.push(patients);
    Ok((after - before) / count as f64)
}

fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("/proc/self/status has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
