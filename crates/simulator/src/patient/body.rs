//! Temperatures and movement, as the paper's sensors would report them.
//!
//! Values are held and rounded as the sensors hold and round them; nothing here knows the heart except that
//! breathing moves the chest.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::PatientConfig;
use super::event::{Happening, spans};
use super::noise::{self, Noise};
use super::span::Span;

/// DS18B20 at 12 bits: one step in °C, and the longest conversion in seconds, during which the old value stands
/// (DS18B20 datasheet, "Thermometer Resolution Configuration").
const DS18B20_STEP_CELSIUS: f64 = 0.0625;
const DS18B20_HOLD_S: f64 = 0.75;
/// RP2040: 3.3 V over 4,096 ADC steps at 1.721 mV/°C (RP2040 datasheet, "Temperature Sensor").
const RP2040_STEP_CELSIUS: f64 = 3.3 / 4096.0 / 0.001_721;
/// MPU-6050: 340 steps per °C (register map, `TEMP_OUT`).
const MPU_STEP_CELSIUS: f64 = 1.0 / 340.0;
/// Full scale of the MPU-6050 in its default range.
const ACCELERATION_G_MAX: f64 = 2.0;

/// Movement is decided per interval of this length; a burst stays inside its interval.
const MOVEMENT_INTERVAL_S: f64 = 10.0;

#[derive(Debug, Clone)]
pub(super) struct Temperatures {
    body_celsius: f64,
    room_celsius: f64,
    /// Period in seconds and phase of the slow drifts.
    drifts: [(f64, f64); 3],
    /// How many degrees above the usual.
    fevers: Vec<(Span, f64)>,
}

impl Temperatures {
    pub(super) fn new(rng: &mut ChaCha8Rng, config: &PatientConfig) -> Self {
        Self {
            body_celsius: config.body_temperature_celsius,
            room_celsius: config.room_temperature_celsius,
            drifts: std::array::from_fn(|_| (rng.random_range(900.0..5_400.0), rng.random_range(0.0..TAU))),
            fevers: spans(&config.events, |what| match what {
                Happening::Fever { to_celsius, .. } => Some(to_celsius - config.body_temperature_celsius),
                _ => None,
            }),
        }
    }

    pub(super) fn body_celsius(&self, noise: &Noise, t: f64) -> f64 {
        let conversion = (t / DS18B20_HOLD_S).floor();
        let measured_s = conversion * DS18B20_HOLD_S;
        let fever = self.fevers.iter().map(|(span, degrees)| degrees * span.level(measured_s)).sum::<f64>();
        let celsius = self.body_celsius
            + fever
            + 0.07 * self.drift(measured_s)
            + 0.02 * noise.gaussian(noise::BODY, conversion);
        rounded(celsius, DS18B20_STEP_CELSIUS)
    }

    /// The chip warms itself by about 1.5 °C.
    pub(super) fn mcu_celsius(&self, noise: &Noise, t: f64) -> f64 {
        let celsius = self.room_celsius + 1.5 + 0.2 * self.drift(t) + 0.15 * noise.gaussian(noise::MCU, t);
        rounded(celsius, RP2040_STEP_CELSIUS)
    }

    pub(super) fn mpu_celsius(&self, noise: &Noise, t: f64) -> f64 {
        let celsius = self.room_celsius + 1.2 + 0.2 * self.drift(t) + 0.03 * noise.gaussian(noise::MPU, t);
        rounded(celsius, MPU_STEP_CELSIUS)
    }

    /// From -3 to 3 over tens of minutes.
    fn drift(&self, t: f64) -> f64 {
        self.drifts.iter().map(|(period_s, phase)| (TAU * t / period_s + phase).sin()).sum()
    }
}

fn rounded(value: f64, step: f64) -> f64 {
    (value / step).round() * step
}

#[derive(Debug, Clone)]
pub(super) struct Movement {
    tilt: f64,
    heading: f64,
    sway_hz: f64,
    burst_chance: f64,
}

impl Movement {
    pub(super) fn new(rng: &mut ChaCha8Rng, config: &PatientConfig) -> Self {
        Self {
            tilt: rng.random_range(0.0..0.4),
            heading: rng.random_range(0.0..TAU),
            sway_hz: rng.random_range(0.003..0.02),
            burst_chance: config.movements_per_min * MOVEMENT_INTERVAL_S / 60.0,
        }
    }

    /// Gravity (1 g, mostly on z) as the sensor lies, plus breathing, bursts of movement and sensor noise, in g.
    pub(super) fn acceleration_g(&self, noise: &Noise, t: f64, breath: f64, shake_g: [f64; 3]) -> [f64; 3] {
        let [shake_x, shake_y, shake_z] = shake_g;
        let tilt = self.tilt + 0.03 * (TAU * self.sway_hz * t).sin();
        let [burst_x, burst_y, burst_z] = self.burst_g(noise, t);
        let reading = |source, value: f64| {
            (value + 0.004 * noise.gaussian(source, t)).clamp(-ACCELERATION_G_MAX, ACCELERATION_G_MAX)
        };
        [
            reading(noise::ACCEL_X, tilt.sin() * self.heading.cos() + burst_x + shake_x),
            reading(noise::ACCEL_Y, tilt.sin() * self.heading.sin() + burst_y + shake_y),
            reading(noise::ACCEL_Z, tilt.cos() + 0.005 * breath + burst_z + shake_z),
        ]
    }

    /// One burst at most in each interval: 2 to 6 s of shaking at 1 to 3 Hz that swells and fades.
    fn burst_g(&self, noise: &Noise, t: f64) -> [f64; 3] {
        let interval = (t / MOVEMENT_INTERVAL_S).floor();
        let draw = |which| noise.uniform(noise::MOVEMENT + which, interval);
        if draw(0) >= self.burst_chance {
            return [0.0; 3];
        }
        let length_s = 2.0 + 4.0 * draw(1);
        let start_s = (MOVEMENT_INTERVAL_S - length_s) * draw(2);
        let into_s = t - interval * MOVEMENT_INTERVAL_S - start_s;
        if !(0.0..length_s).contains(&into_s) {
            return [0.0; 3];
        }
        let envelope = (std::f64::consts::PI * into_s / length_s).sin().powi(2);
        let shake = (0.1 + 0.4 * draw(3)) * envelope * (TAU * (1.0 + 2.0 * draw(4)) * into_s).sin();
        [shake * (2.0 * draw(5) - 1.0), shake * (2.0 * draw(6) - 1.0), shake * (2.0 * draw(7) - 1.0)]
    }
}
