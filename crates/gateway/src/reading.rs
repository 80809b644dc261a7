//! A reading: one authenticated sample with the time the gateway received it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use vitalwire_protocol::{Channel, Sample};

use crate::identify::Identity;
use crate::topics;

/// How well a link protected a reading on its way.
///
/// The paper's frames are encrypted, but nothing in them shows that they were altered or replayed.
const ASSURANCE_AES_CBC: &str = "confidential-only";

/// One sample of an authenticated device. It owns its values' text, exactly as the device sent it.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) identity: Arc<Identity>,
    received: SystemTime,
    /// Counts the readings of one connection from 1. The paper's frames carry no number of their own.
    sequence: u64,
    /// The seven values one after the other, in the order of [`Channel::ALL`].
    text: Bytes,
    ends: [u8; Channel::ALL.len()],
}

impl Reading {
    /// `identity` can only be made by identification, so there is no reading without it.
    pub(crate) fn new(
        identity: &Arc<Identity>,
        received: SystemTime,
        sequence: u64,
        sample: &Sample<'_>,
    ) -> Self {
        let mut text = String::with_capacity(48);
        let ends = Channel::ALL.map(|channel| {
            text.push_str(sample.value(channel).text);
            u8::try_from(text.len()).expect("seven values of at most 24 bytes")
        });
        Self { identity: Arc::clone(identity), received, sequence, text: text.into(), ends }
    }

    /// The values' text in the order of [`Channel::ALL`], sharing the reading's memory.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Bytes> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let text = self.text.slice(start..usize::from(end));
            start = usize::from(end);
            text
        })
    }

    /// Memory that a waiting reading takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }

    /// The whole reading as one JSON object (PROTOCOL.md, "reading").
    pub(crate) fn to_json(&self) -> String {
        let mut json = String::with_capacity(512);
        let time = humantime::format_rfc3339_millis(self.received);
        let sequence = self.sequence;
        write!(
            json,
            r#"{{"time":"{time}","device_time":null,"sequence":{sequence},"assurance":"{ASSURANCE_AES_CBC}","values":{{"#
        )
        .expect("a String takes all that is written");
        for (index, (channel, text)) in Channel::ALL.into_iter().zip(self.texts()).enumerate() {
            let (name, unit) = topics::name_and_unit(channel);
            if index > 0 {
                json.push(',');
            }
            let text = std::str::from_utf8(&text).expect("a sample's values are ASCII");
            for part in ["\"", name, "\":{\"value\":", text, ",\"unit\":\"", unit, "\"}"] {
                json.push_str(part);
            }
        }
        json.push_str("}}");
        json
    }
}
