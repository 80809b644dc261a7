//! One batch of the secure link. Its values keep every digit that the device sent.

use bytes::Bytes;
use vitalwire_journal::Assurance;
use vitalwire_profile::ChannelProfile;
use vitalwire_protocol::batch::{Batch, ChannelData, Decimal, Message as Received, decode};

use super::json::{ReadingJson, Value, write};
use crate::clock::rfc3339_millis;
use crate::message::Message;
use crate::topics::{ChannelTopics, SourceRef};

#[derive(Clone, Debug)]
pub(crate) struct BatchReading {
    pub(crate) source: SourceRef,
    pub(crate) boot: u64,
    /// When the batch's first value was measured: UTC, microseconds since 1970.
    pub(crate) first_us: i64,
    /// How far off `first_us` may be, to either side.
    pub(crate) uncertainty_us: u64,
    /// The message as it came; it was decoded whole before.
    pub(crate) message: Bytes,
}

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

    /// When a value was measured, the batch's first value having been measured at `first_us`.
    fn utc_us(self, first_us: i64, offset_us: u64) -> i64 {
        first_us.saturating_add_unsigned(offset_us - self.first_us)
    }
}

/// The values of a channel, each with its microseconds after the batch's `time_ms`.
fn values(channel: &ChannelData<'_>) -> impl Iterator<Item = (u64, Decimal)> {
    let (delay_us, interval_us, scale) =
        (u64::from(channel.delay_us), u64::from(channel.interval_us), channel.scale);
    channel.values.clone().enumerate().filter_map(move |(number, digits)| {
        Some((delay_us + number as u64 * interval_us, Decimal::new(digits, scale)?))
    })
}

/// The values of one channel in a batch message whose first value was measured at `first_us`, with their times (UTC,
/// microseconds), and the channel's interval in microseconds.
pub(crate) fn channel_values(message: &[u8], first_us: i64, index: u8) -> (Vec<(i64, f64)>, u32) {
    let Ok(Some((Received::Batch(batch), _))) = decode(message) else { return (Vec::new(), 0) };
    let span = BatchSpan::of(&batch);
    let Some(channel) = batch.channels().find(|channel| channel.index == index) else {
        return (Vec::new(), 0);
    };
    let value = |(offset_us, value): (u64, Decimal)| (span.utc_us(first_us, offset_us), value.to_f64());
    (values(&channel).map(value).collect(), channel.interval_us)
}

/// One value of one channel, `offset_us` after the batch's `time_ms`.
struct Point<'s> {
    offset_us: u64,
    channel: &'s ChannelProfile,
    topics: &'s ChannelTopics,
    value: Decimal,
}

impl Point<'_> {
    fn plausible(&self) -> bool {
        self.channel.plausible(self.value.to_f64())
    }
}

impl BatchReading {
    /// Every value on its channel's topic and every moment as one `reading`, in the order of time; then each waveform.
    ///
    /// A moment at which only waveform channels have values makes no `reading`: at 250 Hz no one wants one a value.
    pub(super) fn messages(&self, messages: &mut Vec<Message>) {
        let Ok(Some((Received::Batch(batch), _))) = decode(&self.message) else { return };
        let span = BatchSpan::of(&batch);
        let mut points = self.points(&batch);
        // Stable: within a moment the channels stay in the profile's order.
        points.sort_by_key(|point| point.offset_us);
        let moments = points.chunk_by(|one, next| one.offset_us == next.offset_us);
        for (index, moment) in moments.enumerate() {
            for point in moment {
                let text = || point.value.to_string();
                messages.extend(point.topics.value.as_ref().map(|topic| Message::passing(topic, text())));
            }
            if moment.iter().any(|point| !point.channel.waveform) {
                messages.push(Message::passing(
                    &self.source.topics.reading,
                    self.reading(&batch, span, index, moment),
                ));
            }
        }
        for channel in batch.channels() {
            let Some((profile, topics)) = self.source.channel(channel.index) else { continue };
            let Some(topic) = &topics.waveform else { continue };
            messages.push(Message::passing(topic, self.waveform(&batch, span, profile, &channel)));
        }
    }

    fn points(&self, batch: &Batch<'_>) -> Vec<Point<'_>> {
        let mut data: Vec<_> = batch.channels().collect();
        let order = |index: u8| self.source.channels().position(|(channel, _)| channel.index == index);
        data.sort_by_key(|channel| order(channel.index));
        let mut points = Vec::with_capacity(data.iter().map(|channel| channel.values.len()).sum());
        for data in data {
            // The link refuses channels that the profile lacks; the profile may have changed since.
            let Some((channel, topics)) = self.source.channel(data.index) else { continue };
            let point = |(offset_us, value)| Point { offset_us, channel, topics, value };
            points.extend(values(&data).map(point));
        }
        points
    }

    fn utc_us(&self, span: BatchSpan, offset_us: u64) -> i64 {
        span.utc_us(self.first_us, offset_us)
    }

    fn reading(&self, batch: &Batch<'_>, span: BatchSpan, index: usize, moment: &[Point<'_>]) -> String {
        let offset_us = moment.first().map_or(span.first_us, |point| point.offset_us);
        let mut json = ReadingJson::new(self.utc_us(span, offset_us), Assurance::Authenticated);
        json.number("uncertainty_ms", self.uncertainty_us.div_ceil(1_000));
        json.number("device_time_ms", batch.time_ms + offset_us / 1_000);
        json.text("boot", format_args!("{:016x}", self.boot));
        json.number("sequence", batch.sequence);
        json.number("index", index);
        for point in moment {
            json.value(point.channel, Value { text: point.value, plausible: point.plausible() });
        }
        json.finish()
    }

    fn waveform(
        &self,
        batch: &Batch<'_>,
        span: BatchSpan,
        profile: &ChannelProfile,
        channel: &ChannelData<'_>,
    ) -> String {
        let mut json = String::with_capacity(256 + channel.values.len() * 7);
        let t0 = rfc3339_millis(self.utc_us(span, u64::from(channel.delay_us)));
        let interval_ms = f64::from(channel.interval_us) / 1_000.0;
        let (unit, uncertainty_ms) = (&profile.unit, self.uncertainty_us.div_ceil(1_000));
        write(
            &mut json,
            format_args!(
                r#"{{"t0":"{t0}","interval_ms":{interval_ms},"uncertainty_ms":{uncertainty_ms},"boot":"{:016x}","sequence":{},"assurance":"{}","unit":"{unit}","values":["#,
                self.boot,
                batch.sequence,
                Assurance::Authenticated,
            ),
        );
        for (number, (_, value)) in values(channel).enumerate() {
            write(&mut json, format_args!("{}{value}", if number > 0 { "," } else { "" }));
        }
        json.push_str("]}");
        json
    }
}
