//! What can happen to a modelled patient and to the sensors on them, each from a moment on and for a while.

mod text;

pub use text::{AT_DEVICE, EventError, EventOf};

use super::bounded;
use super::span::Span;

/// Latest moment and longest time of an event, in seconds: a year.
pub const EVENT_SECONDS_MAX: f64 = 366.0 * 86_400.0;
/// Ranges of what an event can be told, each with its ends.
pub(super) const EVERY_BEATS: (u32, u32) = (2, 1_000);
pub(super) const SLOW_PER_MIN: (f64, f64) = (20.0, 60.0);
pub(super) const FAST_PER_MIN: (f64, f64) = (100.0, 300.0);
pub(super) const BODY_CELSIUS: (f64, f64) = (25.0, 45.0);
pub(super) const SNR_DB: (f64, f64) = (-20.0, 60.0);
pub(super) const MAINS_HZ: (f64, f64) = (1.0, 500.0);
pub(super) const HUM_AMPLITUDE: (f64, f64) = (0.0, 10.0);

/// Something that happens, with its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatientEvent {
    /// What.
    pub what: Happening,
    /// When it begins, in seconds of the patient's time.
    pub at_s: f64,
    /// How long it lasts, in seconds; without it, for ever.
    pub for_s: Option<f64>,
}

/// What happens. Of two events of the same kind the one that begins ends the one before; so do arrhythmias and asystole among each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Happening {
    /// Premature ventricular beats, each with the pause behind it: one of so many beats, which one is by chance.
    Premature {
        /// One of how many beats, 2 to 1,000.
        every: u32,
    },
    /// Atrial fibrillation: every beat comes when it likes, an ECG has no P wave, and a pulse is the weaker the sooner it comes.
    Fibrillation,
    /// The heart stands still.
    Asystole,
    /// The heart is slow.
    Bradycardia {
        /// Mean beats a minute, 20 to 60.
        to_per_min: f64,
        /// In how many seconds it gets there, and back at the end.
        rise_s: f64,
    },
    /// The heart is fast.
    Tachycardia {
        /// Mean beats a minute, 100 to 300.
        to_per_min: f64,
        /// In how many seconds it gets there, and back at the end.
        rise_s: f64,
    },
    /// The body's temperature goes to another mean.
    Fever {
        /// Degrees Celsius, 25 to 45.
        to_celsius: f64,
        /// In how many seconds it gets there, and back at the end.
        rise_s: f64,
    },
    /// The pulse sensor or an electrode is off: the input reads 0 V.
    SensorOff,
    /// The patient moves: the pulse signal is disturbed in the band of the heart, the accelerometer is shaken.
    Motion {
        /// Power of the undisturbed wave over that of the disturbance, in decibels, -20 to 60.
        snr_db: f64,
    },
    /// The mains are in the signal.
    Hum {
        /// 50 or 60 Hz.
        hz: f64,
        /// In the unit of the wave, 0 to 10.
        amplitude: f64,
    },
    /// White noise is in the signal.
    Noise {
        /// Power of the undisturbed wave over that of the noise, in decibels, -20 to 60. Each sample has noise of its own, so
        /// that it is as much at any rate.
        snr_db: f64,
    },
}

impl PatientEvent {
    /// With numbers outside their range brought to the nearest limit.
    pub(super) fn within_limits(&self) -> Self {
        let slope = |rise_s| bounded(rise_s, 0.0, EVENT_SECONDS_MAX);
        let within = |value, (low, high)| bounded(value, low, high);
        let what = match self.what {
            Happening::Premature { every } => {
                Happening::Premature { every: every.clamp(EVERY_BEATS.0, EVERY_BEATS.1) }
            }
            Happening::Bradycardia { to_per_min, rise_s } => {
                Happening::Bradycardia { to_per_min: within(to_per_min, SLOW_PER_MIN), rise_s: slope(rise_s) }
            }
            Happening::Tachycardia { to_per_min, rise_s } => {
                Happening::Tachycardia { to_per_min: within(to_per_min, FAST_PER_MIN), rise_s: slope(rise_s) }
            }
            Happening::Fever { to_celsius, rise_s } => {
                Happening::Fever { to_celsius: within(to_celsius, BODY_CELSIUS), rise_s: slope(rise_s) }
            }
            Happening::Motion { snr_db } => Happening::Motion { snr_db: within(snr_db, SNR_DB) },
            Happening::Noise { snr_db } => Happening::Noise { snr_db: within(snr_db, SNR_DB) },
            Happening::Hum { hz, amplitude } => {
                Happening::Hum { hz: within(hz, MAINS_HZ), amplitude: within(amplitude, HUM_AMPLITUDE) }
            }
            as_is @ (Happening::Fibrillation | Happening::Asystole | Happening::SensorOff) => as_is,
        };
        Self {
            what,
            at_s: bounded(self.at_s, 0.0, EVENT_SECONDS_MAX),
            for_s: self.for_s.map(|for_s| bounded(for_s, 0.0, EVENT_SECONDS_MAX)),
        }
    }

    fn span(&self) -> Span {
        let rise_s = match self.what {
            Happening::Bradycardia { rise_s, .. }
            | Happening::Tachycardia { rise_s, .. }
            | Happening::Fever { rise_s, .. } => rise_s,
            _ => 0.0,
        };
        let to_s = self.for_s.map_or(f64::INFINITY, |for_s| self.at_s + for_s);
        Span::new(self.at_s, to_s, rise_s)
    }
}

/// The events that `wanted` tells something of, in the order of time, each ended by the next.
pub(super) fn spans<T>(events: &[PatientEvent], wanted: impl Fn(Happening) -> Option<T>) -> Vec<(Span, T)> {
    let mut found: Vec<(Span, T)> =
        events.iter().filter_map(|event| Some((event.span(), wanted(event.what)?))).collect();
    found.sort_by(|(a, _), (b, _)| a.from_s.total_cmp(&b.from_s));
    let mut next_s = f64::INFINITY;
    for (span, _) in found.iter_mut().rev() {
        *span = span.until(next_s);
        next_s = span.from_s;
    }
    found
}

#[cfg(test)]
mod tests;
