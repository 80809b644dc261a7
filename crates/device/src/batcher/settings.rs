//! What a server wants otherwise: how long a batch is and how often to measure.

use vitalwire_protocol::batch::{CHANNELS_MAX, Configure};

/// How long a batch is and how often to measure; what a server's `Configure` changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    batch_ms: Option<u32>,
    /// Per channel; 0: as it is.
    intervals_us: [u32; CHANNELS_MAX],
}

impl Settings {
    /// What a message asks for.
    #[must_use]
    pub fn of(configure: &Configure<'_>) -> Self {
        let mut intervals_us = [0; CHANNELS_MAX];
        for (index, interval_us) in configure.intervals() {
            if let Some(slot) = intervals_us.get_mut(usize::from(index)) {
                *slot = interval_us;
            }
        }
        Self { batch_ms: configure.batch_ms, intervals_us }
    }

    /// These, and then those of a later message.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.batch_ms = later.batch_ms.or(self.batch_ms);
        for (old, new) in self.intervals_us.iter_mut().zip(later.intervals_us) {
            *old = if new > 0 { new } else { *old };
        }
        self
    }

    /// These, but no channel more often than this, in microseconds by index; channels that are not listed are not changed.
    #[must_use]
    pub fn at_least(mut self, intervals_us_min: &[u32]) -> Self {
        for (interval_us, min) in self.intervals_us.iter_mut().zip(intervals_us_min) {
            *interval_us = if *interval_us > 0 { (*interval_us).max(*min) } else { 0 };
        }
        self
    }

    /// Milliseconds of values in a batch, if they change.
    #[must_use]
    pub fn batch_ms(&self) -> Option<u32> {
        self.batch_ms
    }

    /// A channel's new interval in microseconds, if it changes.
    #[must_use]
    pub fn interval_us(&self, index: u8) -> Option<u32> {
        self.intervals_us.get(usize::from(index)).copied().filter(|interval_us| *interval_us > 0)
    }
}
