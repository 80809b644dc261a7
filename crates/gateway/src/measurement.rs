//! What a connection hands to the intake: one measurement of an authenticated device, decoded once.

use bytes::Bytes;
use vitalwire_journal::{Assurance, Entry};
use vitalwire_protocol::batch::Batch;

use crate::clock::Mapped;
use crate::reading::{BatchValues, Reading, SampleText, Values, batch_body};
use crate::topics::SourceRef;

/// A reading and what the journal needs to keep it.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) reading: Reading,
    /// When the gateway received it: UTC, microseconds since 1970.
    pub(crate) received_us: i64,
    /// What the journal keeps of it. Of a batch it is the entry's body, of a sample its part of one.
    pub(crate) record: Bytes,
    /// The journal may hold it already, for its device did not wait to be told what is held. Then it is not published at
    /// once: if the journal turns out not to hold it, the backfill publishes it.
    pub(crate) may_be_held: bool,
}

impl Measurement {
    /// One batch of the secure link: `message` is what `batch` was decoded from, `mapped` its first value's time.
    pub(crate) fn of_batch(
        source: &SourceRef,
        boot: u64,
        (batch, message): (&Batch<'_>, &[u8]),
        mapped: Mapped,
        received_us: i64,
    ) -> Self {
        let reading = Reading {
            source: SourceRef::clone(source),
            boot,
            sequence: batch.sequence,
            first_us: mapped.utc_us,
            uncertainty_us: mapped.uncertainty_us,
            assurance: Assurance::Authenticated,
            values: Values::Batch(BatchValues::of(batch)),
        };
        let record = batch_body(source.profile.name(), message);
        Self { reading, received_us, record, may_be_held: false }
    }

    /// One sample of frames, `sequence` of its connection.
    pub(crate) fn of_sample(
        source: &SourceRef,
        boot: u64,
        sequence: u64,
        text: SampleText,
        received_us: i64,
    ) -> Self {
        let record = text.as_bytes().clone();
        let reading = Reading {
            source: SourceRef::clone(source),
            boot,
            sequence,
            first_us: received_us,
            uncertainty_us: 0,
            assurance: Assurance::ConfidentialOnly,
            values: Values::Sample(text),
        };
        Self { reading, received_us, record, may_be_held: false }
    }

    /// The journal's entry of it alone.
    pub(crate) fn entry(&self) -> Entry {
        let reading = &self.reading;
        Entry {
            device: reading.device().clone(),
            boot: reading.boot,
            sequence: reading.sequence,
            received_us: self.received_us,
            first_us: reading.first_us,
            span_us: reading.span_us(),
            uncertainty_us: reading.uncertainty_us,
            samples: reading.samples(),
            assurance: reading.assurance,
            body: self.record.clone(),
        }
    }
}
