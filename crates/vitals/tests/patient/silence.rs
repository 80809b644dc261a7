//! Who is connected and says nothing of use: someone is told.

use vitalwire_vitals::alarm::Condition;
use vitalwire_vitals::monitor::{DeviceEvent, Quantity};
use vitalwire_vitals::wave::WaveKind;

use crate::bed::Bed;

const WAVE: Quantity = Quantity::Wave(WaveKind::Ppg);
const WAVE_CHANNEL: (Quantity, u32) = (WAVE, 50_000);
const TEMPERATURE_CHANNEL: (Quantity, u32) = (Quantity::Temperature, 50_000);
const PICO: [(Quantity, u32); 2] = [WAVE_CHANNEL, TEMPERATURE_CHANNEL];

fn noise(bed: &mut Bed, seconds: usize) {
    let mut state = 7_u32;
    for _ in 0..seconds {
        let values: Vec<f64> = (0..20)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                0.5 + 2.0 * f64::from(state >> 16) / 65_536.0
            })
            .collect();
        bed.give(WAVE, 50_000, &values);
    }
}

#[test]
fn a_device_that_comes_back_without_its_wave_is_a_bad_signal() {
    let mut bed = Bed::new("");
    bed.watch(&PICO);
    bed.temperature(44, 36.8);
    assert_eq!(bed.said(), [""; 0]);
    bed.temperature(1, 36.8);
    assert_eq!(bed.said(), ["raised bad-signal"]);
    // The next patient is told of, too.
    bed.end_stay();
    assert_eq!(bed.said(), ["closed bad-signal"]);
    bed.temperature(46, 36.8);
    assert_eq!(bed.said(), ["raised bad-signal"]);
}

#[test]
fn a_temperature_or_a_told_rate_that_stops_is_a_bad_signal() {
    for (quantity, value) in [(Quantity::Temperature, 36.8), (Quantity::Rate, 75.0)] {
        for stopped in [&[][..], &[f64::NAN]] {
            let mut bed = Bed::new("");
            bed.watch(&[(quantity, 1_000_000)]);
            bed.give(quantity, 1_000_000, &[value]);
            for _ in 0..44 {
                bed.give(quantity, 1_000_000, stopped);
                bed.wait(if stopped.is_empty() { 1 } else { 0 });
            }
            assert_eq!(bed.said(), [""; 0]);
            bed.wait(2);
            assert_eq!(bed.said(), ["raised bad-signal"], "{quantity:?}");
            bed.give(quantity, 1_000_000, &[value]);
            assert_eq!(bed.said(), ["ended bad-signal", "closed bad-signal"]);
        }
    }
}

/// What the open alarm of a bad signal says.
fn text(bed: &Bed) -> String {
    let mut open = bed.monitor.alarms().open();
    open.find(|alarm| alarm.condition == Condition::BadSignal).unwrap().text()
}

#[test]
fn the_alarm_says_which_signal_and_who_knew_of_one_is_told_of_the_next() {
    let mut bed = Bed::new("");
    bed.watch(&PICO);
    bed.temperature(45, 36.8);
    assert_eq!(bed.said(), ["raised bad-signal"]);
    assert_eq!(text(&bed), "* Signal bad: pulse");
    bed.acknowledge_all();
    assert_eq!(bed.said(), ["acknowledged bad-signal"]);
    bed.wait(15);
    assert_eq!(bed.said(), ["returned bad-signal"]);
    assert_eq!(text(&bed), "* Signal bad: pulse, temp");
    // The same ones again are no news, also after a restart.
    bed.temperature(5, 36.8);
    bed.restart();
    bed.watch(&PICO);
    bed.wait(60);
    assert_eq!(bed.said(), [""; 0]);
    assert_eq!(text(&bed), "* Signal bad: pulse, temp");
    let mut bed = Bed::new("");
    bed.wait(45);
    assert_eq!(text(&bed), "* Signal bad: all");
}

#[test]
fn a_slow_channel_is_given_three_of_its_intervals() {
    let mut bed = Bed::new("");
    bed.watch(&[(Quantity::Temperature, 60_000_000)]);
    for _ in 0..3 {
        bed.give(Quantity::Temperature, 60_000_000, &[36.8]);
    }
    bed.wait(209);
    assert_eq!(bed.said(), [""; 0]);
    bed.wait(1);
    assert_eq!(bed.said(), ["raised bad-signal"]);
}

#[test]
fn a_device_of_which_nothing_ever_comes_is_a_bad_signal() {
    let mut bed = Bed::new("");
    bed.wait(44);
    assert_eq!(bed.said(), [""; 0]);
    bed.wait(1);
    assert_eq!(bed.said(), ["raised bad-signal"]);
    // One that is known to have nothing that is watched is not missed.
    bed.watch(&[]);
    assert_eq!(bed.said(), ["ended bad-signal", "closed bad-signal"]);
    bed.wait(3_600);
    assert_eq!(bed.said(), [""; 0]);
}

#[test]
fn coming_and_going_does_not_hide_that_nothing_comes() {
    let mut bed = Bed::new("");
    bed.watch(&PICO);
    for _ in 0..8 {
        bed.status(true);
        bed.wait(5);
        bed.status(false);
        bed.wait(3);
    }
    assert_eq!(bed.said(), [""; 0]);
    bed.status(true);
    bed.wait(4);
    assert_eq!(bed.said(), [""; 0]);
    bed.wait(1);
    assert_eq!(bed.said(), ["raised bad-signal"]);
}

#[test]
fn what_is_said_again_of_a_connection_begins_nothing_anew() {
    let mut bed = Bed::new("");
    bed.watch(&PICO);
    for _ in 0..45 {
        bed.status(true);
        bed.wait(1);
    }
    assert_eq!(bed.said(), ["raised bad-signal"]);
}

#[test]
fn a_lost_thermometer_is_silent_and_says_so_itself() {
    let mut bed = Bed::new("");
    bed.watch(&PICO);
    bed.event(DeviceEvent::SensorLost("DS18B20"));
    bed.pulse(120, 75.0);
    assert_eq!(bed.said(), ["raised sensor-off"]);
}

#[test]
fn a_signal_that_is_good_for_a_moment_now_and_then_is_bad() {
    let mut bed = Bed::new("");
    bed.watch(&[WAVE_CHANNEL]);
    bed.pulse(30, 75.0);
    noise(&mut bed, 20);
    bed.pulse(14, 75.0);
    noise(&mut bed, 12);
    assert_eq!(bed.said(), ["raised bad-signal"]);
    bed.pulse(14, 75.0);
    noise(&mut bed, 12);
    assert_eq!(bed.said(), [""; 0]);
    bed.pulse(25, 75.0);
    assert_eq!(bed.said(), ["ended bad-signal", "closed bad-signal"]);
}

#[test]
fn a_device_without_a_temperature_is_whole_with_its_wave() {
    let mut bed = Bed::new("");
    bed.watch(&[WAVE_CHANNEL]);
    bed.event(DeviceEvent::SensorLost("MPU-6050"));
    bed.restart();
    bed.watch(&[WAVE_CHANNEL]);
    bed.said();
    bed.pulse(20, 75.0);
    assert_eq!(bed.said(), ["ended sensor-off", "closed sensor-off"]);
}

#[test]
fn another_profile_forgets_the_signals_and_keeps_the_alarms() {
    let mut bed = Bed::new("");
    bed.watch(&PICO);
    bed.temperature(16, 39.0);
    bed.give(WAVE, 50_000, &[3.3; 200]);
    assert_eq!(bed.said(), ["raised temperature-high", "raised sensor-off"]);
    let rates = [(Quantity::Rate, 1_000_000), TEMPERATURE_CHANNEL];
    bed.watch(&rates);
    assert_eq!(bed.said(), ["ended sensor-off", "closed sensor-off"]);
    for _ in 0..20 {
        bed.give(Quantity::Rate, 1_000_000, &[130.0]);
        bed.watch(&rates);
    }
    assert_eq!(bed.said(), ["raised rate-high"]);
}
