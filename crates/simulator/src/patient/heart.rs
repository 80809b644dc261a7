//! The rhythm of the heart: rate, its variability, and how many beats have passed, in closed form.
//!
//! After McSharry, Clifford, Tarassenko and Smith, "A dynamical model for generating synthetic electrocardiogram
//! signals", IEEE Trans. Biomed. Eng. 50(3), 2003, 289–294: the variability is a sum of oscillations with random
//! phases around the Mayer-wave frequency (LF, 0.1 Hz) and the breathing frequency (HF), here joined by slow and by
//! broad-band ones as noise. Unlike there, the oscillations modulate the rate itself, so that its integral, the phase
//! of the heart cycle, is exact at any moment and no solver has to be stepped.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::PatientConfig;

/// One band of the variability: its lines lie around `centre_hz` ± `spread_hz`, and it holds `share` of the variance.
struct Band {
    centre_hz: f64,
    spread_hz: f64,
    share: f64,
    lines: u32,
}

/// The paper's example uses an LF/HF power ratio of 0.5; so do the shares here.
fn bands(respiration_hz: f64) -> [Band; 4] {
    [
        Band { centre_hz: 0.02, spread_hz: 0.01, share: 0.15, lines: 3 },
        Band { centre_hz: 0.10, spread_hz: 0.01, share: 0.25, lines: 3 },
        Band { centre_hz: respiration_hz, spread_hz: 0.01, share: 0.50, lines: 3 },
        Band { centre_hz: 0.25, spread_hz: 0.20, share: 0.10, lines: 3 },
    ]
}

/// One oscillation of the heart rate.
#[derive(Debug, Clone)]
struct Line {
    amplitude_per_min: f64,
    hz: f64,
    phase: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Rhythm {
    mean_per_min: f64,
    first_beat: f64,
    lines: Vec<Line>,
    respiration_hz: f64,
    breath_phase: f64,
}

impl Rhythm {
    /// `config` is within its limits, above all a deviation of at most a sixth of the mean: then the lines together
    /// stay below the mean, and the heart never runs backwards.
    pub(super) fn new(rng: &mut ChaCha8Rng, config: &PatientConfig) -> Self {
        let respiration_hz = config.respiration_per_min / 60.0;
        let mut lines = Vec::new();
        for band in bands(respiration_hz) {
            // A line of amplitude a has the variance a²/2.
            let variance = config.heart_rate_sd_per_min.powi(2) * band.share / f64::from(band.lines);
            for _ in 0..band.lines {
                lines.push(Line {
                    amplitude_per_min: (2.0 * variance).sqrt(),
                    hz: band.centre_hz + rng.random_range(-band.spread_hz..band.spread_hz),
                    phase: rng.random_range(0.0..TAU),
                });
            }
        }
        Self {
            mean_per_min: config.heart_rate_per_min,
            first_beat: rng.random(),
            lines,
            respiration_hz,
            breath_phase: rng.random_range(0.0..TAU),
        }
    }

    pub(super) fn mean_per_min(&self) -> f64 {
        self.mean_per_min
    }

    /// Beats per minute at this moment.
    pub(super) fn rate_per_min(&self, t: f64) -> f64 {
        self.lines
            .iter()
            .map(|line| line.amplitude_per_min * (TAU * line.hz * t + line.phase).cos())
            .fold(self.mean_per_min, |sum, part| sum + part)
    }

    /// Heart cycles since some beat before the start: the integral of [`Self::rate_per_min`]. An R peak is at every
    /// whole number.
    pub(super) fn beats(&self, t: f64) -> f64 {
        self.lines
            .iter()
            .map(|line| {
                line.amplitude_per_min / (60.0 * TAU * line.hz) * (TAU * line.hz * t + line.phase).sin()
            })
            .fold(self.first_beat + self.mean_per_min / 60.0 * t, |sum, part| sum + part)
    }

    /// Breathing from -1 (out) to 1 (in).
    pub(super) fn breath(&self, t: f64) -> f64 {
        (TAU * self.respiration_hz * t + self.breath_phase).sin()
    }
}
