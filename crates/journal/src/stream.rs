//! The sequence of one boot of one device: what is held, what is missing, what is a duplicate. Pure: it reads no clock
//! and no file. What is held is everything from 1 to the highest number seen, less the missing ranges, so that a number
//! is known to be a duplicate long after its entry was removed by age.

use std::collections::BTreeMap;

use crate::entry::SEQUENCE_FIRST;

/// The most missing ranges that are kept exactly for one boot. For one more the oldest that was given up is folded with those
/// folded before into one range, of which the first and the last number and how many are missing are known, but no longer
/// which: all its numbers count as held, so that one that comes after all is dropped. What may still come is never folded;
/// when all ranges are so, an entry that would make one more is refused.
pub const GAPS_PER_BOOT_MAX: usize = 4_096;

/// A range of missing numbers, both ends missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// When the range was noticed: UTC, microseconds.
    pub(crate) noticed_us: i64,
    /// The device said that it will not send them.
    pub(crate) given_up: bool,
}

/// What a number means for a stream. What is to be written down for it is in the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The next one.
    Next,
    /// It leaves a gap behind.
    Opens(Missing),
    /// It comes late: it was in the range `was`, and the ranges of `left` are what remains.
    Fills { was: Missing, left: Vec<Missing> },
    /// It is held.
    Duplicate,
    /// One more missing range is more than is kept.
    TooManyGaps,
}

/// What a device gave up: these ranges (by their former first number) are replaced by those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) replaced: Vec<u64>,
    pub(crate) by: Vec<Missing>,
}

/// The sequence of one boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    highest: u64,
    missing: BTreeMap<u64, Missing>,
}

impl Stream {
    pub(crate) fn load(highest: u64, missing: impl IntoIterator<Item = Missing>) -> Self {
        Self { highest, missing: missing.into_iter().map(|range| (range.first, range)).collect() }
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// The number up to which nothing is missing that may still come.
    pub(crate) fn contiguous(&self) -> Option<u64> {
        let open = self.missing.values().find(|range| !range.given_up);
        let upto = open.map_or(self.highest, |range| range.first - 1);
        (upto >= SEQUENCE_FIRST).then_some(upto)
    }

    /// Takes a number in, if it is not held.
    pub(crate) fn offer(&mut self, sequence: u64, now_us: i64) -> Offer {
        if sequence > self.highest {
            return self.offer_above(sequence, now_us);
        }
        let Some(was) = self.missing_around(sequence) else { return Offer::Duplicate };
        let before = Missing { last: sequence.saturating_sub(1), ..was };
        let after = Missing { first: sequence.saturating_add(1), ..was };
        let left: Vec<Missing> = [before, after].into_iter().filter(|part| part.first <= part.last).collect();
        if left.len() == 2 && self.missing.len() >= GAPS_PER_BOOT_MAX {
            return Offer::TooManyGaps;
        }
        self.missing.remove(&was.first);
        self.missing.extend(left.iter().map(|part| (part.first, *part)));
        Offer::Fills { was, left }
    }

    fn offer_above(&mut self, sequence: u64, now_us: i64) -> Offer {
        let next = self.highest + 1;
        if sequence == next {
            self.highest = sequence;
            return Offer::Next;
        }
        if self.missing.len() >= GAPS_PER_BOOT_MAX {
            return Offer::TooManyGaps;
        }
        let gap = Missing { first: next, last: sequence - 1, noticed_us: now_us, given_up: false };
        self.missing.insert(next, gap);
        self.highest = sequence;
        Offer::Opens(gap)
    }

    fn missing_around(&self, sequence: u64) -> Option<Missing> {
        let (_, range) = self.missing.range(..=sequence).next_back()?;
        (range.last >= sequence).then_some(*range)
    }

    /// Notes that nothing below `below` will come any more. It may leave more gaps than are kept: these are to be folded.
    pub(crate) fn give_up(&mut self, below: u64, now_us: i64) -> GivenUp {
        let mut change = GivenUp::default();
        for range in self.missing.range(..below).map(|(_, range)| *range).filter(|range| !range.given_up) {
            change.replaced.push(range.first);
            change.by.push(Missing { last: range.last.min(below - 1), given_up: true, ..range });
            if range.last >= below {
                change.by.push(Missing { first: below, ..range });
            }
        }
        if below > self.highest + 1 {
            let never_seen =
                Missing { first: self.highest + 1, last: below - 1, noticed_us: now_us, given_up: true };
            change.by.push(never_seen);
        }
        for first in &change.replaced {
            self.missing.remove(first);
        }
        self.missing.extend(change.by.iter().map(|range| (range.first, *range)));
        self.highest = self.highest.max(below.saturating_sub(1));
        change
    }

    /// Lets the oldest range that was given up go; its numbers count as held from then on.
    pub(crate) fn fold_oldest(&mut self) -> Option<Missing> {
        let first = self.missing.values().find(|range| range.given_up)?.first;
        self.missing.remove(&first)
    }

    pub(crate) fn gaps(&self) -> usize {
        self.missing.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_number_above_one_leaves_a_gap() {
        let mut stream = Stream::default();
        let gap = Missing { first: 1, last: 4, noticed_us: 7, given_up: false };
        assert_eq!(stream.offer(5, 7), Offer::Opens(gap));
        assert_eq!(stream.contiguous(), None);
    }

    #[test]
    fn middle_of_a_gap_splits_it() {
        let mut stream = Stream::default();
        stream.offer(1, 0);
        stream.offer(5, 0);
        let Offer::Fills { left, .. } = stream.offer(3, 0) else { panic!("not filled") };
        assert_eq!(left.iter().map(|part| (part.first, part.last)).collect::<Vec<_>>(), [(2, 2), (4, 4)]);
        assert_eq!(stream.contiguous(), Some(1));
    }

    #[test]
    fn given_up_gap_no_longer_holds_the_acknowledgement_back() {
        let mut stream = Stream::default();
        stream.offer(10, 0);
        assert_eq!(stream.contiguous(), None);
        stream.give_up(6, 0);
        assert_eq!(stream.contiguous(), Some(5));
        stream.give_up(21, 0);
        assert_eq!(stream.contiguous(), Some(20));
        assert!(matches!(stream.offer(3, 0), Offer::Fills { .. }), "what comes after all is kept");
    }

    #[test]
    fn refuses_one_gap_too_many_but_takes_what_fills() {
        let mut stream = Stream::default();
        let most = u64::try_from(GAPS_PER_BOOT_MAX).unwrap();
        for n in 1..=most {
            assert!(matches!(stream.offer(2 * n, 0), Offer::Opens(_)));
        }
        assert_eq!(stream.offer(2 * most + 2, 0), Offer::TooManyGaps);
        assert!(matches!(stream.offer(1, 0), Offer::Fills { .. }));
        assert!(matches!(stream.offer(2 * most + 2, 0), Offer::Opens(_)));
    }

    #[test]
    fn only_what_was_given_up_is_folded_the_oldest_first() {
        let mut stream = Stream::default();
        for n in [2, 4, 6, 8] {
            stream.offer(n, 0);
        }
        assert_eq!(stream.fold_oldest(), None);
        stream.give_up(4, 0);
        assert_eq!(stream.fold_oldest().map(|range| range.first), Some(1));
        assert_eq!(stream.offer(1, 0), Offer::Duplicate);
        assert_eq!(stream.contiguous(), Some(4));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_held_numbers(numbers in prop::collection::vec((1u64..60, any::<bool>()), 0..120)) {
            let (mut stream, mut held, mut floor) = (Stream::default(), BTreeSet::new(), 1);
            for (number, give_up) in numbers {
                if give_up && number % 7 == 0 {
                    stream.give_up(number, 0);
                    floor = floor.max(number);
                } else {
                    let duplicate = stream.offer(number, 0) == Offer::Duplicate;
                    prop_assert_eq!(duplicate, !held.insert(number));
                }
                let contiguous = (1..).find(|n| *n >= floor && !held.contains(n)).unwrap_or(1) - 1;
                prop_assert_eq!(stream.contiguous().unwrap_or(0), contiguous);
            }
        }
    }
}
