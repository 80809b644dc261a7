//! A pulse wave or an ECG, as it comes: its beats, and once a second its rate with how far that can be believed.
//!
//! The way of a sample: `contact` sees whether the sensor is on, `segment` makes of what has no gap a signal of the detector's rate,
//! `ecg` or `ppg` finds beats, `quality` compares them, `judge` decides. Nothing is interpolated but gaps of 100 ms at most.
//!
//! Constants are of the publications that the modules name, or were chosen with made signals (`vitalwire_signals::made`) so that noise
//! alone has no rate, and that a rate that is told is right. `vitalwire-bench beats` measures them.

mod contact;
mod ecg;
mod judge;
mod ppg;
mod quality;
mod ring;
mod segment;

use alloc::boxed::Box;
use alloc::vec::Vec;

use contact::Contact;
use segment::{Judged, Segment};

/// What a wave shows of the heart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveKind {
    /// An electrocardiogram: its rate is a heart rate.
    Ecg,
    /// A photoplethysmogram: its rate is a pulse rate.
    Ppg,
}

/// What a stretch of signal is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Beats can be told from noise.
    Good,
    /// They cannot: noise, movement, or too little of it yet.
    Bad,
    /// It does not change at all, or stands at an end of the sensor's range: the sensor is off.
    Off,
}

/// What is known of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Its end: UTC, microseconds since 1970.
    pub time_us: i64,
    /// Beats a minute, over the last ten seconds, or fewer after a start; nothing while the signal is not good, nor in a pause of the heart.
    pub rate_per_min: Option<f32>,
    /// From 0 to 1: how alike the beats are to each other.
    pub quality: f32,
    /// Whether it can be used.
    pub signal: Signal,
    /// For how many microseconds there has been no beat though the signal would show one; 0 when there are beats, or that is
    /// not known.
    pub without_beat_us: u64,
    /// While the sensor is off: the value at which it stands.
    pub stands_at: Option<f32>,
}

/// What a step finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// A beat, also one of a signal that is not good. It is told when it is certain: of an ECG within a second, but for one that is found
    /// when it is looked for again, and those of the first three seconds; of a pulse wave within two.
    Beat {
        /// When it was: UTC, microseconds since 1970.
        time_us: i64,
    },
    /// A second has passed.
    Second(Second),
}

/// Over so many seconds a rate is told.
const WINDOW_S: f64 = 10.0;
/// More beats than a window has at the highest rate that is told.
const BEATS_MAX: usize = 48;
/// Rates of sampling, in Hz, from which beats can be told.
const RATE_HZ_MIN: f64 = 15.0;
const RATE_HZ_MAX: f64 = 2_000.0;
/// No sensor gives such values.
const VALUE_MAX: f32 = 1e12;
/// Missing samples of so many microseconds are bridged; a longer gap is one.
const BRIDGE_US: i64 = 100_000;
/// Of a signal that lacks more, too much would be made up.
const MISSING_SHARE_MAX: f32 = 0.1;
/// Times may differ by this from what was expected, and by two samples: a clock is not exact, and what is sent does not come at once.
const JITTER_US: i64 = 100_000;
/// A few slow samples at once come from devices that say no times: how they came tells when they were measured, and a network may hold
/// them up by so much.
const ALONE_JITTER_US: i64 = 500_000;
const ALONE_INTERVAL_US_MIN: u32 = 20_000;
const ALONE_SPAN_US_MAX: i64 = 500_000;
const SECOND_US: i64 = 1_000_000;

/// A beat in a signal, before its time is known.
#[derive(Clone, Copy, Debug, Default)]
struct Beat {
    /// In samples since the signal's start, also between two.
    at: f64,
    /// How far it stands out; the measure is the detector's.
    height: f32,
}

/// The median.
fn median_height(beats: &[Beat]) -> f32 {
    let mut heights = [0.0_f32; BEATS_MAX];
    heights.iter_mut().zip(beats).for_each(|(slot, beat)| *slot = beat.height);
    let heights = heights.get_mut(..beats.len()).unwrap_or_default();
    heights.sort_unstable_by(f32::total_cmp);
    heights.get(heights.len() / 2).copied().unwrap_or(0.0)
}

/// How far, from -0.5 to 0.5 samples, the top of the parabola through three values is from the middle one, which is the highest or lowest.
fn summit(before: f32, here: f32, behind: f32) -> f64 {
    let bend = f64::from(before) - 2.0 * f64::from(here) + f64::from(behind);
    let offset = 0.5 * (f64::from(before) - f64::from(behind)) / bend;
    if offset.is_finite() { offset.clamp(-0.5, 0.5) } else { 0.0 }
}

/// Watches one wave, of 15 to 2,000 samples a second. It starts again by itself after a gap, a jump of the clock, or a change of the rate.
#[derive(Clone, Debug)]
pub struct WaveMonitor {
    kind: WaveKind,
    interval_us: u32,
    /// When the next sample is due.
    next_us: i64,
    /// The next whole second that is told.
    second_us: i64,
    contact: Contact,
    /// Samples that are missing just now, how often that is, and the last before them.
    missing: i64,
    missing_share: f32,
    last: f32,
    /// What goes on; nothing in a gap and while the sensor is off.
    segment: Option<Box<Segment>>,
    /// The time of the last beat that was told.
    told_us: i64,
}

impl WaveMonitor {
    /// Before the first sample.
    #[must_use]
    pub fn new(kind: WaveKind) -> Self {
        Self {
            kind,
            interval_us: 0,
            next_us: 0,
            second_us: 0,
            contact: Contact::default(),
            missing: 0,
            missing_share: 0.0,
            last: 0.0,
            segment: None,
            told_us: i64::MIN,
        }
    }

    /// What the wave is.
    #[must_use]
    pub fn kind(&self) -> WaveKind {
        self.kind
    }

    /// Takes samples, the first at `first_us`, each `interval_us` after the one before, in any unit. A sample that is not a number
    /// is a gap. What is found is added to `found`: beats and seconds, each in the order of their times. A second is told when its last
    /// sample is there, from the beats that are certain by then; a beat may so come behind a second that ended after it.
    pub fn step(&mut self, first_us: i64, interval_us: u32, samples: &[f32], found: &mut Vec<Found>) {
        if interval_us == 0 || samples.is_empty() {
            return;
        }
        if !self.goes_on(first_us, interval_us, samples.len()) {
            self.start(first_us, interval_us);
        }
        for sample in samples {
            self.take(*sample, found);
        }
    }

    /// Whether samples of this time follow those before. Then the time that is expected comes nearer to theirs.
    fn goes_on(&mut self, first_us: i64, interval_us: u32, count: usize) -> bool {
        let off_us = first_us.saturating_sub(self.next_us);
        let span_us = i64::from(interval_us).saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
        let alone = interval_us >= ALONE_INTERVAL_US_MIN && span_us < ALONE_SPAN_US_MAX;
        let tolerance_us = if alone { ALONE_JITTER_US } else { JITTER_US.max(2 * i64::from(interval_us)) };
        let same_rate = interval_us.abs_diff(self.interval_us) <= self.interval_us / 100;
        if self.interval_us == 0 || !same_rate || !(-tolerance_us..=tolerance_us).contains(&off_us) {
            return false;
        }
        self.next_us = self.next_us.saturating_add(off_us / 8);
        true
    }

    fn start(&mut self, first_us: i64, interval_us: u32) {
        *self = Self {
            interval_us,
            next_us: first_us,
            second_us: whole_second_after(first_us),
            ..Self::new(self.kind)
        };
    }

    fn take(&mut self, sample: f32, found: &mut Vec<Found>) {
        let time_us = self.next_us;
        self.next_us = time_us.saturating_add(i64::from(self.interval_us));
        self.missing_share -= self.missing_share / (5.0 * self.rate_hz());
        if sample.abs() <= VALUE_MAX {
            self.contact.take(sample, self.interval_us);
            self.measured(sample, time_us, found);
        } else {
            self.lost();
        }
        if time_us >= self.second_us {
            let second = self.second();
            self.tell(time_us, found);
            found.push(Found::Second(second));
            self.second_us = whole_second_after(time_us);
        }
    }

    fn rate_hz(&self) -> f32 {
        1e6 / self.interval_us.max(1) as f32
    }

    fn measured(&mut self, sample: f32, time_us: i64, found: &mut Vec<Found>) {
        if self.contact.is_off() {
            self.segment = None;
        } else {
            let missing = if self.segment.is_some() { self.missing } else { 0 };
            let new = || Segment::new(self.kind, self.interval_us, sample).map(Box::new);
            if self.segment.is_none() {
                // A peak at its very beginning seems to be before it, for the filters know nothing of what was.
                self.told_us = self.told_us.max(time_us.saturating_sub(1));
            }
            let segment = self.segment.take().or_else(new);
            self.segment = segment.map(|mut segment| {
                for step in 1..=missing {
                    let part = step as f32 / (missing + 1) as f32;
                    segment.push(self.last + part * (sample - self.last));
                }
                segment.push(sample);
                segment
            });
            self.tell(time_us, found);
        }
        self.missing = 0;
        self.last = sample;
    }

    fn lost(&mut self) {
        self.missing += 1;
        self.missing_share += 1.0 / (5.0 * self.rate_hz());
        let bridged = self.missing * i64::from(self.interval_us) <= BRIDGE_US;
        if !bridged {
            self.missing_share = 0.0;
        }
        if !bridged || self.missing_share > MISSING_SHARE_MAX {
            self.segment = None;
        }
    }

    /// Tells beats that have become certain.
    fn tell(&mut self, time_us: i64, found: &mut Vec<Found>) {
        let Some(segment) = &mut self.segment else { return };
        segment.untold(|before_us| {
            let beat_us = time_us.saturating_sub(before_us);
            if beat_us > self.told_us {
                self.told_us = beat_us;
                found.push(Found::Beat { time_us: beat_us });
            }
        });
    }

    /// What is known of the second that has passed.
    fn second(&mut self) -> Second {
        let usable = self.contact.second();
        let mut second = Second {
            time_us: self.second_us,
            rate_per_min: None,
            quality: 0.0,
            signal: if self.contact.is_off() { Signal::Off } else { Signal::Bad },
            without_beat_us: 0,
            stands_at: self.contact.stands_at(),
        };
        if let Some(segment) = self.segment.as_mut().filter(|_| second.signal != Signal::Off) {
            let Judged { verdict, without_beat_us } = segment.judge(usable);
            second.rate_per_min = verdict.rate_per_min;
            second.quality = verdict.quality.clamp(0.0, 1.0);
            second.signal = verdict.signal;
            second.without_beat_us = without_beat_us;
        }
        second
    }
}

fn whole_second_after(time_us: i64) -> i64 {
    (time_us.div_euclid(SECOND_US)).saturating_add(1).saturating_mul(SECOND_US)
}
