//! The beats of a pulse wave: multi-scale peak and trough detection (S. M. Bishop and A. Ercole, "Multi-scale peak and trough
//! detection optimised for periodic and quasi-periodic neuroscience data", Acta Neurochir. Suppl. 126, 2018), sped up as in
//! MSPTDfast v2 (P. H. Charlton et al., Physiol. Meas. 46(3), 035002, 2025): about 20 Hz, and no scale that is for hearts of less than
//! 30 beats a minute. Windows of ten seconds, one each second, so that what is new waits for no window's end; and the peaks alone.
//!
//! At a scale of k samples a peak is higher than the samples k before and k behind it. The scale with the most of them is about
//! half the interval of the beats, and a beat is what is a peak at all scales up to it: the highest sample within it on either side.
//! So the table of all scales that the publications fill is needed only for its sums.

use alloc::vec::Vec;

use super::ring::Thinned;
use super::{BEATS_MAX, Beat, WINDOW_S, quality};
use crate::math;

/// Half an interval of 30 beats a minute.
const SCALE_S_MAX: f64 = 1.0;
/// What changes more slowly than over this is no pulse.
const LEVEL_S: f64 = 1.5;
/// A pulse that is lower than this part of the others is none.
const WEAK: f32 = 0.35;
/// Samples of a window at the highest rate, 40 Hz.
const SAMPLES_MAX: usize = 404;
/// Of the scales that are odd parts of each other, a smaller one may have so much less of peaks.
const NEARLY: f32 = 0.78;

/// Finds beats in a signal of `rate_hz`, 40 at most.
#[derive(Clone, Debug)]
pub(super) struct Ppg {
    rate_hz: f64,
    signal: Thinned,
    /// Those of the last window.
    beats: Vec<Beat>,
}

/// The last window, smoothed.
type Window = [f32; SAMPLES_MAX];

impl Ppg {
    pub(super) fn new(rate_hz: f64) -> Self {
        Self {
            rate_hz,
            signal: Thinned::new(math::round((WINDOW_S + 0.8) * rate_hz), 1),
            beats: Vec::with_capacity(BEATS_MAX),
        }
    }

    /// What the quality is told from.
    pub(super) fn signal(&self) -> &Thinned {
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
            *slot = self.signal.kept().at(start + offset);
        }
        for _ in 0..math::round(self.rate_hz / 20.0).max(1) {
            smooth(samples);
        }
        let mut copy: Window = [0.0; SAMPLES_MAX];
        let Some(as_it_was) = copy.get_mut(..len) else { return };
        as_it_was.copy_from_slice(samples);
        quality::detrend(samples);
        level(samples, math::round(LEVEL_S / 2.0 * self.rate_hz));
        let Some(scale) = scale(samples, math::round(SCALE_S_MAX * self.rate_hz)) else { return };
        self.peaks(samples, scale, start);
        self.weak_peaks(samples, scale, start);
        // Behind the last beat the mean falls, which lifts the noise there: that is no height.
        for beat in &mut self.beats {
            let place = math::round(beat.at).saturating_sub(start);
            let here = as_it_was.get(place).copied().unwrap_or(0.0);
            beat.height =
                beat.height.min(here - lowest(as_it_was, place.saturating_sub(scale), place)).max(0.0);
        }
    }

    fn peaks(&mut self, samples: &[f32], scale: usize, start: usize) {
        let mut place = scale;
        while place + scale < samples.len() {
            match peak(samples, place, scale) {
                Some(top) => {
                    let here = samples.get(place).copied().unwrap_or(0.0);
                    let foot = lowest(samples, place - scale, place);
                    if self.beats.len() < BEATS_MAX {
                        self.beats.push(Beat { at: (start + place) as f64 + top, height: here - foot });
                    }
                    place += scale;
                }
                None => place += 1,
            }
        }
    }

    /// Beats between those of the scale: after an early one the pulse is weaker, and nearer to the one before. A dicrotic wave rises less.
    fn weak_peaks(&mut self, samples: &[f32], scale: usize, start: usize) {
        let half = (scale / 2).max(math::round(0.2 * self.rate_hz));
        let rise_min = WEAK * super::median_height(&self.beats);
        let mut number = 0;
        while let (Some(before), Some(behind)) = (self.beats.get(number), self.beats.get(number + 1)) {
            let place = |beat: &Beat| math::round(beat.at).saturating_sub(start);
            let (from, until) = (place(before), place(behind));
            number += 1;
            let tops = (from + half..until.saturating_sub(half))
                .filter_map(|at| Some((at, peak(samples, at, half)?)));
            let rise = |at: usize| {
                let here = samples.get(at).copied().unwrap_or(0.0);
                (here - lowest(samples, from, at)).min(here - lowest(samples, at, until))
            };
            let highest =
                tops.map(|(at, top)| (at, top, rise(at))).max_by(|one, other| one.2.total_cmp(&other.2));
            if let Some((at, top, height)) =
                highest.filter(|(_, _, height)| *height >= rise_min && rise_min > 0.0)
                && self.beats.len() < BEATS_MAX
            {
                self.beats.insert(number, Beat { at: (start + at) as f64 + top, height });
                number += 1;
            }
        }
    }
}

/// Where the top is beside `place`, if that is the highest within `scale`.
fn peak(samples: &[f32], place: usize, scale: usize) -> Option<f64> {
    let around = samples.get(place.checked_sub(scale)?..=place + scale)?;
    let (before, behind) = around.split_at(scale);
    let here = *behind.first()?;
    let is_peak = before.iter().all(|value| *value < here) && behind.iter().all(|value| *value <= here);
    is_peak.then(|| super::summit(*before.last().unwrap_or(&here), here, *behind.get(1).unwrap_or(&here)))
}

fn lowest(samples: &[f32], from: usize, until: usize) -> f32 {
    samples.get(from..until).unwrap_or_default().iter().copied().fold(f32::INFINITY, f32::min)
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

/// Takes away what is slower than pulses: the mean around each sample, at the ends as far as there is one.
fn level(samples: &mut [f32], half: usize) {
    let mut copy: Window = [0.0; SAMPLES_MAX];
    let Some(copy) = copy.get_mut(..samples.len()) else { return };
    copy.copy_from_slice(samples);
    let mut sum: f64 = copy.iter().take(half).map(|value| f64::from(*value)).sum();
    let mut count = copy.len().min(half);
    for (place, value) in samples.iter_mut().enumerate() {
        if let Some(next) = copy.get(place + half) {
            sum += f64::from(*next);
            count += 1;
        }
        if let Some(last) = place.checked_sub(half + 1).and_then(|place| copy.get(place)) {
            sum -= f64::from(*last);
            count -= 1;
        }
        *value -= math::narrow(sum / count.max(1) as f64);
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
    // An interval and a half has as many peaks as half an interval, when the beats are regular; so have
    // two and a half, and so on up to the longest scale of the fastest heart.
    for part in [9, 7, 5, 3] {
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

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn the_scale_is_half_an_interval_and_no_odd_part_more() {
        for tenth in 54..400_u16 {
            let interval = f64::from(tenth) / 10.0;
            let samples: Vec<f32> = (0..208_u16)
                .map(|place| math::narrow((std::f64::consts::TAU * f64::from(place) / interval).sin()))
                .collect();
            let scale = scale(&samples, 21).unwrap();
            let half = interval / 2.0;
            assert!((scale as f64 - half).abs() <= 1.0 + 0.15 * half, "{interval}: {scale}");
        }
    }
}
