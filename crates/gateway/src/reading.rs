//! Readings: what an authenticated device measured, decoded once, with its time. Whoever wants readings gets them like this,
//! whether they have just come or are read from the journal; what they become on MQTT is the publisher's matter.

pub(crate) mod batch;
mod body;
mod sample;

use vitalwire_access::DeviceId;
use vitalwire_journal::Assurance;

pub(crate) use batch::{BatchSpan, BatchValues, ChannelValues, channel_values};
pub(crate) use body::{Body, SampleBody, batch_body, samples_body};
pub(crate) use sample::{SampleText, number_at};

use crate::topics::SourceRef;

/// What one frame or one batch brought.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Comes from identification, so there is no reading without it.
    pub(crate) source: SourceRef,
    /// Which start of the device; with frames, which connection: drawn at random.
    pub(crate) boot: u64,
    /// The batch's number within the boot; with frames, the sample's within the connection. Both count from 1.
    pub(crate) sequence: u64,
    /// When the first value was measured: UTC, microseconds since 1970. With frames, when it was received.
    pub(crate) first_us: i64,
    /// How far off `first_us` may be, to either side.
    pub(crate) uncertainty_us: u64,
    pub(crate) assurance: Assurance,
    pub(crate) values: Values,
}

/// The values of a reading.
#[derive(Debug)]
pub(crate) enum Values {
    /// One sample of AES-CBC frames.
    Sample(SampleText),
    /// One batch of the secure link.
    Batch(BatchValues),
}

impl Reading {
    pub(crate) fn device(&self) -> &DeviceId {
        &self.source.topics.id
    }

    /// From the first value to the last, in microseconds.
    pub(crate) fn span_us(&self) -> u64 {
        match &self.values {
            Values::Sample(_) => 0,
            Values::Batch(batch) => batch.span.len_us(),
        }
    }

    /// How many moments it holds, of a device that measures its channels together.
    pub(crate) fn moments(&self) -> u64 {
        match &self.values {
            Values::Sample(_) => 1,
            Values::Batch(batch) => batch.span.moments as u64,
        }
    }

    /// How many samples the journal counts in it.
    pub(crate) fn samples(&self) -> u32 {
        match &self.values {
            Values::Sample(_) => 1,
            Values::Batch(batch) => u32::try_from(batch.span.values).unwrap_or(u32::MAX),
        }
    }

    /// Memory that a waiting reading takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + match &self.values {
                Values::Sample(text) => text.as_bytes().len(),
                Values::Batch(batch) => batch.size(),
            }
    }
}
