//! The device crate's own drivers on the virtual parts read what the patient has.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::time::Duration;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use vitalwire_device::clock::Clock as _;
use vitalwire_device::sensors::{
    Adc as _, AdcInput, Readings, mcu_temperature_milli, pulse_millivolts, watch_movement, watch_temperature,
};
use vitalwire_simulator::hardware::{
    Adjustment, Axis, Direction, HostClock, Sensor, VirtualAdc, VirtualDs18b20, VirtualMpu6050, Wearer,
};
use vitalwire_simulator::patient::PatientConfig;

/// A patient who lies still, so that a mean over some samples is the value.
fn still_patient() -> Wearer {
    Wearer::new(7, &PatientConfig { movements_per_min: 0.0, ..PatientConfig::default() }, None)
}

fn near(milli: i32, value: f64, tolerance: f64) {
    let read = f64::from(milli) / 1_000.0;
    assert!((read - value).abs() <= tolerance, "{read} is not {value}");
}

/// Runs both watchers for so long in virtual time.
async fn watch_for(
    duration: Duration,
    parts: (&mut VirtualMpu6050, VirtualDs18b20),
    clock: HostClock,
    readings: &Readings<NoopRawMutex>,
) {
    let (movement, temperature) = parts;
    tokio::select! {
        never = watch_movement(movement, clock, readings) => match never {},
        never = watch_temperature(temperature, clock, readings) => match never {},
        () = tokio::time::sleep(duration) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn drivers_read_the_patient_s_values_and_what_a_person_turns() {
    let (clock, wearer) = (HostClock::start(), still_patient());
    let mut mpu = VirtualMpu6050::new(clock, wearer.clone());
    let readings = Readings::new();
    for _ in 0..2 {
        let thermometer = VirtualDs18b20::new(clock, wearer.clone());
        watch_for(Duration::from_secs(3), (&mut mpu, thermometer), clock, &readings).await;
        let movement = readings.movement(clock.now_us()).unwrap();
        for (milli, g) in movement.acceleration_milli.into_iter().zip(wearer.acceleration_g(clock.seconds()))
        {
            near(milli, g, 0.03);
        }
        near(movement.temperature_milli, wearer.mpu_celsius(clock.seconds()), 0.2);
        let body = readings.body_temperature_milli(clock.now_us()).unwrap();
        near(body, wearer.body_celsius(clock.seconds()), 0.2);
        // Once more with other values.
        for _ in 0..8 {
            wearer.adjust(Adjustment::Body, Direction::Up);
            wearer.adjust(Adjustment::Mpu, Direction::Down);
            wearer.adjust(Adjustment::Acceleration(Axis::X), Direction::Up);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unplugged_sensor_is_missed_and_found_again() {
    let (clock, wearer) = (HostClock::start(), still_patient());
    let mut mpu = VirtualMpu6050::new(clock, wearer.clone());
    let readings = Readings::new();
    let mut has_values = Vec::new();
    for is_unplugged in [false, true, false] {
        wearer.set_unplugged(Sensor::Movement, is_unplugged);
        wearer.set_unplugged(Sensor::Temperature, is_unplugged);
        let thermometer = VirtualDs18b20::new(clock, wearer.clone());
        watch_for(Duration::from_secs(5), (&mut mpu, thermometer), clock, &readings).await;
        let now_us = clock.now_us();
        has_values
            .push((readings.movement(now_us).is_some(), readings.body_temperature_milli(now_us).is_some()));
    }
    assert_eq!(has_values, [(true, true), (false, false), (true, true)]);
}

#[tokio::test(start_paused = true)]
async fn analogue_values_are_the_patient_s() {
    let (clock, wearer) = (HostClock::start(), still_patient());
    let mut adc = VirtualAdc::new(clock, wearer.clone());
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(37)).await;
        let pulse = pulse_millivolts(adc.read(AdcInput::Pulse).await.unwrap());
        near(pulse, wearer.pulse_volts(clock.seconds()), 0.001);
        let mcu = mcu_temperature_milli(adc.read(AdcInput::McuTemperature).await.unwrap());
        near(mcu, wearer.mcu_celsius(clock.seconds()), 0.25);
    }
}
