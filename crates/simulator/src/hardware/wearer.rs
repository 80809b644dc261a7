//! Who wears the virtual device: a modelled patient or a recording, and what a person has changed about them. Shared by the
//! sensors, which read it, and by what turns its knobs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::patient::{HEART_RATE_PER_MIN_MAX, HEART_RATE_PER_MIN_MIN, Patient, PatientConfig};
use crate::recording::Recording;

/// Degrees Celsius of one step of a temperature, as in the paper's menu.
const STEP_CELSIUS: f64 = 0.5;
/// Steps of a temperature to either side, at most: 20 °C.
const CELSIUS_STEPS_MAX: i32 = 40;
/// g of one step of an acceleration, as in the paper's menu.
const STEP_G: f64 = 0.1;
/// Steps of an acceleration to either side, at most: 1 g. Where the paper's program turns back, this one stops.
const G_STEPS_MAX: i32 = 10;
/// Beats a minute of one step of the heart rate.
const STEP_PER_MIN: f64 = 5.0;
/// How much shorter or longer than the mean a beat of an arrhythmia may be: irregularly irregular, as in atrial fibrillation.
const ARRHYTHMIA_PACE: std::ops::Range<f64> = 0.65..1.6;

/// An axis of the accelerometer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Across the chest.
    X,
    /// Along it.
    Y,
    /// Away from it.
    Z,
}

/// What a person can raise and lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// The patient's temperature, by 0.5 °C.
    Body,
    /// The microcontroller's, by 0.5 °C.
    Mcu,
    /// The motion sensor's, by 0.5 °C.
    Mpu,
    /// The acceleration along an axis, by 0.1 g.
    Acceleration(Axis),
    /// The heart rate, by 5 beats a minute.
    HeartRate,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More.
    Up,
    /// Less.
    Down,
}

/// A sensor that can be unplugged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensor {
    /// The DS18B20: body temperature.
    Temperature,
    /// The pulse sensor.
    Pulse,
    /// The MPU6050: movement and its own temperature.
    Movement,
}

/// What a person has changed, in steps from what the model says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knobs {
    /// Steps of 0.5 °C: body, MCU, MPU.
    pub celsius_steps: [i32; 3],
    /// Steps of 0.1 g: x, y, z.
    pub g_steps: [i32; 3],
    /// Steps of 5 beats a minute.
    pub rate_steps: i32,
    /// Whether the beats come irregularly.
    pub is_arrhythmic: bool,
    /// The unplugged sensors: temperature, pulse, movement.
    pub unplugged: [bool; 3],
}

/// Places in `Patient::vitals`.
mod place {
    pub(super) const BODY: usize = 0;
    pub(super) const MCU: usize = 1;
    pub(super) const PULSE: usize = 2;
    pub(super) const ACCELERATION: usize = 3;
    pub(super) const MPU: usize = 6;
}

struct State {
    patient: Patient,
    /// Beats a minute of the model.
    rate_per_min: f64,
    recording: Option<Arc<Recording>>,
    knobs: Knobs,
    heart: HeartTime,
}

/// The patient's time as the heart has it: it runs faster where a person has raised the heart rate, without a jump in the wave.
struct HeartTime {
    /// Seconds of the model, and of the clock when it was there.
    seconds: f64,
    clock_seconds: f64,
    /// The beat whose pace was drawn, and the pace.
    beat: f64,
    pace: f64,
    rng: ChaCha8Rng,
}

/// A patient with a virtual device on. Clones share it.
#[derive(Clone)]
pub struct Wearer {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Wearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wearer").field("knobs", &self.knobs()).finish_non_exhaustive()
    }
}

impl Wearer {
    /// The patient of a seed; with a recording, its channels instead of the modelled ones.
    #[must_use]
    pub fn new(seed: u64, config: &PatientConfig, recording: Option<Arc<Recording>>) -> Self {
        let heart = HeartTime {
            seconds: 0.0,
            clock_seconds: 0.0,
            beat: f64::NEG_INFINITY,
            pace: 1.0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        };
        let state = State {
            patient: Patient::new(seed, config),
            rate_per_min: config.heart_rate_per_min,
            recording,
            knobs: Knobs::default(),
            heart,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panicking thread left is still a patient.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was changed so far.
    #[must_use]
    pub fn knobs(&self) -> Knobs {
        self.state().knobs
    }

    /// One step; nothing at the end of the range.
    pub fn adjust(&self, what: Adjustment, direction: Direction) {
        let mut state = self.state();
        let (rate, has_recording) = (state.rate_per_min, state.recording.is_some());
        let Knobs { celsius_steps: [body, mcu, mpu], g_steps: [x, y, z], rate_steps, .. } = &mut state.knobs;
        let (steps, steps_max) = match what {
            Adjustment::Body => (body, CELSIUS_STEPS_MAX),
            Adjustment::Mcu => (mcu, CELSIUS_STEPS_MAX),
            Adjustment::Mpu => (mpu, CELSIUS_STEPS_MAX),
            Adjustment::Acceleration(Axis::X) => (x, G_STEPS_MAX),
            Adjustment::Acceleration(Axis::Y) => (y, G_STEPS_MAX),
            Adjustment::Acceleration(Axis::Z) => (z, G_STEPS_MAX),
            Adjustment::HeartRate => (rate_steps, i32::MAX),
        };
        let next = match direction {
            Direction::Up => steps.saturating_add(1),
            Direction::Down => steps.saturating_sub(1),
        };
        let is_possible = match what {
            // A recording has the heart that it has.
            Adjustment::HeartRate => {
                let range = HEART_RATE_PER_MIN_MIN..=HEART_RATE_PER_MIN_MAX;
                !has_recording && range.contains(&(rate + f64::from(next) * STEP_PER_MIN))
            }
            _ => next.abs() <= steps_max,
        };
        if is_possible {
            *steps = next;
        }
    }

    /// Regular beats, or irregular ones.
    pub fn set_arrhythmic(&self, is_arrhythmic: bool) {
        self.state().knobs.is_arrhythmic = is_arrhythmic;
    }

    /// Unplugs a sensor, or plugs it in again.
    pub fn set_unplugged(&self, sensor: Sensor, is_unplugged: bool) {
        let [temperature, pulse, movement] = &mut self.state().knobs.unplugged;
        *match sensor {
            Sensor::Temperature => temperature,
            Sensor::Pulse => pulse,
            Sensor::Movement => movement,
        } = is_unplugged;
    }

    /// Whether a sensor is unplugged.
    #[must_use]
    pub fn is_unplugged(&self, sensor: Sensor) -> bool {
        let [temperature, pulse, movement] = self.state().knobs.unplugged;
        match sensor {
            Sensor::Temperature => temperature,
            Sensor::Pulse => pulse,
            Sensor::Movement => movement,
        }
    }

    /// Mean beats a minute as set; `None` while a recording plays.
    #[must_use]
    pub fn heart_rate_per_min(&self) -> Option<f64> {
        let state = self.state();
        state.recording.is_none().then(|| state.rate_per_min())
    }

    /// The patient's temperature in °C.
    #[must_use]
    pub fn body_celsius(&self, seconds: f64) -> f64 {
        let state = self.state();
        state.celsius(place::BODY, seconds, state.knobs.celsius_steps[0])
    }

    /// The microcontroller's temperature in °C.
    #[must_use]
    pub fn mcu_celsius(&self, seconds: f64) -> f64 {
        let state = self.state();
        state.celsius(place::MCU, seconds, state.knobs.celsius_steps[1])
    }

    /// The motion sensor's temperature in °C.
    #[must_use]
    pub fn mpu_celsius(&self, seconds: f64) -> f64 {
        let state = self.state();
        state.celsius(place::MPU, seconds, state.knobs.celsius_steps[2])
    }

    /// The acceleration along x, y and z in g.
    #[must_use]
    pub fn acceleration_g(&self, seconds: f64) -> [f64; 3] {
        let state = self.state();
        let values = state.values(seconds);
        let mut axes = state.knobs.g_steps.map(|steps| f64::from(steps) * STEP_G);
        for (axis, value) in axes.iter_mut().zip(values.iter().skip(place::ACCELERATION)) {
            *axis += value;
        }
        axes
    }

    /// The pulse sensor's output in volts. The time must not go back by much: the heart remembers its beats.
    #[must_use]
    pub fn pulse_volts(&self, seconds: f64) -> f64 {
        let mut state = self.state();
        if state.recording.is_some() {
            return state.values(seconds).get(place::PULSE).copied().unwrap_or_default();
        }
        let at = state.heart_seconds(seconds);
        state.patient.pulse_signal(at)
    }
}

impl State {
    /// All channels without what a person changed.
    fn values(&self, seconds: f64) -> [f64; 7] {
        let mut values = self.patient.vitals(seconds);
        if let Some(recording) = &self.recording {
            recording.overlay(seconds, &mut values);
        }
        values
    }

    fn celsius(&self, place: usize, seconds: f64, steps: i32) -> f64 {
        let modelled = self.values(seconds).get(place).copied().unwrap_or_default();
        modelled + f64::from(steps) * STEP_CELSIUS
    }

    fn rate_per_min(&self) -> f64 {
        self.rate_per_min + f64::from(self.knobs.rate_steps) * STEP_PER_MIN
    }

    /// Where the heart is at a moment of the clock.
    fn heart_seconds(&mut self, clock_seconds: f64) -> f64 {
        let speed = self.rate_per_min() / self.rate_per_min;
        let heart = &mut self.heart;
        let beat = self.patient.beats(heart.seconds).floor();
        if self.knobs.is_arrhythmic && beat > heart.beat {
            heart.pace = heart.rng.random_range(ARRHYTHMIA_PACE);
            heart.beat = beat;
        } else if !self.knobs.is_arrhythmic {
            heart.pace = 1.0;
        }
        let passed = (clock_seconds - heart.clock_seconds).max(0.0);
        heart.seconds += passed * speed * heart.pace;
        heart.clock_seconds = clock_seconds.max(heart.clock_seconds);
        heart.seconds
    }
}

#[cfg(test)]
mod tests;
