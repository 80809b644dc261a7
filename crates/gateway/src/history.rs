//! History: the values of one channel of one device in a range of time, out of the journal, thinned to a number of
//! points that a screen can show. It invents nothing: where samples are missing there is a gap.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use vitalwire_access::DeviceId;
use vitalwire_journal::{
    BUCKETS_MAX, Bucket, Buckets, Gap, HistoryCursor, HistoryFile, HistoryQuery as EntriesQuery,
    JournalError, READ_ENTRIES_MAX, Stored, downsample,
};
use vitalwire_profile::{ChannelProfile, Profile};

use crate::clock::utc_us;
use crate::data_folder::JOURNAL;
use crate::profiles::{PICO, Profiles, ProfilesError};
use crate::reading::{Body, SampleBody, channel_values, number_at};

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
    /// No profile that an entry names has such a channel.
    #[error("no reading of the range has a channel `{wanted}`; there {}", channels_text(.known))]
    UnknownChannel {
        /// What was asked for.
        wanted: String,
        /// Channels of the profiles that the readings name.
        known: BTreeSet<String>,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The devices' profiles.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

fn channels_text(known: &BTreeSet<String>) -> String {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    if names.is_empty() { "is no reading at all".to_owned() } else { format!("are {}", names.join(", ")) }
}

/// What a data folder's journal holds, also while a server writes it.
#[derive(Clone, Debug)]
pub struct History {
    file: HistoryFile,
    profiles: Profiles,
}

impl History {
    /// Opens the history of a data folder for reading.
    ///
    /// # Errors
    /// There is no journal (no server ran there yet), or a profile cannot be read.
    pub fn open(data: &Path) -> Result<Self, HistoryError> {
        Ok(Self::new(HistoryFile::open(&data.join(JOURNAL))?, Profiles::load(data)?))
    }

    pub(crate) fn new(file: HistoryFile, profiles: Profiles) -> Self {
        Self { file, profiles }
    }

    /// The newest gaps in what a device sent, at most `limit`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn gaps(&self, device: &DeviceId, limit: usize) -> Result<Vec<Gap>, JournalError> {
        self.file.gaps(device, limit).await
    }

    /// The values of a channel in a range of time, thinned. Empty when the device sent nothing then.
    ///
    /// # Errors
    /// A range that makes no sense or is too long, a channel that the device's profile lacks; or the journal cannot be read.
    pub async fn query(&self, query: &HistoryQuery) -> Result<Vec<Bucket>, HistoryError> {
        let (from_us, to_us) = (utc_us(query.from), utc_us(query.to));
        if from_us >= to_us || !(1..=BUCKETS_MAX).contains(&query.points) {
            return Err(HistoryError::Range);
        }
        let (mut values, mut after, mut read) = (Vec::new(), None, 0);
        let mut interval_us = 0;
        let mut known = BTreeSet::new();
        loop {
            let page =
                EntriesQuery { device: query.device.clone(), from_us, to_us, limit: READ_ENTRIES_MAX, after };
            let entries = self.file.history(page).await?;
            let Some(last) = entries.last() else { break };
            after = Some(HistoryCursor::after(last));
            read += entries.len();
            if read > HISTORY_ENTRIES_MAX {
                return Err(HistoryError::TooMany);
            }
            for stored in &entries {
                let Some((profile, body)) = read_entry(&self.profiles, stored) else { continue };
                match profile.channel_named(&query.channel) {
                    Some(channel) => {
                        let (found, interval) = values_of(channel, stored, &body);
                        interval_us = interval_us.max(interval);
                        values.extend(found);
                    }
                    None => known.extend(profile.channels().iter().map(|channel| channel.name.clone())),
                }
            }
        }
        if values.is_empty() && !known.is_empty() {
            return Err(HistoryError::UnknownChannel { wanted: query.channel.clone(), known });
        }
        // Batches of two boots may overlap by the uncertainty of their clocks.
        values.sort_by_key(|(time_us, _)| *time_us);
        let gap_us = u64::from(interval_us) * GAP_INTERVALS;
        Ok(downsample(values, Buckets { from_us, to_us, count: query.points, gap_us }))
    }
}

/// An entry's body with its profile. An entry that cannot be read has none.
fn read_entry(profiles: &Profiles, stored: &Stored) -> Option<(Arc<Profile>, Body)> {
    let body = Body::parse(&stored.entry.body).ok()?;
    let name = match &body {
        Body::Batch { profile, .. } => profile.as_str(),
        Body::Samples { .. } => PICO,
    };
    Some((profiles.find(name)?, body))
}

/// The values of a channel in an entry, with their times, and the interval between them: a batch says it, frames come at
/// the profile's rate.
fn values_of(channel: &ChannelProfile, stored: &Stored, body: &Body) -> (Vec<(i64, f64)>, u32) {
    let (first_us, index) = (stored.entry.first_us, channel.index);
    match body {
        Body::Batch { message, .. } => channel_values(message, first_us, index),
        Body::Samples { samples, .. } => {
            // The paper's channels are those of its profile, in order.
            let value = |sample: &SampleBody| {
                let value = number_at(&sample.text, usize::from(index))?;
                Some((first_us.saturating_add_unsigned(sample.offset_us), value))
            };
            (samples.iter().filter_map(value).collect(), channel.interval_us())
        }
    }
}
