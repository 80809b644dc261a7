//! Says of the last seconds whether their beats are beats, at which rate they come, and whether they have stopped.

use super::ring::Ring;
use super::{Beat, Signal, WINDOW_S, WaveKind, quality};
use crate::math;

/// A rate needs so many beats, over so many seconds.
const BEATS_MIN: usize = 4;
const SPAN_S_MIN: f64 = 4.5;
/// What comes behind a gap as long as this is a stretch of its own (Orphanidou 2015).
const GAP_S_MAX: f64 = 3.0;
/// Rates that a heart can have.
const RATE_PER_MIN: core::ops::RangeInclusive<f64> = 20.0..=250.0;
/// A peak that is lower than this part of the good beats is none.
const WEAK: f32 = 0.2;
/// In a pause the signal stays within so many heights of its beats around where it was; else it is the sensor that moved.
const DRIFT_HEIGHTS_MAX: f32 = 4.0;
/// For so many seconds bad, what was good before is no measure any more.
const FORGET_S: u32 = 10;

/// What is known of a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) rate_per_min: Option<f32>,
    pub(super) quality: f32,
    pub(super) signal: Signal,
    /// In samples.
    pub(super) without_beat: f64,
}

impl Verdict {
    pub(super) const UNKNOWN: Self =
        Self { rate_per_min: None, quality: 0.0, signal: Signal::Bad, without_beat: 0.0 };
}

/// What the good beats were like.
#[derive(Clone, Copy, Debug)]
struct Good {
    height: f32,
    level: f32,
    quality: f32,
    last_beat: f64,
    /// For how many seconds it has been bad since.
    bad_s: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Judge {
    kind: WaveKind,
    rate_hz: f64,
    good: Option<Good>,
}

impl Judge {
    pub(super) fn new(kind: WaveKind, rate_hz: f64) -> Self {
        Self { kind, rate_hz, good: None }
    }

    /// Whether this is a beat, and not the noise that is left when beats have stopped.
    pub(super) fn counts(&self, beat: &Beat) -> bool {
        self.good.is_none_or(|good| beat.height >= WEAK * good.height)
    }

    /// Judges what the beats until now, the end of the signal, are.
    pub(super) fn judge(&mut self, signal: &Ring, beats: &[Beat], usable: bool) -> Verdict {
        let now = signal.end() as f64;
        let mut strong = [Beat::default(); super::BEATS_MAX];
        let mut count = 0;
        for (slot, beat) in strong.iter_mut().zip(beats.iter().filter(|beat| self.counts(beat))) {
            *slot = *beat;
            count += 1;
        }
        let strong = strong.get(..count).unwrap_or_default();
        if let Some(good) = &mut self.good
            && let Some(last) = strong.last()
        {
            good.last_beat = good.last_beat.max(last.at);
        }
        let pause = self.good.map_or(0.0, |good| now - good.last_beat);
        let verdict = if pause > GAP_S_MAX * self.rate_hz {
            self.pause(signal, beats, pause, usable)
        } else {
            self.window(signal, strong, usable)
        };
        self.learn(signal, &verdict, beats);
        verdict
    }

    fn window(&self, signal: &Ring, beats: &[Beat], usable: bool) -> Verdict {
        let beats = self.stretch(beats, signal.end() as f64);
        let (Some(first), Some(last)) = (beats.first(), beats.last()) else { return Verdict::UNKNOWN };
        let span = last.at - first.at;
        if beats.len() < BEATS_MIN || span < SPAN_S_MIN * self.rate_hz {
            return Verdict::UNKNOWN;
        }
        let quality = quality::likeness(signal, beats, self.rate_hz, self.kind == WaveKind::Ecg);
        let rate = 60.0 * self.rate_hz * (beats.len() - 1) as f64 / span;
        let (quality_min, ratio_max) = match self.kind {
            // Orphanidou et al. found both for windows of 10 s.
            WaveKind::Ecg => (0.66, 3.0),
            WaveKind::Ppg => (0.86, 2.2),
        };
        let believable = RATE_PER_MIN.contains(&rate) && ratio(beats) <= ratio_max && quality >= quality_min;
        if believable && usable {
            Verdict {
                rate_per_min: Some(math::narrow(rate)),
                quality,
                signal: Signal::Good,
                without_beat: 0.0,
            }
        } else {
            Verdict { quality, ..Verdict::UNKNOWN }
        }
    }

    /// The beats of the window that no long gap parts from the end.
    fn stretch<'a>(&self, beats: &'a [Beat], now: f64) -> &'a [Beat] {
        let mut start = beats.len();
        let mut next = now;
        for (place, beat) in beats.iter().enumerate().rev() {
            if next - beat.at > GAP_S_MAX * self.rate_hz || beat.at < now - WINDOW_S * self.rate_hz {
                break;
            }
            start = place;
            next = beat.at;
        }
        beats.get(start..).unwrap_or_default()
    }

    /// No beat as high as the good ones: lower ones, a sensor that moved, or none.
    fn pause(&self, signal: &Ring, beats: &[Beat], pause: f64, usable: bool) -> Verdict {
        let Some(good) = self.good else { return Verdict::UNKNOWN };
        let first = beats.iter().position(|beat| beat.at > good.last_beat).unwrap_or(beats.len());
        let lower = self.window(signal, beats.get(first..).unwrap_or_default(), usable);
        if lower.signal == Signal::Good && lower.quality >= 0.9 {
            return lower;
        }
        let drift = (signal.mean(math::round(self.rate_hz)) - good.level).abs();
        let moved = self.kind == WaveKind::Ppg && drift > DRIFT_HEIGHTS_MAX * good.height;
        if !usable || moved {
            return Verdict::UNKNOWN;
        }
        Verdict { rate_per_min: None, quality: good.quality, signal: Signal::Good, without_beat: pause }
    }

    fn learn(&mut self, signal: &Ring, verdict: &Verdict, beats: &[Beat]) {
        if verdict.rate_per_min.is_none() {
            if let Some(good) = &mut self.good {
                good.bad_s = if verdict.signal == Signal::Good { 0 } else { good.bad_s + 1 };
                if good.bad_s > FORGET_S {
                    self.good = None;
                }
            }
            return;
        }
        let stretch = self.stretch(beats, signal.end() as f64);
        let mut heights = [0.0_f32; super::BEATS_MAX];
        for (slot, beat) in heights.iter_mut().zip(stretch) {
            *slot = beat.height;
        }
        let heights = heights.get_mut(..stretch.len()).unwrap_or_default();
        heights.sort_unstable_by(f32::total_cmp);
        let height = heights.get(heights.len() / 2).copied().unwrap_or(0.0);
        let last_beat = stretch.last().map_or(0.0, |beat| beat.at);
        let level = signal.mean(math::round(WINDOW_S * self.rate_hz));
        self.good = Some(Good { height, level, quality: verdict.quality, last_beat, bad_s: 0 });
    }
}

/// Of the longest interval to the shortest.
fn ratio(beats: &[Beat]) -> f64 {
    let (mut shortest, mut longest) = (f64::INFINITY, 0.0_f64);
    for (one, next) in beats.iter().zip(beats.iter().skip(1)) {
        shortest = shortest.min(next.at - one.at);
        longest = longest.max(next.at - one.at);
    }
    longest / shortest
}
