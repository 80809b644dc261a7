//! The fold itself: entries in, values of one channel in the order of time out, some thousand at once. It never waits, and
//! reads no file.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use vitalwire_journal::Stored;
use vitalwire_profile::{ChannelProfile, Profile};

use super::Only;
use super::error::HistoryError;
use super::value::{Digits, Number, Page, Value};
use crate::profiles::{PICO, Profiles};
use crate::reading::{Body, channel_values, text_at};

/// Values of a page: with fewer left over a page is handed out nevertheless at the end.
const PAGE_VALUES: usize = 4_096;
/// Values that wait until it is clear that no later entry begins before them. At it, they are handed out all the same.
const WAITING_VALUES_MAX: usize = 65_536;

pub(super) struct Fold<S, F> {
    channel: String,
    range_us: Range<i64>,
    only: Option<Only>,
    profiles: Profiles,
    /// The profile of the values that wait, in which the channel stands at this place.
    source: Option<(Arc<Profile>, usize)>,
    interval_us: u32,
    waiting: Vec<Value>,
    state: S,
    step: F,
    found: bool,
    ended: bool,
    /// Channels of profiles that lack the one that is wanted.
    others: BTreeSet<String>,
}

impl<S, F: FnMut(&mut S, &Page<'_>) -> ControlFlow<()>> Fold<S, F> {
    pub(super) fn new(
        channel: String,
        range_us: Range<i64>,
        only: Option<Only>,
        profiles: Profiles,
        state: S,
        step: F,
    ) -> Self {
        Self {
            channel,
            range_us,
            only,
            profiles,
            source: None,
            interval_us: 0,
            waiting: Vec::new(),
            state,
            step,
            found: false,
            ended: false,
            others: BTreeSet::new(),
        }
    }

    /// Takes the next entries, in the order of their first values; with none it hands out what is left.
    pub(super) fn take(&mut self, entries: Vec<Stored>) {
        if entries.is_empty() {
            self.hand_out(i64::MAX);
        }
        for stored in entries {
            if self.ended {
                return;
            }
            self.take_entry(&stored);
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn finish(self) -> Result<S, HistoryError> {
        if !self.found && !self.others.is_empty() {
            return Err(HistoryError::UnknownChannel { wanted: self.channel, known: self.others });
        }
        Ok(self.state)
    }

    fn take_entry(&mut self, stored: &Stored) {
        let Some((profile, body)) = read(&self.profiles, stored) else { return };
        let Some(place) = profile.channels().iter().position(|channel| channel.name == self.channel) else {
            self.others.extend(profile.channels().iter().map(|channel| channel.name.clone()));
            return;
        };
        self.found = true;
        if self.source.as_ref().is_some_and(|(before, _)| !Arc::ptr_eq(before, &profile)) {
            self.hand_out(i64::MAX);
        } else if self.waiting.len() >= PAGE_VALUES {
            self.hand_out(stored.entry.first_us);
        }
        if self.waiting.len() >= WAITING_VALUES_MAX {
            self.hand_out(i64::MAX);
        }
        if let Some(channel) = profile.channels().get(place) {
            self.add(channel, stored, &body);
        }
        self.source = Some((profile, place));
    }

    /// A batch says the interval between its values, frames come at the profile's rate.
    fn add(&mut self, channel: &ChannelProfile, stored: &Stored, body: &Body) {
        let (first_us, uncertainty_us) = (stored.entry.first_us, stored.entry.uncertainty_us);
        let (waiting, range_us, only) = (&mut self.waiting, &self.range_us, &self.only);
        let is_wanted = |time_us| {
            range_us.contains(&time_us) && only.as_ref().is_none_or(|only| only.has(time_us, stored.position))
        };
        let mut take = |time_us, digits| {
            if is_wanted(time_us) {
                waiting.push(Value { time_us, uncertainty_us, number: Number(digits) });
            }
        };
        let interval_us = match body {
            Body::Batch { message, .. } => {
                channel_values(message, first_us, channel.index, |time_us, decimal| {
                    take(time_us, Digits::Decimal(decimal));
                })
            }
            Body::Samples { samples, .. } => {
                for sample in samples {
                    // The paper's channels are those of its profile, in order.
                    if let Some(text) = text_at(&sample.text, usize::from(channel.index)) {
                        take(first_us.saturating_add_unsigned(sample.offset_us), Digits::Text(text));
                    }
                }
                channel.interval_us()
            }
        };
        self.interval_us = self.interval_us.max(interval_us);
    }

    /// Hands out what waits and lies before `upto_us`, in pages.
    fn hand_out(&mut self, upto_us: i64) {
        self.waiting.sort_by_key(|value| value.time_us);
        let ready = self.waiting.partition_point(|value| value.time_us < upto_us);
        let source = self.source.as_ref();
        let source =
            source.and_then(|(profile, place)| Some((profile.name(), profile.channels().get(*place)?)));
        if let Some((profile, channel)) = source {
            for values in self.waiting.get(..ready).unwrap_or_default().chunks(PAGE_VALUES) {
                let page = Page { profile, channel, interval_us: self.interval_us, values };
                if (self.step)(&mut self.state, &page).is_break() {
                    self.ended = true;
                    break;
                }
            }
        }
        self.waiting.drain(..ready);
    }
}

/// An entry's body with its profile. An entry that cannot be read has none.
pub(super) fn read(profiles: &Profiles, stored: &Stored) -> Option<(Arc<Profile>, Body)> {
    let body = Body::parse(&stored.entry.body).ok()?;
    let name = match &body {
        Body::Batch { profile, .. } => profile.as_str(),
        Body::Samples { .. } => PICO,
    };
    Some((profiles.find(name)?, body))
}

#[cfg(test)]
mod tests {
    use vitalwire_journal::{Assurance, Entry};
    use vitalwire_registry::{Border, StayId, Timeline};

    use super::*;
    use crate::reading::{SampleBody, batch_body, samples_body};

    /// A batch of so many temperatures at `interval_us`, its first at `first_us`.
    fn batch(position: u64, first_us: i64, values: &[i32], interval_us: u32) -> Stored {
        let samples =
            vitalwire_protocol::batch::Samples { index: 0, interval_us, delay_us: 0, scale: -3, values };
        let mut message = vec![0; 16_384];
        let len = vitalwire_protocol::batch::encode_batch(1, 0, None, &[samples], &mut message).unwrap();
        stored(position, first_us, batch_body("pico", &message[..len]))
    }

    fn stored(position: u64, first_us: i64, body: bytes::Bytes) -> Stored {
        Stored {
            position,
            entry: Entry {
                device: "d".parse().unwrap(),
                boot: 1,
                sequence: position,
                received_us: first_us,
                first_us,
                span_us: 0,
                uncertainty_us: 7,
                samples: 1,
                assurance: Assurance::Authenticated,
                body,
            },
        }
    }

    /// All values of `channel` in a range, and how many pages they came in.
    fn fold(channel: &str, range_us: Range<i64>, entries: Vec<Stored>) -> (Vec<(i64, String)>, usize) {
        fold_of(None, channel, range_us, entries)
    }

    fn fold_of(
        only: Option<Only>,
        channel: &str,
        range_us: Range<i64>,
        entries: Vec<Stored>,
    ) -> (Vec<(i64, String)>, usize) {
        let step = |(found, pages): &mut (Vec<(i64, String)>, usize), page: &Page<'_>| {
            found.extend(page.values.iter().map(|value| (value.time_us, value.number.to_string())));
            *pages += 1;
            ControlFlow::Continue(())
        };
        let profiles = Profiles::load(std::path::Path::new("/nowhere")).unwrap();
        let mut fold = Fold::new(channel.to_owned(), range_us, only, profiles, (Vec::new(), 0), step);
        for entry in entries {
            fold.take(vec![entry]);
        }
        fold.take(Vec::new());
        fold.finish().unwrap()
    }

    #[test]
    fn values_of_entries_that_overlap_come_in_the_order_of_time() {
        let values: Vec<i32> = (0..3_000).collect();
        let entries = vec![
            batch(1, 0, &values, 2_000),
            batch(2, 1_000, &values, 2_000),
            batch(3, 5_000_999, &[9], 2_000),
        ];
        let (found, pages) = fold("Temperature", 0..i64::MAX, entries);
        assert_eq!((found.len(), pages), (6_001, 3));
        assert!(found.is_sorted_by_key(|(time_us, _)| *time_us));
    }

    #[test]
    fn digits_are_those_that_were_sent_and_times_those_of_the_range() {
        let samples = ["36.60,1,1,1,1,1,1", "3.7e1,1,1,1,1,1,1"];
        let samples: Vec<_> = samples
            .iter()
            .zip([0, 50])
            .map(|(text, offset_us)| SampleBody { offset_us, text: (*text).into() })
            .collect();
        let entries =
            vec![stored(1, 100, samples_body(1, &samples)), batch(2, 200, &[36_700, 36_800], 2_000)];
        let (found, _) = fold("Temperature", 101..2_200, entries);
        assert_eq!(found, [(150, "3.7e1".to_owned()), (200, "36.700".to_owned())]);
    }

    #[test]
    fn more_than_may_wait_are_handed_out_all_the_same() {
        let values = vec![1; 5_000];
        let entries: Vec<_> = (1..=20).map(|position| batch(position, 0, &values, 5_000)).collect();
        let (found, _) = fold("Temperature", 0..i64::MAX, entries);
        assert_eq!(found.len(), 100_000);
    }

    #[test]
    fn an_entry_across_a_border_is_divided_and_nothing_is_left_out_or_doubled() {
        let stay = |number| StayId::new(number).unwrap();
        let border = |number, time_us, position| Border { stay: stay(number), time_us, position };
        // The third began when the clock had been set back.
        let borders = vec![border(1, 0, 0), border(2, 50_000, 10), border(3, 30_000, 20)];
        let timeline = Arc::new(Timeline { borders, has_patients: true });
        let values = [1, 2, 3, 4, 5, 6, 7, 8];
        let entries =
            || [9, 10, 11, 20, 21].map(|position| batch(position, 10_000, &values, 10_000)).to_vec();
        let of = |number| {
            let only = Only { stay: stay(number), timeline: Arc::clone(&timeline) };
            let (found, _) = fold_of(Some(only), "Temperature", 0..i64::MAX, entries());
            found.into_iter().map(|(time_us, _)| time_us / 10_000).collect::<Vec<_>>()
        };
        assert_eq!(of(1), [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8]);
        assert_eq!(of(2), [5, 5, 6, 6, 7, 7, 8, 8]);
        assert_eq!(of(3), [3, 4, 5, 6, 7, 8]);
        assert_eq!(of(4), [0; 0]);
    }

    #[test]
    fn it_ends_when_the_step_says_so() {
        let step = |pages: &mut usize, _: &Page<'_>| {
            *pages += 1;
            ControlFlow::Break(())
        };
        let profiles = Profiles::load(std::path::Path::new("/nowhere")).unwrap();
        let mut fold = Fold::new("Temperature".to_owned(), 0..i64::MAX, None, profiles, 0, step);
        let values = vec![1; 5_000];
        fold.take(vec![batch(1, 0, &values, 2_000), batch(2, 60_000_000, &values, 2_000)]);
        assert!(fold.is_ended());
        assert_eq!(fold.finish().unwrap(), 1);
    }
}
