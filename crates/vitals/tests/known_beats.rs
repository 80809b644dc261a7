//! Beats of made signals, at times that are known.
#![expect(clippy::cast_possible_truncation, reason = "times are far from what their types can hold")]

use vitalwire_signals::made::{Kind, Noise, Rhythm, Wave};
use vitalwire_vitals::wave::{Found, Second, Signal, WaveKind, WaveMonitor};

/// The start of all signals: 2026-01-01, and not on a whole second.
const START_US: i64 = 1_767_225_600_250_000;
/// ANSI/AAMI EC57.
const WINDOW_US: i64 = 150_000;

struct Watched {
    seconds: Vec<Second>,
    /// Of the beats but those of the first three seconds: how many were found, and how many were found that are none.
    truth: usize,
    hits: usize,
    others: usize,
}

fn watch(wave: &Wave) -> Watched {
    let made = wave.make();
    let kind = match wave.kind {
        Kind::Ecg => WaveKind::Ecg,
        Kind::Ppg => WaveKind::Ppg,
    };
    let mut monitor = WaveMonitor::new(kind);
    let mut found = Vec::new();
    monitor.step(START_US, (1e6 / wave.rate_hz) as u32, &made.samples, &mut found);
    let (mut beats, mut seconds) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Found::Beat { time_us } => beats.push(time_us),
            Found::Second(second) => seconds.push(second),
        }
    }
    let within = |time_us: &i64| (START_US + 3_000_000..START_US + 57_000_000).contains(time_us);
    let truth: Vec<i64> =
        made.beats_s.iter().map(|at_s| START_US + (at_s * 1e6) as i64).filter(within).collect();
    let near =
        |time_us: &i64, others: &[i64]| others.iter().any(|other| (other - time_us).abs() <= WINDOW_US);
    let hits = truth.iter().filter(|time| near(time, &beats)).count();
    let all_truth: Vec<i64> = made.beats_s.iter().map(|at_s| START_US + (at_s * 1e6) as i64).collect();
    let others = beats.iter().filter(|time| within(time) && !near(time, &all_truth)).count();
    Watched { seconds, truth: truth.len(), hits, others }
}

#[test]
fn every_beat_of_a_clean_signal_is_found_at_its_time() {
    for (kind, rates) in
        [(Kind::Ecg, &[50.0, 125.0, 250.0, 500.0][..]), (Kind::Ppg, &[20.0, 50.0, 125.0, 250.0])]
    {
        for (rate_hz, per_min) in
            rates.iter().flat_map(|rate| [40.0, 72.0, 110.0, 180.0].map(|it| (*rate, it)))
        {
            let watched = watch(&Wave { per_min, ..Wave::new(kind, rate_hz, 1) });
            let case = format!("{kind:?} at {rate_hz} Hz, {per_min}/min");
            assert_eq!((watched.hits, watched.others), (watched.truth, 0), "{case}");
            let last = watched.seconds.last().unwrap();
            assert_eq!(last.signal, Signal::Good, "{case}");
            let rate = last.rate_per_min.unwrap();
            assert!((f64::from(rate) - per_min).abs() < 0.06 * per_min, "{case}: {rate}");
        }
    }
}

#[test]
fn seconds_end_at_whole_seconds_one_after_the_other() {
    let seconds = watch(&Wave::new(Kind::Ppg, 20.0, 2)).seconds;
    assert_eq!(seconds[0].time_us, START_US + 750_000);
    assert!(seconds.windows(2).all(|pair| pair[1].time_us - pair[0].time_us == 1_000_000));
    assert_eq!(seconds.len(), 60);
}

#[test]
fn a_heart_that_stops_is_told_by_how_long() {
    for (kind, rate_hz) in [(Kind::Ecg, 250.0), (Kind::Ppg, 20.0), (Kind::Ppg, 250.0)] {
        let rhythm = Rhythm::Pause(30.0, 45.0);
        let watched = watch(&Wave { rhythm, noise: Noise::White(25.0), ..Wave::new(kind, rate_hz, 3) });
        let longest = watched.seconds.iter().map(|second| second.without_beat_us).max().unwrap();
        assert!((13_500_000..16_500_000).contains(&longest), "{kind:?}: {longest}");
        for second in watched.seconds.iter().filter(|second| second.without_beat_us > 0) {
            assert_eq!((second.signal, second.rate_per_min), (Signal::Good, None), "{kind:?}");
        }
    }
}

#[test]
fn noise_has_no_rate() {
    for kind in [Kind::Ecg, Kind::Ppg] {
        let noise = Noise::White(-40.0);
        let watched = watch(&Wave { noise, seconds: 300.0, ..Wave::new(kind, 50.0, 4) });
        assert!(watched.seconds.iter().all(|second| second.rate_per_min.is_none()));
        assert!(
            watched.seconds.iter().all(|second| second.signal == Signal::Bad && second.without_beat_us == 0)
        );
    }
}

#[test]
fn a_very_fast_pulse_is_counted_and_never_missed_for_asystole() {
    for (rate_hz, seed) in
        [20.0, 50.0, 125.0, 250.0].into_iter().flat_map(|rate| (0..5).map(move |seed| (rate, seed)))
    {
        let watched =
            watch(&Wave { per_min: 222.0, noise: Noise::White(25.0), ..Wave::new(Kind::Ppg, rate_hz, seed) });
        let good = watched.seconds.iter().filter(|second| second.rate_per_min.is_some()).count();
        assert!(good >= 48, "{rate_hz} Hz, seed {seed}: {good} of 60");
        assert!(
            watched.seconds.iter().all(|second| second.without_beat_us == 0),
            "{rate_hz} Hz, seed {seed}"
        );
    }
}

#[test]
fn silence_is_counted_from_the_last_beat() {
    for (kind, rate_hz, seed) in [(Kind::Ppg, 20.0, 1), (Kind::Ppg, 250.0, 2), (Kind::Ecg, 250.0, 3)] {
        let rhythm = Rhythm::Pause(30.0, 50.0);
        let wave = Wave { rhythm, noise: Noise::White(20.0), ..Wave::new(kind, rate_hz, seed) };
        let last_s = wave.make().beats_s.into_iter().rfind(|at_s| *at_s < 31.0).unwrap();
        let last_us = START_US + (last_s * 1e6) as i64;
        let seconds = watch(&wave).seconds;
        for second in
            seconds.iter().filter(|second| (5_000_000..18_000_000).contains(&(second.time_us - last_us)))
        {
            let since_us = second.time_us - last_us;
            let differs = since_us.abs_diff(second.without_beat_us.cast_signed());
            assert!(differs <= WINDOW_US.unsigned_abs(), "{kind:?}: {since_us} {second:?}");
        }
    }
}
