//! Beats of a wave that was kept: the detector that watched it live, on one channel's values in the order of time.

use alloc::vec::Vec;

use crate::wave::{Found, WaveKind, WaveMonitor};

/// Values that are given to the detector at once.
const CHUNK: usize = 512;
/// So many microseconds of missing values are told to the detector, which bridges what is short; more is a new beginning.
const MISSING_US_MAX: i64 = 500_000;

/// See the module. The detector needs some seconds before it tells beats, and tells them up to two seconds late: give it more than is
/// wanted on both sides ([`LEAD_US`], [`TAIL_US`]).
#[derive(Clone, Debug)]
pub struct KeptBeats {
    monitor: WaveMonitor,
    plausible: (f64, f64),
    first_us: i64,
    interval_us: u32,
    values: Vec<f32>,
    last_us: Option<i64>,
    found: Vec<Found>,
    beats: Vec<i64>,
}

/// So much earlier than the first beat that is wanted the values begin, in microseconds.
pub const LEAD_US: i64 = 12_000_000;
/// So much later than the last one they end.
pub const TAIL_US: i64 = 3_000_000;

impl KeptBeats {
    /// Before the first value; `plausible` is the channel's range.
    #[must_use]
    pub fn new(kind: WaveKind, plausible: (f64, f64)) -> Self {
        Self {
            monitor: WaveMonitor::new(kind),
            plausible,
            first_us: 0,
            interval_us: 0,
            values: Vec::new(),
            last_us: None,
            found: Vec::new(),
            beats: Vec::new(),
        }
    }

    /// The next value of those that come each `interval_us`. One that is not newer than the one before is left out.
    pub fn even(&mut self, time_us: i64, interval_us: u32, value: f64) {
        if interval_us == 0 || !self.is_next(time_us) {
            return;
        }
        let interval = i64::from(interval_us);
        let due_us = self.first_us.saturating_add(interval.saturating_mul(self.count()));
        let late_us = time_us.saturating_sub(due_us);
        let missing = late_us.saturating_add(interval / 2).div_euclid(interval);
        let follows = interval_us == self.interval_us
            && missing >= 0
            && missing.saturating_mul(interval) <= MISSING_US_MAX;
        if follows {
            self.values.extend((0..missing).map(|_| f32::NAN));
        } else {
            self.give();
            (self.first_us, self.interval_us) = (time_us, interval_us);
        }
        let sample = self.sample(value);
        self.values.push(sample);
        if self.values.len() >= CHUNK {
            self.give();
            self.first_us = time_us.saturating_add(interval);
        }
    }

    /// The next value of a device that says no times: when it came tells when it was measured, about `interval_us` after the one before.
    pub fn alone(&mut self, time_us: i64, interval_us: u32, value: f64) {
        if interval_us == 0 || !self.is_next(time_us) {
            return;
        }
        self.give();
        // An even value after it begins anew.
        self.interval_us = 0;
        let sample = self.sample(value);
        self.monitor.step(time_us, interval_us, &[sample], &mut self.found);
        self.take_found();
    }

    /// All beats: UTC, microseconds since 1970, in their order.
    #[must_use]
    pub fn finish(mut self) -> Vec<i64> {
        self.give();
        self.beats
    }

    fn is_next(&mut self, time_us: i64) -> bool {
        let is_next = self.last_us.is_none_or(|last_us| time_us > last_us);
        if is_next {
            self.last_us = Some(time_us);
        }
        is_next
    }

    fn count(&self) -> i64 {
        i64::try_from(self.values.len()).unwrap_or(i64::MAX)
    }

    fn sample(&self, value: f64) -> f32 {
        let (least, greatest) = self.plausible;
        #[expect(clippy::cast_possible_truncation, reason = "a sample has fewer digits than an f32")]
        let sample = value as f32;
        if (least..=greatest).contains(&value) { sample } else { f32::NAN }
    }

    fn give(&mut self) {
        self.monitor.step(self.first_us, self.interval_us, &self.values, &mut self.found);
        self.values.clear();
        self.take_found();
    }

    fn take_found(&mut self) {
        let beat = |found| match found {
            Found::Beat { time_us } => Some(time_us),
            Found::Second(_) => None,
        };
        self.beats.extend(self.found.drain(..).filter_map(beat));
    }
}
