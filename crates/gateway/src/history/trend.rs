//! A long range in few stretches: out of the sums of hours and minutes where they are, out of the entries at its edges and where sums
//! are missing. The same comes out whatever is summed already.

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use vitalwire_access::DeviceId;
use vitalwire_journal::{
    Bucket, HistoryCursor, HistoryQuery as EntriesQuery, Length, READ_BYTES_MAX, Stored, SumsPage, SumsQuery,
};
use vitalwire_profile::Profile;

use super::gather::{Gather, Minute};
use super::sum::{StretchSum, Sum, begin_us};
use super::{History, HistoryError, HistoryQuery, Only, PAGE_ENTRIES};

/// A longer range is never told finer than by the minute, so that what has to be read stays bounded.
const FINE_RANGE_US_MAX: i128 = 6 * 3_600_000_000;

/// The stretches of a range: of equal time, but that all borders within the range lie at full minutes, or at full hours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretches {
    from_us: i64,
    to_us: i64,
    count: i128,
    unit: Length,
}

impl Stretches {
    /// At most so many, of a range that ends after its beginning; nothing when they are so short that the values themselves are wanted.
    pub(super) fn of(from_us: i64, to_us: i64, count: u32) -> Option<Self> {
        let range_us = i128::from(to_us) - i128::from(from_us);
        let [minute_us, hour_us] = [Length::Minute, Length::Hour].map(|length| i128::from(length.us()));
        let mut count = i128::from(count).max(1);
        if range_us / count < minute_us {
            if range_us <= FINE_RANGE_US_MAX {
                return None;
            }
            count = range_us / minute_us;
        }
        let unit = if range_us / count >= hour_us { Length::Hour } else { Length::Minute };
        Some(Self { from_us, to_us, count, unit })
    }

    /// Where the stretch begins in which this time of the range lies.
    pub(super) fn start_us(&self, time_us: i64) -> i64 {
        let unit_us = i128::from(self.unit.us());
        let range_us = i128::from(self.to_us) - i128::from(self.from_us);
        // The last stretch that begins before the next full unit begins in the time's own unit, or before it.
        let next_us = (i128::from(self.unit.at(time_us)) + 1) * unit_us - i128::from(self.from_us);
        let number = ((next_us * self.count - 1).div_euclid(range_us)).clamp(0, self.count - 1);
        if number == 0 {
            return self.from_us;
        }
        let even_us = i128::from(self.from_us) + (number * range_us).div_euclid(self.count);
        i64::try_from(even_us.div_euclid(unit_us) * unit_us).unwrap_or(self.from_us)
    }
}

/// Puts sums into stretches, in the order of time.
#[derive(Debug)]
struct Trend {
    stretches: Stretches,
    found: Vec<(i64, Sum, bool)>,
}

impl Trend {
    fn add(&mut self, sum: &Sum) {
        let start_us = self.stretches.start_us(sum.first_us);
        match self.found.last_mut() {
            Some((last_us, last, _)) if *last_us >= start_us => *last = last.join(sum),
            last => {
                let gap = last.is_some_and(|(_, last, _)| last.has_gap_before(sum));
                self.found.push((start_us, *sum, gap));
            }
        }
    }

    fn finish(self) -> Vec<Bucket> {
        let bucket = |(start_us, sum, gap_before): (i64, Sum, bool)| Bucket {
            start_us,
            first_us: sum.first_us,
            last_us: sum.last_us,
            samples: u64::from(sum.samples),
            uncertainty_us: sum.uncertainty_us,
            min: sum.min,
            max: sum.max,
            mean: sum.mean,
            gap_before,
            gap_within: sum.gap_within,
        };
        self.found.into_iter().map(bucket).collect()
    }
}

/// Which profiles the range's readings have.
#[derive(Clone, Debug, Default)]
struct Seen {
    has_channel: bool,
    others: BTreeSet<String>,
}

impl Seen {
    fn note(&mut self, profile: &Profile, channel: &str) {
        if profile.channels().iter().any(|known| known.name == channel) {
            self.has_channel = true;
        } else if !self.others.contains(profile.name()) {
            self.others.insert(profile.name().to_owned());
        }
    }
}

/// What is known of a stretch without its entries.
enum Cell {
    Sum(Sum),
    Nothing,
    /// Something finer has to be asked.
    Finer,
}

/// Tells a range, from the beginning to its end.
pub(super) struct Walk<'h> {
    history: &'h History,
    query: &'h HistoryQuery,
    trend: Trend,
    seen: Seen,
}

type Walking<'w> = Pin<Box<dyn Future<Output = Result<(), HistoryError>> + Send + 'w>>;

impl<'h> Walk<'h> {
    pub(super) fn new(history: &'h History, query: &'h HistoryQuery, stretches: Stretches) -> Self {
        let trend = Trend { stretches, found: Vec::new() };
        Self { history, query, trend, seen: Seen::default() }
    }

    pub(super) async fn buckets(mut self) -> Result<Vec<Bucket>, HistoryError> {
        let Stretches { from_us, to_us, unit, .. } = self.trend.stretches;
        self.range(from_us..to_us, Some(unit)).await?;
        let Seen { has_channel, others } = self.seen;
        if !has_channel && !others.is_empty() {
            let profiles = others.iter().filter_map(|name| self.history.profiles.find(name));
            let names = |profile: Arc<Profile>| {
                profile.channels().iter().map(|channel| channel.name.clone()).collect::<Vec<_>>()
            };
            let known = profiles.flat_map(names).collect();
            return Err(HistoryError::UnknownChannel { wanted: self.query.channel.clone(), known });
        }
        Ok(self.trend.finish())
    }

    /// Out of sums of this length, and at the edges out of shorter ones; without a length out of the entries.
    fn range(&mut self, range_us: Range<i64>, length: Option<Length>) -> Walking<'_> {
        Box::pin(async move {
            if range_us.is_empty() {
                return Ok(());
            }
            let Some(length) = length else { return self.entries(range_us).await };
            let Range { start, end } = range_us;
            let first = length.at(start.saturating_sub(1)).saturating_add(1);
            let last = length.at(end);
            let [first_us, last_us] = [first, last].map(|number| begin_us(length.us(), number));
            if first >= last {
                return self.range(start..end, finer(length)).await;
            }
            self.range(start..first_us, finer(length)).await?;
            self.sums(first..last, length).await?;
            self.range(last_us..end, finer(length)).await
        })
    }

    async fn sums(&mut self, numbers: Range<i64>, length: Length) -> Result<(), HistoryError> {
        let (mut at, mut unknown) = (numbers.start, None);
        while at < numbers.end {
            let device = self.query.device.clone();
            let page =
                self.history.file.sums(SumsQuery { device, length, from: at, to: numbers.end }).await?;
            at = page.upto;
            for (number, cell) in self.cells(page, length).await? {
                match cell {
                    Cell::Nothing => {}
                    Cell::Finer => {
                        let run = unknown.get_or_insert(number..number);
                        run.end = number.saturating_add(1);
                    }
                    Cell::Sum(sum) => {
                        self.unknown(unknown.take(), length).await?;
                        self.trend.add(&sum);
                    }
                }
            }
        }
        self.unknown(unknown, length).await
    }

    /// A run of stretches whose sums are missing.
    async fn unknown(&mut self, run: Option<Range<i64>>, length: Length) -> Result<(), HistoryError> {
        let Some(Range { start, end }) = run else { return Ok(()) };
        self.range(begin_us(length.us(), start)..begin_us(length.us(), end), finer(length)).await
    }

    /// Off the reactor, what a page says, in order.
    async fn cells(&mut self, page: SumsPage, length: Length) -> Result<Vec<(i64, Cell)>, HistoryError> {
        let (history, channel) = (self.history.clone(), self.query.channel.clone());
        let mut seen = self.seen.clone();
        let work = move || {
            let mut cells: Vec<_> = page.unmade.into_iter().map(|number| (number, Cell::Finer)).collect();
            let unmade = cells.len();
            for (number, bytes) in page.made {
                cells.push((number, history.cell(&bytes, (length, number), &channel, &mut seen)));
            }
            if unmade > 0 {
                cells.sort_by_key(|(number, _)| *number);
            }
            (cells, seen)
        };
        let (cells, seen) = tokio::task::spawn_blocking(work).await.map_err(|_| HistoryError::Stopped)?;
        self.seen = seen;
        Ok(cells)
    }

    async fn entries(&mut self, range_us: Range<i64>) -> Result<(), HistoryError> {
        let history = self.history;
        let profiles = history.profiles.clone();
        let channel = self.query.channel.clone();
        let gather = Gather::of_channel(profiles, channel, range_us.clone(), history.only.clone());
        let mut reading = Reading { history, device: &self.query.device, range_us, gather, after: None };
        loop {
            let (minutes, is_last) = reading.next(|minute| (minute.profiles(), minute.sum())).await?;
            for (_, (profiles, sum)) in minutes {
                profiles.iter().for_each(|profile| self.seen.note(profile, &self.query.channel));
                if let Some(sum) = sum {
                    self.trend.add(&sum);
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

fn finer(length: Length) -> Option<Length> {
    match length {
        Length::Hour => Some(Length::Minute),
        Length::Minute => None,
    }
}

impl History {
    fn cell(&self, bytes: &Bytes, (length, number): (Length, i64), channel: &str, seen: &mut Seen) -> Cell {
        let Some(known) = StretchSum::parse(bytes, length.us(), number) else { return Cell::Finer };
        let mut found = Vec::new();
        for part in &known.parts {
            let Some(profile) = self.profiles.find(&part.profile) else { continue };
            seen.note(&profile, channel);
            let Some(wanted) = profile.channels().iter().find(|known| known.name == channel) else {
                continue;
            };
            let sums = part.channels.iter().filter(|(index, _)| *index == wanted.index);
            found.extend(sums.map(|(_, sum)| *sum));
        }
        let [sum] = found[..] else {
            // Of two profiles nothing is known of the gaps between their values.
            return if found.is_empty() { Cell::Nothing } else { Cell::Finer };
        };
        let begin_us = begin_us(length.us(), number);
        let is_own =
            |only: &Only| only.has_all(begin_us..begin_us.saturating_add(length.us()), known.positions);
        match self.only.as_ref().map(is_own) {
            None | Some(Some(true)) => Cell::Sum(sum),
            Some(Some(false)) => Cell::Nothing,
            Some(None) => Cell::Finer,
        }
    }
}

/// Entries of a device, read page by page, off the reactor.
pub(super) struct Reading<'h> {
    pub(super) history: &'h History,
    pub(super) device: &'h DeviceId,
    pub(super) range_us: Range<i64>,
    pub(super) gather: Gather,
    pub(super) after: Option<HistoryCursor>,
}

impl Reading<'_> {
    /// The minutes that are ready, as `tell` tells them, and whether they are the last.
    pub(super) async fn next<T: Send + 'static>(
        &mut self,
        tell: fn(Minute) -> T,
    ) -> Result<(Vec<(i64, T)>, bool), HistoryError> {
        let page = EntriesQuery {
            device: self.device.clone(),
            from_us: self.range_us.start,
            to_us: self.range_us.end,
            limit: PAGE_ENTRIES,
            after: self.after,
        };
        let entries = self.history.file.history(page).await?;
        self.after = entries.last().map(HistoryCursor::after);
        let is_last = is_last(&entries);
        let placeholder = Gather::all(self.history.profiles.clone());
        let mut gather = std::mem::replace(&mut self.gather, placeholder);
        let work = move || {
            let mut ready = Vec::new();
            entries.iter().for_each(|stored| ready.extend(gather.take(stored)));
            if is_last {
                ready.extend(gather.finish());
            }
            let ready: Vec<_> = ready.into_iter().map(|(number, minute)| (number, tell(minute))).collect();
            (gather, ready)
        };
        let (gather, ready) = tokio::task::spawn_blocking(work).await.map_err(|_| HistoryError::Stopped)?;
        self.gather = gather;
        Ok((ready, is_last))
    }
}

/// A page that is neither full of entries nor of bytes has no other after it.
fn is_last(entries: &[Stored]) -> bool {
    let bytes: usize = entries.iter().map(|stored| stored.entry.body.len()).sum();
    entries.len() < PAGE_ENTRIES && bytes < READ_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    /// By trying each border.
    fn start_us(stretches: &Stretches, time_us: i64) -> i64 {
        let Stretches { from_us, to_us, count, unit } = *stretches;
        let border = |number: i128| {
            let even_us = i128::from(from_us) + (i128::from(to_us) - i128::from(from_us)) * number / count;
            unit.at(i64::try_from(even_us).unwrap()) * unit.us()
        };
        let starts = (0..count).map(|number| if number == 0 { from_us } else { border(number) });
        starts.filter(|start_us| *start_us <= time_us).max().unwrap()
    }

    #[test]
    fn borders_lie_at_full_minutes_or_hours_and_each_time_within_its_stretch() {
        for (from_us, range_us, count) in [
            (17, 7 * MINUTE_US, 7),
            (59_999_999, 61 * MINUTE_US + 3, 9),
            (-90 * MINUTE_US - 1, 180 * MINUTE_US, 50),
            (-1, 50 * 60 * MINUTE_US, 7),
            (1_795_000_000_000_000, 30 * 24 * 60 * MINUTE_US, 700),
        ] {
            let stretches = Stretches::of(from_us, from_us + range_us, count).unwrap();
            let step = usize::try_from(range_us / 997).unwrap();
            for time_us in (from_us..from_us + range_us).step_by(step) {
                assert_eq!(
                    stretches.start_us(time_us),
                    start_us(&stretches, time_us),
                    "{stretches:?} {time_us}"
                );
            }
        }
    }

    #[test]
    fn short_stretches_are_told_by_values_and_of_a_long_range_there_are_fewer() {
        assert!(Stretches::of(0, 6 * 60 * MINUTE_US, 361).is_none());
        assert_eq!(Stretches::of(0, 6 * 60 * MINUTE_US, 360).unwrap().count, 360);
        assert_eq!(Stretches::of(0, 7 * 60 * MINUTE_US, 10_000).unwrap().count, 420);
        assert!(Stretches::of(i64::MIN, i64::MAX, 10_000).is_some_and(|all| all.unit == Length::Hour));
    }
}
