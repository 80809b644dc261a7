//! A wave that stops where beats were: no one can say whether it is the sensor or the heart.

use vitalwire_vitals::alarm::{Condition, Priority, Which};
use vitalwire_vitals::monitor::{DeviceEvent, Quantity};
use vitalwire_vitals::wave::WaveKind;

use crate::bed::{Bed, US_PER_S};

fn flat(bed: &mut Bed, seconds: u32, value: f64) {
    for _ in 0..seconds {
        bed.give(Quantity::Wave(WaveKind::Ppg), 50_000, &[value; 20]);
    }
}

fn priority_of(bed: &Bed, condition: Condition) -> Option<Priority> {
    bed.monitor.alarms().open().find(|alarm| alarm.condition == condition).map(|alarm| alarm.priority)
}

fn acknowledge(bed: &mut Bed) {
    let words = ("nurse", None);
    bed.monitor.acknowledge(Which::All, words, bed.now_us, &mut bed.numbers, &mut bed.outcome).unwrap();
}

#[test]
fn a_flat_line_after_beats_calls_until_someone_comes() {
    let mut bed = Bed::new("delay-sensor-off=60");
    bed.pulse(30, 75.0);
    let beats_us = bed.now_us;
    while bed.open().is_empty() {
        flat(&mut bed, 1, 1.65);
        assert!(bed.now_us - beats_us <= 4 * US_PER_S, "four seconds, and no alarm");
    }
    assert_eq!(bed.said(), ["raised sensor-off"]);
    assert_eq!(priority_of(&bed, Condition::SensorOff), Some(Priority::High));
    flat(&mut bed, 150, 1.65);
    assert_eq!(bed.said(), ["announced-again sensor-off", "escalated sensor-off"]);
    bed.pulse(20, 75.0);
    assert_eq!(bed.said(), ["ended sensor-off"], "it stays until someone knows");
    acknowledge(&mut bed);
    assert_eq!(bed.said(), ["acknowledged sensor-off", "closed sensor-off"]);
}

#[test]
fn so_does_one_whose_last_digit_flickers() {
    let mut bed = Bed::new("");
    bed.pulse(30, 75.0);
    for _ in 0..4 {
        let mut values = [1.65; 20];
        values[7] = 1.651;
        bed.give(Quantity::Wave(WaveKind::Ppg), 50_000, &values);
    }
    assert_eq!(priority_of(&bed, Condition::SensorOff), Some(Priority::High));
}

#[test]
fn at_an_end_of_its_range_it_is_the_sensor() {
    for end in [0.0, 0.01, 3.29, 3.3] {
        let mut bed = Bed::new("");
        bed.pulse(30, 75.0);
        flat(&mut bed, 20, end);
        assert_eq!(priority_of(&bed, Condition::SensorOff), Some(Priority::Medium), "at {end}");
    }
}

#[test]
fn long_after_the_last_beats_it_is_the_sensor_too() {
    let mut bed = Bed::new("");
    bed.pulse(30, 75.0);
    for second in 0..20_i32 {
        // Noise that is no beats.
        let value = |sample: i32| 1.5 + f64::from((sample * 7_919 + second * 104_729) % 97) / 97.0;
        let values: Vec<f64> = (0..20).map(|sample| value(sample * sample + second)).collect();
        bed.give(Quantity::Wave(WaveKind::Ppg), 50_000, &values);
    }
    flat(&mut bed, 20, 1.65);
    assert_eq!(priority_of(&bed, Condition::SensorOff), Some(Priority::Medium));
}

#[test]
fn it_breaks_through_an_acknowledgement_of_another_sensor() {
    let mut bed = Bed::new("");
    bed.event(DeviceEvent::SensorLost("MPU-6050"));
    bed.pulse(30, 75.0);
    acknowledge(&mut bed);
    bed.said();
    flat(&mut bed, 4, 1.65);
    assert_eq!(bed.said(), ["heightened sensor-off"]);
}

/// Seconds of an ECG of 75 beats a minute, or of one without beats, that is not flat.
fn ecg(bed: &mut Bed, seconds: u32, rate_hz: u32, beats: bool) {
    let bump = |at: f64, centre: f64, width: f64| (-((at - centre) / width).powi(2)).exp();
    for second in 0..seconds {
        let value = |sample: u32| {
            let at = f64::from(second) + f64::from(sample) / f64::from(rate_hz);
            let phase = at % 0.8;
            let beat = if beats { bump(phase, 0.2, 0.025) + 0.2 * bump(phase, 0.45, 0.06) } else { 0.0 };
            1.5 + beat + 0.01 * (at * 2.0).sin()
        };
        let values: Vec<f64> = (0..rate_hz).map(value).collect();
        bed.give(Quantity::Wave(WaveKind::Ecg), 1_000_000 / rate_hz, &values);
    }
}

#[test]
fn a_coarse_ecg_that_shows_no_pause_is_told_at_once() {
    let mut bed = Bed::new("");
    ecg(&mut bed, 32, 25, true);
    assert_eq!(bed.rates().last(), Some(&Some(75.0)));
    assert_eq!(bed.said(), [""; 0]);
    ecg(&mut bed, 5, 25, false);
    assert_eq!(bed.said(), ["raised bad-signal"]);
    assert_eq!(priority_of(&bed, Condition::BadSignal), Some(Priority::Medium));
}

#[test]
fn a_fine_one_shows_it() {
    let mut bed = Bed::new("");
    ecg(&mut bed, 32, 100, true);
    ecg(&mut bed, 5, 100, false);
    assert_eq!(bed.said(), ["raised asystole"]);
}
