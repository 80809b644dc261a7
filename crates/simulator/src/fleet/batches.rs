//! What became of a device's batches: made, sent, acknowledged, or dropped for want of room.

use std::collections::VecDeque;
use std::time::Instant;

/// One batch of a device on the secure link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSeen {
    /// Its sequence in the present boot.
    pub sequence: u64,
    /// Samples in it.
    pub samples: u64,
    /// Samples of this device in the batches before it.
    pub samples_before: u64,
    /// When its first sample was measured: the moment at which it was due.
    pub first_measured: Instant,
    /// When its last sample was measured.
    pub last_measured: Instant,
    /// When it was first handed to the network.
    pub sent: Option<Instant>,
    /// When its acknowledgement came.
    pub acknowledged: Option<Instant>,
}

impl BatchSeen {
    /// When sample `n` of it was measured, from 0; its samples lie at an even interval.
    fn measured(&self, n: u64) -> Option<Instant> {
        let span = self.last_measured.saturating_duration_since(self.first_measured);
        let steps = self.samples.checked_sub(1)?;
        match (n, steps) {
            (0, _) => Some(self.first_measured),
            _ if n > steps => None,
            _ => Some(self.first_measured + span.mul_f64(n as f64 / steps as f64)),
        }
    }
}

/// Counts of one thing that happens to batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchCount {
    /// Batches.
    pub batches: u64,
    /// Samples in them: moments of measuring, of whatever channels.
    pub samples: u64,
}

impl BatchCount {
    fn add(&mut self, samples: u64) {
        self.batches += 1;
        self.samples += samples;
    }

    pub(super) fn include(&mut self, other: Self) {
        self.batches += other.batches;
        self.samples += other.samples;
    }
}

/// What became of the batches of one device, or of many. All that were made are acknowledged, dropped or held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchCounts {
    /// Made of what was measured.
    pub made: BatchCount,
    /// Handed to the network at least once.
    pub sent: BatchCount,
    /// Handed to the network again, after a connection was lost.
    pub resent: BatchCount,
    /// The server said that it holds them.
    pub acknowledged: BatchCount,
    /// Gone for want of room before they were acknowledged. The server may have got them all the same.
    pub dropped: BatchCount,
}

impl BatchCounts {
    /// Batches that the device still holds.
    #[must_use]
    pub fn held(&self) -> BatchCount {
        let gone = |of: fn(&BatchCount) -> u64| of(&self.acknowledged) + of(&self.dropped);
        BatchCount {
            batches: self.made.batches.saturating_sub(gone(|count| count.batches)),
            samples: self.made.samples.saturating_sub(gone(|count| count.samples)),
        }
    }

    pub(super) fn include(&mut self, other: &Self) {
        self.made.include(other.made);
        self.sent.include(other.sent);
        self.resent.include(other.resent);
        self.acknowledged.include(other.acknowledged);
        self.dropped.include(other.dropped);
    }
}

/// A device's batches of this boot, the newest last. Those that it holds are kept, and of the others the newest.
#[derive(Default)]
pub(super) struct Batches {
    pub(super) counts: BatchCounts,
    kept: VecDeque<BatchSeen>,
    /// The oldest that the device holds, or the next to come.
    unsettled: u64,
    /// The next that was never sent.
    unsent: u64,
}

impl Batches {
    pub(super) fn find(&self, sequence: u64) -> Option<&BatchSeen> {
        self.kept.get(self.place(sequence)?)
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.kept.front()?.sequence)?).ok()
    }

    /// When the device's `n`-th sample was measured, from 1.
    pub(super) fn measured(&self, n: u64) -> Option<Instant> {
        let n = n.checked_sub(1)?;
        let at = self.kept.partition_point(|batch| batch.samples_before + batch.samples <= n);
        let batch = self.kept.get(at)?;
        batch.measured(n.checked_sub(batch.samples_before)?)
    }

    pub(super) fn made(
        &mut self,
        sequence: u64,
        samples: u64,
        measured: (Instant, Instant),
        kept_max: usize,
    ) {
        if self.counts.made.batches == 0 {
            (self.unsettled, self.unsent) = (sequence, sequence);
        }
        self.kept.push_back(BatchSeen {
            sequence,
            samples,
            samples_before: self.counts.made.samples,
            first_measured: measured.0,
            last_measured: measured.1,
            sent: None,
            acknowledged: None,
        });
        self.counts.made.add(samples);
        self.forget(kept_max);
    }

    pub(super) fn sent(&mut self, sequence: u64, now: Instant) {
        let Some(batch) = self.place(sequence).and_then(|place| self.kept.get_mut(place)) else { return };
        if sequence < self.unsent {
            return self.counts.resent.add(batch.samples);
        }
        batch.sent = Some(now);
        self.unsent = sequence + 1;
        self.counts.sent.add(batch.samples);
    }

    /// The device holds nothing below `oldest` any more: `acknowledged` at this moment, or dropped.
    pub(super) fn settled(&mut self, oldest: u64, acknowledged: Option<Instant>, kept_max: usize) {
        while self.unsettled < oldest {
            let Some(batch) = self.place(self.unsettled).and_then(|place| self.kept.get_mut(place)) else {
                return;
            };
            batch.acknowledged = acknowledged;
            match acknowledged {
                Some(_) => self.counts.acknowledged.add(batch.samples),
                None => self.counts.dropped.add(batch.samples),
            }
            self.unsettled += 1;
        }
        self.forget(kept_max);
    }

    fn forget(&mut self, kept_max: usize) {
        while self.kept.len() > kept_max && self.kept.front().is_some_and(|b| b.sequence < self.unsettled) {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn batches_are_counted_once_and_found_while_they_are_kept() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut batches = Batches::default();
        for sequence in 1..=4 {
            batches.made(sequence, 3, (at(sequence * 100), at(sequence * 100 + 40)), 2);
        }
        assert_eq!(batches.counts.held(), BatchCount { batches: 4, samples: 12 });
        (1..=2).for_each(|sequence| batches.sent(sequence, at(500)));
        batches.settled(2, None, 2);
        batches.sent(2, at(600));
        batches.settled(4, Some(at(700)), 2);
        assert_eq!(batches.counts.dropped.batches, 1);
        assert_eq!(batches.counts.acknowledged, BatchCount { batches: 2, samples: 6 });
        assert_eq!((batches.counts.sent.batches, batches.counts.resent.batches), (2, 1));
        assert_eq!(batches.counts.held().batches, 1);
        // Two are kept: the third, which is acknowledged, and the fourth.
        assert!(batches.find(2).is_none() && batches.find(5).is_none());
        assert_eq!(batches.find(3).unwrap().acknowledged, Some(at(700)));
        assert_eq!(batches.measured(6), None);
        assert_eq!(batches.measured(7), Some(at(300)));
        assert_eq!(batches.measured(8), Some(at(320)));
        assert_eq!(batches.measured(12), Some(at(440)));
        assert_eq!(batches.measured(13), None);
    }
}
