//! The MQTT messages that readings, statuses and events become (PROTOCOL.md §3).

mod json;

use std::sync::Arc;

use bytes::Bytes;
use vitalwire_profile::ChannelProfile;
use vitalwire_protocol::batch::Decimal;

use self::json::{ReadingJson, Value, write};
use super::message::Message;
use super::status::{OFFLINE, ONLINE};
use crate::alarms::{AlarmChange, AlarmList, WardSummary};
use crate::clock::rfc3339_millis;
use crate::event::{Event, Status};
use crate::reading::{BatchValues, ChannelValues, Reading, SampleText, Values};
use crate::topics::{ChannelTopics, DeviceTopics, ESCALATION, ROOT, WARD};

/// Where messages go.
pub(super) trait Sink {
    /// Whether a message on this topic is worth making.
    fn wants(&mut self, topic: &Arc<str>) -> bool;

    fn take(&mut self, message: Message);
}

/// For a broker elsewhere, which alone knows who subscribes.
impl Sink for Vec<Message> {
    fn wants(&mut self, _topic: &Arc<str>) -> bool {
        true
    }

    fn take(&mut self, message: Message) {
        self.push(message);
    }
}

/// Makes the messages of a reading that has just come, in the order of time. Its values have topics of their own only while
/// they are live: such a topic says no time, and shows the last value as the present one.
pub(super) fn live(reading: &Reading, now_us: i64, sink: &mut impl Sink) {
    render(reading, reading.is_live(now_us), sink);
}

/// Makes the messages of a reading that was held up.
pub(super) fn backlog(reading: &Reading, sink: &mut impl Sink) {
    render(reading, false, sink);
}

fn render(reading: &Reading, with_values: bool, sink: &mut impl Sink) {
    match &reading.values {
        Values::Sample(text) => sample(reading, text, with_values, sink),
        Values::Batch(values) => Moments { reading, values, with_values }.render(sink),
    }
}

/// That a device came or went: retained, its status; when it came, also the two ends of its connection.
pub(super) fn status(status: &Status) -> Vec<Message> {
    let topics = DeviceTopics::new(&status.device);
    let text = if status.is_online { ONLINE } else { OFFLINE };
    let mut messages = ends(status, &topics);
    messages.push(Message::retained(&topics.status, text));
    messages
}

/// The two ends of a connection that came, retained.
pub(super) fn ends(status: &Status, topics: &DeviceTopics) -> Vec<Message> {
    let mut messages = Vec::new();
    if status.is_online {
        messages.push(Message::retained(&topics.device_ip, status.peer.ip().to_string()));
        messages.push(Message::retained(&topics.device_port, status.peer.port().to_string()));
        if let Some(local) = status.local {
            messages.push(Message::retained(&topics.server_ip, local.ip().to_string()));
            messages.push(Message::retained(&topics.server_port, local.port().to_string()));
        }
    }
    messages
}

pub(super) fn event(event: &Event) -> Message {
    let topic = match event.device() {
        Some(device) => DeviceTopics::new(device).event,
        None => format!("{ROOT}/event").into(),
    };
    Message::passing(&topic, event.to_json())
}

/// The open alarms of a patient, retained; what was retained goes when the list is taken away.
pub(super) fn alarms(list: &AlarmList) -> Message {
    Message::retained(&DeviceTopics::new(&list.device).alarm, list.to_json())
}

/// How many alarms are open in all, retained.
pub(super) fn ward(summary: &WardSummary) -> Message {
    Message::retained(&format!("{ROOT}/{WARD}").into(), summary.to_json())
}

/// An alarm that others are to be told of.
pub(super) fn escalation(change: &AlarmChange) -> Message {
    Message::passing(&format!("{ROOT}/{ESCALATION}").into(), change.to_escalation_json())
}

fn value_message(reading: &Reading, topic: &Arc<str>, text: impl Into<Bytes>) -> Message {
    Message { live_until_us: Some(reading.live_until_us()), ..Message::passing(topic, text) }
}

fn sample(reading: &Reading, text: &SampleText, with_values: bool, sink: &mut impl Sink) {
    let topic = &reading.source.reading;
    let mut json = sink.wants(topic).then(|| ReadingJson::new(reading.first_us, reading.assurance));
    if let Some(json) = &mut json {
        json.number("sequence", reading.sequence);
    }
    for ((channel, topics), text) in reading.source.channels().zip(text.texts()) {
        if let Some(json) = &mut json {
            let value = std::str::from_utf8(&text).expect("a sample's values are ASCII");
            let number = value.parse().unwrap_or(f64::NAN);
            json.value(channel, Value { text: value, plausible: channel.plausible(number) });
        }
        if let Some(topic) = topics.value.as_ref().filter(|topic| with_values && sink.wants(topic)) {
            sink.take(value_message(reading, topic, text));
        }
    }
    if let Some(json) = json {
        sink.take(Message::passing(topic, json.finish()));
    }
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
    with_values: bool,
}

impl<'r> Moments<'r> {
    /// Every value on its channel's topic and every moment as one `reading`, in the order of time; then each waveform.
    ///
    /// A moment at which only waveform channels have values makes no `reading`: at 250 Hz no one wants one a value.
    fn render(&self, sink: &mut impl Sink) {
        let source = &self.reading.source;
        let wants_json = sink.wants(&source.reading);
        let is_wanted = |topics: &ChannelTopics, sink: &mut _| -> bool {
            self.with_values && topics.value.as_ref().is_some_and(|topic| Sink::wants(sink, topic))
        };
        // By the index of its channel in the profile.
        let mut wanted = [false; 256];
        for (channel, topics) in source.channels() {
            if let Some(wanted) = wanted.get_mut(usize::from(channel.index)) {
                *wanted = is_wanted(topics, sink);
            }
        }
        if wants_json || wanted.contains(&true) {
            self.render_moments(wants_json, &wanted, sink);
        }
        for channel in self.values.channels() {
            let Some((profile, topics)) = source.channel(channel.index) else { continue };
            let Some(topic) = topics.waveform.as_ref().filter(|topic| sink.wants(topic)) else { continue };
            sink.take(Message::passing(topic, self.waveform(profile, &channel)));
        }
    }

    fn render_moments(&self, wants_json: bool, wanted: &[bool; 256], sink: &mut impl Sink) {
        let mut points = self.points();
        // Stable: within a moment the channels stay in the profile's order.
        points.sort_by_key(|point| point.offset_us);
        let moments = points.chunk_by(|one, next| one.offset_us == next.offset_us);
        for (index, moment) in moments.enumerate() {
            for point in moment {
                if let (Some(topic), Some(true)) =
                    (&point.topics.value, wanted.get(usize::from(point.channel.index)))
                {
                    sink.take(value_message(self.reading, topic, point.value.to_string()));
                }
            }
            if wants_json && moment.iter().any(|point| !point.channel.waveform) {
                let topic = &self.reading.source.reading;
                sink.take(Message::passing(topic, self.reading(index, moment)));
            }
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
        if !self.reading.source.is_derived {
            json.number("device_time_ms", self.values.time_ms + offset_us / 1_000);
        }
        json.text("boot", format_args!("{:016x}", self.reading.boot));
        json.number("sequence", self.reading.sequence);
        json.number("index", self.values.first_index + index);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{FeedItem, WhenFull};
    use crate::intake::tests::{intake_with_feed, measurement_of};
    use crate::reading::batch::tests::DECODED;

    #[tokio::test]
    async fn a_batch_is_decoded_once_on_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let (intake, feed) = intake_with_feed(&folder);
        let mut publisher = feed.subscribe_publisher(1 << 20, WhenFull::Wait);
        let mut alarms = feed.subscribe("alarms");
        let before = DECODED.get();
        let receipt = intake.take(measurement_of("d", 1)).await;
        let queued = publisher.next_queued().await.unwrap();
        let FeedItem::Reading(reading) = &queued.item else { panic!("a reading") };
        let mut messages = Vec::new();
        live(reading, 1_000_000, &mut messages);
        assert!(!messages.is_empty());
        let Some(FeedItem::Reading(same)) = alarms.next().await else { panic!("a reading") };
        assert!(Arc::ptr_eq(reading, &same), "readers share it");
        assert_eq!(receipt.await.0, 1);
        assert_eq!(DECODED.get() - before, 1);
    }

    #[test]
    fn a_value_has_a_topic_of_its_own_only_while_it_is_live() {
        let reading = measurement_of("d", 1).reading;
        let topics = |messages: &[Message]| -> Vec<_> {
            messages.iter().map(|message| message.topic.to_string()).collect()
        };
        let made = |now_us| {
            let mut messages = Vec::new();
            live(&reading, now_us, &mut messages);
            topics(&messages)
        };
        let value = "Pico/d/Physiological_Data/Temperature";
        let json = "vitalwire/v1/d/reading";
        let last_us = reading.live_until_us();
        assert_eq!(made(last_us), [value, json]);
        assert_eq!(made(last_us + 1), [json], "it waited too long");
        let mut messages = Vec::new();
        backlog(&reading, &mut messages);
        assert_eq!(topics(&messages), [json]);
    }

    /// Wants one topic only.
    struct Picky(&'static str, Vec<String>);

    impl Sink for Picky {
        fn wants(&mut self, topic: &Arc<str>) -> bool {
            **topic == *self.0
        }

        fn take(&mut self, message: Message) {
            self.1.push(message.topic.to_string());
        }
    }

    #[test]
    fn only_what_is_wanted_is_made() {
        let reading = measurement_of("d", 1).reading;
        for topic in ["Pico/d/Physiological_Data/Temperature", "vitalwire/v1/d/reading"] {
            let mut sink = Picky(topic, Vec::new());
            live(&reading, reading.live_until_us(), &mut sink);
            assert_eq!(sink.1, [topic]);
        }
    }
}
