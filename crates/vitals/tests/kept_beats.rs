//! Beats of kept values are those that the detector found when the values came.
#![expect(clippy::cast_possible_truncation, reason = "times are far from what their types can hold")]

use vitalwire_signals::made::{Kind, Wave};
use vitalwire_vitals::beats::{KeptBeats, LEAD_US, TAIL_US};
use vitalwire_vitals::wave::{Found, WaveKind, WaveMonitor};

const START_US: i64 = 1_767_225_600_250_000;
const ALL: (f64, f64) = (f64::MIN, f64::MAX);

fn kind_of(wave: &Wave) -> WaveKind {
    match wave.kind {
        Kind::Ecg => WaveKind::Ecg,
        Kind::Ppg => WaveKind::Ppg,
    }
}

fn live(wave: &Wave, interval_us: u32, samples: &[f32]) -> Vec<i64> {
    let mut found = Vec::new();
    WaveMonitor::new(kind_of(wave)).step(START_US, interval_us, samples, &mut found);
    let beat = |found| match found {
        Found::Beat { time_us } => Some(time_us),
        Found::Second(_) => None,
    };
    found.into_iter().filter_map(beat).collect()
}

#[test]
fn beats_of_a_stretch_are_those_that_were_told_live() {
    for (kind, rate_hz) in [(Kind::Ecg, 250.0), (Kind::Ecg, 500.0), (Kind::Ppg, 20.0), (Kind::Ppg, 100.0)] {
        let wave = Wave::new(kind, rate_hz, 7);
        let (samples, interval_us) = (wave.make().samples, (1e6 / rate_hz) as u32);
        let live = live(&wave, interval_us, &samples);
        let (from_us, to_us) = (START_US + 20_000_000, START_US + 40_000_000);
        let mut kept = KeptBeats::new(kind_of(&wave), ALL);
        for (at, sample) in (0..).zip(&samples) {
            let time_us = START_US + at * i64::from(interval_us);
            if (from_us - LEAD_US..to_us + TAIL_US).contains(&time_us) {
                kept.even(time_us, interval_us, f64::from(*sample));
            }
        }
        let within = |beats: Vec<i64>| -> Vec<i64> {
            beats.into_iter().filter(|beat| (from_us..to_us).contains(beat)).collect()
        };
        let (live, kept) = (within(live), within(kept.finish()));
        assert_eq!(live.len(), kept.len(), "{kind:?} at {rate_hz} Hz");
        assert!(live.len() > 15, "{kind:?} at {rate_hz} Hz: {}", live.len());
        let apart = live.iter().zip(&kept).map(|(live, kept)| (live - kept).abs()).max().unwrap();
        assert!(apart <= 20_000, "{kind:?} at {rate_hz} Hz: {apart} us apart");
    }
}

#[test]
fn samples_that_are_missing_move_no_beat() {
    let wave = Wave::new(Kind::Ecg, 250.0, 3);
    let samples = wave.make().samples;
    let live = live(&wave, 4_000, &samples);
    let mut kept = KeptBeats::new(WaveKind::Ecg, ALL);
    for (at, sample) in (0..).zip(&samples) {
        // Ten of each 500: not where a beat is known to be, but wherever that falls.
        if at % 500 < 490 {
            kept.even(START_US + at * 4_000, 4_000, f64::from(*sample));
        }
    }
    let kept = kept.finish();
    let near = |beat: &&i64| kept.iter().any(|other| (*other - **beat).abs() <= 60_000);
    let found = live.iter().filter(near).count();
    assert!(found * 10 >= live.len() * 9, "{found} of {}", live.len());
}

#[test]
fn nothing_is_found_over_a_gap_nor_of_values_that_go_back() {
    let wave = Wave::new(Kind::Ppg, 20.0, 5);
    let samples = wave.make().samples;
    let mut kept = KeptBeats::new(WaveKind::Ppg, ALL);
    for (at, sample) in (0..).zip(&samples) {
        let away_us = if at >= 600 { 60_000_000 } else { 0 };
        let time_us = START_US + at * 50_000 + away_us;
        kept.even(time_us, 50_000, f64::from(*sample));
        kept.even(time_us - 1_000_000, 50_000, 1e6);
    }
    let beats = kept.finish();
    let gap_us = START_US + 30_000_000..START_US + 90_000_000;
    assert!(beats.len() > 20 && beats.is_sorted());
    assert!(beats.iter().all(|beat| !gap_us.contains(beat)), "{beats:?}");
}

#[test]
fn single_values_have_beats_too() {
    let wave = Wave::new(Kind::Ppg, 20.0, 5);
    let samples = wave.make().samples;
    let live = live(&wave, 50_000, &samples);
    let mut kept = KeptBeats::new(WaveKind::Ppg, ALL);
    for (at, sample) in (0..).zip(&samples) {
        // As a network brings them: up to 20 ms late.
        let late_us = [0, 12_000, 3_000, 20_000, 7_000][at as usize % 5];
        kept.alone(START_US + at * 50_000 + late_us, 50_000, f64::from(*sample));
    }
    let kept = kept.finish();
    let near = |beat: &&i64| kept.iter().any(|other| (*other - **beat).abs() <= 100_000);
    let found = live.iter().filter(near).count();
    assert!(found * 10 >= live.len() * 9, "{found} of {}", live.len());
}
