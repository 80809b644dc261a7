//! Vital signs: rates, temperatures, the score, and what comes late.

use vitalwire_vitals::alarm::{Condition, Priority};
use vitalwire_vitals::monitor::Quantity;
use vitalwire_vitals::wave::WaveKind;

use crate::bed::{Bed, US_PER_S};

#[test]
fn a_fever_is_an_alarm_after_its_delay() {
    let mut bed = Bed::new("");
    bed.temperature(60, 36.8);
    let began_us = bed.now_us;
    bed.temperature(15, 38.7);
    assert_eq!(bed.said(), [""; 0]);
    bed.temperature(1, 38.7);
    assert_eq!(bed.said(), ["raised temperature-high"]);
    let alarm = bed.monitor.alarms().open().next().unwrap().clone();
    // One value more: of three, the middle one is judged.
    assert_eq!(alarm.since_us, began_us + 50_000);
    assert_eq!((alarm.priority, alarm.text().as_str()), (Priority::Medium, "** Temp 38.7 > 38.5"));
    bed.temperature(5, 38.0);
    assert_eq!(bed.said(), ["ended temperature-high"]);
}

#[test]
fn values_that_no_body_has_reach_no_limit() {
    let mut bed = Bed::new("delay-temperature-high=0 delay-temperature-low=0");
    bed.temperature(5, 36.8);
    for value in [85.0, 24.9, 45.1, -100.0, f64::NAN, f64::INFINITY] {
        bed.temperature(1, value);
    }
    // One wrong value that a body could have moves nothing either.
    bed.give(Quantity::Temperature, 50_000, &[36.8, 36.8, 44.0, 36.8, 26.0, 36.8]);
    assert_eq!(bed.said(), [""; 0]);
    bed.temperature(10, 85.0);
    bed.wait(1);
    assert_eq!(bed.said(), ["raised implausible"]);
    bed.temperature(1, 36.8);
    assert_eq!(bed.said(), ["ended implausible", "closed implausible"]);
}

#[test]
fn a_slow_thermometer_is_heard_too() {
    let mut bed = Bed::new("");
    bed.give(Quantity::Temperature, 60_000_000, &[36.8]);
    bed.give(Quantity::Temperature, 60_000_000, &[39.0]);
    bed.give(Quantity::Temperature, 60_000_000, &[39.1]);
    assert_eq!(bed.said(), ["raised temperature-high"]);
}

#[test]
fn a_fast_heart_is_an_alarm_and_its_rate_is_told_each_second() {
    let mut bed = Bed::new("");
    bed.pulse(60, 75.0);
    assert_eq!(bed.said(), [""; 0]);
    let rates = bed.rates();
    assert!((58..=60).contains(&rates.len()), "{} seconds were told", rates.len());
    assert!(rates[20..].iter().all(|rate| rate.is_some_and(|rate| (rate - 75.0).abs() <= 2.0)), "{rates:?}");
    bed.pulse(15, 150.0);
    assert_eq!(bed.said(), [""; 0], "15 s of it are not over");
    bed.pulse(20, 150.0);
    let said = bed.said();
    assert_eq!(said.first().map(String::as_str), Some("raised rate-high"), "{said:?}");
    let alarm = bed.monitor.alarms().open().next().unwrap();
    assert_eq!(alarm.priority, Priority::High);
    assert!(alarm.value.is_some_and(|value| value > 120.0), "{alarm:?}");
}

#[test]
fn a_rate_that_the_device_tells_counts_without_a_wave_only() {
    let mut bed = Bed::new("delay-rate-high=0 delay-rate-low=0");
    bed.give(Quantity::Rate, 1_000_000, &[75.0, 130.0, 75.0]);
    assert_eq!(bed.said(), ["raised rate-high", "ended rate-high"]);
    assert_eq!(bed.rates(), [Some(75.0), Some(130.0), Some(75.0)]);
    // A clip without a finger says 0 or 500.
    for _ in 0..12 {
        bed.give(Quantity::Rate, 1_000_000, &[0.0]);
    }
    assert_eq!(bed.said(), ["raised implausible"]);
    let mut bed = Bed::new("delay-rate-high=0");
    bed.pulse(30, 75.0);
    bed.give(Quantity::Rate, 1_000_000, &[200.0; 20]);
    assert!(!bed.open().contains(&Condition::RateHigh));
}

#[test]
fn noise_has_no_rate_and_is_a_technical_alarm() {
    let mut bed = Bed::new("");
    bed.pulse(30, 75.0);
    bed.outcome.derived.clear();
    let mut random = 1_u64;
    for _ in 0..60 {
        let values: Vec<f64> = (0..20)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                f64::from(u32::try_from(random >> 40).unwrap()) / f64::from(1 << 24) * 3.0
            })
            .collect();
        bed.give(Quantity::Wave(WaveKind::Ppg), 50_000, &values);
    }
    assert_eq!(bed.said(), ["raised bad-signal"]);
    assert!(bed.rates()[15..].iter().all(Option::is_none), "{:?}", bed.rates());
    bed.pulse(30, 75.0);
    assert_eq!(bed.said(), ["ended bad-signal", "closed bad-signal"]);
}

#[test]
fn a_backlog_raises_nothing_and_is_told_as_late() {
    let mut bed = Bed::new("");
    bed.temperature(30, 36.8);
    let back_us = bed.now_us - 3_600 * US_PER_S;
    for second in 0..60 {
        let value = if (20..50).contains(&second) { 39.0 } else { 36.8 };
        let first_us = back_us + second * US_PER_S;
        bed.give_at(Quantity::Temperature, first_us, 50_000, &[value; 20], false);
        // Live values go on between them, and are judged as if there were no backlog.
        bed.temperature(1, 36.9);
    }
    assert_eq!(bed.said(), [""; 0]);
    let late = &bed.outcome.late;
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].condition, late[0].number), (Condition::TemperatureHigh, 1));
    assert_eq!(late[0].since_us, back_us + 20 * US_PER_S + 50_000);
    assert_eq!(late[0].raised_us, late[0].since_us + 15 * US_PER_S);
    assert_eq!(late[0].ended_us, Some(back_us + 50 * US_PER_S + 50_000));
    assert_eq!((late[0].announced_us, bed.open().len()), (None, 0));
    assert!(bed.outcome.derived.iter().any(|derived| !derived.is_live));
}

#[test]
fn a_backlog_that_ends_in_a_fever_is_told_when_it_is_over() {
    let mut bed = Bed::new("");
    let back_us = bed.now_us - 3_600 * US_PER_S;
    for second in 0..30 {
        bed.give_at(Quantity::Temperature, back_us + second * US_PER_S, 50_000, &[39.0; 20], false);
    }
    assert_eq!(bed.outcome.late.len(), 0);
    bed.wait(31);
    assert_eq!(bed.outcome.late.len(), 1);
    assert_eq!(bed.outcome.late[0].ended_us, Some(back_us + 30 * US_PER_S - 50_000));
    assert_eq!((bed.said(), bed.open().len()), (vec![], 0));
}

#[test]
fn the_score_says_of_how_many_inputs_it_is() {
    let mut bed = Bed::new("");
    bed.pulse(30, 75.0);
    let score = |bed: &Bed| bed.outcome.derived.last().unwrap().score.map(|score| score.to_string());
    assert_eq!(score(&bed).as_deref(), Some("0 (1 of 7 inputs)"));
    bed.give_at(Quantity::Temperature, bed.now_us, 1_000_000, &[38.6], true);
    bed.pulse(2, 75.0);
    assert_eq!(score(&bed).as_deref(), Some("1 (2 of 7 inputs)"));
    // Five minutes later the temperature is too old.
    bed.wait(301);
    bed.pulse(20, 75.0);
    assert_eq!(score(&bed).as_deref(), Some("0 (1 of 7 inputs)"));
}

#[test]
fn gaps_new_rates_and_jumps_of_the_clock_raise_nothing() {
    let mut bed = Bed::new("off=bad-signal,device-offline");
    bed.pulse(30, 75.0);
    bed.pulse(5, 150.0);
    bed.wait(3 * 3_600);
    bed.pulse(20, 75.0);
    bed.pulse_at(20, 75.0, 50);
    bed.now_us -= 7_200 * US_PER_S;
    bed.pulse(20, 75.0);
    bed.now_us += 86_400 * US_PER_S;
    bed.pulse(20, 75.0);
    assert_eq!(bed.said(), [""; 0]);
    let rates = bed.rates();
    assert!(rates.last().unwrap().is_some_and(|rate| (rate - 75.0).abs() <= 2.0), "{rates:?}");
}

/// Seconds of an ECG at 250 Hz: a QRS complex each `beat_s`, T waves, some noise; with no beats the noise alone.
fn ecg(bed: &mut Bed, seconds: u32, beat_s: Option<f64>) {
    let mut random = 7_u64;
    for second in 0..seconds {
        let values: Vec<f64> = (0..250)
            .map(|sample| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let noise = f64::from(u32::try_from(random >> 40).unwrap()) / f64::from(1 << 24) - 0.5;
                let at = f64::from(second) + f64::from(sample) / 250.0;
                let bump = |centre: f64, width: f64| {
                    beat_s.map_or(0.0, |beat_s| (-((at % beat_s - centre) / width).powi(2)).exp())
                };
                1.5 + 1.2 * bump(0.2, 0.012) - 0.2 * bump(0.225, 0.01) + 0.3 * bump(0.45, 0.05) + 0.02 * noise
            })
            .collect();
        bed.give(Quantity::Wave(WaveKind::Ecg), 4_000, &values);
    }
}

#[test]
fn a_heart_that_stands_still_is_a_high_alarm_within_seconds_and_latched() {
    let mut bed = Bed::new("");
    ecg(&mut bed, 30, Some(0.8));
    assert_eq!(bed.said(), [""; 0]);
    // The four seconds that make it one, and a second and a half to tell it.
    ecg(&mut bed, 6, None);
    assert_eq!(bed.said(), ["raised asystole"]);
    let alarm = bed.monitor.alarms().open().next().unwrap();
    assert_eq!((alarm.priority, alarm.delay_s, alarm.text().as_str()), (Priority::High, 0, "*** Asystole"));
    ecg(&mut bed, 30, Some(0.8));
    assert_eq!(bed.said(), ["ended asystole"]);
    assert_eq!(
        (bed.open(), bed.monitor.alarms().audible()),
        (vec![Condition::Asystole], Some(Priority::High))
    );
}
