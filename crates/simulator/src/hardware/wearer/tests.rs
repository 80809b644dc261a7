//! What a person turns is what the sensors see.

use super::*;

fn wearer() -> Wearer {
    Wearer::new(7, &PatientConfig::default(), None)
}

/// Beats in a minute of the pulse signal, and how much the shortest and the longest differ, in seconds: counted where the
/// wave rises through its middle.
fn beats(wearer: &Wearer, from: f64) -> (usize, f64) {
    let wave: Vec<f64> = (0..60_000).map(|ms| wearer.pulse_volts(from + f64::from(ms) / 1_000.0)).collect();
    let rises: Vec<usize> = (20..wave.len())
        .filter(|at| wave[at - 1] < 1.75 && wave[*at] >= 1.75 && wave[at - 20] < 1.74)
        .fold(Vec::new(), |mut rises, at| {
            if rises.last().is_none_or(|last| at - last > 150) {
                rises.push(at);
            }
            rises
        });
    let lengths = rises.windows(2).map(|pair| pair[1] - pair[0]);
    let spread = lengths.clone().max().unwrap() - lengths.min().unwrap();
    (rises.len(), f64::from(u32::try_from(spread).unwrap()) / 1_000.0)
}

#[test]
fn the_papers_steps_are_half_a_degree_and_a_tenth_of_g_within_one() {
    let wearer = wearer();
    let (body, z) = (wearer.body_celsius(3.0), wearer.acceleration_g(3.0)[2]);
    wearer.adjust(Adjustment::Body, Direction::Up);
    wearer.adjust(Adjustment::Body, Direction::Up);
    assert!((wearer.body_celsius(3.0) - body - 1.0).abs() < 1e-9);
    for _ in 0..50 {
        wearer.adjust(Adjustment::Acceleration(Axis::Z), Direction::Down);
    }
    assert!((wearer.acceleration_g(3.0)[2] - z + 1.0).abs() < 1e-9);
    let (mcu, mpu) = (wearer.mcu_celsius(3.0), wearer.mpu_celsius(3.0));
    wearer.adjust(Adjustment::Mcu, Direction::Down);
    wearer.adjust(Adjustment::Mpu, Direction::Up);
    assert!((wearer.mcu_celsius(3.0) - mcu + 0.5).abs() < 1e-9);
    assert!((wearer.mpu_celsius(3.0) - mpu - 0.5).abs() < 1e-9);
}

#[test]
fn a_raised_heart_rate_is_seen_in_the_pulse_and_never_as_a_jump() {
    let wearer = wearer();
    let (count, _) = beats(&wearer, 0.0);
    assert!((66..=74).contains(&count), "{count}");
    let before = wearer.pulse_volts(60.0);
    for _ in 0..6 {
        wearer.adjust(Adjustment::HeartRate, Direction::Up);
    }
    assert_eq!(wearer.heart_rate_per_min(), Some(100.0));
    assert!((wearer.pulse_volts(60.001) - before).abs() < 0.1);
    let (count, _) = beats(&wearer, 60.0);
    assert!((94..=106).contains(&count), "{count}");
    for _ in 0..1_000 {
        wearer.adjust(Adjustment::HeartRate, Direction::Down);
    }
    assert_eq!(wearer.heart_rate_per_min(), Some(20.0));
}

#[test]
fn an_arrhythmia_makes_beats_of_unlike_lengths() {
    let wearer = wearer();
    let (_, regular) = beats(&wearer, 0.0);
    wearer.set_arrhythmic(true);
    let (_, irregular) = beats(&wearer, 60.0);
    assert!(regular < 0.25 && irregular > 0.4, "{regular} {irregular}");
}

#[test]
fn a_sensor_is_unplugged_until_it_is_plugged_in() {
    let wearer = wearer();
    wearer.clone().set_unplugged(Sensor::Pulse, true);
    let unplugged = [Sensor::Temperature, Sensor::Pulse, Sensor::Movement].map(|s| wearer.is_unplugged(s));
    assert_eq!(unplugged, [false, true, false]);
    wearer.set_unplugged(Sensor::Pulse, false);
    assert_eq!(wearer.knobs(), Knobs::default());
}
