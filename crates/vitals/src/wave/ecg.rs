//! The beats of an ECG: J. Pan and W. J. Tompkins, "A real-time QRS detection algorithm", IEEE Trans. Biomed. Eng. 32(3), 1985,
//! with the medians of P. S. Hamilton and W. J. Tompkins, "Quantitative investigation of QRS detection rules", the same, 33(12),
//! 1986, in place of running means, so that one artefact spoils nothing. It looks at each sample once and never back.
//!
//! The filters there are made for 200 Hz. All of them are moving means, so here they are as long in seconds as there.

use alloc::vec::Vec;

use super::ring::{Average, Ring, Thinned};
use super::{BEATS_MAX, Beat, WINDOW_S};
use crate::math;

/// Low-pass: a mean over six samples of 200 Hz, twice.
const LOW_S: f64 = 0.030;
/// What is left behind the low-pass needs no more samples than this at least.
const QUALITY_HZ: f64 = 50.0;
/// High-pass: what a mean over 32 samples of 200 Hz leaves.
const HIGH_S: f64 = 0.160;
/// The slope is taken over this.
const SLOPE_S: f64 = 0.016;
/// The window of integration: the widest QRS complex.
const ENERGY_S: f64 = 0.150;
/// Energy that is higher by no more than this is on the same plateau.
const PLATEAU: f32 = 1.1;
/// No two beats are closer.
const REFRACTORY_S: f64 = 0.200;
/// Within this of a beat, what is less than half as steep is its T wave.
const T_WAVE_S: f64 = 0.360;
/// How much of the beginning sets the levels.
const LEARNING_S: f64 = 3.0;
/// Without a beat for so long, they are set again.
const LEARN_AGAIN_S: f64 = 6.0;
/// The threshold lies so far from the level of noise to that of beats.
const THRESHOLD: f32 = 0.3125;
/// A beat is looked for again, with half the threshold, after so many mean intervals.
const SEARCH_BACK: f64 = 1.66;

/// A place where the signal's slopes gather.
#[derive(Clone, Copy, Debug)]
struct Peak {
    at: f64,
    height: f32,
    slope: f32,
    /// From -1 to 1: how much more it points up than down.
    tilt: f32,
}

/// Where energy may have its peak: where it came to the plateau of it, the energy there; where it was highest, and how high.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    at: usize,
    there: f32,
    top: usize,
    height: f32,
}

/// Finds beats in a signal of `rate_hz`.
#[derive(Clone, Debug)]
pub(super) struct Ecg {
    rate_hz: f64,
    low: [Average; 2],
    /// What the high-pass needs of the low-passed signal.
    recent: Ring,
    /// The same for the quality, which needs longer and fewer.
    signal: Thinned,
    /// Half the length of the high-pass.
    half: usize,
    band: Ring,
    slope: usize,
    energy: Average,
    energy_len: usize,
    candidate: Option<Candidate>,
    /// What came in the learning phase, until it ends at this sample.
    learning: Option<(usize, Vec<Peak>)>,
    levels: Levels,
    /// The highest peak since the last beat that was taken for noise.
    rejected: Option<Peak>,
    last: Option<Peak>,
    intervals: [f32; 8],
    /// Above 0 where beats point up.
    polarity: f32,
    beats: Vec<Beat>,
    /// Peaks that were taken for noise.
    others: Vec<Beat>,
}

/// The heights of the last beats and of the last peaks of noise.
#[derive(Clone, Debug, Default)]
struct Levels {
    beats: [f32; 8],
    noise: [f32; 8],
}

impl Levels {
    fn threshold(&self) -> f32 {
        let noise = math::median(self.noise);
        noise + THRESHOLD * (math::median(self.beats) - noise)
    }
}

fn keep(values: &mut [f32; 8], value: f32) {
    values.rotate_left(1);
    if let Some(last) = values.last_mut() {
        *last = value;
    }
}

fn remember(beats: &mut Vec<Beat>, peak: Peak) {
    if beats.len() == BEATS_MAX {
        beats.remove(0);
    }
    beats.push(Beat { at: peak.at, height: peak.height });
}

impl Ecg {
    pub(super) fn new(rate_hz: f64) -> Self {
        let samples = |seconds: f64| math::round(seconds * rate_hz);
        let half = (samples(HIGH_S) / 2).max(1);
        let energy_len = samples(ENERGY_S).max(1);
        let low = Average::new(samples(LOW_S));
        Self {
            rate_hz,
            low: [low.clone(), low],
            recent: Ring::new(2 * half + 1),
            signal: Thinned::new(samples(WINDOW_S + 0.8), math::floor(rate_hz / QUALITY_HZ)),
            half,
            band: Ring::new(samples(2.0 * REFRACTORY_S + ENERGY_S) + 8),
            slope: samples(SLOPE_S),
            energy: Average::new(energy_len),
            energy_len,
            candidate: None,
            learning: Some((samples(LEARNING_S), Vec::new())),
            levels: Levels::default(),
            rejected: None,
            last: None,
            intervals: [0.0; 8],
            polarity: 0.0,
            beats: Vec::with_capacity(BEATS_MAX),
            others: Vec::with_capacity(BEATS_MAX),
        }
    }

    /// What the quality is told from.
    pub(super) fn signal(&self) -> &Thinned {
        &self.signal
    }

    pub(super) fn beats(&self) -> &[Beat] {
        &self.beats
    }

    pub(super) fn others(&self) -> &[Beat] {
        &self.others
    }

    /// How many samples the signal lies behind what came in.
    pub(super) fn delay(&self) -> f64 {
        (self.low.first().map_or(1, Average::len) - 1) as f64
    }

    pub(super) fn push(&mut self, value: f32) {
        let value = self.low.iter_mut().fold(value, |value, low| low.push(value));
        self.signal.push(value);
        self.recent.push(value);
        let end = self.recent.end();
        let width = 2 * self.half + 1;
        let band =
            if end < width { 0.0 } else { self.recent.at(end - 1 - self.half) - self.recent.mean(width) };
        self.band.push(band);
        let steep = self.steepness(end - 1);
        let energy = self.energy.push(steep * steep);
        self.follow(end - 1, energy);
        self.search_back(end);
        self.learn(end);
    }

    /// The slope that ends at this sample. At low rates the high-pass is a difference already.
    fn steepness(&self, number: usize) -> f32 {
        let here = self.band.at(number);
        if self.slope == 0 { here } else { here - self.band.at(number.wrapping_sub(self.slope)) }
    }

    /// A peak is the highest energy, when none higher has come for the refractory time. On a plateau its first sample counts, so that
    /// the next beat of a fast heart is not within that time of it.
    fn follow(&mut self, number: usize, energy: f32) {
        let Some(candidate) = &mut self.candidate else {
            self.candidate = Some(Candidate { at: number, there: energy, top: number, height: energy });
            return;
        };
        if energy > PLATEAU * candidate.there {
            *candidate = Candidate { at: number, there: energy, top: number, height: energy };
            return;
        }
        if energy > candidate.height {
            (candidate.top, candidate.height) = (number, energy);
        }
        let Candidate { at, top, height, .. } = *candidate;
        if number - at >= math::round(REFRACTORY_S * self.rate_hz) {
            self.candidate = None;
            if height > 0.0 {
                let peak = self.peak(at, top, height);
                self.take(peak);
            }
        }
    }

    /// Where the beat is whose energy has its peak here.
    fn peak(&mut self, plateau: usize, end: usize, energy: f32) -> Peak {
        let start = plateau.saturating_sub(self.energy_len + self.slope);
        let (mut up, mut down, mut slope) = ((start, 0.0_f32), (start, 0.0_f32), 0.0_f32);
        for number in start..=end {
            let value = self.band.at(number);
            if value > up.1 {
                up = (number, value);
            }
            if value < down.1 {
                down = (number, value);
            }
            slope = slope.max(self.steepness(number).abs());
        }
        // Without a memory, a beat whose waves up and down are alike would be found now at one and now at the other.
        let total = (up.1 - down.1).max(f32::MIN_POSITIVE);
        let tilt = (up.1 + down.1) / total;
        let number = if self.polarity >= 0.0 { up.0 } else { down.0 };
        let at = self.summit(number) - self.half as f64;
        Peak { at, height: math::narrow(math::sqrt(f64::from(energy))), slope, tilt }
    }

    /// The top of the parabola through an extreme and its two neighbours.
    fn summit(&self, number: usize) -> f64 {
        super::summit(self.band.at(number.wrapping_sub(1)), self.band.at(number), self.band.at(number + 1))
            + number as f64
    }

    fn take(&mut self, peak: Peak) {
        if let Some((_, peaks)) = &mut self.learning {
            // Levels that are known are good for a beat as high as those before the pause.
            if self.last.is_none() || peak.height <= self.levels.threshold() {
                peaks.push(peak);
                return;
            }
            self.learning = None;
        }
        let is_t_wave = self
            .last
            .is_some_and(|last| peak.at - last.at < T_WAVE_S * self.rate_hz && peak.slope < 0.5 * last.slope);
        if peak.height > self.levels.threshold() && !is_t_wave {
            self.accept(peak);
            return;
        }
        keep(&mut self.levels.noise, peak.height);
        remember(&mut self.others, peak);
        if !is_t_wave && self.rejected.is_none_or(|before| before.height < peak.height) {
            self.rejected = Some(peak);
        }
    }

    fn accept(&mut self, peak: Peak) {
        if let Some(last) = self.last {
            if peak.at - last.at < 0.9 * REFRACTORY_S * self.rate_hz {
                return;
            }
            keep(&mut self.intervals, math::narrow(peak.at - last.at));
        }
        keep(&mut self.levels.beats, peak.height);
        self.polarity += 0.2 * (peak.tilt - self.polarity);
        self.rejected = None;
        self.last = Some(peak);
        remember(&mut self.beats, peak);
    }

    fn search_back(&mut self, end: usize) {
        let (Some(last), Some(rejected)) = (self.last, self.rejected) else { return };
        let known = self.intervals.iter().filter(|interval| **interval > 0.0);
        let mean = f64::from(known.clone().sum::<f32>()) / known.count().max(1) as f64;
        // The filters' and the refractory time's delay are not part of the interval.
        let since = end as f64 - self.half as f64 - last.at - (ENERGY_S / 2.0 + REFRACTORY_S) * self.rate_hz;
        if mean > 0.0
            && since > SEARCH_BACK * mean
            && rejected.height > 0.5 * self.levels.threshold()
            && rejected.at - last.at > T_WAVE_S * self.rate_hz
        {
            self.accept(rejected);
        }
    }

    /// Ends the learning phase, or begins one when there are no beats.
    fn learn(&mut self, end: usize) {
        let seconds = |count: f64| math::round(count * self.rate_hz);
        match self.learning.take() {
            Some((until, peaks)) if end >= until => {
                let highest: [f32; 3] = core::array::from_fn(|third| {
                    let from = until.saturating_sub(seconds(LEARNING_S)) as f64
                        + third as f64 * LEARNING_S / 3.0 * self.rate_hz;
                    let within =
                        |peak: &&Peak| (from..from + LEARNING_S / 3.0 * self.rate_hz).contains(&peak.at);
                    peaks.iter().filter(within).map(|peak| peak.height).fold(0.0, f32::max)
                });
                let level = math::median(highest);
                self.levels = Levels { beats: [level; 8], noise: [0.15 * level; 8] };
                self.rejected = None;
                for peak in peaks {
                    self.take(peak);
                }
            }
            Some(learning) => self.learning = Some(learning),
            None => {
                let since = self.last.map_or(0.0, |last| last.at);
                if end as f64 - since > LEARN_AGAIN_S * self.rate_hz {
                    self.learning = Some((end + seconds(LEARNING_S), Vec::new()));
                }
            }
        }
    }
}
