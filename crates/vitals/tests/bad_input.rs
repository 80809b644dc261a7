//! What is no signal, and what interrupts one.

#![expect(clippy::cast_possible_truncation, reason = "times are far from what their types can hold")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use vitalwire_signals::made::{Kind, Noise, Wave};
use vitalwire_vitals::wave::{Found, Second, Signal, WaveKind, WaveMonitor};

const START_US: i64 = 1_767_225_600_000_000;
const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

/// A monitor with what it found.
struct Watched {
    monitor: WaveMonitor,
    found: Vec<Found>,
    rate_hz: f64,
    next_us: i64,
}

impl Watched {
    fn new(kind: WaveKind, rate_hz: f64) -> Self {
        Self { monitor: WaveMonitor::new(kind), found: Vec::new(), rate_hz, next_us: START_US }
    }

    fn step(&mut self, samples: &[f32]) {
        let interval_us = (1e6 / self.rate_hz) as u32;
        self.monitor.step(self.next_us, interval_us, samples, &mut self.found);
        self.next_us += samples.len() as i64 * i64::from(interval_us);
    }

    /// The seconds since they were last asked for.
    fn seconds(&mut self) -> Vec<Second> {
        let seconds = self.found.iter().filter_map(|found| match found {
            Found::Second(second) => Some(*second),
            Found::Beat { .. } => None,
        });
        let seconds = seconds.collect();
        self.found.clear();
        seconds
    }
}

fn pulse(rate_hz: f64, seconds: f64) -> Vec<f32> {
    let noise = Noise::White(25.0);
    Wave { seconds, noise, ..Wave::new(Kind::Ppg, rate_hz, 1) }.make().samples
}

/// In the middle of a good pulse.
fn watched(rate_hz: f64) -> Watched {
    let mut watched = Watched::new(WaveKind::Ppg, rate_hz);
    watched.step(&pulse(rate_hz, 30.0));
    assert_eq!(watched.seconds().last().unwrap().signal, Signal::Good);
    watched
}

/// How many seconds there is no rate before there is one again, in half a minute of a good pulse.
fn seconds_without_rate(watched: &mut Watched, rate_hz: f64) -> usize {
    watched.rate_hz = rate_hz;
    watched.step(&pulse(rate_hz, 30.0));
    let seconds = watched.seconds();
    let without = seconds.iter().take_while(|second| second.rate_per_min.is_none()).count();
    assert!(seconds[without..].iter().all(|second| second.rate_per_min.is_some()), "{seconds:?}");
    without
}

#[test]
fn a_value_that_stays_is_a_sensor_that_is_off_and_no_asystole() {
    for value in [0.0, 3.3, -1e9] {
        let mut watched = watched(20.0);
        watched.step(&[value; 200]);
        let seconds = watched.seconds();
        assert!(seconds[2..].iter().all(|second| second.signal == Signal::Off), "{value}: {seconds:?}");
        assert!(seconds.iter().all(|second| second.without_beat_us < 4_000_000 && second.quality <= 1.0));
        let without = seconds_without_rate(&mut watched, 20.0);
        assert!(without <= 8, "{value}: {without}");
    }
}

#[test]
fn a_signal_at_the_end_of_its_range_is_off() {
    let mut watched = watched(50.0);
    // One sample of 20 is one step below the end.
    let rail: Vec<f32> = (0..500).map(|number| if number % 20 == 7 { 3.299 } else { 3.3 }).collect();
    watched.step(&rail);
    let seconds = watched.seconds();
    assert!(seconds[4..].iter().all(|second| second.signal == Signal::Off), "{seconds:?}");
    assert!(seconds.iter().all(|second| second.without_beat_us < 4_000_000));
}

#[test]
fn waves_that_are_cut_off_have_no_rate() {
    let mut watched = Watched::new(WaveKind::Ppg, 50.0);
    let clipped: Vec<f32> = pulse(50.0, 30.0).iter().map(|value| value.max(0.35)).collect();
    watched.step(&clipped);
    assert!(watched.seconds().iter().all(|second| second.signal != Signal::Good));
}

#[test]
fn what_is_no_number_is_a_gap() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let mut watched = watched(20.0);
        watched.step(&[value; 100]);
        let seconds = watched.seconds();
        assert_eq!(seconds.len(), 5);
        assert!(
            seconds[1..].iter().all(|second| second.signal == Signal::Bad && second.rate_per_min.is_none())
        );
        assert!(seconds.iter().all(|second| second.without_beat_us == 0), "{value}: no one knows");
        let without = seconds_without_rate(&mut watched, 20.0);
        assert!(without <= 8, "{value}: {without}");
    }
}

#[test]
fn a_sample_that_is_missing_now_and_then_does_no_harm() {
    let mut samples = pulse(50.0, 60.0);
    samples.iter_mut().step_by(90).for_each(|sample| *sample = f32::NAN);
    let mut watched = Watched::new(WaveKind::Ppg, 50.0);
    watched.step(&samples);
    assert!(watched.seconds()[7..].iter().all(|second| second.rate_per_min.is_some()));
    // Of a signal of which a third is missing, what is between would be made up.
    samples.iter_mut().step_by(3).for_each(|sample| *sample = f32::NAN);
    let mut watched = Watched::new(WaveKind::Ppg, 50.0);
    watched.step(&samples);
    assert!(watched.seconds().iter().all(|second| second.signal == Signal::Bad));
}

#[test]
fn it_begins_again_after_gaps_and_jumps_of_the_clock() {
    for jump_us in [2_000_000, 6 * HOUR_US, -MINUTE_US, -24 * HOUR_US, i64::MAX - START_US - HOUR_US] {
        let mut watched = watched(20.0);
        watched.next_us += jump_us;
        let without = seconds_without_rate(&mut watched, 20.0);
        assert!((4..=7).contains(&without), "{jump_us}: {without}");
    }
}

#[test]
fn late_batches_and_a_clock_that_is_not_exact_are_one_signal() {
    let mut watched = Watched::new(WaveKind::Ppg, 20.0);
    let mut seconds = Vec::new();
    for (number, batch) in pulse(20.0, 60.0).chunks(20).enumerate() {
        // 40 ms to and fro, and 1 ms a second too fast.
        watched.next_us = START_US + number as i64 * 999_000 + if number % 2 == 0 { 40_000 } else { 0 };
        watched.step(batch);
        seconds.extend(watched.seconds());
    }
    assert!(seconds[7..].iter().all(|second| second.rate_per_min.is_some()), "{seconds:?}");
}

/// The paper's devices send each sample by itself, and say no times: the gateway gathers what came in a tenth of a second.
#[test]
fn samples_that_come_when_the_network_lets_them_are_one_signal() {
    let samples = pulse(20.0, 60.0);
    let mut came_us = 0;
    let arrivals: Vec<i64> = (0..samples.len() as i64)
        .map(|number| {
            let held_us = if number % 45 == 0 { 430_000 } else { number % 7 * 8_000 };
            came_us = (number * 50_000 + held_us).max(came_us + 9_000);
            came_us
        })
        .collect();
    let mut watched = Watched::new(WaveKind::Ppg, 20.0);
    let (mut start, mut seconds) = (0, Vec::new());
    while start < samples.len() {
        let turn = arrivals[start] / 100_000;
        let len = arrivals[start..].iter().take_while(|came_us| **came_us / 100_000 == turn).count();
        watched.next_us = START_US + arrivals[start + len - 1] - (len as i64 - 1) * 50_000;
        watched.step(&samples[start..start + len]);
        seconds.extend(watched.seconds());
        start += len;
    }
    let rates: Vec<f32> = seconds[8..].iter().filter_map(|second| second.rate_per_min).collect();
    assert_eq!(rates.len(), seconds.len() - 8, "{seconds:?}");
    assert!(rates.iter().all(|rate| (rate - 72.0).abs() < 5.0), "{rates:?}");
}

#[test]
fn it_begins_again_at_another_rate() {
    let mut watched = watched(20.0);
    assert!((4..=7).contains(&seconds_without_rate(&mut watched, 125.0)));
    assert!((4..=7).contains(&seconds_without_rate(&mut watched, 20.0)));
}

#[test]
fn no_rate_of_sampling_is_too_strange() {
    for interval_us in [0, 1, 10, 70_000, 1_000_000, u32::MAX] {
        let mut monitor = WaveMonitor::new(WaveKind::Ecg);
        let mut found = Vec::new();
        for start_us in [i64::MIN, 0, i64::MAX - 5] {
            monitor.step(start_us, interval_us, &[1.0, -1.0, 0.5], &mut found);
        }
        let is_bad = |found: &Found| matches!(found, Found::Second(second) if second.signal == Signal::Bad);
        assert!(found.iter().all(is_bad), "{interval_us}: {found:?}");
    }
}

#[test]
fn huge_and_tiny_waves_are_waves() {
    for (height, offset) in [(1e-6, 0.0), (1e8, 0.0), (1.0, 1e4), (1e-3, -20.0)] {
        for kind in [Kind::Ecg, Kind::Ppg] {
            let wave = Wave { amplitude: height, noise: Noise::White(25.0), ..Wave::new(kind, 125.0, 1) };
            let samples: Vec<f32> = wave.make().samples.iter().map(|value| value + offset).collect();
            let kind = if kind == Kind::Ecg { WaveKind::Ecg } else { WaveKind::Ppg };
            let mut watched = Watched::new(kind, 125.0);
            watched.step(&samples);
            assert_eq!(watched.seconds().last().unwrap().signal, Signal::Good, "{height} {offset} {kind:?}");
        }
    }
}
