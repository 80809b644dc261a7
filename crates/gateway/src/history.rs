//! History: the values of one channel of one device in a range of time, out of the journal, thinned to a number of
//! points that a screen can show. It invents nothing: where samples are missing there is a gap.

use std::sync::Arc;
use std::time::SystemTime;

use vitalwire_journal::{
    BUCKETS_MAX, Bucket, Buckets, HistoryCursor, HistoryQuery as EntriesQuery, JournalError,
    READ_ENTRIES_MAX, Stored, downsample,
};
use vitalwire_profile::Profile;
use vitalwire_protocol::Channel;
use vitalwire_registry::DeviceId;

use crate::clock::utc_us;
use crate::ingest::Ingest;
use crate::profiles::{PICO, Profiles};
use crate::reading::{BatchReading, Body, SourceRef};
use crate::topics::{DeviceTopics, Source};

/// Entries that one query may read: a day of a device with 1 s batches. Past it the query is refused.
pub const HISTORY_ENTRIES_MAX: usize = 100_000;
/// Neighbouring samples further apart than so many intervals have a gap between them.
const GAP_INTERVALS: u64 = 3;

/// What is asked.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    /// Whose.
    pub device: DeviceId,
    /// The channel's name in its profile, such as `Temperature`.
    pub channel: String,
    /// From this time on,
    pub from: SystemTime,
    /// up to, but without, this time.
    pub to: SystemTime,
    /// How many stretches of equal time to thin the values to, at most [`BUCKETS_MAX`].
    pub points: u32,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The times are in the wrong order, or no points are wanted, or too many.
    #[error("the range must end after its beginning, and points be from 1 to {BUCKETS_MAX}")]
    Range,
    /// The range holds too many entries.
    #[error("the range holds more than {HISTORY_ENTRIES_MAX} batches; ask for a shorter one")]
    TooMany,
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Answers a query.
pub(crate) async fn query(
    ingest: &Ingest,
    profiles: &Profiles,
    query: &HistoryQuery,
) -> Result<Vec<Bucket>, HistoryError> {
    let (from_us, to_us) = (utc_us(query.from), utc_us(query.to));
    if from_us >= to_us || !(1..=BUCKETS_MAX).contains(&query.points) {
        return Err(HistoryError::Range);
    }
    let (mut values, mut after, mut read) = (Vec::new(), None, 0);
    let mut interval_us = 0;
    loop {
        let page =
            EntriesQuery { device: query.device.clone(), from_us, to_us, limit: READ_ENTRIES_MAX, after };
        let entries = ingest.journal.history(page).await?;
        let Some(last) = entries.last() else { break };
        after = Some(HistoryCursor::after(last));
        read += entries.len();
        if read > HISTORY_ENTRIES_MAX {
            return Err(HistoryError::TooMany);
        }
        for stored in &entries {
            let (found, interval) = values_of(profiles, stored, &query.channel);
            values.extend(found);
            interval_us = interval_us.max(interval);
        }
    }
    // Batches of two boots may overlap by the uncertainty of their clocks.
    values.sort_by_key(|(time_us, _)| *time_us);
    let gap_us = u64::from(interval_us) * GAP_INTERVALS;
    Ok(downsample(values, Buckets { from_us, to_us, count: query.points, gap_us }))
}

/// The values of a channel in an entry, with its interval. An entry that cannot be read has none.
fn values_of(profiles: &Profiles, stored: &Stored, name: &str) -> (Vec<(i64, f64)>, u32) {
    let entry = &stored.entry;
    let Ok(body) = Body::parse(&entry.body) else { return (Vec::new(), 0) };
    let profile_name = match &body {
        Body::Batch { profile, .. } => profile.as_str(),
        Body::Samples { .. } => PICO,
    };
    let Some(profile) = profiles.find(profile_name) else { return (Vec::new(), 0) };
    let Some(channel) = profile.channel_named(name) else { return (Vec::new(), 0) };
    let (index, interval_us) = (channel.index, channel.interval_us());
    let values = match body {
        Body::Batch { message, .. } => BatchReading {
            source: source(&entry.device, &profile),
            boot: entry.boot,
            first_us: entry.first_us,
            uncertainty_us: entry.uncertainty_us,
            message,
        }
        .values_of(index),
        Body::Samples { samples, .. } => {
            let place = Channel::ALL.len().min(usize::from(index));
            let value = |sample: &crate::reading::SampleBody| {
                let text = sample.text.split(|byte| *byte == b',').nth(place)?;
                let value = std::str::from_utf8(text).ok()?.parse().ok()?;
                Some((entry.first_us.saturating_add_unsigned(sample.offset_us), value))
            };
            samples.iter().filter_map(value).collect()
        }
    };
    (values, interval_us)
}

fn source(device: &DeviceId, profile: &Arc<Profile>) -> SourceRef {
    Arc::new(Source::new(&Arc::new(DeviceTopics::new(device)), profile))
}
