//! What lies between the heart and the number that the device sends: movement, mains, noise, and a sensor that is off.

use std::f64::consts::TAU;

use super::event::{Happening, PatientEvent, spans};
use super::noise::{self, Noise};
use super::span::Span;

/// The signal of a sensor that is off.
const OFF: f64 = 0.0;
/// The mains are never at their frequency exactly; at 20 samples a second exact 50 Hz would be a constant.
const MAINS_OFF_HZ: f64 = 0.023;
/// Seconds from one point of a movement to the next, of its slow and its fast part: half a hertz to four.
const MOTION_STEPS_S: [f64; 2] = [0.45, 0.13];
/// Between points that are independent and have a deviation of 1, a smooth step from one to the next has a mean square of 26/35.
const SMOOTH_MEAN_SQUARE: f64 = 26.0 / 35.0;
/// How much a movement shakes the accelerometer, in g (standard deviation).
const SHAKE_G: f64 = 0.25;

#[derive(Debug, Clone)]
pub(super) struct Disturbances {
    off: Vec<Span>,
    /// Standard deviations in the unit of the wave.
    motion: Vec<(Span, f64)>,
    white: Vec<(Span, f64)>,
    /// Frequency in hertz, and amplitude.
    hum: Vec<(Span, (f64, f64))>,
}

impl Disturbances {
    /// `power` is the mean square of the undisturbed wave around its mean.
    pub(super) fn new(events: &[PatientEvent], power: f64) -> Self {
        let deviation = |snr_db: f64| (power / 10.0_f64.powf(snr_db / 10.0)).sqrt();
        let is_off = |what| matches!(what, Happening::SensorOff).then_some(());
        Self {
            off: spans(events, is_off).into_iter().map(|(span, ())| span).collect(),
            motion: spans(events, |what| match what {
                Happening::Motion { snr_db } => Some(deviation(snr_db)),
                _ => None,
            }),
            white: spans(events, |what| match what {
                Happening::Noise { snr_db } => Some(deviation(snr_db)),
                _ => None,
            }),
            hum: spans(events, |what| match what {
                Happening::Hum { hz, amplitude } => Some((hz, amplitude)),
                _ => None,
            }),
        }
    }

    /// What is added to the wave.
    pub(super) fn added(&self, noise: &Noise, t: f64) -> f64 {
        let hum = at(&self.hum, t).map_or(0.0, |(hz, amplitude)| {
            let phase = TAU * noise.uniform(noise::HUM, 0.0);
            amplitude * (TAU * (hz + MAINS_OFF_HZ) * t + phase).sin()
        });
        let white = at(&self.white, t).map_or(0.0, |deviation| deviation * noise.gaussian(noise::WHITE, t));
        let motion = at(&self.motion, t).map_or(0.0, |deviation| deviation * wander(noise, 0, t));
        hum + white + motion
    }

    /// What a movement adds to the acceleration, in g.
    pub(super) fn shake_g(&self, noise: &Noise, t: f64) -> [f64; 3] {
        if at(&self.motion, t).is_none() {
            return [0.0; 3];
        }
        [1, 2, 3].map(|axis| SHAKE_G * wander(noise, axis, t))
    }

    /// The signal instead of all else.
    pub(super) fn instead(&self, t: f64) -> Option<f64> {
        self.off.iter().any(|span| span.contains(t)).then_some(OFF)
    }
}

fn at<T: Copy>(spans: &[(Span, T)], t: f64) -> Option<T> {
    spans.iter().find(|(span, _)| span.contains(t)).map(|(_, what)| *what)
}

/// A smooth course by chance, of mean 0 and deviation 1.
fn wander(noise: &Noise, axis: u64, t: f64) -> f64 {
    let parts = MOTION_STEPS_S.into_iter().zip(0..).map(|(step_s, part)| {
        let source = noise::MOTION + 2 * axis + part;
        let (point, share) = ((t / step_s).floor(), (t / step_s).rem_euclid(1.0));
        let smooth = share * share * (3.0 - 2.0 * share);
        noise.gaussian(source, point) * (1.0 - smooth) + noise.gaussian(source, point + 1.0) * smooth
    });
    parts.sum::<f64>() / (2.0 * SMOOTH_MEAN_SQUARE).sqrt()
}
