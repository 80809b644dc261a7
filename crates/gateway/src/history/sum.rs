//! What the values of a channel come to in a stretch of time, and how it is kept in the journal. Pure.
//!
//! Sums of two stretches join to that of both, whatever the order in which their values came; so an hour is joined from its minutes, and
//! what a screen wants from hours, minutes, and the values at its edges.

use bytes::Bytes;
use vitalwire_journal::Stretch;

use super::GAP_INTERVALS;

/// Before all else in the journal's bytes, so that a later form is told from this one.
const FORM: u8 = 1;
/// Bytes of one channel.
const CHANNEL_LEN: usize = 54;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// UTC, microseconds since 1970.
    pub(super) time_us: i64,
    pub(super) uncertainty_us: u64,
    pub(super) value: f64,
    /// From value to value, as the batch said it.
    pub(super) interval_us: u32,
}

/// Of at least one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sum {
    pub(super) samples: u32,
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    /// The longest interval that a batch said within the first minute and within the last.
    first_interval_us: u32,
    last_interval_us: u32,
    pub(super) uncertainty_us: u64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    /// Samples are missing between two of the values.
    pub(super) gap_within: bool,
}

impl Sum {
    /// Of the values of a minute, in any order; those that are no numbers are left out. Neighbours further apart than some
    /// intervals, of the longest that was said in the minute, have a gap between them.
    pub(super) fn of_minute(points: &mut Vec<Point>) -> Option<Self> {
        points.retain(|point| point.value.is_finite());
        points.sort_by_key(|point| point.time_us);
        let interval_us = points.iter().map(|point| point.interval_us).max()?;
        let mut sums = points.iter().map(|point| Self {
            samples: 1,
            first_us: point.time_us,
            last_us: point.time_us,
            first_interval_us: interval_us,
            last_interval_us: interval_us,
            uncertainty_us: point.uncertainty_us,
            min: point.value,
            max: point.value,
            mean: point.value,
            gap_within: false,
        });
        let first = sums.next()?;
        Some(sums.fold(first, |sum, next| sum.join(&next)))
    }

    /// With what was measured after it.
    pub(super) fn join(self, later: &Self) -> Self {
        Self {
            gap_within: self.gap_within | later.gap_within | self.has_gap_before(later),
            first_interval_us: self.first_interval_us,
            last_interval_us: later.last_interval_us,
            ..self.mix(later)
        }
    }

    /// With what was measured at the same time: whether something is missing between the two cannot be said.
    pub(super) fn mix(self, other: &Self) -> Self {
        let samples = self.samples.saturating_add(other.samples);
        let share = f64::from(other.samples) / f64::from(samples);
        Self {
            samples,
            first_us: self.first_us.min(other.first_us),
            last_us: self.last_us.max(other.last_us),
            first_interval_us: self.first_interval_us.max(other.first_interval_us),
            last_interval_us: self.last_interval_us.max(other.last_interval_us),
            uncertainty_us: self.uncertainty_us.max(other.uncertainty_us),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            mean: self.mean + (other.mean - self.mean) * share,
            gap_within: self.gap_within | other.gap_within,
        }
    }

    /// Whether samples are missing between this and what was measured after it.
    pub(super) fn has_gap_before(&self, later: &Self) -> bool {
        let interval_us = self.last_interval_us.max(later.first_interval_us);
        self.last_us.abs_diff(later.first_us) > u64::from(interval_us) * GAP_INTERVALS
    }
}

/// All that is known of a stretch of one device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StretchSum {
    /// The lowest and the highest position of its entries in the journal.
    pub(super) positions: (u64, u64),
    /// One a profile of which there are readings.
    pub(super) parts: Vec<Part>,
}

/// The readings of one profile.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) profile: Box<str>,
    /// Channels with values, by their index in the profile.
    pub(super) channels: Vec<(u8, Sum)>,
}

impl StretchSum {
    /// Of an hour, out of its minutes in their order.
    pub(super) fn of_minutes(minutes: impl IntoIterator<Item = Self>) -> Option<Self> {
        minutes.into_iter().reduce(|mut hour, minute| {
            hour.positions.0 = hour.positions.0.min(minute.positions.0);
            hour.positions.1 = hour.positions.1.max(minute.positions.1);
            minute.parts.into_iter().for_each(|part| hour.join_part(part));
            hour
        })
    }

    fn join_part(&mut self, later: Part) {
        let Some(part) = self.parts.iter_mut().find(|part| part.profile == later.profile) else {
            self.parts.push(later);
            return;
        };
        for (index, sum) in later.channels {
            match part.channels.iter_mut().find(|(known, _)| *known == index) {
                Some((_, joined)) => *joined = joined.join(&sum),
                None => part.channels.push((index, sum)),
            }
        }
    }

    /// As the journal keeps it, little-endian; nothing when it does not fit, so that the entries are read instead.
    pub(super) fn encode(&self, stretch: &Stretch) -> Option<Bytes> {
        let begin_us = begin_us(stretch.length.us(), stretch.number);
        let mut out = vec![FORM];
        out.extend_from_slice(&self.positions.0.to_le_bytes());
        out.extend_from_slice(&self.positions.1.to_le_bytes());
        out.push(u8::try_from(self.parts.len()).ok()?);
        for part in &self.parts {
            out.push(u8::try_from(part.profile.len()).ok()?);
            out.extend_from_slice(part.profile.as_bytes());
            out.push(u8::try_from(part.channels.len()).ok()?);
            for (index, sum) in &part.channels {
                out.push(*index);
                out.push(u8::from(sum.gap_within));
                for number in [
                    sum.samples,
                    u32::try_from(sum.first_us.checked_sub(begin_us)?).ok()?,
                    u32::try_from(sum.last_us.checked_sub(begin_us)?).ok()?,
                    sum.first_interval_us,
                    sum.last_interval_us,
                ] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&sum.uncertainty_us.to_le_bytes());
                for number in [sum.min, sum.max, sum.mean] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        Some(out.into())
    }

    /// What [`StretchSum::encode`] made; nothing of what a later program made, or of damaged bytes.
    pub(super) fn parse(bytes: &[u8], length_us: i64, number: i64) -> Option<Self> {
        let begin_us = begin_us(length_us, number);
        let mut reader = Reader(bytes);
        if reader.byte()? != FORM {
            return None;
        }
        let positions = (reader.u64()?, reader.u64()?);
        let parts = reader.byte()?;
        let parts = (0..parts).map(|_| Part::read(&mut reader, begin_us)).collect::<Option<_>>()?;
        reader.0.is_empty().then_some(Self { positions, parts })
    }
}

impl Part {
    fn read(reader: &mut Reader<'_>, begin_us: i64) -> Option<Self> {
        let len = reader.byte()?;
        let profile = std::str::from_utf8(reader.take(usize::from(len))?).ok()?.into();
        let count = reader.byte()?;
        let mut channels = Vec::with_capacity(usize::from(count).min(reader.0.len() / CHANNEL_LEN));
        for _ in 0..count {
            channels.push((reader.byte()?, Sum::read(reader, begin_us)?));
        }
        Some(Self { profile, channels })
    }
}

impl Sum {
    fn read(reader: &mut Reader<'_>, begin_us: i64) -> Option<Self> {
        let gap_within = reader.byte()? != 0;
        let samples = reader.u32()?;
        let mut time_us = || Some(begin_us.saturating_add(i64::from(reader.u32()?)));
        let (first_us, last_us) = (time_us()?, time_us()?);
        let sum = Self {
            gap_within,
            samples,
            first_us,
            last_us,
            first_interval_us: reader.u32()?,
            last_interval_us: reader.u32()?,
            uncertainty_us: reader.u64()?,
            min: reader.f64()?,
            max: reader.f64()?,
            mean: reader.f64()?,
        };
        let is_sound = samples > 0
            && first_us <= last_us
            && [sum.min, sum.max, sum.mean].iter().all(|value| value.is_finite());
        is_sound.then_some(sum)
    }
}

/// When the stretch begins.
pub(super) fn begin_us(length_us: i64, number: i64) -> i64 {
    number.saturating_mul(length_us)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        self.take(LEN)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_journal::Length;

    use super::*;

    fn point(time_us: i64, value: f64) -> Point {
        Point { time_us, uncertainty_us: 7, value, interval_us: 50_000 }
    }

    fn sum(points: &[(i64, f64)]) -> Sum {
        Sum::of_minute(&mut points.iter().map(|(time_us, value)| point(*time_us, *value)).collect()).unwrap()
    }

    fn minute() -> (Stretch, StretchSum) {
        let stretch = Stretch { device: "d".parse().unwrap(), length: Length::Minute, number: -2 };
        let channel = |index, time_us| (index, sum(&[(time_us, 1.5), (time_us + 50_000, -2.0)]));
        let part = |profile: &str| Part {
            profile: profile.into(),
            channels: vec![channel(0, -120_000_000), channel(6, -60_050_001)],
        };
        (stretch, StretchSum { positions: (3, u64::MAX), parts: vec![part("pico"), part("vitals")] })
    }

    #[test]
    fn a_minute_has_a_gap_where_neighbours_are_too_far_apart_and_no_value_that_is_no_number() {
        let even = sum(&[(0, 1.0), (150_000, 5.0), (300_000, f64::NAN)]);
        assert_eq!((even.samples, even.min, even.max, even.mean, even.gap_within), (2, 1.0, 5.0, 3.0, false));
        assert_eq!((even.first_us, even.last_us), (0, 150_000));
        assert!(sum(&[(0, 1.0), (150_001, 5.0)]).gap_within);
        assert!(Sum::of_minute(&mut vec![point(0, f64::INFINITY)]).is_none());
        assert!(Sum::of_minute(&mut Vec::new()).is_none());
    }

    #[test]
    fn what_is_kept_comes_back_and_what_is_cut_anywhere_does_not() {
        let (stretch, minute) = minute();
        let bytes = minute.encode(&stretch).unwrap();
        assert_eq!(bytes.len(), 1 + 16 + 1 + 2 * (2 + 2 * CHANNEL_LEN) + "picovitals".len());
        let parse = |bytes: &[u8]| StretchSum::parse(bytes, stretch.length.us(), stretch.number);
        assert_eq!(parse(&bytes), Some(minute));
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(parse(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(parse(&[&[FORM + 1], &bytes[1..]].concat()), None);
    }

    #[test]
    fn damaged_bytes_are_no_sum_or_a_sound_one() {
        let (stretch, minute) = minute();
        let bytes = minute.encode(&stretch).unwrap();
        for place in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[place] ^= flip;
                let Some(found) = StretchSum::parse(&damaged, i64::MAX, i64::MAX) else { continue };
                let sums = found.parts.iter().flat_map(|part| &part.channels);
                assert!(sums.into_iter().all(|(_, sum)| sum.samples > 0 && sum.first_us <= sum.last_us));
            }
        }
    }

    #[test]
    fn an_hour_is_joined_from_its_minutes_with_the_gaps_between_them() {
        let part = |profile: &str, sum| Part { profile: profile.into(), channels: vec![(0, sum)] };
        let minute = |positions, parts| StretchSum { positions, parts };
        let minutes = [
            minute((5, 9), vec![part("pico", sum(&[(0, 1.0)]))]),
            minute(
                (2, 3),
                vec![part("other", sum(&[(60_000_000, 7.0)])), part("pico", sum(&[(60_000_000, 3.0)]))],
            ),
        ];
        let hour = StretchSum::of_minutes(minutes).unwrap();
        assert_eq!(hour.positions, (2, 9));
        let [pico, other] = &hour.parts[..] else { panic!("{hour:?}") };
        assert_eq!((&*pico.profile, &*other.profile), ("pico", "other"));
        assert_eq!((pico.channels[0].1.mean, pico.channels[0].1.gap_within), (2.0, true));
        assert!(StretchSum::of_minutes([]).is_none());
    }
}
