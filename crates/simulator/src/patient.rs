//! A modelled patient: pulse or ECG waveform, heart rate and its variability, temperatures and movement, from a seed.
//!
//! Every value is a function of (seed, configuration, time) alone, in closed form. It does not depend on how often or
//! in which order it is asked, so any sampling rate, also an irregular one, sees the same patient. It never keeps
//! state, reads a clock, or claims to be a measured human: it is for testing and demonstration.

mod beats;
mod body;
mod disturbance;
mod event;
mod heart;
mod noise;
mod span;
mod waveform;

use std::fmt;
use std::str::FromStr;

use beats::Heart;
use body::{Movement, Temperatures};
use disturbance::Disturbances;
pub use event::{AT_DEVICE, EVENT_SECONDS_MAX, EventError, EventOf, Happening, PatientEvent};
use heart::Rhythm;
use noise::Noise;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waveform::{Cycle, SYSTOLIC_POSITION};
pub use waveform::{PULSE_VOLTS_MAX, PULSE_VOLTS_MIN};

/// Lowest mean heart rate modelled, in beats per minute: the lower end of the plausible range.
pub const HEART_RATE_PER_MIN_MIN: f64 = 20.0;
/// Highest mean heart rate modelled, in beats per minute: the upper end of the plausible range.
pub const HEART_RATE_PER_MIN_MAX: f64 = 300.0;

/// The paper's software device sends an ECG so much above 0, in millivolts.
const ECG_RAISED_BY: f64 = 2.0;

/// What the `PulseSig` channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waveform {
    /// An ECG in millivolts, raised by 2: the convention of the paper's software device.
    Ecg,
    /// A photoplethysmogram as the paper's pulse sensor gives it: volts at a 3.3 V analogue input.
    #[default]
    Ppg,
}

/// The text names no waveform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no waveform; choose `ecg` or `ppg`")]
pub struct UnknownWaveform {
    text: String,
}

impl fmt::Display for Waveform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ecg => "ecg",
            Self::Ppg => "ppg",
        })
    }
}

impl FromStr for Waveform {
    type Err = UnknownWaveform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ecg" => Ok(Self::Ecg),
            "ppg" => Ok(Self::Ppg),
            _ => Err(UnknownWaveform { text: text.to_owned() }),
        }
    }
}

/// How a patient is. A value outside its range is brought to the nearest limit.
#[derive(Debug, Clone, PartialEq)]
pub struct PatientConfig {
    /// What the pulse channel carries.
    pub waveform: Waveform,
    /// Mean heart rate in beats per minute, [`HEART_RATE_PER_MIN_MIN`] to [`HEART_RATE_PER_MIN_MAX`].
    pub heart_rate_per_min: f64,
    /// Standard deviation of the heart rate in beats per minute, 0 to a sixth of the mean.
    pub heart_rate_sd_per_min: f64,
    /// Breaths per minute, 4 to 60.
    pub respiration_per_min: f64,
    /// Mean body temperature in degrees Celsius, 25 to 45.
    pub body_temperature_celsius: f64,
    /// Temperature of the room, which the device's own sensors follow, in degrees Celsius, -20 to 60.
    pub room_temperature_celsius: f64,
    /// Bursts of movement per minute, 0 to 6.
    pub movements_per_min: f64,
    /// What happens to the patient.
    pub events: Vec<PatientEvent>,
}

impl Default for PatientConfig {
    /// An adult at rest in a room of 22 °C. The rates are the middle of what NEWS2 scores 0.
    fn default() -> Self {
        Self {
            waveform: Waveform::default(),
            heart_rate_per_min: 70.0,
            heart_rate_sd_per_min: 2.5,
            respiration_per_min: 15.0,
            body_temperature_celsius: 36.7,
            room_temperature_celsius: 22.0,
            movements_per_min: 1.0,
            events: Vec::new(),
        }
    }
}

impl PatientConfig {
    /// One of many healthy adults at rest, chosen by the seed: 56 to 88 beats and 12 to 18 breaths a minute,
    /// 36.3 to 37.3 °C.
    #[must_use]
    pub fn varied(seed: u64, waveform: Waveform) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // `Patient::new` draws from stream 0 of the same seed; what it draws must not follow from this.
        rng.set_stream(1);
        Self {
            waveform,
            heart_rate_per_min: rng.random_range(56.0..88.0),
            heart_rate_sd_per_min: rng.random_range(1.5..3.5),
            respiration_per_min: rng.random_range(12.0..18.0),
            body_temperature_celsius: rng.random_range(36.3..37.3),
            room_temperature_celsius: rng.random_range(20.0..24.0),
            movements_per_min: rng.random_range(0.3..2.0),
            events: Vec::new(),
        }
    }

    fn within_limits(&self) -> Self {
        let mean = bounded(self.heart_rate_per_min, HEART_RATE_PER_MIN_MIN, HEART_RATE_PER_MIN_MAX);
        Self {
            waveform: self.waveform,
            heart_rate_per_min: mean,
            heart_rate_sd_per_min: bounded(self.heart_rate_sd_per_min, 0.0, mean / 6.0),
            respiration_per_min: bounded(self.respiration_per_min, 4.0, 60.0),
            body_temperature_celsius: bounded(self.body_temperature_celsius, 25.0, 45.0),
            room_temperature_celsius: bounded(self.room_temperature_celsius, -20.0, 60.0),
            movements_per_min: bounded(self.movements_per_min, 0.0, 6.0),
            events: self.events.iter().map(PatientEvent::within_limits).collect(),
        }
    }
}

/// Unlike `f64::clamp`, also brings NaN into the range.
fn bounded(value: f64, low: f64, high: f64) -> f64 {
    value.max(low).min(high)
}

/// A modelled patient with a device on.
#[derive(Debug, Clone)]
pub struct Patient {
    waveform: Waveform,
    heart: Heart,
    temperatures: Temperatures,
    movement: Movement,
    disturbances: Disturbances,
    noise: Noise,
}

impl Patient {
    /// The patient that `seed` and `config` describe.
    #[must_use]
    pub fn new(seed: u64, config: &PatientConfig) -> Self {
        let config = config.within_limits();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rhythm = Rhythm::new(&mut rng, &config);
        let temperatures = Temperatures::new(&mut rng, &config);
        let movement = Movement::new(&mut rng, &config);
        let noise = Noise::new(rng.random());
        let power = power(config.waveform, rhythm.mean_per_min());
        Self {
            waveform: config.waveform,
            heart: Heart::new(rhythm, noise.clone(), &config.events),
            temperatures,
            movement,
            disturbances: Disturbances::new(&config.events, power),
            noise,
        }
    }

    /// What the device's sensors read at `t_seconds`, in the order of `Channel::ALL`: body temperature and MCU
    /// temperature (°C), pulse signal (see [`Waveform`]), acceleration on x, y and z (g), MPU temperature (°C).
    #[must_use]
    pub fn vitals(&self, t_seconds: f64) -> [f64; 7] {
        let noise = &self.noise;
        let (breath, shake_g) = (self.heart.breath(t_seconds), self.disturbances.shake_g(noise, t_seconds));
        let [x, y, z] = self.movement.acceleration_g(noise, t_seconds, breath, shake_g);
        [
            self.temperatures.body_celsius(noise, t_seconds),
            self.temperatures.mcu_celsius(noise, t_seconds),
            self.pulse_signal(t_seconds),
            x,
            y,
            z,
            self.temperatures.mpu_celsius(noise, t_seconds),
        ]
    }

    /// The heart rate at this very moment, in beats per minute; of an arrhythmia the mean, and 0 while the heart stands still. Its
    /// long-term mean is the configured rate, but for events.
    #[must_use]
    pub fn heart_rate_per_min(&self, t_seconds: f64) -> f64 {
        self.heart.rate_per_min(t_seconds)
    }

    /// The moments from `from_s` until before `to_s` at which the wave shows a beat: the R peaks of an ECG, the highest points of a
    /// pulse wave. Also those that noise or a sensor that is off hides.
    #[must_use]
    pub fn true_beats(&self, from_s: f64, to_s: f64) -> Vec<f64> {
        let lag = match self.waveform {
            Waveform::Ecg => 0.0,
            Waveform::Ppg => SYSTOLIC_POSITION,
        };
        self.heart.moments(from_s, to_s, lag)
    }

    /// Regular heart cycles since some beat before the start; whole at each regular beat.
    pub(crate) fn beats(&self, t_seconds: f64) -> f64 {
        self.heart.phase(t_seconds)
    }

    /// The pulse channel alone: see [`Waveform`] for its unit.
    #[must_use]
    pub fn pulse_signal(&self, t_seconds: f64) -> f64 {
        if let Some(signal) = self.disturbances.instead(t_seconds) {
            return signal;
        }
        let (breath, cycle) = (self.heart.breath(t_seconds), self.heart.cycle(t_seconds));
        let noise = self.noise.gaussian(noise::PULSE, t_seconds);
        let added = self.disturbances.added(&self.noise, t_seconds);
        match self.waveform {
            Waveform::Ecg => {
                let mean = self.heart.mean_per_min(t_seconds);
                waveform::ecg_millivolts(&cycle, mean, t_seconds, breath, noise) + ECG_RAISED_BY + added
            }
            Waveform::Ppg => {
                let volts = waveform::ppg_volts(&cycle, breath, noise) + added;
                volts.clamp(PULSE_VOLTS_MIN, PULSE_VOLTS_MAX)
            }
        }
    }
}

/// How many points of a cycle tell its power.
const POWER_POINTS: u32 = 500;

/// The mean square of the undisturbed wave around its mean: what the decibels of a disturbance refer to.
fn power(waveform: Waveform, mean_per_min: f64) -> f64 {
    let points = f64::from(POWER_POINTS);
    let wave: Vec<f64> = (0..POWER_POINTS)
        .map(|point| Cycle::regular(f64::from(point) / points))
        .map(|cycle| match waveform {
            Waveform::Ecg => waveform::ecg_millivolts(&cycle, mean_per_min, 0.0, 0.0, 0.0),
            Waveform::Ppg => waveform::ppg_volts(&cycle, 0.0, 0.0),
        })
        .collect();
    let mean = wave.iter().sum::<f64>() / points;
    wave.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / points
}

#[cfg(test)]
mod tests;
