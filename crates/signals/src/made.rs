//! ECGs and pulse waves with beats at known times, healthy and not, with noise of a known strength.
//!
//! Made of Gaussian bumps (P. E. McSharry et al., IEEE Trans. Biomed. Eng. 50(3), 2003; Q. Tang et al., Sci. Rep. 10, 13883, 2020).

#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers of samples are small, and samples have few digits"
)]

use crate::random::Random;

/// What the wave is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Millivolts.
    Ecg,
    /// Volts.
    Ppg,
}

/// How the heart beats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rhythm {
    /// Regular, as far as breathing lets it.
    Sinus,
    /// Each second beat is ventricular and early.
    Bigeminy,
    /// About each sixth beat is ventricular and early.
    Ectopic,
    /// Without any rule, and without P waves.
    Fibrillation,
    /// By a pacemaker: exact, with a spike before a wide complex.
    Paced,
    /// No beat between these seconds, sinus else.
    Pause(f64, f64),
}

/// What lies over the wave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Next to none: a 10,000th of the wave's power.
    None,
    /// White, so many decibels below the wave.
    White(f64),
    /// Movement: each 15 s some seconds of shaking several times as high as the wave.
    Motion,
    /// A third of a hertz, half as high again as the wave.
    Wander,
    /// Mains, 50 Hz, as high as half the wave.
    Hum,
}

/// A wave to be made.
#[derive(Clone, Copy, Debug)]
pub struct Wave {
    /// What it is of.
    pub kind: Kind,
    /// How the heart beats.
    pub rhythm: Rhythm,
    /// Mean rate.
    pub per_min: f64,
    /// Samples a second.
    pub rate_hz: f64,
    /// How long it lasts.
    pub seconds: f64,
    /// What lies over it.
    pub noise: Noise,
    /// 1 is normal.
    pub amplitude: f64,
    /// The same seed makes the same wave.
    pub seed: u64,
}

/// A wave that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The samples.
    pub samples: Vec<f32>,
    /// When beats are: R peaks, or the tops of the pulses; in seconds.
    pub beats_s: Vec<f64>,
}

/// A beat to be drawn.
#[derive(Clone, Copy)]
struct Beat {
    at_s: f64,
    interval_s: f64,
    ventricular: bool,
}

/// Noise and nothing else: each value is `memory`, from 0 (white) to 1 (brown), of the one before, and something by chance.
#[must_use]
pub fn noise(len: usize, memory: f64, seed: u64) -> Vec<f32> {
    let mut rng = Random(seed);
    let mut value = 0.0;
    let next = |_| {
        value = memory * value + rng.gaussian();
        value as f32
    };
    (0..len).map(next).collect()
}

impl Wave {
    /// A minute of a healthy heart at rest.
    #[must_use]
    pub fn new(kind: Kind, rate_hz: f64, seed: u64) -> Self {
        Self {
            kind,
            rhythm: Rhythm::Sinus,
            per_min: 72.0,
            rate_hz,
            seconds: 60.0,
            noise: Noise::None,
            amplitude: 1.0,
            seed,
        }
    }

    /// Makes it.
    #[must_use]
    pub fn make(&self) -> Made {
        let mut rng = Random(self.seed);
        let beats = self.beats(&mut rng);
        let mut samples = vec![0.0; (self.seconds * self.rate_hz).ceil() as usize];
        for beat in &beats {
            self.draw(*beat, &mut samples);
        }
        if self.rhythm == Rhythm::Fibrillation && self.kind == Kind::Ecg {
            self.each(&mut samples, |t| 0.05 * (std::f64::consts::TAU * (6.0 * t + (0.7 * t).sin())).sin());
        }
        self.disturb(&mut rng, &mut samples);
        let beats_s =
            beats.iter().map(|beat| beat.at_s).filter(|at| (0.0..self.seconds).contains(at)).collect();
        Made { samples: samples.iter().map(|value| (value * self.amplitude) as f32).collect(), beats_s }
    }

    fn beats(&self, rng: &mut Random) -> Vec<Beat> {
        let mean_s = 60.0 / self.per_min;
        let (breath, slow): (f64, f64) = (rng.uniform(0.0..6.0), rng.uniform(0.0..6.0));
        let mut at_s = -2.0 + rng.uniform(0.0..mean_s);
        let mut beats = Vec::new();
        let mut pending: Option<f64> = None;
        while at_s < self.seconds + 2.0 {
            let number = beats.len();
            let variation = 0.03 * (1.6 * at_s + breath).sin() + 0.02 * (0.6 * at_s + slow).sin();
            let sinus_s = mean_s * (1.0 + variation);
            let early = |share: f64| (share * sinus_s, (2.0 - share) * sinus_s);
            let mut ventricular = pending.is_some();
            let interval_s = match (self.rhythm, pending.take()) {
                (_, Some(after_s)) => after_s,
                (Rhythm::Bigeminy, None) if number > 0 => {
                    let (before_s, after_s) = early(0.7);
                    pending = Some(after_s);
                    before_s
                }
                (Rhythm::Ectopic, None) if rng.uniform(0.0..1.0) < 0.2 => {
                    let (before_s, after_s) = early(0.65);
                    pending = Some(after_s);
                    before_s
                }
                (Rhythm::Fibrillation, None) => mean_s * rng.uniform(0.6..1.4),
                (Rhythm::Paced, None) => mean_s,
                _ => sinus_s,
            };
            ventricular |= self.rhythm == Rhythm::Paced;
            let silent = matches!(self.rhythm, Rhythm::Pause(from, until) if (from..until).contains(&at_s));
            if !silent {
                beats.push(Beat { at_s, interval_s, ventricular });
            }
            at_s += interval_s;
        }
        beats
    }

    fn draw(&self, beat: Beat, samples: &mut [f64]) {
        // Center, width and height of each bump, in seconds and units.
        let stretch = beat.interval_s.min(1.2).sqrt();
        let bumps: &[(f64, f64, f64)] = match (self.kind, beat.ventricular) {
            (Kind::Ecg, false) => {
                let p = if self.rhythm == Rhythm::Fibrillation { 0.0 } else { 0.12 };
                &[
                    (-0.16 * stretch, 0.022, p),
                    (-0.027, 0.010, -0.10),
                    (0.0, 0.012, 1.0),
                    (0.030, 0.011, -0.22),
                    (0.27 * stretch, 0.045 * stretch, 0.28),
                ]
            }
            (Kind::Ecg, true) => {
                let spike = if self.rhythm == Rhythm::Paced { 2.0 } else { 0.0 };
                &[(-0.09, 0.001, spike), (0.0, 0.038, 1.2), (0.10, 0.03, -0.3), (0.30 * stretch, 0.05, -0.35)]
            }
            (Kind::Ppg, early) => {
                let height = if early && self.rhythm != Rhythm::Paced { 0.5 } else { 1.0 };
                &[(0.0, 0.085 * stretch, height), (0.29 * stretch, 0.105 * stretch, 0.38 * height)]
            }
        };
        for (center_s, width_s, height) in bumps {
            let center_s = beat.at_s + center_s;
            let from = ((center_s - 5.0 * width_s) * self.rate_hz).max(0.0) as usize;
            let until =
                (((center_s + 5.0 * width_s) * self.rate_hz).max(0.0) as usize + 1).min(samples.len());
            for (number, sample) in samples.iter_mut().enumerate().take(until).skip(from) {
                let off = (number as f64 / self.rate_hz - center_s) / width_s;
                *sample += height * (-0.5 * off * off).exp();
            }
        }
    }

    fn each(&self, samples: &mut [f64], wave: impl Fn(f64) -> f64) {
        for (number, sample) in samples.iter_mut().enumerate() {
            *sample += wave(number as f64 / self.rate_hz);
        }
    }

    fn disturb(&self, rng: &mut Random, samples: &mut [f64]) {
        let tau = std::f64::consts::TAU;
        let mean = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
        let power =
            samples.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
        let decibels = if let Noise::White(decibels) = self.noise { decibels } else { 40.0 };
        let deviation = (power / 10_f64.powf(decibels / 10.0)).sqrt();
        for sample in samples.iter_mut() {
            *sample += deviation * rng.gaussian();
        }
        match self.noise {
            Noise::None | Noise::White(_) => {}
            Noise::Wander => self.each(samples, |t| 0.75 * (tau * 0.33 * t).sin()),
            Noise::Hum => self.each(samples, |t| 0.25 * (tau * 50.0 * t).sin()),
            Noise::Motion => {
                let mut start_s = 5.0;
                while start_s < self.seconds {
                    let length_s = rng.uniform(2.0..6.0);
                    let height = rng.uniform(1.0..4.0);
                    let waves: Vec<(f64, f64)> =
                        (0..4).map(|_| (rng.uniform(0.5..4.0), rng.uniform(0.0..tau))).collect();
                    let until_s = start_s + length_s;
                    self.each(samples, |t| {
                        if !(start_s..until_s).contains(&t) {
                            return 0.0;
                        }
                        let swell = (std::f64::consts::PI * (t - start_s) / length_s).sin();
                        let shake = waves.iter().map(|(hz, phase)| (tau * hz * t + phase).sin()).sum::<f64>();
                        height * swell * shake / 2.0
                    });
                    start_s = until_s + rng.uniform(5.0..15.0);
                }
            }
        }
    }
}
