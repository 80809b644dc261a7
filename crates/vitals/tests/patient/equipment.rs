//! What is wrong with the equipment, and what a restart or another patient changes.

use vitalwire_vitals::alarm::Condition;
use vitalwire_vitals::monitor::{DeviceEvent, Outcome, Quantity};
use vitalwire_vitals::wave::WaveKind;

use crate::bed::Bed;

#[test]
fn a_device_that_is_away_for_its_delay_is_an_alarm_and_nothing_else_of_it_is() {
    let mut bed = Bed::new("");
    bed.pulse(30, 75.0);
    bed.status(false);
    bed.wait(9);
    assert_eq!(bed.said(), [""; 0]);
    bed.wait(1);
    assert_eq!(bed.said(), ["raised device-offline"]);
    bed.wait(3_600);
    assert_eq!(bed.said(), [""; 0]);
    bed.status(true);
    assert_eq!(bed.said(), ["ended device-offline", "closed device-offline"]);
}

#[test]
fn a_device_that_is_there_and_silent_is_a_bad_signal() {
    let mut bed = Bed::new("");
    bed.pulse(30, 75.0);
    bed.wait(44);
    assert_eq!(bed.said(), [""; 0]);
    bed.wait(1);
    assert_eq!(bed.said(), ["raised bad-signal"]);
    bed.pulse(20, 75.0);
    assert_eq!(bed.said(), ["ended bad-signal", "closed bad-signal"]);
}

#[test]
fn a_flat_line_is_a_sensor_that_is_off() {
    let mut bed = Bed::new("");
    for _ in 0..20 {
        bed.give(Quantity::Wave(WaveKind::Ppg), 50_000, &[1.65; 20]);
    }
    assert_eq!(bed.said(), ["raised sensor-off"]);
    bed.pulse(20, 75.0);
    assert_eq!(bed.said(), ["ended sensor-off", "closed sensor-off"]);
}

#[test]
fn what_the_device_says_of_itself() {
    let mut bed = Bed::new("");
    bed.event(DeviceEvent::SensorLost("DS18B20"));
    bed.event(DeviceEvent::SensorLost("DS18B20"));
    bed.event(DeviceEvent::SensorLost("MPU-6050"));
    assert_eq!(bed.said(), ["raised sensor-off"]);
    bed.event(DeviceEvent::SensorFound("DS18B20"));
    assert_eq!(bed.said(), [""; 0]);
    bed.event(DeviceEvent::SensorFound("MPU-6050"));
    assert_eq!(bed.said(), ["ended sensor-off", "closed sensor-off"]);
    bed.event(DeviceEvent::BatteryLow);
    bed.event(DeviceEvent::ClockJump);
    assert_eq!(bed.said(), ["raised battery", "raised clock"]);
    bed.event(DeviceEvent::ClockJumpOver);
    bed.event(DeviceEvent::Started);
    assert_eq!(bed.said(), ["ended clock", "closed clock", "ended battery", "closed battery"]);
    // Names without end are not kept.
    for number in 0..1_000 {
        bed.event(DeviceEvent::SensorLost(&number.to_string()));
    }
    bed.event(DeviceEvent::Started);
    assert_eq!(bed.said(), ["raised sensor-off", "ended sensor-off", "closed sensor-off"]);
}

#[test]
fn a_clip_that_falls_off_is_news_though_another_sensor_is_lost_already() {
    let mut bed = Bed::new("");
    bed.pulse(30, 75.0);
    bed.event(DeviceEvent::SensorLost("MPU-6050"));
    bed.acknowledge_all();
    assert_eq!(bed.said(), ["raised sensor-off", "acknowledged sensor-off"]);
    for _ in 0..10 {
        bed.give(Quantity::Wave(WaveKind::Ppg), 50_000, &[3.3; 20]);
    }
    assert_eq!(bed.said(), ["returned sensor-off"]);
    assert!(bed.monitor.alarms().open().all(|alarm| alarm.acknowledged.is_none()));
    // It is news once; so is the next that is lost, and what is found is none.
    bed.acknowledge_all();
    bed.give(Quantity::Wave(WaveKind::Ppg), 50_000, &[3.3; 20]);
    bed.event(DeviceEvent::SensorLost("MPU-6050"));
    bed.event(DeviceEvent::SensorFound("MPU-6050"));
    assert_eq!(bed.said(), ["acknowledged sensor-off"]);
    bed.event(DeviceEvent::SensorLost("DS18B20"));
    assert_eq!(bed.said(), ["returned sensor-off"]);
}

#[test]
fn a_lost_sensor_hides_a_bad_wave_only_when_it_is_the_waves() {
    for (lost, said) in [("MPU-6050", &["raised bad-signal"][..]), ("pulse sensor", &[])] {
        let mut bed = Bed::new("");
        bed.pulse(30, 75.0);
        bed.event(DeviceEvent::SensorLost(lost));
        assert_eq!(bed.said(), ["raised sensor-off"]);
        bed.wait(45);
        assert_eq!(bed.said(), said, "{lost}");
    }
}

#[test]
fn after_a_restart_alarms_stand_until_something_says_otherwise() {
    let mut bed = Bed::new("delay-temperature-high=0 delay-implausible=0");
    bed.temperature(1, 39.0);
    bed.event(DeviceEvent::SensorLost("DS18B20"));
    assert_eq!(bed.said(), ["raised temperature-high", "raised sensor-off"]);
    bed.restart();
    bed.pulse(30, 75.0);
    assert_eq!(bed.open(), [Condition::TemperatureHigh, Condition::SensorOff]);
    assert_eq!(bed.said(), [""; 0]);
    bed.temperature(1, 36.8);
    assert_eq!(bed.said(), ["ended temperature-high", "ended sensor-off", "closed sensor-off"]);
}

#[test]
fn another_patient_begins_without_alarms_but_with_the_same_equipment() {
    let mut bed = Bed::new("delay-temperature-high=0 delay-device-offline=0");
    bed.temperature(1, 39.0);
    bed.event(DeviceEvent::SensorLost("DS18B20"));
    bed.status(false);
    bed.said();
    let Outcome { changes, .. } = &mut bed.outcome;
    changes.clear();
    let limits = "rate-high=130".parse().unwrap();
    bed.monitor.end_stay(limits, bed.now_us, &mut bed.numbers, &mut bed.outcome);
    assert_eq!(
        bed.said(),
        ["closed temperature-high", "closed sensor-off", "closed device-offline", "raised sensor-off"]
    );
    bed.wait(10);
    assert_eq!(bed.said(), ["raised device-offline"]);
    assert_eq!(bed.monitor.alarms().limits(), &limits);
}
