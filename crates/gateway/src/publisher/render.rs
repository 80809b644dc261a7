//! The MQTT messages that a reading becomes (PROTOCOL.md §3). A reading from the journal makes the same ones as one that has
//! just come.

mod json;

use vitalwire_profile::ChannelProfile;
use vitalwire_protocol::Channel;
use vitalwire_protocol::batch::Decimal;

use self::json::{ReadingJson, Value, write};
use crate::clock::rfc3339_millis;
use crate::message::Message;
use crate::reading::{BatchValues, ChannelValues, Reading, SampleText, Values};
use crate::topics::ChannelTopics;

/// The messages of a reading, in the order of time.
pub(super) fn messages(reading: &Reading) -> Vec<Message> {
    let mut messages = Vec::new();
    match &reading.values {
        Values::Sample(text) => sample(reading, text, &mut messages),
        Values::Batch(values) => Moments { reading, values }.messages(&mut messages),
    }
    messages
}

fn sample(reading: &Reading, text: &SampleText, messages: &mut Vec<Message>) {
    messages.reserve(Channel::ALL.len() + 1);
    let mut json = ReadingJson::new(reading.first_us, reading.assurance);
    json.number("sequence", reading.sequence);
    for ((channel, topics), text) in reading.source.channels().zip(text.texts()) {
        let value = std::str::from_utf8(&text).expect("a sample's values are ASCII");
        let number = value.parse().unwrap_or(f64::NAN);
        json.value(channel, Value { text: value, plausible: channel.plausible(number) });
        messages.extend(topics.value.as_ref().map(|topic| Message::passing(topic, text)));
    }
    messages.push(Message::passing(&reading.source.topics.reading, json.finish()));
}

/// One value of one channel, `offset_us` after the batch's `time_ms`.
struct Point<'r> {
    offset_us: u64,
    channel: &'r ChannelProfile,
    topics: &'r ChannelTopics,
    value: Decimal,
}

impl Point<'_> {
    fn plausible(&self) -> bool {
        self.channel.plausible(self.value.to_f64())
    }
}

/// A batch's reading, taken apart by moments.
struct Moments<'r> {
    reading: &'r Reading,
    values: &'r BatchValues,
}

impl<'r> Moments<'r> {
    /// Every value on its channel's topic and every moment as one `reading`, in the order of time; then each waveform.
    ///
    /// A moment at which only waveform channels have values makes no `reading`: at 250 Hz no one wants one a value.
    fn messages(&self, messages: &mut Vec<Message>) {
        let mut points = self.points();
        // Stable: within a moment the channels stay in the profile's order.
        points.sort_by_key(|point| point.offset_us);
        let source = &self.reading.source;
        let moments = points.chunk_by(|one, next| one.offset_us == next.offset_us);
        for (index, moment) in moments.enumerate() {
            for point in moment {
                let text = || point.value.to_string();
                messages.extend(point.topics.value.as_ref().map(|topic| Message::passing(topic, text())));
            }
            if moment.iter().any(|point| !point.channel.waveform) {
                messages.push(Message::passing(&source.topics.reading, self.reading(index, moment)));
            }
        }
        for channel in self.values.channels() {
            let Some((profile, topics)) = source.channel(channel.index) else { continue };
            let Some(topic) = &topics.waveform else { continue };
            messages.push(Message::passing(topic, self.waveform(profile, &channel)));
        }
    }

    fn points(&self) -> Vec<Point<'r>> {
        let source = &self.reading.source;
        let mut data: Vec<_> = self.values.channels().collect();
        let order = |index: u8| source.channels().position(|(channel, _)| channel.index == index);
        data.sort_by_key(|channel| order(channel.index));
        let mut points = Vec::with_capacity(self.values.span.values);
        for data in data {
            // The link refuses channels that the profile lacks; the profile may have changed since.
            let Some((channel, topics)) = source.channel(data.index) else { continue };
            let point = |(offset_us, value)| Point { offset_us, channel, topics, value };
            points.extend(data.values().map(point));
        }
        points
    }

    fn utc_us(&self, offset_us: u64) -> i64 {
        self.values.span.utc_us(self.reading.first_us, offset_us)
    }

    fn uncertainty_ms(&self) -> u64 {
        self.reading.uncertainty_us.div_ceil(1_000)
    }

    fn reading(&self, index: usize, moment: &[Point<'_>]) -> String {
        let offset_us = moment.first().map_or(self.values.span.first_us, |point| point.offset_us);
        let mut json = ReadingJson::new(self.utc_us(offset_us), self.reading.assurance);
        json.number("uncertainty_ms", self.uncertainty_ms());
        json.number("device_time_ms", self.values.time_ms + offset_us / 1_000);
        json.text("boot", format_args!("{:016x}", self.reading.boot));
        json.number("sequence", self.reading.sequence);
        json.number("index", index);
        for point in moment {
            json.value(point.channel, Value { text: point.value, plausible: point.plausible() });
        }
        json.finish()
    }

    fn waveform(&self, profile: &ChannelProfile, channel: &ChannelValues<'_>) -> String {
        let mut json = String::with_capacity(256 + channel.len() * 7);
        let t0 = rfc3339_millis(self.utc_us(u64::from(channel.delay_us)));
        let interval_ms = f64::from(channel.interval_us) / 1_000.0;
        let Reading { boot, sequence, assurance, .. } = self.reading;
        let (unit, uncertainty_ms) = (&profile.unit, self.uncertainty_ms());
        write(
            &mut json,
            format_args!(
                r#"{{"t0":"{t0}","interval_ms":{interval_ms},"uncertainty_ms":{uncertainty_ms},"boot":"{boot:016x}","sequence":{sequence},"assurance":"{assurance}","unit":"{unit}","values":["#
            ),
        );
        for (number, (_, value)) in channel.values().enumerate() {
            write(&mut json, format_args!("{}{value}", if number > 0 { "," } else { "" }));
        }
        json.push_str("]}");
        json
    }
}
