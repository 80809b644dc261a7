//! What holds of a wave monitor whatever it is given.

#![expect(clippy::cast_possible_truncation, reason = "times are far from what their types can hold")]

use proptest::prelude::*;
use vitalwire_signals::made::{Kind, Noise, Rhythm, Wave};
use vitalwire_vitals::wave::{Found, Signal, WaveKind, WaveMonitor};

fn samples() -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        8 => -2.0_f32..2.0,
        1 => Just(0.0),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::MAX), Just(f32::MIN_POSITIVE), Just(-1e11)],
        1 => any::<f32>(),
    ];
    prop::collection::vec(value, 0..200)
}

fn steps() -> impl Strategy<Value = Vec<(i64, u32, Vec<f32>)>> {
    let start = prop_oneof![4 => Just(None), 1 => any::<i64>().prop_map(Some), 1 => (0..10_000_000_i64).prop_map(Some)];
    let interval = prop_oneof![6 => Just(50_000), 2 => Just(4_000), 1 => any::<u32>(), 1 => 0..200_000_u32];
    prop::collection::vec((start, interval, samples()), 1..40).prop_map(|steps| {
        let mut next_us = 0_i64;
        let placed = steps.into_iter().map(|(start, interval_us, samples)| {
            let first_us = start.unwrap_or(next_us);
            next_us = first_us.saturating_add(i64::from(interval_us) * samples.len() as i64);
            (first_us, interval_us, samples)
        });
        placed.collect()
    })
}

fn kinds() -> impl Strategy<Value = WaveKind> {
    prop_oneof![Just(WaveKind::Ecg), Just(WaveKind::Ppg)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// It never panics, and what it tells is possible.
    #[test]
    fn whatever_comes_what_is_told_is_possible(kind in kinds(), steps in steps()) {
        let mut monitor = WaveMonitor::new(kind);
        let mut found = Vec::new();
        for (first_us, interval_us, samples) in steps {
            monitor.step(first_us, interval_us, &samples, &mut found);
        }
        for found in found {
            let Found::Second(second) = found else { continue };
            prop_assert!((0.0..=1.0).contains(&second.quality), "{second:?}");
            prop_assert!(second.rate_per_min.is_none_or(|rate| (20.0..=250.0).contains(&rate)), "{second:?}");
            prop_assert!(second.rate_per_min.is_none() || second.signal == Signal::Good, "{second:?}");
            prop_assert!(second.without_beat_us == 0 || second.signal == Signal::Good, "{second:?}");
            prop_assert!(second.rate_per_min.is_none() || second.without_beat_us == 0, "{second:?}");
        }
    }

    /// Beats and seconds come in the order of their times, and the same ones however the samples are cut into steps.
    #[test]
    fn cuts_change_nothing(
        is_ecg in any::<bool>(),
        rate_hz in prop_oneof![Just(20.0), Just(50.0), Just(125.0), Just(250.0), 20.0..500.0],
        per_min in 30.0..200.0,
        rhythm in prop_oneof![Just(Rhythm::Sinus), Just(Rhythm::Fibrillation), Just(Rhythm::Ectopic), Just(Rhythm::Pause(15.0, 25.0))],
        noise in prop_oneof![Just(Noise::None), Just(Noise::Motion), (-10.0..30.0).prop_map(Noise::White)],
        cuts in prop::collection::vec(1..700_usize, 1..20),
        seed in any::<u64>(),
    ) {
        let (kind, wave_kind) = if is_ecg { (Kind::Ecg, WaveKind::Ecg) } else { (Kind::Ppg, WaveKind::Ppg) };
        let made = Wave { per_min, rhythm, noise, seconds: 40.0, ..Wave::new(kind, rate_hz, seed) }.make();
        let interval_us = (1e6 / rate_hz) as u32;
        let mut whole = Vec::new();
        WaveMonitor::new(wave_kind).step(0, interval_us, &made.samples, &mut whole);
        let mut cut = Vec::new();
        let mut monitor = WaveMonitor::new(wave_kind);
        let (mut rest, mut first_us) = (made.samples.as_slice(), 0);
        for len in cuts.iter().cycle() {
            let (step, after) = rest.split_at(rest.len().min(*len));
            monitor.step(first_us, interval_us, step, &mut cut);
            first_us += i64::from(interval_us) * step.len() as i64;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&whole, &cut);
        let beats: Vec<i64> = whole.iter().filter_map(|found| match found {
            Found::Beat { time_us } => Some(*time_us),
            Found::Second(_) => None,
        }).collect();
        let seconds: Vec<i64> = whole.iter().filter_map(|found| match found {
            Found::Second(second) => Some(second.time_us),
            Found::Beat { .. } => None,
        }).collect();
        prop_assert!(beats.is_sorted_by(|one, next| one < next), "{:?}", beats);
        prop_assert!(seconds.is_sorted_by(|one, next| one < next));
        prop_assert!(beats.iter().all(|beat| (0..first_us).contains(beat)), "{:?}", beats);
    }
}
