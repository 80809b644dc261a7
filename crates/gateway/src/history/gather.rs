//! Entries in, the sums of each minute out. It never waits, and reads no file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use vitalwire_journal::{Length, Stored};
use vitalwire_profile::{ChannelProfile, Profile};

use super::Only;
use super::fold::read;
use super::sum::{Part, Point, StretchSum, Sum};
use crate::profiles::Profiles;
use crate::reading::{Body, each_channel, number_at};

/// Values of one channel and minute that wait until all are there. Of more, which no device measures, what is summed early is
/// not compared with what comes later: a gap between the two is not seen.
const POINTS_MAX: usize = 262_144;

/// Takes entries in the order of their first values. Each minute is ready when an entry comes that begins after it.
pub(super) struct Gather {
    profiles: Profiles,
    /// Channels of this name alone.
    channel: Option<String>,
    range_us: Range<i64>,
    only: Option<Only>,
    waiting: BTreeMap<i64, Minute>,
    scratch: Vec<Point>,
}

/// What came of a minute.
#[derive(Default)]
pub(super) struct Minute {
    /// The lowest and the highest position of its entries.
    positions: Option<(u64, u64)>,
    parts: Vec<(Arc<Profile>, Channels)>,
}

/// By their index in the profile.
type Channels = Vec<(u8, Values)>;

#[derive(Default)]
struct Values {
    points: Vec<Point>,
    early: Option<Sum>,
}

impl Values {
    fn add(&mut self, points: &[Point]) {
        self.points.extend_from_slice(points);
        if self.points.len() >= POINTS_MAX {
            let points = std::mem::take(&mut self.points);
            self.early = Self { points, early: self.early }.sum();
        }
    }

    fn sum(mut self) -> Option<Sum> {
        let rest = Sum::of_minute(&mut self.points);
        match (self.early, rest) {
            (Some(early), Some(rest)) => Some(early.mix(&rest)),
            (early, rest) => early.or(rest),
        }
    }
}

impl Gather {
    /// Of all channels.
    pub(super) fn all(profiles: Profiles) -> Self {
        Self {
            profiles,
            channel: None,
            range_us: i64::MIN..i64::MAX,
            only: None,
            waiting: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    /// Of the channels of a name, whatever the profile, between these times.
    pub(super) fn of_channel(
        profiles: Profiles,
        channel: String,
        range_us: Range<i64>,
        only: Option<Only>,
    ) -> Self {
        Self { channel: Some(channel), range_us, only, ..Self::all(profiles) }
    }

    /// Gives the minutes that are ready, in order.
    pub(super) fn take(&mut self, stored: &Stored) -> Vec<(i64, Minute)> {
        let ready = self.ready(Length::Minute.at(stored.entry.first_us));
        self.add(stored);
        ready
    }

    /// Gives what is left.
    pub(super) fn finish(&mut self) -> Vec<(i64, Minute)> {
        self.ready(i64::MAX)
    }

    fn ready(&mut self, before: i64) -> Vec<(i64, Minute)> {
        let mut ready = Vec::new();
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() < before) {
            ready.push(first.remove_entry());
        }
        ready
    }

    fn add(&mut self, stored: &Stored) {
        let Some((profile, body)) = read(&self.profiles, stored) else { return };
        let entry = &stored.entry;
        let last_us = entry.first_us.saturating_add_unsigned(entry.span_us);
        for minute in Length::Minute.at(entry.first_us)..=Length::Minute.at(last_us) {
            self.waiting.entry(minute).or_default().note(stored.position, &profile);
        }
        match body {
            Body::Batch { message, .. } => {
                each_channel(&message, entry.first_us, |index, interval_us, values| {
                    let Some(channel) = profile.channel(index) else { return };
                    let values = values.map(|(time_us, value)| (time_us, value.to_f64()));
                    self.add_values(stored, &profile, channel, interval_us, values);
                })
            }
            Body::Samples { samples, .. } => {
                for channel in profile.channels() {
                    let place = usize::from(channel.index);
                    let values = samples.iter().filter_map(|sample| {
                        let time_us = entry.first_us.saturating_add_unsigned(sample.offset_us);
                        Some((time_us, number_at(&sample.text, place)?))
                    });
                    self.add_values(stored, &profile, channel, channel.interval_us(), values);
                }
            }
        }
    }

    fn add_values(
        &mut self,
        stored: &Stored,
        profile: &Arc<Profile>,
        channel: &ChannelProfile,
        interval_us: u32,
        values: impl Iterator<Item = (i64, f64)>,
    ) {
        if self.channel.as_ref().is_some_and(|wanted| *wanted != channel.name) {
            return;
        }
        let uncertainty_us = stored.entry.uncertainty_us;
        let is_wanted = |time_us| {
            let is_own = |only: &Only| only.has(time_us, stored.position);
            self.range_us.contains(&time_us) && self.only.as_ref().is_none_or(is_own)
        };
        let point = |(time_us, value)| {
            is_wanted(time_us).then_some(Point { time_us, uncertainty_us, value, interval_us })
        };
        self.scratch.clear();
        self.scratch.extend(values.filter_map(point));
        for points in
            self.scratch.chunk_by(|a, b| Length::Minute.at(a.time_us) == Length::Minute.at(b.time_us))
        {
            let Some(first) = points.first() else { continue };
            let minute = self.waiting.entry(Length::Minute.at(first.time_us)).or_default();
            minute.values(profile, channel.index).add(points);
        }
    }
}

impl Minute {
    fn note(&mut self, position: u64, profile: &Arc<Profile>) {
        let (first, last) = self.positions.unwrap_or((position, position));
        self.positions = Some((first.min(position), last.max(position)));
        self.channels(profile);
    }

    fn channels(&mut self, profile: &Arc<Profile>) -> &mut Channels {
        let place =
            self.parts.iter().position(|(known, _)| Arc::ptr_eq(known, profile)).unwrap_or_else(|| {
                self.parts.push((Arc::clone(profile), Vec::new()));
                self.parts.len() - 1
            });
        let (_, channels) = self.parts.get_mut(place).expect("it was found, or added, there");
        channels
    }

    fn values(&mut self, profile: &Arc<Profile>, index: u8) -> &mut Values {
        let channels = self.channels(profile);
        let place = channels.iter().position(|(known, _)| *known == index).unwrap_or_else(|| {
            channels.push((index, Values::default()));
            channels.len() - 1
        });
        let (_, values) = channels.get_mut(place).expect("it was found, or added, there");
        values
    }

    /// The profiles of its readings.
    pub(super) fn profiles(&self) -> Vec<Arc<Profile>> {
        self.parts.iter().map(|(profile, _)| Arc::clone(profile)).collect()
    }

    /// All its values as those of one channel.
    pub(super) fn sum(self) -> Option<Sum> {
        let mut all = Values::default();
        for (_, values) in self.parts.into_iter().flat_map(|(_, channels)| channels) {
            all.early = match (all.early, values.early) {
                (Some(all), Some(early)) => Some(all.mix(&early)),
                (all, early) => all.or(early),
            };
            all.points.extend(values.points);
        }
        all.sum()
    }

    /// As it is kept; nothing of a minute without entries that can be read.
    pub(super) fn stretch_sum(self) -> Option<StretchSum> {
        let positions = self.positions?;
        let part = |(profile, channels): (Arc<Profile>, Channels)| Part {
            profile: profile.name().into(),
            channels: channels
                .into_iter()
                .filter_map(|(index, values)| Some((index, values.sum()?)))
                .collect(),
        };
        Some(StretchSum { positions, parts: self.parts.into_iter().map(part).collect() })
    }
}
