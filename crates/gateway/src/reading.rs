//! Readings: what an authenticated device measured, with the time the gateway received it, and the MQTT messages
//! they become. A reading from the journal makes the same messages as one that has just come.

mod batch;
mod body;
mod json;
mod sample;

use vitalwire_access::DeviceId;

use crate::message::Message;

pub(crate) use batch::{BatchReading, BatchSpan, channel_values};
pub(crate) use body::{Body, SampleBody, batch_body, samples_body};
pub(crate) use sample::{SampleReading, number_at};

/// What one frame or one batch brought.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// One sample of AES-CBC frames.
    Sample(SampleReading),
    /// One batch of the secure link.
    Batch(BatchReading),
}

impl Reading {
    /// The messages it becomes, in the order of time.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let mut messages = Vec::new();
        match self {
            Self::Sample(sample) => sample.messages(&mut messages),
            Self::Batch(batch) => batch.messages(&mut messages),
        }
        messages
    }

    /// Whose it is.
    pub(crate) fn device(&self) -> &DeviceId {
        match self {
            Self::Sample(sample) => &sample.source.topics.id,
            Self::Batch(batch) => &batch.source.topics.id,
        }
    }

    /// Memory that a waiting reading takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Sample(sample) => sample.text.len(),
                Self::Batch(batch) => batch.message.len(),
            }
    }
}
