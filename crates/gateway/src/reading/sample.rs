//! One sample of a device that speaks the paper's frames. It keeps its values' text exactly as the device sent it.

use bytes::Bytes;
use vitalwire_journal::Assurance;
use vitalwire_protocol::{Channel, Sample};

use super::json::{ReadingJson, Value};
use crate::message::Message;
use crate::topics::SourceRef;

/// Stands between the values of a sample's text; no number holds it.
const SEPARATOR: u8 = b',';

fn texts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == SEPARATOR)
}

/// The value at this place of a sample's text.
pub(crate) fn number_at(text: &[u8], place: usize) -> Option<f64> {
    std::str::from_utf8(texts(text).nth(place)?).ok()?.parse().ok()
}

#[derive(Clone, Debug)]
pub(crate) struct SampleReading {
    pub(crate) source: SourceRef,
    /// UTC, microseconds since 1970.
    pub(crate) received_us: i64,
    /// Counts the readings of one connection from 1. The paper's frames carry no number of their own.
    pub(crate) sequence: u64,
    /// The seven values in the order of [`Channel::ALL`], with commas between them.
    pub(crate) text: Bytes,
}

impl SampleReading {
    /// `source` comes from identification, so there is no reading without it.
    pub(crate) fn new(source: &SourceRef, received_us: i64, sequence: u64, sample: &Sample<'_>) -> Self {
        let mut text = Vec::with_capacity(64);
        for channel in Channel::ALL {
            if !text.is_empty() {
                text.push(SEPARATOR);
            }
            text.extend_from_slice(sample.value(channel).text.as_bytes());
        }
        Self { source: SourceRef::clone(source), received_us, sequence, text: text.into() }
    }

    /// The values' text in the order of [`Channel::ALL`], sharing the reading's memory.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Bytes> {
        texts(&self.text).map(|text| self.text.slice_ref(text))
    }

    pub(super) fn messages(&self, messages: &mut Vec<Message>) {
        messages.reserve(Channel::ALL.len() + 1);
        let mut json = ReadingJson::new(self.received_us, Assurance::ConfidentialOnly);
        json.number("sequence", self.sequence);
        for ((channel, topics), text) in self.source.channels().zip(self.texts()) {
            let value = std::str::from_utf8(&text).expect("a sample's values are ASCII");
            let number = value.parse().unwrap_or(f64::NAN);
            json.value(channel, Value { text: value, plausible: channel.plausible(number) });
            messages.extend(topics.value.as_ref().map(|topic| Message::passing(topic, text)));
        }
        messages.push(Message::passing(&self.source.topics.reading, json.finish()));
    }
}
