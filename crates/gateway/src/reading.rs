//! Readings: what an authenticated device measured, decoded once, with its time. All who want readings get them like this,
//! whether they have just come or are read from the journal; what they become on MQTT is the publisher's matter.

pub(crate) mod batch;
mod body;
mod sample;
mod series;

pub(crate) use batch::{BatchSpan, BatchValues, ChannelValues, channel_values, each_channel};
pub(crate) use body::{Body, SampleBody, batch_body, samples_body};
pub(crate) use sample::{SampleText, number_at, text_at};
pub use series::Series;
pub(crate) use series::rounded;
use vitalwire_access::DeviceId;
use vitalwire_journal::Assurance;
use vitalwire_profile::{ChannelProfile, Profile};

use crate::topics::SourceRef;

/// A reading whose last value is older than this is a backlog: it is not published at once, but by the backfill, in order and at
/// its own pace.
pub(crate) const LIVE_AGE_US_MAX: i64 = 10_000_000;

/// What one frame or one batch brought.
#[derive(Debug)]
pub struct Reading {
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

/// One value of a reading.
#[derive(Clone, Copy, Debug)]
pub struct ReadingValue<'r> {
    /// What was measured, in which unit, and what a body or a sensor can have.
    pub channel: &'r ChannelProfile,
    /// When: UTC, microseconds since 1970.
    pub time_us: i64,
    /// In the channel's unit.
    pub value: f64,
}

impl Reading {
    /// Whose it is.
    #[must_use]
    pub fn device(&self) -> &DeviceId {
        &self.source.topics.id
    }

    /// Which start of the device it belongs to.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Its number within the boot; with frames, within the connection.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How far off its times may be, to either side, in microseconds.
    #[must_use]
    pub fn uncertainty_us(&self) -> u64 {
        self.uncertainty_us
    }

    /// How far it can be trusted to be what the device measured.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// What its channels are.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.source.profile
    }

    /// Whether the server derived it: no device measured it.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.source.is_derived
    }

    /// Its values as they were sent, one channel after the other, undivided.
    #[must_use]
    pub fn series(&self) -> Vec<Series<'_>> {
        series::of(self)
    }

    /// Its values, one channel after the other.
    #[must_use]
    pub fn values(&self) -> Vec<ReadingValue<'_>> {
        let mut values = Vec::new();
        match &self.values {
            Values::Sample(text) => {
                let channels = self.source.profile.channels().iter().enumerate();
                values.extend(channels.filter_map(|(place, channel)| {
                    let value = number_at(text.as_bytes(), place)?;
                    Some(ReadingValue { channel, time_us: self.first_us, value })
                }));
            }
            Values::Batch(batch) => {
                for data in batch.channels() {
                    let Some((channel, _)) = self.source.channel(data.index) else { continue };
                    values.extend(data.values().map(|(offset_us, value)| ReadingValue {
                        channel,
                        time_us: batch.span.utc_us(self.first_us, offset_us),
                        value: value.to_f64(),
                    }));
                }
            }
        }
        values
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

    /// Until when it is live: UTC, microseconds since 1970.
    pub(crate) fn live_until_us(&self) -> i64 {
        self.first_us.saturating_add_unsigned(self.span_us()).saturating_add(LIVE_AGE_US_MAX)
    }

    /// Whether its last value is young enough to be shown as the present one.
    pub(crate) fn is_live(&self, now_us: i64) -> bool {
        now_us <= self.live_until_us()
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
