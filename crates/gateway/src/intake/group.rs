//! Samples of one connection of frames that wait to be journaled together: nothing is acknowledged to these devices, and
//! one commit a second takes them all.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use vitalwire_journal::{Entry, SEQUENCE_FIRST, SPAN_US_MAX};

use crate::measurement::Measurement;
use crate::reading::{SampleBody, samples_body};
use crate::ticket::Ticket;

/// Samples are journaled in groups, every so long; all connections at the same moment, so that one commit takes them all.
const GROUP_TIME: Duration = Duration::from_secs(1);
/// A group of so many samples is journaled at once. Nothing is acknowledged to these devices, so nothing promised waits for a group.
const GROUP_SAMPLES: usize = 128;

/// The samples of one connection.
#[derive(Debug)]
pub(crate) struct Group {
    /// Stands for the connection in the journal: these devices have no boot of their own.
    boot: u64,
    /// Of the next entry.
    sequence: u64,
    /// What waits: the entry of its first sample, and that sample's number.
    waiting: Option<(Entry, u64)>,
    samples: Vec<SampleBody>,
    ticket: Arc<Ticket>,
    due: Instant,
}

impl Group {
    /// `boot` is drawn at random for each connection.
    pub(crate) fn new(boot: u64) -> Self {
        Self {
            boot,
            sequence: SEQUENCE_FIRST,
            waiting: None,
            samples: Vec::new(),
            ticket: Ticket::new(),
            due: Instant::now(),
        }
    }

    pub(crate) fn boot(&self) -> u64 {
        self.boot
    }

    /// When the group has to be journaled, or `other` when nothing waits or that is sooner.
    pub(crate) fn due_or(&self, other: Instant) -> Instant {
        if self.waiting.is_none() { other } else { self.due.min(other) }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.waiting.is_some() && now >= self.due
    }

    pub(super) fn is_full(&self) -> bool {
        self.samples.len() >= GROUP_SAMPLES
    }

    pub(super) fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    /// Whether a sample is near enough in time. A system clock that was set forward must not make an entry that the
    /// journal refuses as too long.
    pub(super) fn takes(&self, sample: &Measurement) -> bool {
        let Some((entry, _)) = &self.waiting else { return true };
        let offset_us = sample.received_us.saturating_sub(entry.first_us);
        u64::try_from(offset_us).unwrap_or(0) <= SPAN_US_MAX
    }

    pub(super) fn add(&mut self, sample: &Measurement, now: Instant) {
        let (entry, _) = self.waiting.get_or_insert_with(|| {
            self.due = next_beat(now);
            (sample.entry(), sample.reading.sequence)
        });
        // A system clock that was set back must not make a time before the first.
        let offset_us = u64::try_from(sample.received_us - entry.first_us).unwrap_or(0);
        entry.span_us = entry.span_us.max(offset_us);
        self.samples.push(SampleBody { offset_us, text: sample.record.clone() });
    }

    /// The entry of what waits; the group is empty then.
    pub(super) fn take(&mut self) -> Option<(Entry, Arc<Ticket>)> {
        let (first, first_sequence) = self.waiting.take()?;
        let entry = Entry {
            sequence: self.sequence,
            samples: u32::try_from(self.samples.len()).unwrap_or(u32::MAX),
            body: samples_body(first_sequence, &self.samples),
            ..first
        };
        self.sequence += 1;
        self.samples.clear();
        Some((entry, std::mem::replace(&mut self.ticket, Ticket::new())))
    }
}

/// The next multiple of [`GROUP_TIME`] after a moment that all connections share.
fn next_beat(now: Instant) -> Instant {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = now.saturating_duration_since(*BEGUN);
    let into_beat =
        Duration::from_nanos(u64::try_from(since.as_nanos() % GROUP_TIME.as_nanos()).unwrap_or(0));
    now + (GROUP_TIME - into_beat)
}

#[cfg(test)]
mod tests {
    use vitalwire_profile::Profile;

    use super::*;
    use crate::reading::SampleText;
    use crate::topics::{DeviceTopics, Source, SourceRef};

    #[test]
    fn a_clock_set_forward_makes_no_entry_that_is_too_long() {
        let topics = Arc::new(DeviceTopics::new(&"d".parse().unwrap()));
        let source: SourceRef = Arc::new(Source::new(&topics, &Arc::new(Profile::builtin("pico").unwrap())));
        let at = |received_us| {
            let text = SampleText::stored("1,2,3,4,5,6,7".into());
            Measurement::of_sample(&source, 9, 1, text, received_us)
        };
        let mut group = Group::new(9);
        assert!(group.takes(&at(1_000_000)));
        group.add(&at(1_000_000), Instant::now());
        assert!(group.takes(&at(1_050_000)) && group.takes(&at(0)));
        assert!(!group.takes(&at(3_600_000_000)), "an hour later by a clock that was set");
        group.add(&at(1_050_000), Instant::now());
        let (entry, _) = group.take().unwrap();
        assert_eq!((entry.sequence, entry.samples, entry.span_us), (1, 2, 50_000));
        assert!(group.take().is_none());
    }
}
