//! Says of the last seconds whether their beats are beats, at which rate they come, and whether they have stopped.

use super::ring::Thinned;
use super::{Beat, Signal, WINDOW_S, WaveKind, quality};
use crate::math;

/// An ECG of fewer samples does not show each QRS complex, which is as long as two of them.
const COARSE_HZ: f64 = 40.0;
/// A rate needs so many beats, over so many seconds.
const BEATS_MIN: usize = 4;
const SPAN_S_MIN: f64 = 4.5;
/// What comes behind a gap as long as this is a stretch of its own (Orphanidou 2015).
const GAP_S_MAX: f64 = 3.0;
/// Rates that a heart can have.
const RATE_PER_MIN: core::ops::RangeInclusive<f64> = 20.0..=250.0;
/// An interval is regular when it differs by no more than this part from the median; a rhythm, when so many are.
const REGULAR: f64 = 0.12;
const REGULAR_SHARE: f64 = 0.8;
/// What is taken for noise is no higher than this part of the beats, or it may be beats.
const DOUBTFUL: f32 = 0.5;
/// Pulses are as high as their median but for these factors.
const EVEN_MIN: f32 = 0.35;
const EVEN_MAX: f32 = 2.0;
/// A peak that is lower than this part of the good beats is none.
const WEAK: f32 = 0.2;
/// In a pause the signal stays within so many heights of its beats around where it was; else it is the sensor that moved.
const DRIFT_HEIGHTS_MAX: f32 = 4.0;
/// And in a second it moves by no more than this part of them.
const STILL: f32 = 0.6;
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

    /// Whether a QRS complex may lie between two samples.
    fn is_coarse(&self) -> bool {
        self.kind == WaveKind::Ecg && self.rate_hz < COARSE_HZ
    }

    /// Whether this is a beat, and not the noise that is left when beats have stopped.
    pub(super) fn counts(&self, beat: &Beat) -> bool {
        self.good.is_none_or(|good| beat.height >= WEAK * good.height)
    }

    /// Judges what the beats until now, the end of the signal, are.
    pub(super) fn judge(
        &mut self,
        signal: &Thinned,
        beats: &[Beat],
        others: &[Beat],
        usable: bool,
    ) -> Verdict {
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
            self.pause(signal, beats, others, pause, usable)
        } else {
            self.window(signal, strong, others, usable)
        };
        self.learn(signal, &verdict, if pause > GAP_S_MAX * self.rate_hz { beats } else { strong });
        verdict
    }

    fn window(&self, signal: &Thinned, beats: &[Beat], others: &[Beat], usable: bool) -> Verdict {
        let beats = self.stretch(beats, signal.end() as f64);
        let (Some(first), Some(last)) = (beats.first(), beats.last()) else { return Verdict::UNKNOWN };
        let span = last.at - first.at;
        if beats.len() < BEATS_MIN || span < SPAN_S_MIN * self.rate_hz {
            return Verdict::UNKNOWN;
        }
        let likeness = quality::likeness(signal, beats, self.rate_hz, self.kind == WaveKind::Ecg);
        let quality = likeness.mean;
        let rate = 60.0 * self.rate_hz / mean_interval(beats);
        let (quality_min, ratio_max, odd_max) = match self.kind {
            // Orphanidou et al. found the first two for windows of 10 s.
            WaveKind::Ecg if self.is_coarse() => (0.8, 1.5, 0.0),
            WaveKind::Ecg => (0.66, 3.0, 0.12),
            // Few beats are alike by chance, too.
            WaveKind::Ppg if beats.len() < 8 => (0.92, 2.2, 0.0),
            WaveKind::Ppg => (0.86, 2.2, 0.0),
        };
        let doubtful = doubtful(beats, others, if self.is_coarse() { DOUBTFUL / 2.0 } else { DOUBTFUL });
        let believable = !doubtful
            && (self.kind == WaveKind::Ecg || even(beats))
            && RATE_PER_MIN.contains(&rate)
            && ratio(beats) <= ratio_max
            && quality >= quality_min
            && likeness.odd <= odd_max;
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
    fn pause(&self, signal: &Thinned, beats: &[Beat], others: &[Beat], pause: f64, usable: bool) -> Verdict {
        let Some(good) = self.good else { return Verdict::UNKNOWN };
        let first = beats.iter().position(|beat| beat.at > good.last_beat).unwrap_or(beats.len());
        let lower = self.window(signal, beats.get(first..).unwrap_or_default(), others, usable);
        if lower.signal == Signal::Good && lower.quality >= 0.9 {
            return lower;
        }
        let shows_beats = match self.kind {
            WaveKind::Ecg => !self.is_coarse(),
            WaveKind::Ppg => self.is_quiet(signal, &good),
        };
        if !usable || !shows_beats {
            return Verdict::UNKNOWN;
        }
        Verdict { rate_per_min: None, quality: good.quality, signal: Signal::Good, without_beat: pause }
    }

    /// Whether a pulse wave is where it was, and what moves in it is less than a pulse.
    fn is_quiet(&self, signal: &Thinned, good: &Good) -> bool {
        let second = math::round(self.rate_hz);
        let drift = (signal.mean(second) - good.level).abs();
        let end = signal.end();
        let is_still = |back: usize| {
            let values =
                (end.saturating_sub(back + second)..end.saturating_sub(back)).map(|at| signal.kept().at(at));
            let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
            high - low <= STILL * good.height
        };
        drift <= DRIFT_HEIGHTS_MAX * good.height && is_still(0) && is_still(second)
    }

    fn learn(&mut self, signal: &Thinned, verdict: &Verdict, beats: &[Beat]) {
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
        let height = super::median_height(stretch);
        let last_beat = stretch.last().map_or(0.0, |beat| beat.at);
        let level = signal.mean(math::round(WINDOW_S * self.rate_hz));
        self.good = Some(Good { height, level, quality: verdict.quality, last_beat, bad_s: 0 });
    }
}

/// In samples. Of a regular rhythm the few intervals that are not regular, such as those around a beat that was missed, are left out.
fn mean_interval(beats: &[Beat]) -> f64 {
    let intervals = || beats.iter().zip(beats.iter().skip(1)).map(|(one, next)| next.at - one.at);
    let mut sorted = [f32::INFINITY; super::BEATS_MAX];
    sorted.iter_mut().zip(intervals()).for_each(|(slot, interval)| *slot = math::narrow(interval));
    let count = beats.len().saturating_sub(1).max(1);
    let sorted = sorted.get_mut(..count).unwrap_or_default();
    sorted.sort_unstable_by(f32::total_cmp);
    let median = sorted.get(count / 2).copied().map_or(0.0, f64::from);
    let is_regular = |interval: &f64| (interval - median).abs() <= REGULAR * median;
    let regular = intervals().filter(is_regular).count();
    if regular as f64 >= REGULAR_SHARE * count as f64 {
        intervals().filter(is_regular).sum::<f64>() / regular.max(1) as f64
    } else {
        intervals().sum::<f64>() / count as f64
    }
}

/// Whether something among the beats is nearly as high as they are.
fn doubtful(beats: &[Beat], others: &[Beat], share: f32) -> bool {
    let height = super::median_height(beats);
    let (Some(first), Some(last)) = (beats.first(), beats.last()) else { return true };
    let among = |other: &&Beat| (first.at..last.at).contains(&other.at);
    others.iter().filter(among).any(|other| other.height > share * height)
}

/// Whether no pulse is much higher or lower than the others.
fn even(beats: &[Beat]) -> bool {
    let median = super::median_height(beats);
    beats.iter().all(|beat| (EVEN_MIN * median..=EVEN_MAX * median).contains(&beat.height))
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
