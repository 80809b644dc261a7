//! The values of one batch of the secure link, decoded once. They keep every digit that the device sent.

use std::ops::Range;

use vitalwire_protocol::batch::{Batch, ChannelData, Decimal, Message, decode};

/// Where a batch's values lie in time, in microseconds after the batch's `time_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchSpan {
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// How many values, of all channels.
    pub(crate) values: usize,
    /// How many of the channel that has most: the moments of a device that measures its channels together.
    pub(crate) moments: usize,
}

impl BatchSpan {
    pub(crate) fn of(batch: &Batch<'_>) -> Self {
        let empty = Self { first_us: u64::MAX, last_us: 0, values: 0, moments: 0 };
        batch.channels().fold(empty, |span, channel| {
            let count = channel.values.len() as u64;
            let delay_us = u64::from(channel.delay_us);
            Self {
                first_us: span.first_us.min(delay_us),
                last_us: span
                    .last_us
                    .max(delay_us + count.saturating_sub(1) * u64::from(channel.interval_us)),
                values: span.values + channel.values.len(),
                moments: span.moments.max(channel.values.len()),
            }
        })
    }

    /// From the first value to the last, in microseconds.
    pub(crate) fn len_us(self) -> u64 {
        self.last_us - self.first_us
    }

    /// When a value was measured, the batch's first value having been measured at `first_us`.
    pub(crate) fn utc_us(self, first_us: i64, offset_us: u64) -> i64 {
        first_us.saturating_add_unsigned(offset_us - self.first_us)
    }
}

#[derive(Debug)]
pub(crate) struct BatchValues {
    /// The device's own clock.
    pub(crate) time_ms: u64,
    pub(crate) span: BatchSpan,
    /// Which moment its first is: not 0 where moments of a batch are told before the others are there.
    pub(crate) first_index: usize,
    /// In the order in which they were sent.
    channels: Box<[ChannelTable]>,
    /// Of all channels, one channel after the other.
    digits: Box<[i32]>,
}

#[derive(Debug)]
struct ChannelTable {
    index: u8,
    interval_us: u32,
    delay_us: u32,
    scale: i8,
    digits: Range<usize>,
}

/// The values of one channel of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelValues<'a> {
    /// In the device's profile.
    pub(crate) index: u8,
    /// From value to value.
    pub(crate) interval_us: u32,
    /// From the batch's `time_ms` to the first value.
    pub(crate) delay_us: u32,
    scale: i8,
    digits: &'a [i32],
}

impl BatchValues {
    /// The one place where a batch's values are unpacked on their way from a device to its readers.
    pub(crate) fn of(batch: &Batch<'_>) -> Self {
        #[cfg(test)]
        tests::DECODED.with(|decoded| decoded.set(decoded.get() + 1));
        let span = BatchSpan::of(batch);
        let mut digits = Vec::with_capacity(span.values);
        let table = |channel: ChannelData<'_>| {
            let first = digits.len();
            digits.extend(channel.values);
            ChannelTable {
                index: channel.index,
                interval_us: channel.interval_us,
                delay_us: channel.delay_us,
                scale: channel.scale,
                digits: first..digits.len(),
            }
        };
        let channels = batch.channels().map(table).collect();
        Self { time_ms: batch.time_ms, span, first_index: 0, channels, digits: digits.into() }
    }

    /// One moment of a batch whose moments are `interval_us` apart, with a value of each channel: index, scale, digits.
    pub(crate) fn moment(time_ms: u64, place: usize, interval_us: u32, values: &[(u8, i8, i32)]) -> Self {
        let delay_us = u32::try_from(place).unwrap_or(u32::MAX).saturating_mul(interval_us);
        let offset_us = u64::from(delay_us);
        let table = |(place, (index, scale, _)): (usize, &(u8, i8, i32))| ChannelTable {
            index: *index,
            interval_us,
            delay_us,
            scale: *scale,
            digits: place..place + 1,
        };
        Self {
            time_ms,
            span: BatchSpan { first_us: offset_us, last_us: offset_us, values: values.len(), moments: 1 },
            first_index: place,
            channels: values.iter().enumerate().map(table).collect(),
            digits: values.iter().map(|(_, _, digits)| *digits).collect(),
        }
    }

    /// The values of a batch message out of the journal; `None` when it is none.
    pub(crate) fn stored(message: &[u8]) -> Option<Self> {
        match decode(message) {
            Ok(Some((Message::Batch(batch), _))) => Some(Self::of(&batch)),
            _ => None,
        }
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = ChannelValues<'_>> {
        self.channels.iter().map(|table| ChannelValues {
            index: table.index,
            interval_us: table.interval_us,
            delay_us: table.delay_us,
            scale: table.scale,
            digits: self.digits.get(table.digits.clone()).unwrap_or_default(),
        })
    }

    /// Memory beside itself, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.channels) + size_of_val(&*self.digits)
    }
}

impl<'a> ChannelValues<'a> {
    pub(crate) fn len(&self) -> usize {
        self.digits.len()
    }

    /// Its values, and the power of ten that they are times.
    pub(crate) fn digits(&self) -> (&'a [i32], i8) {
        (self.digits, self.scale)
    }

    /// Each value with its microseconds after the batch's `time_ms`.
    pub(crate) fn values(&self) -> impl Iterator<Item = (u64, Decimal)> + use<'a> {
        values(self.delay_us, self.interval_us, self.scale, self.digits.iter().copied())
    }
}

fn values(
    delay_us: u32,
    interval_us: u32,
    scale: i8,
    digits: impl Iterator<Item = i32>,
) -> impl Iterator<Item = (u64, Decimal)> {
    let (delay_us, interval_us) = (u64::from(delay_us), u64::from(interval_us));
    digits.enumerate().filter_map(move |(number, digits)| {
        Some((delay_us + number as u64 * interval_us, Decimal::new(digits, scale)?))
    })
}

/// Hands out the values of one channel in a batch message whose first value was measured at `first_us`, each with its time
/// (UTC, microseconds); gives the channel's interval. For history, which wants no other channel.
pub(crate) fn channel_values(
    message: &[u8],
    first_us: i64,
    index: u8,
    mut take: impl FnMut(i64, Decimal),
) -> u32 {
    let Ok(Some((Message::Batch(batch), _))) = decode(message) else { return 0 };
    let span = BatchSpan::of(&batch);
    let Some(channel) = batch.channels().find(|channel| channel.index == index) else { return 0 };
    let ChannelData { delay_us, interval_us, scale, values: digits, .. } = channel;
    for (offset_us, value) in values(delay_us, interval_us, scale, digits) {
        take(span.utc_us(first_us, offset_us), value);
    }
    interval_us
}

/// Hands out each channel of a batch message as [`channel_values`] does one: its index, its interval and its values with their times.
pub(crate) fn each_channel(
    message: &[u8],
    first_us: i64,
    mut take: impl FnMut(u8, u32, &mut dyn Iterator<Item = (i64, Decimal)>),
) {
    let Ok(Some((Message::Batch(batch), _))) = decode(message) else { return };
    let span = BatchSpan::of(&batch);
    for ChannelData { index, delay_us, interval_us, scale, values: digits } in batch.channels() {
        let timed = |(offset_us, value)| (span.utc_us(first_us, offset_us), value);
        take(index, interval_us, &mut values(delay_us, interval_us, scale, digits).map(timed));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use vitalwire_protocol::batch::{MESSAGE_LEN_MAX, Samples, encode_batch};

    use super::*;

    thread_local! {
        /// How often a batch was decoded on this thread.
        pub(crate) static DECODED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn channels_keep_their_order_times_and_digits() {
        let samples = |index, interval_us, delay_us, values| Samples {
            index,
            interval_us,
            delay_us,
            scale: -3,
            values,
        };
        let channels = [samples(2, 4_000, 0, &[1, 2, 3]), samples(0, 1_000_000, 7_000, &[36_600])];
        let mut message = vec![0; MESSAGE_LEN_MAX];
        let len = encode_batch(1, 1_000, None, &channels, &mut message).unwrap();
        let batch = BatchValues::stored(&message[..len]).unwrap();
        assert_eq!((batch.time_ms, batch.span.len_us()), (1_000, 8_000));
        let found: Vec<_> = batch
            .channels()
            .map(|channel| {
                (channel.index, channel.values().map(|(us, value)| (us, value.to_string())).collect())
            })
            .collect();
        let text = |us, value: &str| (us, value.to_owned());
        let expected: Vec<(u8, Vec<_>)> = vec![
            (2, vec![text(0, "0.001"), text(4_000, "0.002"), text(8_000, "0.003")]),
            (0, vec![text(7_000, "36.600")]),
        ];
        assert_eq!(found, expected);
    }
}
