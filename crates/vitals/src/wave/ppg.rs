//! The beats of a pulse wave: multi-scale peak and trough detection (S. M. Bishop and A. Ercole, "Multi-scale peak and trough
//! detection optimised for periodic and quasi-periodic neuroscience data", Acta Neurochir. Suppl. 126, 2018), sped up as P. H.
//! Charlton et al. do it in MSPTDfast v2 (Computing in Cardiology 51, 2024): about 20 Hz, no scale that a heart is too slow for, and the
//! peaks alone.
//!
//! At a scale of k samples a peak is higher than the samples k before and k behind it. The scale with the most of them is about
//! half the interval of the beats, and a beat is what is a peak at all scales up to it: the highest sample within it on either side.
//! So the table of all scales that the publications fill is needed only for its sums.

use alloc::vec::Vec;

use super::ring::Ring;
use super::{BEATS_MAX, Beat, WINDOW_S};
use crate::math;

/// Half an interval of 30 beats a minute.
const SCALE_S_MAX: f64 = 1.0;
/// Samples of a window at the highest rate, 40 Hz.
const SAMPLES_MAX: usize = 404;
/// Of the scales that are odd parts of each other, a smaller one may have so much less of peaks.
const NEARLY: f32 = 0.9;

/// Finds beats in a signal of `rate_hz`, 40 at most.
#[derive(Clone, Debug)]
pub(super) struct Ppg {
    rate_hz: f64,
    signal: Ring,
    /// Those of the last window.
    beats: Vec<Beat>,
}

/// The last window, smoothed.
type Window = [f32; SAMPLES_MAX];

impl Ppg {
    pub(super) fn new(rate_hz: f64) -> Self {
        Self {
            rate_hz,
            signal: Ring::new(math::round((WINDOW_S + 1.2) * rate_hz)),
            beats: Vec::with_capacity(BEATS_MAX),
        }
    }

    /// What the quality is told from.
    pub(super) fn signal(&self) -> &Ring {
        &self.signal
    }

    pub(super) fn beats(&self) -> &[Beat] {
        &self.beats
    }

    pub(super) fn push(&mut self, value: f32) {
        self.signal.push(value);
    }

    /// Looks at the last window.
    pub(super) fn find(&mut self) {
        self.beats.clear();
        let mut window: Window = [0.0; SAMPLES_MAX];
        let len = self.signal.end().min(math::round(WINDOW_S * self.rate_hz)).min(SAMPLES_MAX);
        let start = self.signal.end() - len;
        let Some(samples) = window.get_mut(..len) else { return };
        for (offset, slot) in samples.iter_mut().enumerate() {
            *slot = self.signal.at(start + offset);
        }
        for _ in 0..math::round(self.rate_hz / 20.0).max(1) {
            smooth(samples);
        }
        detrend(samples);
        let Some(scale) = scale(samples, math::round(SCALE_S_MAX * self.rate_hz)) else { return };
        self.peaks(samples, scale, start);
    }

    fn peaks(&mut self, samples: &[f32], scale: usize, start: usize) {
        let mut place = scale;
        while let Some(around) = samples.get(place - scale..=place + scale) {
            let here = around.get(scale).copied().unwrap_or(0.0);
            let (before, behind) = around.split_at(scale);
            let is_peak =
                before.iter().all(|value| *value < here) && behind.iter().all(|value| *value <= here);
            if !is_peak {
                place += 1;
                continue;
            }
            let beside = |offset: usize| around.get(offset).copied().unwrap_or(here);
            let top = super::summit(beside(scale - 1), here, beside(scale + 1));
            let foot = before.iter().copied().fold(here, f32::min);
            if self.beats.len() < BEATS_MAX {
                self.beats.push(Beat { at: (start + place) as f64 + top, height: here - foot });
            }
            place += scale;
        }
    }
}

/// A mean over three samples, the middle one counted twice: zero at half the sampling rate, and without a delay.
fn smooth(samples: &mut [f32]) {
    let Some(mut before) = samples.first().copied() else { return };
    for place in 0..samples.len() {
        let behind = samples.get(place + 1).copied();
        if let Some(here) = samples.get_mut(place) {
            let mean = 0.5 * *here + 0.25 * (before + behind.unwrap_or(*here));
            before = core::mem::replace(here, mean);
        }
    }
}

/// Takes away the straight line that fits best.
fn detrend(samples: &mut [f32]) {
    let middle = (samples.len() as f64 - 1.0) / 2.0;
    let (mut sum, mut moment, mut spread) = (0.0, 0.0, 0.0);
    for (place, value) in samples.iter().enumerate() {
        let from_middle = place as f64 - middle;
        sum += f64::from(*value);
        moment += from_middle * f64::from(*value);
        spread += from_middle * from_middle;
    }
    let mean = sum / samples.len().max(1) as f64;
    let slope = if spread > 0.0 { moment / spread } else { 0.0 };
    for (place, value) in samples.iter_mut().enumerate() {
        *value -= math::narrow(mean + slope * (place as f64 - middle));
    }
}

/// The scale with the most peaks for its length.
fn scale(samples: &[f32], scale_max: usize) -> Option<usize> {
    let mut shares = [0.0_f32; SAMPLES_MAX];
    let scale_max = scale_max.min(samples.len() / 4);
    for scale in 1..=scale_max {
        if let Some(share) = shares.get_mut(scale) {
            *share = share_of_peaks(samples, scale);
        }
    }
    let at = |scale: usize| shares.get(scale).copied().unwrap_or(0.0);
    let best = (1..=scale_max).rev().max_by(|a, b| at(*a).total_cmp(&at(*b)))?;
    // An interval and a half has as many peaks as half an interval, when the beats are regular; so have two and a half.
    for part in [5, 3] {
        let near = (best / part).max(1)..=(best / part + 1);
        let smaller = near.max_by(|a, b| at(*a).total_cmp(&at(*b)))?;
        if smaller < best && at(smaller) >= NEARLY * at(best) {
            return Some(smaller);
        }
    }
    (at(best) > 0.0).then_some(best)
}

/// Which share of the samples is higher than those `scale` before and behind.
fn share_of_peaks(samples: &[f32], scale: usize) -> f32 {
    let (Some(here), Some(behind)) = (samples.get(scale..), samples.get(2 * scale..)) else { return 0.0 };
    let peaks: u32 = (samples.iter().zip(here).zip(behind))
        .map(|((before, here), behind)| u32::from((here > before) & (here > behind)))
        .sum();
    peaks as f32 / behind.len().max(1) as f32
}
