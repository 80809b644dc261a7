//! What the server derives of one patient each second, waiting to be journaled together: told live each second, kept as one
//! entry of up to ten. A moment has the same place, (boot, sequence, index), in both.

use std::sync::Arc;

use vitalwire_journal::{Assurance, Entry, SEQUENCE_FIRST};
use vitalwire_protocol::batch::{Samples, encode_batch};

use crate::reading::{BatchValues, Reading, Values, batch_body};
use crate::ticket::Ticket;
use crate::topics::SourceRef;

/// From moment to moment.
pub(crate) const MOMENT_US: u32 = 1_000_000;
/// Moments of one entry.
const MOMENTS_MAX: usize = 10;
/// A moment that is so far off its second at most is told at it: samples of frames have the times at which they came, which are
/// never just a second apart.
const JITTER_US_MAX: u64 = 500_000;
/// Bytes of the longest message: ten values of each channel of the profile.
const MESSAGE_LEN_MAX: usize = 1_024;

/// What is known of one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// UTC, microseconds since 1970.
    pub(crate) time_us: i64,
    /// How far off `time_us` may be.
    pub(crate) uncertainty_us: u64,
    /// Of what it was derived from.
    pub(crate) assurance: Assurance,
    /// Of the channels of the profile, in its order: as many digits as its `decimals` say, nothing of what is not known.
    pub(crate) digits: Vec<Option<i32>>,
}

/// The moments of one patient.
#[derive(Debug)]
pub(crate) struct Derived {
    source: SourceRef,
    /// Stands for this run of the patient's watch in the journal.
    boot: u64,
    /// Of the next entry.
    sequence: u64,
    waiting: Option<Waiting>,
    ticket: Arc<Ticket>,
}

#[derive(Debug)]
struct Waiting {
    first: Moment,
    received_us: i64,
    /// Of each channel that `first` knows.
    columns: Vec<Column>,
    moments: usize,
}

#[derive(Debug)]
struct Column {
    index: u8,
    scale: i8,
    digits: Vec<i32>,
}

impl Derived {
    /// `source` has the profile of what is derived; `boot` is drawn at random.
    pub(crate) fn new(source: SourceRef, boot: u64) -> Self {
        Self { source, boot, sequence: SEQUENCE_FIRST, waiting: None, ticket: Ticket::new() }
    }

    /// Whether an entry waits that a beat should journal: one more second may not fit.
    pub(crate) fn is_ripe(&self, now_us: i64) -> bool {
        let span_us = i64::from(MOMENT_US) * i64::try_from(MOMENTS_MAX - 1).unwrap_or(i64::MAX);
        self.waiting.as_ref().is_some_and(|waiting| {
            waiting.moments + 1 >= MOMENTS_MAX
                || now_us.abs_diff(waiting.received_us) >= span_us.unsigned_abs()
        })
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.moments >= MOMENTS_MAX)
    }

    pub(super) fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    /// Whether a moment is the next of what waits: a second later, with the same channels.
    pub(super) fn takes(&self, moment: &Moment) -> bool {
        let Some(waiting) = &self.waiting else { return true };
        let knows = |moment: &Moment| moment.digits.iter().map(Option::is_some).collect::<Vec<_>>();
        moment.time_us.abs_diff(waiting.next_us()) <= JITTER_US_MAX
            && moment.assurance == waiting.first.assurance
            && knows(moment) == knows(&waiting.first)
    }

    /// The reading of a moment that was taken, as it is told now.
    pub(super) fn add(&mut self, moment: Moment, now_us: i64) -> Reading {
        let channels = self.source.profile.channels();
        let known = |(channel, digits): (&vitalwire_profile::ChannelProfile, &Option<i32>)| {
            let scale = -i8::try_from(channel.decimals).unwrap_or(0);
            digits.map(|digits| (channel.index, scale, digits))
        };
        let values: Vec<_> = channels.iter().zip(&moment.digits).filter_map(known).collect();
        let column =
            |(index, scale, _): &(u8, i8, i32)| Column { index: *index, scale: *scale, digits: Vec::new() };
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            first: moment,
            received_us: now_us,
            columns: values.iter().map(column).collect(),
            moments: 0,
        });
        for (column, (_, _, digits)) in waiting.columns.iter_mut().zip(&values) {
            column.digits.push(*digits);
        }
        let (first_us, place) = (waiting.next_us(), waiting.moments);
        waiting.moments += 1;
        Reading {
            source: SourceRef::clone(&self.source),
            boot: self.boot,
            sequence: self.sequence,
            first_us,
            uncertainty_us: waiting.first.uncertainty_us,
            assurance: waiting.first.assurance,
            values: Values::Batch(BatchValues::moment(waiting.time_ms(), place, MOMENT_US, &values)),
        }
    }

    /// The entry of what waits; nothing waits then.
    pub(super) fn take(&mut self) -> Option<(Entry, Arc<Ticket>)> {
        let waiting = self.waiting.take()?;
        let samples: Vec<_> = waiting
            .columns
            .iter()
            .map(|column| Samples {
                index: column.index,
                interval_us: MOMENT_US,
                delay_us: 0,
                scale: column.scale,
                values: &column.digits,
            })
            .collect();
        let mut message = [0; MESSAGE_LEN_MAX];
        let len = encode_batch(self.sequence, waiting.time_ms(), None, &samples, &mut message)
            .expect("ten values of each of some channels fit, and their profile is checked by a test");
        let last = u64::try_from(waiting.moments.saturating_sub(1)).unwrap_or(0);
        let entry = Entry {
            device: self.source.topics.id.clone(),
            boot: self.boot,
            sequence: self.sequence,
            received_us: waiting.received_us,
            first_us: waiting.first.time_us,
            span_us: last * u64::from(MOMENT_US),
            uncertainty_us: waiting.first.uncertainty_us,
            samples: u32::try_from(waiting.moments * waiting.columns.len()).unwrap_or(u32::MAX),
            assurance: waiting.first.assurance,
            body: batch_body(self.source.profile.name(), message.get(..len).unwrap_or_default()),
        };
        self.sequence += 1;
        Some((entry, std::mem::replace(&mut self.ticket, Ticket::new())))
    }
}

impl Waiting {
    /// When the next moment is.
    fn next_us(&self) -> i64 {
        self.first.time_us.saturating_add_unsigned(self.moments as u64 * u64::from(MOMENT_US))
    }

    /// The batch's time: there is no device whose clock it could be.
    fn time_ms(&self) -> u64 {
        u64::try_from(self.first.time_us / 1_000).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_profile::{DERIVED, Profile};

    use super::*;
    use crate::reading::Body;
    use crate::topics::{DeviceTopics, Source};

    fn derived() -> Derived {
        let topics = Arc::new(DeviceTopics::new(&"d".parse().unwrap()));
        Derived::new(Arc::new(Source::new(&topics, &Arc::new(Profile::builtin(DERIVED).unwrap()))), 9)
    }

    fn moment(time_us: i64, digits: [Option<i32>; 5]) -> Moment {
        Moment { time_us, uncertainty_us: 7, assurance: Assurance::Authenticated, digits: digits.into() }
    }

    const RATE: [Option<i32>; 5] = [Some(720), None, Some(94), Some(1), Some(2)];
    const NO_RATE: [Option<i32>; 5] = [None, None, Some(3), Some(0), Some(1)];

    /// Time, place and values of a reading.
    fn shown(reading: &Reading) -> (i64, u64, Vec<(String, f64)>) {
        let values = reading.values();
        let values = values.iter().map(|value| (value.channel.name.clone(), value.value)).collect();
        (reading.first_us, reading.sequence, values)
    }

    #[test]
    fn what_is_told_live_is_what_the_journal_has() {
        let mut derived = derived();
        let mut told = Vec::new();
        for n in 0..10 {
            // Frames: times jitter.
            let moment = moment(5_000_000 + n * 1_000_000 + (n % 3) * 40_000, RATE);
            assert!(derived.takes(&moment));
            told.push(shown(&derived.add(moment, 6_000_000 + n * 1_000_000)));
        }
        assert!(derived.is_full());
        let (entry, _) = derived.take().unwrap();
        assert_eq!(
            (entry.sequence, entry.first_us, entry.span_us, entry.samples),
            (1, 5_000_000, 9_000_000, 40)
        );
        let Ok(Body::Batch { profile, message }) = Body::parse(&entry.body) else { panic!("a batch") };
        assert_eq!(profile, DERIVED);
        let stored = BatchValues::stored(&message).unwrap();
        for (n, (time_us, sequence, values)) in (0..).zip(told) {
            assert_eq!((time_us, sequence), (5_000_000 + n * 1_000_000, 1));
            let expected = [
                ("Pulse_Rate", 72.0),
                ("Signal_Quality", 0.94),
                ("Screening_Score", 1.0),
                ("Screening_Inputs", 2.0),
            ];
            assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)));
            let at = |channel: crate::reading::ChannelValues<'_>| {
                let (offset_us, value) = channel.values().nth(usize::try_from(n).unwrap()).unwrap();
                assert_eq!(stored.span.utc_us(entry.first_us, offset_us), time_us);
                value.to_f64()
            };
            let kept: Vec<f64> = stored.channels().map(at).collect();
            assert_eq!(kept, values.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_gap_or_a_rate_that_goes_begins_another_entry() {
        let mut derived = derived();
        derived.add(moment(0, RATE), 0);
        assert!(derived.takes(&moment(1_400_000, RATE)));
        assert!(!derived.takes(&moment(1_600_000, RATE)), "a gap");
        assert!(!derived.takes(&moment(1_000_000, NO_RATE)), "the rate is not known any more");
        let other = Moment { assurance: Assurance::ConfidentialOnly, ..moment(1_000_000, RATE) };
        assert!(!derived.takes(&other), "from another kind of link");
        assert!(derived.take().is_some() && derived.take().is_none());
        let reading = derived.add(moment(9_000_000, NO_RATE), 0);
        assert_eq!((reading.sequence, reading.values().len()), (2, 3));
    }

    #[test]
    fn a_beat_journals_what_is_nearly_full_or_waits_for_long() {
        let mut derived = derived();
        assert!(!derived.is_ripe(0));
        for n in 0..9 {
            assert!(!derived.is_ripe(0));
            derived.add(moment(n * 1_000_000, RATE), 0);
        }
        assert!(derived.is_ripe(0) && !derived.is_full());
        derived.take();
        derived.add(moment(20_000_000, RATE), 1_000_000);
        assert!(!derived.is_ripe(9_000_000) && derived.is_ripe(10_000_000), "its device is gone");
    }
}
