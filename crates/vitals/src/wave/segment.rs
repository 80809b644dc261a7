//! A signal without gaps: brought to the rate at which beats are looked for, then its beats and what they are worth.

use alloc::boxed::Box;

use super::ecg::Ecg;
use super::judge::{Judge, Verdict};
use super::ppg::Ppg;
use super::{RATE_HZ_MAX, RATE_HZ_MIN, WaveKind};
use crate::math;

/// QRS complexes have nothing above 40 Hz that their detection needs; more samples cost memory.
const ECG_RATE_HZ_MAX: f64 = 130.0;
/// MSPTDfast needs no more than this of a pulse wave.
const PPG_RATE_HZ: f64 = 20.0;

#[derive(Clone, Debug)]
enum Detector {
    Ecg(Box<Ecg>),
    Ppg(Ppg),
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    detector: Detector,
    judge: Judge,
    /// What is subtracted, so that digits are spent on the wave.
    offset: f32,
    interval_us: f64,
    /// Samples whose mean is one of the detector's: how many, and the sum and count of those that came.
    factor: u32,
    sum: f64,
    count: u32,
    /// Beats up to here are told.
    told: f64,
    /// No other beat is so near to one that was told: a window may find the same beat a little beside where the last one found it.
    apart: f64,
}

/// What a second shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) without_beat_us: u64,
}

impl Segment {
    /// Nothing where the rate is one from which beats cannot be told.
    pub(super) fn new(kind: WaveKind, interval_us: u32, first: f32) -> Option<Self> {
        let interval_us = f64::from(interval_us);
        let rate_hz = 1e6 / interval_us;
        if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&rate_hz) {
            return None;
        }
        let parts = match kind {
            WaveKind::Ecg => math::floor(rate_hz / ECG_RATE_HZ_MAX + 1.0),
            WaveKind::Ppg => math::floor(rate_hz / PPG_RATE_HZ),
        };
        let factor = u32::try_from(parts.max(1)).unwrap_or(1);
        let rate_hz = rate_hz / f64::from(factor);
        let detector = match kind {
            WaveKind::Ecg => Detector::Ecg(Box::new(Ecg::new(rate_hz))),
            WaveKind::Ppg => Detector::Ppg(Ppg::new(rate_hz)),
        };
        let judge = Judge::new(kind, rate_hz);
        Some(Self {
            detector,
            judge,
            offset: first,
            interval_us,
            factor,
            sum: 0.0,
            count: 0,
            told: f64::NEG_INFINITY,
            apart: 0.2 * rate_hz,
        })
    }

    pub(super) fn push(&mut self, sample: f32) {
        self.sum += f64::from(sample) - f64::from(self.offset);
        self.count += 1;
        if self.count < self.factor {
            return;
        }
        let mean = math::narrow(self.sum / f64::from(self.factor));
        (self.sum, self.count) = (0.0, 0);
        match &mut self.detector {
            Detector::Ecg(ecg) => ecg.push(mean),
            Detector::Ppg(ppg) => ppg.push(mean),
        }
    }

    /// Calls `tell` with how many microseconds before the last sample each beat was that has become certain.
    pub(super) fn untold(&mut self, mut tell: impl FnMut(i64)) {
        let (beats, end, delay) = match &self.detector {
            Detector::Ecg(ecg) => (ecg.beats(), ecg.signal().end(), ecg.delay()),
            Detector::Ppg(ppg) => (ppg.beats(), ppg.signal().end(), 0.0),
        };
        // The last sample but those whose mean is not there yet, and of the mean the middle.
        let newest = f64::from(self.count) + f64::from(self.factor - 1) / 2.0;
        let first =
            beats.iter().rposition(|beat| beat.at <= self.told + self.apart).map_or(0, |place| place + 1);
        for beat in beats.get(first..).unwrap_or_default() {
            if self.judge.counts(beat) {
                let samples = (end as f64 - 1.0 - beat.at + delay) * f64::from(self.factor) + newest;
                tell(math::round_us(samples * self.interval_us));
            }
            self.told = beat.at;
        }
    }

    /// What the last seconds show; `usable` says whether the waves are whole.
    pub(super) fn judge(&mut self, usable: bool) -> Judged {
        let verdict = match &mut self.detector {
            Detector::Ecg(ecg) => self.judge.judge(ecg.signal(), ecg.beats(), ecg.others(), usable),
            Detector::Ppg(ppg) => {
                ppg.find();
                self.judge.judge(ppg.signal(), ppg.beats(), &[], usable)
            }
        };
        let without_beat_us = verdict.without_beat * f64::from(self.factor) * self.interval_us;
        Judged { verdict, without_beat_us: math::round_us(without_beat_us).unsigned_abs() }
    }
}
